//! Fields of HTTP/1.1 heads, from bytes and back, where hyper is not there to do it: found by the parser that hyper has, and
//! their values not copied.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// As many fields of a head hyper parses without an allocation, and by default.
pub const FIELDS_MAX: usize = 100;
/// Room for so many costs no more than for a few; what fields are added to is not moved for it, be it the answer itself, or
/// the client's next request, for whose fields hyper uses the same map.
const FIELDS_USUAL: usize = 12;

/// Names, and where the values of these begin and end in their section's bytes.
pub struct Located(Vec<(HeaderName, usize, usize)>);

// === impl Located ===

impl Located {
    /// `found` in `bytes`. None: a name is none.
    pub fn new(bytes: &[u8], found: &[httparse::Header<'_>]) -> Option<Self> {
        let begin = bytes.as_ptr().addr();
        let locate = |field: &httparse::Header<'_>| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            let at = field.value.as_ptr().addr().wrapping_sub(begin);
            Some((name, at, at.saturating_add(field.value.len())))
        };
        found.iter().map(locate).collect::<Option<_>>().map(Self)
    }

    /// Out of the same bytes. None: a value is none.
    pub fn collect(self, bytes: &Bytes) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(self.0.len().max(FIELDS_USUAL));
        for (name, begin, end) in self.0 {
            let value =
                if begin < end && end <= bytes.len() { bytes.slice(begin..end) } else { Bytes::new() };
            headers.append(name, HeaderValue::from_maybe_shared(value).ok()?);
        }
        Some(headers)
    }
}

pub fn write_field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}
