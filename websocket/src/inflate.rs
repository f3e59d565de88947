//! Decompressing the messages of one sender (RFC 7692 §7.2.2), in bounded steps.

use flate2::{Decompress, FlushDecompress, Status};

use crate::buffer::Buffer;
use crate::history::History;
use crate::negotiation::Compression;
use crate::{Violation, mask};

/// What an inflater holds: the 32 KiB window and its tables.
pub(crate) const INFLATER_BYTES: usize = 48 << 10;
/// The largest window. A smaller one agreed needs no smaller one here, and flate2 knows none of 8 bits.
const WINDOW_BITS: u8 = 15;
/// What a message's compressor took off its end (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// A last, empty, stored block (RFC 1951 §3.2.4).
const FINAL_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];
/// How much is unmasked at a time, and the least that is made room for.
const STEP_BYTES: usize = 4096;
/// How much is inflated at a time where nobody wants it.
pub(crate) const DISCARD_BYTES: usize = 16 << 10;

/// Where inflated bytes go.
pub(crate) enum Sink<'a> {
    /// Appended to the message so far.
    Gather(&'a mut Buffer),
    /// Thrown away and counted; the buffer is only passed through.
    Discard { through: &'a mut [u8; DISCARD_BYTES], inflated: &'a mut u64 },
}

/// Reads one message at a time, of any sender.
pub(crate) struct Inflater {
    stream: Decompress,
    /// Whether nothing of the message's stream has been seen since it (re)started.
    fresh: bool,
    /// What later messages of this sender may refer to; none where they may not.
    history: Option<(History, u8)>,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        let stream = Decompress::new_with_window_bits(false, WINDOW_BITS);
        Self { stream, fresh: true, history: None }
    }

    /// Begins a message of a sender whose earlier ones ended with `history`.
    pub(crate) fn begin(&mut self, compression: Option<Compression>, history: History) {
        self.restart();
        self.history = None;
        if let Some(compression) = compression.filter(|compression| compression.context_takeover) {
            for part in history.parts().into_iter().filter(|part| !part.is_empty()) {
                // A raw stream takes any dictionary before its first block.
                drop(self.stream.set_dictionary(part));
            }
            self.history = Some((history, compression.window_bits));
        }
    }

    fn restart(&mut self) {
        self.stream.reset(false);
        self.fresh = true;
    }

    /// Inflates a part of a message's payload, masked with `key`.
    pub(crate) fn inflate(
        &mut self,
        payload: &[u8],
        key: Option<[u8; 4]>,
        unmasked: &mut Vec<u8>,
        sink: &mut Sink<'_>,
        limit: u64,
    ) -> Result<(), Violation> {
        let Some(key) = key else { return self.feed(payload, sink, limit) };
        // A multiple of 4, so that the key need not be rotated.
        for block in payload.chunks(STEP_BYTES) {
            unmasked.clear();
            mask::append(unmasked, block, key);
            self.feed(unmasked, sink, limit)?;
        }
        Ok(())
    }

    /// Ends the message: puts back the tail its compressor took off. The history with this message in it.
    ///
    /// All before it has been inflated, so the tail of a message that ended with its block gives nothing. That it
    /// did is proved by a final block. It must have: the next message is read by an inflater that knows only the
    /// history, while a receiver's would go on amid the block, and read something else.
    pub(crate) fn finish(&mut self, sink: &mut Sink<'_>) -> Result<History, Violation> {
        if self.history.is_none() && self.fresh {
            return Ok(History::default());
        }
        // As the limit: not one byte more.
        let inflated = sink.inflated();
        if self.feed(&TAIL, sink, inflated).is_err() {
            return Err(Violation::DeflateCut);
        }
        // Before the final block, which would end it.
        let history = self.history.take().map(|(history, _)| history).unwrap_or_default();
        let ended = self.feed(&FINAL_BLOCK, sink, inflated).is_ok() && self.fresh;
        if ended { Ok(history) } else { Err(Violation::DeflateCut) }
    }

    fn feed(&mut self, mut input: &[u8], sink: &mut Sink<'_>, limit: u64) -> Result<(), Violation> {
        loop {
            let room = sink.room(limit);
            let room_bytes = room.len();
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(input, room, FlushDecompress::Sync);
            let read = (self.stream.total_in() - read) as usize;
            let written = (self.stream.total_out() - written) as usize;
            let ended = matches!(status, Ok(Status::StreamEnd));
            self.fresh &= read == 0;
            input = input.get(read..).unwrap_or_default();
            if let Some((history, window_bits)) = &mut self.history {
                history.push(room.get(..written).unwrap_or_default(), *window_bits);
            }
            sink.took(written, limit)?;
            if status.is_err() || (read == 0 && written == 0 && !ended && !input.is_empty()) {
                return Err(Violation::Deflate);
            }
            if ended {
                // RFC 7692 §7.2.1 allows final blocks anywhere; what follows is a stream of its own.
                self.restart();
                if let Some((history, _)) = &mut self.history {
                    history.clear();
                }
            }
            if input.is_empty() && (ended || written < room_bytes) {
                return Ok(());
            }
        }
    }
}

impl Sink<'_> {
    /// Room for at least one more byte, growing in steps and not much beyond what `limit` allows.
    fn room(&mut self, limit: u64) -> &mut [u8] {
        match self {
            Self::Gather(buffer) => {
                if buffer.free().is_empty() {
                    let len = buffer.filled().len();
                    let limit = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
                    let left = limit.saturating_sub(len).max(1);
                    let doubled = len.max(STEP_BYTES);
                    // Not doubled to just below the limit, to be copied once more for the rest.
                    let last = left <= doubled + doubled / 8;
                    buffer.grow(if last { left } else { doubled });
                }
                buffer.free()
            }
            Self::Discard { through, .. } => through.as_mut_slice(),
        }
    }

    fn took(&mut self, written: usize, limit: u64) -> Result<(), Violation> {
        match self {
            Self::Gather(buffer) => buffer.fill(written),
            Self::Discard { inflated, .. } => **inflated += written as u64,
        }
        if self.inflated() > limit { Err(Violation::MessageTooLarge(limit)) } else { Ok(()) }
    }

    /// How much of the message there has been so far.
    fn inflated(&self) -> u64 {
        match self {
            Self::Gather(buffer) => buffer.filled().len() as u64,
            Self::Discard { inflated, .. } => **inflated,
        }
    }
}
