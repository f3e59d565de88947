//! The host's side of what plugins import: one file per interface of `wit/`.

mod clock;
mod connection;
mod env;
pub(super) mod http;
mod limits;
pub(super) mod log;
mod random;
mod request;
mod response_head;
mod store;
mod types;
mod wasi;

use wasmtime::component::{HasSelf, Linker};

use super::bindings::sluicegate::hooks;
use super::state::State;

/// The interfaces of this package that a plugin may import, as they are named in a component.
pub const INTERFACES: [&str; 11] = [
    "sluicegate:hooks/types@0.1.0",
    "sluicegate:hooks/request@0.1.0",
    "sluicegate:hooks/response-head@0.1.0",
    "sluicegate:hooks/connection@0.1.0",
    "sluicegate:hooks/log@0.1.0",
    "sluicegate:hooks/limits@0.1.0",
    "sluicegate:hooks/clock@0.1.0",
    "sluicegate:hooks/random@0.1.0",
    "sluicegate:hooks/store@0.1.0",
    "sluicegate:hooks/env@0.1.0",
    "sluicegate:hooks/http@0.1.0",
];

/// Everything a plugin may import: the interfaces above, and WASI with nothing in it, which toolchains of
/// many languages import unasked.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    hooks::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::request::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::response_head::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::connection::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::limits::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::random::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::env::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    hooks::http::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}
