//! Compressing the messages to one receiver (RFC 7692 §7.2.1).

use flate2::{Compress, Compression as Level, FlushCompress};

/// What a compressor with the largest window holds: the window twice, hash chains and buffers.
pub(crate) const COMPRESSOR_BYTES: usize = 372 << 10;
/// The smallest window flate2 makes; it panics at 8 bits.
const WINDOW_BITS_MIN: u8 = 9;
const WINDOW_BITS_MAX: u8 = 15;
/// What is made room for beyond half of the message.
const ROOM_BYTES_MIN: usize = 64;
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

pub(crate) struct Compressor {
    stream: Compress,
}

impl Compressor {
    /// `None` for a window that flate2 cannot make. The level is the fastest: the next one makes small
    /// messages a tenth smaller for seven times the work.
    pub(crate) fn new(window_bits: u8) -> Option<Self> {
        (WINDOW_BITS_MIN..=WINDOW_BITS_MAX)
            .contains(&window_bits)
            .then(|| Self { stream: Compress::new_with_window_bits(Level::fast(), false, window_bits) })
    }

    /// Appends the compressed message to `out`, less its tail. The message is not empty: zlib writes
    /// nothing for a second flush in a row. `None` where the compressor failed; then neither it nor what
    /// was appended is of any more use.
    pub(crate) fn compress(&mut self, mut message: &[u8], out: &mut Vec<u8>) -> Option<()> {
        loop {
            let start = out.len();
            out.resize(start + message.len() / 2 + ROOM_BYTES_MIN, 0);
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            self.stream.compress(message, out.get_mut(start..)?, FlushCompress::Sync).ok()?;
            let read = (self.stream.total_in() - read) as usize;
            let written = (self.stream.total_out() - written) as usize;
            message = message.get(read..)?;
            let full = start + written == out.len();
            out.truncate(start + written);
            if message.is_empty() && !full {
                break;
            }
        }
        out.truncate(out.strip_suffix(&TAIL)?.len());
        Some(())
    }
}
