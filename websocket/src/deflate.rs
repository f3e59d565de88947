//! Compressing the messages to one receiver (RFC 7692 §7.2.1).
//!
//! A compressor takes 372 KiB while it lives. Sessions do not own one: each thread has a few, and lends them. One that was
//! lent to somebody else meanwhile is no loss but of compression: a fresh one refers only to what it wrote itself, so
//! its messages may follow those of any other.

use std::cell::RefCell;

use flate2::{Compress, Compression as Level, FlushCompress};

/// The most compressors that one thread has: 24 MiB.
const COMPRESSORS_MAX: usize = 64;
/// The smallest window flate2 makes; it panics at 8 bits.
const WINDOW_BITS_MIN: u8 = 9;
const WINDOW_BITS_MAX: u8 = 15;
/// What is made room for beyond half of the message.
const ROOM_BYTES_MIN: usize = 64;
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

thread_local! {
    static COMPRESSORS: RefCell<Compressors> = RefCell::default();
}

/// A receiver's hold on a compressor that remembers what it was sent last.
#[derive(Debug)]
pub(crate) struct Lease {
    at: u8,
    /// Which of the compressor's borrowers this is.
    borrower: u32,
}

#[derive(Default)]
struct Compressors {
    all: Vec<Compressor>,
    /// Grows with each use.
    time: u64,
}

struct Compressor {
    stream: Compress,
    window_bits: u8,
    borrower: u32,
    /// When it was used last; 0 where nobody holds it.
    used: u64,
}

/// Appends the compressed message to `out`, less its tail, with what `lease` remembers, if that is still there. The
/// message is not empty: zlib writes nothing for a second flush in a row.
///
/// `None` where nothing can be compressed: for a window that flate2 cannot make.
pub(crate) fn compress(
    lease: Option<Lease>,
    window_bits: u8,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Option<Lease> {
    if !(WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&window_bits) {
        return None;
    }
    COMPRESSORS.with_borrow_mut(|compressors| {
        let lease = compressors.find(lease, window_bits)?;
        compressors.all.get_mut(usize::from(lease.at))?.compress(message, out)?;
        Some(lease)
    })
}

// === impl Lease ===

impl Drop for Lease {
    fn drop(&mut self) {
        // Where the thread ends, its compressors are gone before.
        let freed = COMPRESSORS.try_with(|compressors| {
            let mut compressors = compressors.try_borrow_mut().ok()?;
            let held = compressors.all.get_mut(usize::from(self.at))?;
            if held.borrower == self.borrower {
                held.used = 0;
            }
            Some(())
        });
        let (Ok(_) | Err(_)) = freed;
    }
}

// === impl Compressors ===

impl Compressors {
    /// The compressor that `lease` means, or one that begins anew: nobody's, or the one that was used least lately.
    fn find(&mut self, lease: Option<Lease>, window_bits: u8) -> Option<Lease> {
        self.time += 1;
        let held = lease.as_ref().and_then(|lease| {
            self.all.get_mut(usize::from(lease.at)).filter(|held| held.borrower == lease.borrower)
        });
        if let Some(held) = held {
            held.used = self.time;
            return lease;
        }
        let fits = |compressor: &Compressor| (compressor.used, compressor.window_bits != window_bits);
        let oldest = self.all.iter().enumerate().min_by_key(|(_, compressor)| fits(compressor));
        let at = match oldest.filter(|(_, oldest)| oldest.used == 0 || self.all.len() >= COMPRESSORS_MAX) {
            Some((at, _)) => at,
            None => {
                self.all.push(Compressor::new(window_bits));
                self.all.len() - 1
            }
        };
        let compressor = self.all.get_mut(at)?;
        compressor.lend(window_bits, self.time);
        Some(Lease { at: u8::try_from(at).ok()?, borrower: compressor.borrower })
    }
}

// === impl Compressor ===

impl Compressor {
    /// The level is the fastest: the next one makes small messages a tenth smaller for seven times the work.
    fn new(window_bits: u8) -> Self {
        let stream = Compress::new_with_window_bits(Level::fast(), false, window_bits);
        Self { stream, window_bits, borrower: 0, used: 0 }
    }

    fn lend(&mut self, window_bits: u8, time: u64) {
        if self.window_bits == window_bits {
            self.stream.reset();
        } else {
            // At 4,294,967,296 loans of one compressor an old lease might mean it again: only if it slept all that long.
            *self = Self { borrower: self.borrower, ..Self::new(window_bits) };
        }
        self.borrower = self.borrower.wrapping_add(1);
        self.used = time;
    }

    fn compress(&mut self, mut message: &[u8], out: &mut Vec<u8>) -> Option<()> {
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
