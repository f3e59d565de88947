//! The chunked transfer coding up to its last chunk (RFC 9112 §7.1), checked byte by byte as it passes.
//!
//! Stricter than the grammar in that no white space may stand before an extension's semicolon.

use super::rejection::Rejection;

/// 60 bits: no sum of a size and a buffer's length overflows, in this process or in another.
const SIZE_DIGITS_MAX: u8 = 15;
/// Of all chunks of one body together; nobody knows of an extension in use.
const EXTENSION_BYTES_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    extension_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// After the last chunk.
    End,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    /// How many of `bytes` belong to the chunks.
    pub(super) fn check(&mut self, mut bytes: &[u8]) -> Result<usize, Rejection> {
        let received = bytes.len();
        loop {
            if let State::Data { left } = self.state {
                let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                bytes = bytes.get(length..).unwrap_or_default();
                self.state = match left - length as u64 {
                    0 => State::DataCr,
                    left => State::Data { left },
                };
            }
            let (false, Some((byte, rest))) = (self.is_complete(), bytes.split_first()) else {
                return Ok(received - bytes.len());
            };
            self.state = self.after(*byte)?;
            bytes = rest;
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// How many bytes of data the current chunk still has.
    pub(super) fn data_left(&self) -> u64 {
        if let State::Data { left } = self.state { left } else { 0 }
    }

    fn after(&mut self, byte: u8) -> Result<State, Rejection> {
        match (self.state, byte) {
            (State::Size { digits, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < SIZE_DIGITS_MAX =>
            {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Ok(State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
            }
            (State::Size { digits: 1.., size } | State::Extension { size }, b'\r') => {
                Ok(State::SizeLf { size })
            }
            (State::Size { digits: 1.., size }, b';')
            | (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension_bytes += 1;
                if self.extension_bytes > EXTENSION_BYTES_MAX {
                    return Err(Rejection::ChunkExtensions);
                }
                Ok(State::Extension { size })
            }
            (State::Size { .. }, _) => Err(Rejection::ChunkSize),
            (State::Extension { .. }, b'\n') => Err(Rejection::BareLf),
            (State::Extension { .. }, _) => Err(Rejection::ControlByte),
            (State::SizeLf { size: 0 }, b'\n') => Ok(State::End),
            (State::SizeLf { size }, b'\n') => Ok(State::Data { left: size }),
            (State::SizeLf { .. }, _) => Err(Rejection::BareCr),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::default()),
            (State::DataCr | State::DataLf, _) => Err(Rejection::ChunkEnd),
            (state @ (State::Data { .. } | State::End), _) => Ok(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks `body` whole and byte by byte, which must come to the same; says what follows the chunks.
    fn check(body: &[u8]) -> Result<&[u8], Rejection> {
        let mut whole = Chunks::default();
        let found = whole.check(body);
        let mut bytewise = Chunks::default();
        let mut passed = 0;
        let found_bytewise = loop {
            match body.get(passed..passed + 1).map(|byte| bytewise.check(byte)) {
                Some(Ok(1)) => passed += 1,
                Some(Err(rejection)) => break Err(rejection),
                Some(Ok(_)) | None => break Ok(passed),
            }
        };
        assert_eq!(found, found_bytewise);
        assert_eq!(found.is_ok() && whole.is_complete(), bytewise.is_complete());
        assert!(found.is_err() || whole.is_complete(), "incomplete: {}", body.escape_ascii());
        found.map(|length| &body[length..])
    }

    #[test]
    fn chunks_pass() {
        for (body, rest) in [
            (&b"0\r\n\r\n"[..], &b"\r\n"[..]),
            (b"5\r\nhello\r\n0\r\n", b""),
            (&[b"00aF\r\n", &[0; 0xaf][..], b"\r\n0\r\nrest"].concat(), b"rest"),
            (b"2;a;b=\"\xff \t\"\r\n\r\n\r\n000;x\r\n", b""),
        ] {
            assert_eq!(check(body), Ok(rest), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn other_chunks_are_refused() {
        for (body, rejection) in [
            (&b"\r\n"[..], Rejection::ChunkSize),
            (b";a\r\n", Rejection::ChunkSize),
            (b" 5\r\n", Rejection::ChunkSize),
            (b"5 \r\n", Rejection::ChunkSize),
            (b"5\t;a\r\n", Rejection::ChunkSize),
            (b"+5\r\n", Rejection::ChunkSize),
            (b"-1\r\n", Rejection::ChunkSize),
            (b"0x5\r\n", Rejection::ChunkSize),
            (b"g\r\n", Rejection::ChunkSize),
            (b"5\n", Rejection::ChunkSize),
            (b"5,5\r\n", Rejection::ChunkSize),
            (b"0000000000000005\r\n", Rejection::ChunkSize),
            (b"ffffffffffffffff\r\n", Rejection::ChunkSize),
            (b"5\rx", Rejection::BareCr),
            (b"5\r\r\n", Rejection::BareCr),
            (b"5;a\n", Rejection::BareLf),
            (b"5;a\rb", Rejection::BareCr),
            (b"5;\0\r\n", Rejection::ControlByte),
            (b"5;\x7f\r\n", Rejection::ControlByte),
            (b"2\r\nabc\r\n", Rejection::ChunkEnd),
            (b"2\r\nab\n", Rejection::ChunkEnd),
            (b"2\r\nab\r0", Rejection::ChunkEnd),
            (b"2\r\nab0\r\n", Rejection::ChunkEnd),
        ] {
            assert_eq!(check(body), Err(rejection), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn extensions_are_bounded_over_the_whole_body() {
        let chunk = [b"1;", &[b'x'; EXTENSION_BYTES_MAX / 2 - 1][..], b"\r\na\r\n"].concat();
        let within = [&chunk[..], &chunk, b"0\r\n"].concat();
        assert_eq!(check(&within), Ok(&b""[..]));
        let beyond = [&chunk[..], &chunk, b"0;\r\n"].concat();
        assert_eq!(check(&beyond), Err(Rejection::ChunkExtensions));
    }
}
