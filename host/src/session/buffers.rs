//! Buffers that belong to a worker and are lent to the session it is serving, so that idle sessions hold none.

use std::cell::Cell;

use sluicegate_websocket::Scratch;

use super::sides::PerSide;

/// One read: a 64 KiB message with its header, and more.
const READ_BYTES: usize = 128 * 1024;
/// An outgoing buffer that grew past this for one large message is not kept.
const KEEP_BYTES_MAX: usize = 1024 * 1024;

thread_local! {
    static SPARE: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// What serving one session takes.
pub struct Buffers {
    pub read: Box<[u8]>,
    pub scratch: Scratch,
    /// What the messages of one read led to, by receiver: written at once.
    pub out: PerSide<Vec<u8>>,
}

/// The worker's buffers, once they turn out to be needed, for as long as this lives.
#[derive(Default)]
pub struct Borrowed(Option<Box<Buffers>>);

// === impl Borrowed ===

impl Borrowed {
    /// To read into.
    pub fn get(&mut self) -> &mut [u8] {
        &mut self.0.get_or_insert_with(Buffers::take).read
    }

    pub fn take(&mut self) -> Box<Buffers> {
        self.0.take().unwrap_or_else(Buffers::take)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(buffers) = self.0.take() {
            buffers.give_back();
        }
    }
}

// === impl Buffers ===

impl Buffers {
    /// The worker's spare ones, or new ones where a session that waits in a hook still has those.
    pub fn take() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// Back to the worker; of two, one is kept.
    pub fn give_back(mut self: Box<Self>) {
        for out in [&mut self.out.client, &mut self.out.upstream] {
            out.clear();
            if out.capacity() > KEEP_BYTES_MAX {
                *out = Vec::new();
            }
        }
        SPARE.set(Some(self));
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            read: vec![0; READ_BYTES].into_boxed_slice(),
            scratch: Scratch::new(),
            out: PerSide::default(),
        }
    }
}
