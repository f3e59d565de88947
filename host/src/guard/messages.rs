//! One request after another (RFC 9112 §2.1): the guard's rules without its stream, clock and buffers.

use super::Limits;
use super::chunks::Chunks;
use super::head::{Body, Head};
use super::lines::{FieldName, Lines, split_field};
use super::rejection::{Rejection, Violation};

/// What one read takes of a head, or beyond the data of a chunk.
const READ_AHEAD_BYTES: u64 = 16 * 1024;
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Follows the requests of a connection, one at a time.
#[derive(Debug)]
pub(super) struct Messages {
    limits: Limits,
    stage: Stage,
    /// The last whole head is a handshake's.
    pub(super) is_handshake: bool,
}

#[derive(Debug)]
enum Stage {
    Head(Head),
    /// So many bytes of the body are to come.
    Length(u64),
    Chunks(Chunks),
    Trailers(Trailers),
    /// The request is complete. What follows may be the next one, or of another protocol.
    Complete,
    Rejected(Violation),
}

impl Messages {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, stage: Stage::Head(Head::default()), is_handshake: false }
    }

    /// How many of `bytes`, which begin where the last call's answer ended, are valid and may be handed on.
    /// Zero: more are needed, or the request is complete. Says the same of a stream however it is cut.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let mut checked = 0;
        loop {
            match self.step(bytes.get(checked..).unwrap_or_default()) {
                Ok(0) => return Ok(checked),
                Ok(length) => checked += length,
                Err(violation) if checked == 0 => return Err(violation),
                // What came before it is handed on first; the stage keeps it for the next call.
                Err(_) => return Ok(checked),
            }
        }
    }

    /// What follows the complete request is another one.
    pub(super) fn begin(&mut self) {
        debug_assert!(self.is_complete());
        self.stage = Stage::Head(Head::default());
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete)
    }

    /// The head that is not complete yet.
    pub(super) fn head(&self) -> Option<&Head> {
        if let Stage::Head(head) = &self.stage { Some(head) } else { None }
    }

    /// How many bytes to read at once, so that next to nothing beyond this request is read with it.
    pub(super) fn wanted(&self) -> u64 {
        match &self.stage {
            Stage::Length(left) => *left,
            Stage::Chunks(chunks) => READ_AHEAD_BYTES.saturating_add(chunks.data_left()),
            _ => READ_AHEAD_BYTES,
        }
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        if let Stage::Rejected(violation) = self.stage {
            return Err(violation);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let in_head = self.head().is_some();
        self.advance(bytes).map_err(|rejection| {
            let violation = if in_head { Violation::Head(rejection) } else { Violation::Body(rejection) };
            self.stage = Stage::Rejected(violation);
            violation
        })
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Rejection> {
        match &mut self.stage {
            Stage::Head(head) => {
                let Some((length, body)) = head.check(bytes, &self.limits)? else { return Ok(0) };
                self.is_handshake = head.is_handshake();
                self.stage = match body {
                    Body::None => Stage::Complete,
                    Body::Length(length) => Stage::Length(length),
                    Body::Chunked => Stage::Chunks(Chunks::default()),
                };
                Ok(length)
            }
            Stage::Length(left) => {
                let length = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                if *left == 0 {
                    self.stage = Stage::Complete;
                }
                Ok(length)
            }
            Stage::Chunks(chunks) => {
                let length = chunks.check(bytes)?;
                if chunks.is_complete() {
                    self.stage = Stage::Trailers(Trailers::default());
                }
                Ok(length)
            }
            Stage::Trailers(trailers) => {
                let Some(length) = trailers.check(bytes, &self.limits)? else { return Ok(0) };
                self.stage = Stage::Complete;
                Ok(length)
            }
            Stage::Complete | Stage::Rejected(_) => Ok(0),
        }
    }
}

/// The trailer section of a chunked body (RFC 9112 §7.1.2), handed on whole as a head is.
#[derive(Debug, Default)]
struct Trailers {
    lines: Lines,
    fields: usize,
}

impl Trailers {
    fn check(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Rejection> {
        let visible = bytes.get(..TRAILER_BYTES_MAX).unwrap_or(bytes);
        while let Some(line) = self.lines.next(visible)? {
            if line.is_empty() {
                return Ok(Some(self.lines.begin));
            }
            self.fields += 1;
            if self.fields > limits.fields_max {
                return Err(Rejection::TooManyFields);
            }
            // RFC 9110 §6.5.1; somebody might merge them into the head.
            if split_field(line)?.0 != FieldName::Other {
                return Err(Rejection::TrailerField);
            }
        }
        if bytes.len() >= TRAILER_BYTES_MAX { Err(Rejection::TrailersTooLarge) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// Follows a chunked request to its end, cut anywhere.
    fn check(body: &[u8]) -> Result<(), Violation> {
        let bytes = [CHUNKED, body].concat();
        let mut found = None;
        for cut in 0..=bytes.len() {
            let mut messages = Messages::new(Limits::default());
            let (mut passed, mut outcome) = (0, Ok(()));
            for end in [cut, bytes.len()] {
                while outcome.is_ok() {
                    match messages.check(&bytes[passed..end]) {
                        Ok(0) => break,
                        Ok(length) => passed += length,
                        Err(violation) => outcome = Err(violation),
                    }
                }
            }
            assert_eq!(outcome.is_ok(), messages.is_complete() && passed == bytes.len(), "cut at {cut}");
            assert_eq!(*found.get_or_insert(outcome), outcome, "cut at {cut}");
        }
        found.unwrap()
    }

    #[test]
    fn trailers_pass_whole() {
        assert_eq!(check(b"0\r\n\r\n"), Ok(()));
        assert_eq!(check(b"1\r\nx\r\n0\r\ndigest: a\r\nx:\r\n\r\n"), Ok(()));
        let mut messages = Messages::new(Limits::default());
        assert_eq!(messages.check(&[CHUNKED, b"0\r\nx: 1\r\n"].concat()), Ok(CHUNKED.len() + 3));
    }

    #[test]
    fn other_trailers_are_refused() {
        for (trailers, rejection) in [
            (&b"Content-Length: 5\r\n\r\n"[..], Rejection::TrailerField),
            (b"x: 1\r\ntransfer-encoding: chunked\r\n\r\n", Rejection::TrailerField),
            (b"Host: b\r\n\r\n", Rejection::TrailerField),
            (b"x: 1\n\r\n", Rejection::BareLf),
            (b"x: 1\r\n y\r\n\r\n", Rejection::FoldedLine),
            (b"x : 1\r\n\r\n", Rejection::SpaceBeforeColon),
            (b"GET / HTTP/1.1\r\n\r\n", Rejection::MissingColon),
            (b"\rx", Rejection::BareCr),
        ] {
            let body = [b"0\r\n", trailers].concat();
            assert_eq!(check(&body), Err(Violation::Body(rejection)), "{}", trailers.escape_ascii());
        }
        let many = [b"0\r\n", &b"x:\r\n".repeat(101)[..], b"\r\n"].concat();
        assert_eq!(check(&many), Err(Violation::Body(Rejection::TooManyFields)));
        let large = [b"0\r\nx: ", &[b'x'; TRAILER_BYTES_MAX][..], b"\r\n\r\n"].concat();
        assert_eq!(check(&large), Err(Violation::Body(Rejection::TrailersTooLarge)));
    }

    #[test]
    fn what_follows_a_request_is_not_looked_at_before_its_turn() {
        let bytes = b"GET / HTTP/1.0\r\n\r\n\0";
        let mut messages = Messages::new(Limits::default());
        assert_eq!(messages.check(bytes), Ok(bytes.len() - 1));
        assert_eq!(messages.check(b"\0"), Ok(0));
        messages.begin();
        assert_eq!(messages.check(b"\0"), Err(Violation::Head(Rejection::ControlByte)));
    }
}
