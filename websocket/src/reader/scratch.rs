//! What all readers of a worker share, so that none of them holds buffers between messages.

use super::Message;
use super::gathering::Gathering;
use crate::Violation;
use crate::buffer::Buffer;
use crate::control::Bytes;
use crate::frame::{HEADER_BYTES_MAX, Header};
use crate::inflate::{DISCARD_BYTES, Inflater};

/// The largest buffer that is kept for later messages.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Buffers for reading, lent for the length of a call: one per worker serves all its readers.
#[derive(Default)]
pub struct Scratch {
    /// The payload of a message read in one step, unmasked or inflated.
    pub(super) payload: Vec<u8>,
    pub(super) inflated: Buffer,
    /// Compressed data on its way to the inflater.
    pub(super) unmasked: Vec<u8>,
    /// Inflated data that nobody wants.
    pub(super) discarded: Option<Box<[u8; DISCARD_BYTES]>>,
    /// A header that was cut, of a message that nobody wants.
    pub(super) header: Bytes<HEADER_BYTES_MAX>,
    /// The last message that was read in several steps; its buffers serve the next one.
    pub(super) gathering: Option<Box<Gathering>>,
    /// For the next compressed message, whoever sends it.
    pub(super) inflater: Option<Box<Inflater>>,
}

impl Scratch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives back what a large message made grow, as [`Reader::read`](super::Reader::read) does where it finds nothing.
    pub fn trim(&mut self) {
        if self.payload.capacity() > KEPT_BYTES_MAX {
            self.payload = Vec::new();
        }
        if self.inflated.capacity() > KEPT_BYTES_MAX {
            self.inflated = Buffer::default();
        }
        if self.gathering.as_ref().is_some_and(|gathering| gathering.capacity() > KEPT_BYTES_MAX) {
            self.gathering = None;
        }
    }

    /// Buffers for a message that begins with this frame.
    pub(super) fn begin_gathering(&mut self, header: &Header) -> Box<Gathering> {
        let mut gathering = self.gathering.take().unwrap_or_default();
        gathering.begin(header);
        gathering
    }

    pub(super) fn gathered(&self) -> Result<Option<Message<'_>>, Violation> {
        self.gathering.as_ref().map(|gathering| gathering.message()).transpose()
    }
}
