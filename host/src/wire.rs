//! Heads of HTTP/1.1 messages as bytes, where they are read and written without hyper: those of handshakes.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use memchr::{memchr, memchr_iter};

/// As many fields of a head hyper parses without an allocation, and by default.
pub const FIELDS_MAX: usize = 100;

/// A head, taken apart.
#[derive(Debug)]
pub struct Head {
    /// The first line, without its end.
    pub line: Bytes,
    pub fields: HeaderMap,
    /// What comes behind it.
    pub rest: Bytes,
}

/// Take a message's head apart, without a copy. None: it is not whole, or anything but plain; whoever knows more of HTTP may
/// look at it.
pub fn read_head(bytes: &Bytes) -> Option<Head> {
    let mut fields = HeaderMap::with_capacity(memchr_iter(b'\n', bytes).count().min(FIELDS_MAX));
    let mut begin = 0;
    let mut first = None;
    loop {
        let end = begin + memchr(b'\n', bytes.get(begin..)?)?;
        let line = bytes.get(begin..end)?.strip_suffix(b"\r")?;
        begin = end + 1;
        if first.is_none() {
            first = Some(bytes.slice_ref(line));
        } else if line.is_empty() {
            return Some(Head { line: first?, fields, rest: bytes.slice(begin..) });
        } else if fields.len() == FIELDS_MAX {
            return None;
        } else {
            let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
            let value = bytes.slice_ref(trimmed(value.get(1..)?));
            // Neither has a control character, which a CR in the middle of a line is, and no name a space.
            let name = HeaderName::from_bytes(name).ok()?;
            fields.try_append(name, HeaderValue::from_maybe_shared(value).ok()?).ok()?;
        }
    }
}

/// Without the white space that may stand around a value (RFC 9110 §5.5): no other is any.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

pub fn write_field(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        head.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<Head> {
        read_head(&Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn a_plain_head_is_taken_apart() {
        let Head { line, fields, rest } =
            read(b"GET / HTTP/1.1\r\nA: 1\r\nb:\t2 \r\nA:\r\n\r\nrest").unwrap();
        assert_eq!((&*line, &*rest), (&b"GET / HTTP/1.1"[..], &b"rest"[..]));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("a", &b"1"[..]), ("a", b""), ("b", b"2")]);
    }

    #[test]
    fn any_other_is_left_to_others() {
        let whole = b"GET / HTTP/1.1\r\nA: 1\r\n\r\n";
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_none(), "{end}");
        }
        for fields in [
            "A: 1\n\r\n",
            "A: 1\r\n b\r\n\r\n",
            "A : 1\r\n\r\n",
            "A\r\n\r\n",
            ": 1\r\n\r\n",
            "A: 1\r2\r\n\r\n",
            "A: \0\r\n\r\n",
            "A: 1\r\r\n\r\n",
            "A: \x0c1\r\n\r\n",
        ] {
            assert!(read(format!("GET / HTTP/1.1\r\n{fields}").as_bytes()).is_none(), "{fields:?}");
        }
        let fields = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(count));
        assert!(read(fields(FIELDS_MAX).as_bytes()).is_some());
        assert!(read(fields(FIELDS_MAX + 1).as_bytes()).is_none());
    }
}
