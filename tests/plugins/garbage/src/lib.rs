//! Returns what is no value of its type, as only a plugin without an SDK can: its exports are written out by hand, after the
//! canonical ABI of the component model. In `on-request` and, after `open-`, in `open` the request's `x-fail` says which
//! garbage, in `on-message` the text does:
//!
//! | word | what is returned |
//! |---|---|
//! | `area` | a result beyond the end of memory |
//! | `pointer` | a string or list that begins beyond the end of memory |
//! | `length` | one that begins within it, and is 4 GiB long |
//! | `utf-8` | a string of bytes that are none |
//! | `discriminant` | a case that the variant does not have |
//! | `handle` | from `open`: a session that was never made |
//! | `status` | from `on-request`: an answer with status 0 |
//!
//! All else passes.

// The names of its exports are none that another target's linker would take.
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package test:garbage; world garbage {
        include sluicegate:hooks/request-plugin@0.1.0;
        include sluicegate:hooks/session-plugin@0.1.0;
    }",
    generate_all,
});

use std::alloc::{self, Layout};
use std::ptr;

use self::sluicegate::hooks::connection::Connection;
use self::sluicegate::hooks::request::Request;

/// Where results are put: eight words are enough for each of them.
static mut RESULT: [u32; 8] = [0; 8];
/// An address that no memory of this size has.
const NOWHERE: u32 = u32::MAX - 0xff;
/// Bytes that are no UTF-8, anywhere in memory.
static NO_TEXT: [u8; 4] = [0xff; 4];

#[link(wasm_import_module = "[export]sluicegate:hooks/session-hook@0.1.0")]
unsafe extern "C" {
    #[link_name = "[resource-new]session"]
    fn new_session(rep: u32) -> u32;
}

#[unsafe(export_name = "sluicegate:hooks/request-hook@0.1.0#on-request")]
extern "C" fn on_request(request: u32) -> u32 {
    const RESPOND: u32 = 1;
    let answer = |status, headers: [u32; 2]| result([RESPOND, status, headers[0], headers[1], 0, 0, 0, 0]);
    match asked(request).as_str() {
        "area" => NOWHERE,
        "pointer" => answer(200, [NOWHERE, 1]),
        "length" => answer(200, [address(&NO_TEXT), u32::MAX]),
        "discriminant" => result([9; 8]),
        "status" => answer(0, [0, 0]),
        _ => result([0; 8]),
    }
}

#[unsafe(export_name = "sluicegate:hooks/session-hook@0.1.0#[static]session.open")]
extern "C" fn open(request: u32, connection: u32) -> u32 {
    drop_connection(connection);
    let word = asked(request);
    let wanted = word.strip_prefix("open-").unwrap_or_default();
    match wanted {
        "area" => NOWHERE,
        "handle" => result([0, 4711, 0, 0, 0, 0, 0, 0]),
        "discriminant" => result([9; 8]),
        // SAFETY: it is what the component model's runtime gives to whoever exports a resource.
        _ => result([0, unsafe { new_session(8) }, 0, 0, 0, 0, 0, 0]),
    }
}

#[unsafe(export_name = "sluicegate:hooks/session-hook@0.1.0#[method]session.on-message")]
extern "C" fn on_message(_: u32, connection: u32, _: u32, kind: u32, bytes: *mut u8, length: usize) -> u32 {
    const REPLACE: u32 = 1;
    drop_connection(connection);
    // SAFETY: the host has put the message there by `cabi_realloc`, for this call to keep.
    let message = unsafe { Vec::from_raw_parts(bytes, length, length) };
    let replace = |text: [u32; 2]| result([REPLACE, 0, text[0], text[1], 0, 0, 0, 0]);
    match message.as_slice() {
        _ if kind != 0 => result([0; 8]),
        b"area" => NOWHERE,
        b"pointer" => replace([NOWHERE, 8]),
        b"length" => replace([address(&NO_TEXT), u32::MAX]),
        b"utf-8" => replace([address(&NO_TEXT), 4]),
        b"discriminant" => result([9; 8]),
        _ => result([0; 8]),
    }
}

#[unsafe(export_name = "sluicegate:hooks/session-hook@0.1.0#[method]session.on-timer")]
extern "C" fn on_timer(_: u32, connection: u32) {
    drop_connection(connection);
}

#[unsafe(export_name = "sluicegate:hooks/session-hook@0.1.0#[method]session.on-drain")]
extern "C" fn on_drain(_: u32, connection: u32) {
    drop_connection(connection);
}

#[unsafe(export_name = "sluicegate:hooks/session-hook@0.1.0#[method]session.on-close")]
extern "C" fn on_close(_: u32, connection: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32) {
    drop_connection(connection);
}

#[unsafe(export_name = "sluicegate:hooks/session-hook@0.1.0#[method]session.export-state")]
extern "C" fn export_state(_: u32) -> u32 {
    result([0; 8])
}

#[unsafe(export_name = "sluicegate:hooks/session-hook@0.1.0#[static]session.import-state")]
extern "C" fn import_state(connection: u32, _: u32, _: u32) -> u32 {
    drop_connection(connection);
    result([0, 4711, 0, 0, 0, 0, 0, 0])
}

/// Where the host asks for memory, for what it hands over.
#[unsafe(export_name = "cabi_realloc")]
extern "C" fn realloc(old: *mut u8, old_length: usize, align: usize, length: usize) -> *mut u8 {
    // SAFETY: what the host asks for is sound.
    let layout = |length| unsafe { Layout::from_size_align_unchecked(length, align) };
    match (old_length, length) {
        (_, 0) => ptr::without_provenance_mut(align),
        // SAFETY: the length is not 0, and the alignment is that of a type.
        (0, _) => unsafe { alloc::alloc(layout(length)) },
        // SAFETY: what is made larger was made here.
        _ => unsafe { alloc::realloc(old, layout(old_length), length) },
    }
}

/// The word in the request's `x-fail`. The borrowed request is given back, as the component model wants it.
fn asked(request: u32) -> String {
    // SAFETY: the host has lent it for this call.
    let request = unsafe { Request::from_handle(request) };
    let word = request.header("x-fail").unwrap_or_default();
    String::from_utf8(word).unwrap_or_default()
}

fn drop_connection(connection: u32) {
    // SAFETY: the host has lent it for this call.
    drop(unsafe { Connection::from_handle(connection) });
}

/// Put a result where the host finds it. The second word of a response has its status, in the lower half.
fn result(words: [u32; 8]) -> u32 {
    let place = &raw mut RESULT;
    // SAFETY: there is one thread, and nobody else has a reference to it.
    unsafe { place.write(words) };
    address(place)
}

fn address<T>(place: *const T) -> u32 {
    u32::try_from(place.addr()).unwrap_or_default()
}
