//! Masking keys for frames of the proxy's own to upstreams: "derived from a strong source of entropy" (RFC 6455 §5.3).

use std::cell::RefCell;

/// Keys asked of the operating system at a time: a system call per key would cost more than the frame.
const KEYS: usize = 256;

thread_local! {
    static KEYS_LEFT: RefCell<Vec<[u8; 4]>> = const { RefCell::new(Vec::new()) };
}

/// A key nobody can foresee.
pub fn next() -> [u8; 4] {
    KEYS_LEFT.with_borrow_mut(|keys| {
        if keys.is_empty() {
            let mut bytes = [0; 4 * KEYS];
            // Where the system has none, masking goes on with zeros rather than not at all: it is the receiver's
            // intermediaries it protects, and the messages are a plugin's.
            let filled = getrandom::fill(&mut bytes).is_ok();
            debug_assert!(filled, "the operating system gave no random numbers");
            keys.extend(bytes.as_chunks::<4>().0);
        }
        keys.pop().unwrap_or_default()
    })
}
