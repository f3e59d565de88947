//! Follows the frames of an HTTP/2 client (RFC 9113 §4.1) by their headers: bytes in, a verdict out.
//!
//! What the frames say is the `h2` crate's to check. Here is counted what costs the proxy something and brings nobody
//! anything, and seen whether a header block is under way.

use tokio::time::Instant;

/// RFC 9113 §3.4.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// RFC 9113 §4.1.
const HEADER_BYTES: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Streams a client may reset at once, and per second after that. A browser that leaves a page resets what it was still
/// loading: once each as many streams as a connection may have, and not again and again (CVE-2023-44487).
const RESETS: Rate = Rate { burst: 250, per_second: 50 };
/// All other frames that carry nothing of a request: pings, settings, priorities, window updates, empty DATA,
/// continuations.
const CONTROLS: Rate = Rate { burst: 10_000, per_second: 1_000 };
/// A client acknowledges what it is sent by window updates: so many bytes allow one more.
const WRITTEN_BYTES_PER_CONTROL: usize = 64;

/// What a client does too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Abuse {
    #[error("client resets streams faster than 50 per second")]
    Resets,
    #[error("client sends control frames faster than 1,000 per second")]
    Controls,
    #[error("header block not complete in time")]
    HeaderTimeout,
}

/// A place in the stream of frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Of the preface.
    preface_left: usize,
    header: [u8; HEADER_BYTES],
    /// So much of `header` is there.
    header_bytes: usize,
    payload_left: usize,
    /// The header block that is under way, by number.
    block: Option<u64>,
    blocks: u64,
    /// The frame that is passing is the last of its block.
    ends_block: bool,
    resets: Budget,
    controls: Budget,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: usize,
    per_second: usize,
}

/// A token bucket that looks at the clock only when it is empty.
#[derive(Debug)]
struct Budget {
    rate: Rate,
    left: usize,
    filled: Instant,
}

// === impl Frames ===

impl Frames {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let budget = |rate: Rate| Budget { rate, left: rate.burst, filled: now };
        Self {
            preface_left: PREFACE.len(),
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            payload_left: 0,
            block: None,
            blocks: 0,
            ends_block: false,
            resets: budget(RESETS),
            controls: budget(CONTROLS),
        }
    }

    /// The number of the header block (RFC 9113 §4.3) that has begun and not ended.
    pub(super) fn block(&self) -> Option<u64> {
        self.block
    }

    /// These bytes come next. After an error there is no going on.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), Abuse> {
        let mut rest = skip(bytes, &mut self.preface_left);
        loop {
            rest = skip(rest, &mut self.payload_left);
            if self.payload_left == 0 && self.ends_block {
                self.block = None;
                self.ends_block = false;
            }
            if rest.is_empty() {
                return Ok(());
            }
            let room = self.header.get_mut(self.header_bytes..).unwrap_or_default();
            let length = room.len().min(rest.len());
            let (more, after) = rest.split_at_checked(length).unwrap_or_default();
            room.iter_mut().zip(more).for_each(|(to, from)| *to = *from);
            self.header_bytes += length;
            rest = after;
            if self.header_bytes == HEADER_BYTES {
                self.header_bytes = 0;
                self.begin()?;
            }
        }
    }

    /// So many bytes were written to the client.
    pub(super) fn written(&mut self, bytes: usize) {
        self.controls.earn(bytes / WRITTEN_BYTES_PER_CONTROL);
    }

    /// A frame, by its header.
    fn begin(&mut self) -> Result<(), Abuse> {
        let [a, b, c, kind, flags, ..] = self.header;
        self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match kind {
            DATA if self.payload_left > 0 || flags & END_STREAM != 0 => return Ok(()),
            HEADERS => {
                self.blocks += 1;
                self.block = Some(self.blocks);
                self.ends_block = flags & END_HEADERS != 0;
                return Ok(());
            }
            RST_STREAM => return self.resets.take().ok_or(Abuse::Resets),
            CONTINUATION => self.ends_block = flags & END_HEADERS != 0,
            _ => {}
        }
        self.controls.take().ok_or(Abuse::Controls)
    }
}

/// What of `bytes` comes after the `left` ones.
fn skip<'a>(bytes: &'a [u8], left: &mut usize) -> &'a [u8] {
    let length = bytes.len().min(*left);
    *left -= length;
    bytes.get(length..).unwrap_or_default()
}

// === impl Budget ===

impl Budget {
    fn take(&mut self) -> Option<()> {
        if self.left == 0 {
            let now = Instant::now();
            let gained = now.duration_since(self.filled).as_secs_f64() * self.rate.per_second as f64;
            // A part of a token goes on gathering.
            if gained >= 1.0 {
                self.filled = now;
                self.earn(gained as usize);
            }
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    fn earn(&mut self, tokens: usize) {
        self.left = self.left.saturating_add(tokens).min(self.rate.burst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: u8 = 0x6;
    const WINDOW_UPDATE: u8 = 0x8;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn begun() -> Frames {
        let mut frames = Frames::new();
        frames.check(PREFACE).unwrap();
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn rfc9113_4_3_a_block_lasts_to_the_end_of_its_last_frame_however_it_is_cut() {
        let head = frame(HEADERS, 0, b"abc");
        let middle = frame(CONTINUATION, 0, b"");
        let last = frame(CONTINUATION, END_HEADERS, b"defg");
        let (begin, end) =
            (PREFACE.len() + HEADER_BYTES, PREFACE.len() + head.len() + middle.len() + last.len());
        let bytes = [PREFACE, &head, &middle, &last, &frame(DATA, END_STREAM, b"x")].concat();
        for step in [1, 2, 3, 7, 9, bytes.len()] {
            let mut frames = Frames::new();
            let mut seen = 0;
            for piece in bytes.chunks(step) {
                frames.check(piece).unwrap();
                seen += piece.len();
                assert_eq!(frames.block().is_some(), (begin..end).contains(&seen), "{seen} by {step}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn blocks_are_told_apart() {
        let mut frames = begun();
        frames.check(&frame(HEADERS, 0, b"")).unwrap();
        let first = frames.block();
        frames.check(&[frame(CONTINUATION, END_HEADERS, b""), frame(HEADERS, 0, b"")].concat()).unwrap();
        assert!(first.is_some() && frames.block().is_some() && frames.block() != first);
    }

    #[tokio::test(start_paused = true)]
    async fn resets_beyond_their_rate_are_abuse() {
        let reset = frame(RST_STREAM, 0, &[0; 4]);
        let mut frames = begun();
        frames.check(&reset.repeat(RESETS.burst)).unwrap();
        assert_eq!(frames.check(&reset), Err(Abuse::Resets));
        let mut frames = begun();
        frames.check(&reset.repeat(RESETS.burst)).unwrap();
        tokio::time::advance(Duration::from_millis(100)).await;
        frames.check(&reset.repeat(RESETS.per_second / 10)).unwrap();
        assert_eq!(frames.check(&reset), Err(Abuse::Resets));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_carry_nothing_are_counted_and_those_of_requests_are_not() {
        for useless in [
            frame(PING, 0, &[0; 8]),
            frame(WINDOW_UPDATE, 0, &[0; 4]),
            frame(DATA, 0, b""),
            frame(CONTINUATION, 0, b"x"),
            frame(0xfa, 0, b"of an extension"),
        ] {
            let mut frames = begun();
            frames.check(&useless.repeat(CONTROLS.burst)).unwrap();
            assert_eq!(frames.check(&useless), Err(Abuse::Controls));
        }
        let mut frames = begun();
        let request = [frame(HEADERS, END_HEADERS, b"x"), frame(DATA, 0, b"x"), frame(DATA, END_STREAM, b"")];
        frames.check(&request.concat().repeat(CONTROLS.burst + 1)).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn window_updates_for_what_was_sent_are_not_counted() {
        let update = frame(WINDOW_UPDATE, 0, &[0; 4]);
        let mut frames = begun();
        for _ in 0..3 * CONTROLS.burst {
            frames.written(WRITTEN_BYTES_PER_CONTROL);
            frames.check(&update).unwrap();
        }
    }
}
