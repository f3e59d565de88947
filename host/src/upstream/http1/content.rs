//! How the body of an answer is framed (RFC 9112 §6), and what is in it. Pure: bytes in, pieces out.

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use memchr::{memchr, memmem};

use super::Malformed;
use super::answer::fields;

/// 60 bits: no sum of a size and a buffer's length overflows.
const SIZE_DIGITS_MAX: usize = 15;
/// The line of a chunk's size, with its extensions and its CRLF; nobody knows of an extension in use.
const SIZE_LINE_BYTES_MAX: usize = 1024;
/// Trailers, with the empty line behind them.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// So many bytes, perhaps none.
    Length(u64),
    Chunked(Chunked),
    /// All until the server ends the connection.
    UntilClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunked {
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The CRLF behind it.
    DataEnd,
    /// What follows the last chunk.
    Trailers,
    /// It is all there.
    End,
}

/// What comes next of a body.
#[derive(Debug)]
pub enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing, before more has been received.
    Nothing,
}

// === impl Content ===

impl Content {
    pub const CHUNKED: Self = Self::Chunked(Chunked::Size);

    pub fn has_ended(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::End))
    }

    /// Take the next piece out of what has been received.
    pub fn next(&mut self, received: &mut BytesMut) -> Result<Piece, Malformed> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(data(left, received)),
            Self::Chunked(chunked) => chunked.next(received),
            Self::UntilClose if received.is_empty() => Ok(Piece::Nothing),
            Self::UntilClose => Ok(Piece::Data(received.split().freeze())),
        }
    }
}

// === impl Chunked ===

impl Chunked {
    fn next(&mut self, received: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            match self {
                Self::Size => match chunk_size(received)? {
                    Some(0) => *self = Self::Trailers,
                    Some(size) => *self = Self::Data(size),
                    None => return Ok(Piece::Nothing),
                },
                Self::Data(left) => {
                    let piece = data(left, received);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(piece);
                }
                Self::DataEnd => match received.as_ref() {
                    [b'\r', b'\n', ..] => {
                        received.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::Nothing),
                    _ => return Err(Malformed::ChunkEnd),
                },
                Self::Trailers => {
                    let Some(trailers) = trailers(received)? else { return Ok(Piece::Nothing) };
                    *self = Self::End;
                    if !trailers.is_empty() {
                        return Ok(Piece::Trailers(trailers));
                    }
                }
                Self::End => return Ok(Piece::End),
            }
        }
    }
}

/// As much as is there of `left` bytes.
fn data(left: &mut u64, received: &mut BytesMut) -> Piece {
    let length = received.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    if length == 0 {
        return Piece::Nothing;
    }
    *left -= length as u64;
    Piece::Data(received.split_to(length).freeze())
}

/// `chunk-size [ chunk-ext ] CRLF` (RFC 9112 §7.1); extensions end here.
fn chunk_size(received: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let Some(end) = memchr(b'\n', received) else {
        return if received.len() < SIZE_LINE_BYTES_MAX { Ok(None) } else { Err(Malformed::ChunkSize) };
    };
    let line = received.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed::ChunkSize)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).ok_or(Malformed::ChunkSize)?;
    let is_extension = matches!(rest.trim_ascii_start(), [] | [b';', ..]) && !rest.contains(&b'\r');
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX || !is_extension || end >= SIZE_LINE_BYTES_MAX {
        return Err(Malformed::ChunkSize);
    }
    let size = digits.iter().filter_map(|digit| char::from(*digit).to_digit(16));
    let size = size.fold(0, |size, digit| size << 4 | u64::from(digit));
    received.advance(end + 1);
    Ok(Some(size))
}

/// `*( field-line CRLF ) CRLF`
fn trailers(received: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    if received.starts_with(b"\r\n") {
        received.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    match memmem::find(received, b"\r\n\r\n") {
        Some(at) if at + 4 <= TRAILER_BYTES_MAX => fields(received.split_to(at + 4).freeze()).map(Some),
        None if received.len() < TRAILER_BYTES_MAX => Ok(None),
        _ => Err(Malformed::Trailers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a body that is received in two parts, wherever it is cut, and what of it is left over.
    fn read(content: Content, body: &[u8]) -> Result<(Vec<u8>, HeaderMap, usize, bool), Malformed> {
        let mut found = None;
        for cut in 0..=body.len() {
            let (mut content, mut received) = (content, BytesMut::new());
            let (mut data, mut trailers, mut outcome) = (Vec::new(), HeaderMap::new(), Ok(()));
            for part in [&body[..cut], &body[cut..]] {
                received.extend_from_slice(part);
                while outcome.is_ok() {
                    match content.next(&mut received) {
                        Ok(Piece::Data(piece)) => data.extend_from_slice(&piece),
                        Ok(Piece::Trailers(map)) => trailers = map,
                        Ok(Piece::End | Piece::Nothing) => break,
                        Err(error) => outcome = Err(error),
                    }
                }
            }
            let outcome = outcome.map(|()| (data, trailers, received.len(), content.has_ended()));
            assert_eq!(*found.get_or_insert_with(|| outcome.clone()), outcome, "cut at {cut}");
        }
        found.unwrap()
    }

    #[test]
    fn rfc9112_6_2_lengths() {
        let none = HeaderMap::new;
        assert_eq!(read(Content::Length(5), b"hello"), Ok((b"hello".to_vec(), none(), 0, true)));
        assert_eq!(read(Content::Length(5), b"hell"), Ok((b"hell".to_vec(), none(), 0, false)));
        assert_eq!(read(Content::Length(4), b"hello"), Ok((b"hell".to_vec(), none(), 1, true)));
        assert_eq!(read(Content::Length(0), b"x"), Ok((Vec::new(), none(), 1, true)));
        assert_eq!(read(Content::UntilClose, b"hello"), Ok((b"hello".to_vec(), none(), 0, false)));
    }

    #[test]
    fn rfc9112_7_1_chunks() {
        let whole = |body: &[u8]| read(Content::CHUNKED, body);
        let none = HeaderMap::new;
        assert_eq!(whole(b"0\r\n\r\n"), Ok((Vec::new(), none(), 0, true)));
        assert_eq!(whole(b"5\r\nhello\r\n00A;x=1\r\n, my world\r\n0\r\n\r\nmore"), {
            Ok((b"hello, my world".to_vec(), none(), 4, true))
        });
        assert_eq!(whole(b"5 \r\nhello\r\n0\r\n"), Ok((b"hello".to_vec(), none(), 0, false)));
        let (data, trailers, rest, has_ended) =
            whole(b"1\r\nx\r\n0\r\ngrpc-status: 0\r\nb:\r\n\r\n").unwrap();
        assert_eq!((&data[..], rest, has_ended), (&b"x"[..], 0, true));
        assert_eq!(trailers.len(), 2);
        assert_eq!(trailers["grpc-status"], "0");
    }

    #[test]
    fn other_chunks_are_refused() {
        let long = [b"1;".repeat(600), b"\r\nx\r\n".to_vec()].concat();
        for body in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-1\r\nx\r\n",
            b"+1\r\nx\r\n",
            b"0x1\r\nx\r\n",
            b" 1\r\nx\r\n",
            b"1\nx\r\n",
            b"1\r\r\nx\r\n",
            b"1;a\rb\r\nx\r\n",
            b"1 1\r\nx\r\n",
            b"1000000000000000\r\nx",
            &long,
        ] {
            assert_eq!(read(Content::CHUNKED, body), Err(Malformed::ChunkSize), "{}", body.escape_ascii());
        }
        for body in [&b"1\r\nxy"[..], b"1\r\nx\rx", b"1\r\nx\n"] {
            assert_eq!(read(Content::CHUNKED, body), Err(Malformed::ChunkEnd), "{}", body.escape_ascii());
        }
        let large = [&b"0\r\na: "[..], &b"x".repeat(TRAILER_BYTES_MAX)].concat();
        for body in [&b"0\r\na b: 1\r\n\r\n"[..], b"0\r\n: 1\r\n\r\n", b"0\r\n 1\r\n\r\n", &large] {
            assert!(read(Content::CHUNKED, body).is_err(), "{}", body.escape_ascii());
        }
    }
}
