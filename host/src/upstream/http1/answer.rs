//! The head of an answer (RFC 9112 §4, §5, §6.3). Pure.
//!
//! By the same parser as hyper's, and with its view of what is well formed.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header;
use http::{HeaderMap, StatusCode};
use httparse::{ParserConfig, Status};
use memchr::memchr_iter;

use super::Malformed;
use super::content::Content;
use crate::headers::tokens;
use crate::heads::{FIELDS_MAX, Located};

/// Some applications set cookies by the dozen; hyper allows as much.
const HEAD_BYTES_MAX: usize = 408 * 1024;

/// What a server says before the body of its answer.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
    /// Whether the connection may go on after it (RFC 9112 §9.3).
    pub persists: bool,
}

/// Looks for the end of a head as its bytes come.
#[derive(Debug, Default)]
pub struct Search {
    /// Before this there is no end.
    searched: usize,
}

// === impl Search ===

impl Search {
    /// Take the head of the final answer out of what has been received, and those before it (RFC 9110 §15.2); none: more is
    /// needed. `to_head`: of an answer to HEAD.
    pub fn next(&mut self, received: &mut BytesMut, to_head: bool) -> Result<Option<Head>, Malformed> {
        loop {
            if !self.may_be_whole(received) {
                break;
            }
            let Some((status, version, headers)) = parse(received)? else { break };
            *self = Self::default();
            // What it is to go on with is the final answer's to say; a 101 is final, and nobody asked for it.
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                continue;
            }
            let content = content(status, version, &headers, to_head)?;
            let persists = content != Content::UntilClose
                && status != StatusCode::SWITCHING_PROTOCOLS
                && persists(version, &headers);
            return Ok(Some(Head { status, headers, content, persists }));
        }
        self.searched = received.len();
        if received.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(Malformed::HeadTooLarge) }
    }

    /// Parsing begins anew each time: a head that comes byte by byte is not parsed as often. Most come at once.
    fn may_be_whole(&self, received: &[u8]) -> bool {
        if self.searched == 0 {
            return !received.is_empty();
        }
        let unseen = received.get(self.searched.saturating_sub(2)..).unwrap_or_default();
        memchr_iter(b'\n', unseen)
            .any(|at| matches!(unseen.get(at + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..])))
    }
}

/// The minor version is 0 or 1.
fn parse(received: &mut BytesMut) -> Result<Option<(StatusCode, u8, HeaderMap)>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut head, received, &mut fields);
    let Status::Complete(length) = parsed? else { return Ok(None) };
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed::Status)?;
    let version = head.version.unwrap_or_default();
    let found = Located::new(received, head.headers).ok_or(Malformed::Field)?;
    let headers = found.collect(&received.split_to(length).freeze()).ok_or(Malformed::Field)?;
    Ok(Some((status, version, headers)))
}

/// A section of nothing but fields, up to its empty line.
pub fn fields(section: Bytes) -> Result<HeaderMap, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(&section, &mut fields)? {
        Status::Complete((length, found)) if length == section.len() => {
            let found = Located::new(&section, found).ok_or(Malformed::Field)?;
            found.collect(&section).ok_or(Malformed::Field)
        }
        _ => Err(Malformed::Trailers),
    }
}

/// RFC 9112 §6.3.
fn content(
    status: StatusCode,
    version: u8,
    headers: &HeaderMap,
    to_head: bool,
) -> Result<Content, Malformed> {
    let has_none = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || to_head;
    if has_none {
        return Ok(Content::Length(0));
    }
    if let Some(codings) = headers.get_all(header::TRANSFER_ENCODING).iter().next_back() {
        if version == 0 {
            return Err(Malformed::TransferEncoding);
        }
        let last = codings.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if is_chunked { Content::CHUNKED } else { Content::UntilClose });
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter().flat_map(|line| {
        line.as_bytes().split(|byte| *byte == b',').map(|length| number(length.trim_ascii()))
    });
    match lengths.next() {
        None => Ok(Content::UntilClose),
        Some(Some(length)) if lengths.all(|other| other == Some(length)) => Ok(Content::Length(length)),
        Some(_) => Err(Malformed::ContentLength),
    }
}

/// `1*DIGIT`. The standard library's parsers would take a sign.
fn number(digits: &[u8]) -> Option<u64> {
    let text = str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    text.parse().ok()
}

fn persists(version: u8, headers: &HeaderMap) -> bool {
    let mut persists = version == 1;
    for option in headers.get_all(header::CONNECTION).iter().flat_map(tokens) {
        if option.eq_ignore_ascii_case(b"close") {
            return false;
        }
        persists |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    persists
}

impl From<httparse::Error> for Malformed {
    fn from(error: httparse::Error) -> Self {
        Self::Head(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on what is received at once and, the same, byte by byte.
    fn read(received: &[u8], to_head: bool) -> Result<Option<(u16, Content, bool, usize)>, Malformed> {
        let said = |head: Option<Head>, rest: usize| {
            head.map(|head| (head.status.as_u16(), head.content, head.persists, rest))
        };
        let mut at_once = BytesMut::from(received);
        let found = Search::default().next(&mut at_once, to_head).map(|head| said(head, at_once.len()));
        let (mut search, mut slowly) = (Search::default(), BytesMut::new());
        for (at, byte) in received.iter().enumerate() {
            slowly.extend_from_slice(&[*byte]);
            match search.next(&mut slowly, to_head) {
                Ok(None) => {}
                Ok(head) => {
                    assert_eq!(Ok(said(head, received.len() - at - 1)), found);
                    return found;
                }
                Err(_) => {
                    assert!(found.is_err(), "{found:?}");
                    return found;
                }
            }
        }
        assert_eq!(found, Ok(None));
        found
    }

    #[test]
    fn rfc9112_6_3_how_a_body_ends() {
        let length = |length| Ok((200, Content::Length(length), true));
        for (fields, expected) in [
            ("content-length: 5", length(5)),
            ("content-length: 5\r\nContent-Length: 5", length(5)),
            ("content-length: 5, 5", length(5)),
            ("content-length: 5\r\ncontent-length: 6", Err(Malformed::ContentLength)),
            ("content-length: +5", Err(Malformed::ContentLength)),
            ("content-length: -5", Err(Malformed::ContentLength)),
            ("content-length:", Err(Malformed::ContentLength)),
            ("content-length: 5,", Err(Malformed::ContentLength)),
            ("content-length: 18446744073709551616", Err(Malformed::ContentLength)),
            ("transfer-encoding: chunked", Ok((200, Content::CHUNKED, true))),
            ("transfer-encoding: gzip, Chunked\r\ncontent-length: 5", Ok((200, Content::CHUNKED, true))),
            ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", Ok((200, Content::CHUNKED, true))),
            ("transfer-encoding: chunked, gzip", Ok((200, Content::UntilClose, false))),
            ("x: y", Ok((200, Content::UntilClose, false))),
            ("content-length: 5\r\nconnection: x, Close", Ok((200, Content::Length(5), false))),
            ("content-length: 5\r\nconnection: close\r\nconnection: keep-alive", {
                Ok((200, Content::Length(5), false))
            }),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nrest");
            let expected = expected.map(|(status, content, persists)| Some((status, content, persists, 4)));
            assert_eq!(read(head.as_bytes(), false), expected, "{fields}");
        }
    }

    #[test]
    fn some_answers_have_no_body() {
        for status in [204, 304, 101] {
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\n");
            let found = read(head.as_bytes(), false);
            assert_eq!(found, Ok(Some((status, Content::Length(0), status != 101, 0))));
        }
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(read(head, true), Ok(Some((200, Content::Length(0), true, 0))));
    }

    #[test]
    fn rfc9110_15_2_informational_answers_are_passed_over() {
        let head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        assert_eq!(read(head, false), Ok(None));
        let whole = [&head[..], b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"].concat();
        assert_eq!(read(&whole, false), Ok(Some((200, Content::Length(0), true, 0))));
    }

    #[test]
    fn http_1_0_persists_only_where_it_says_so() {
        let head = |fields: &str| read(format!("HTTP/1.0 200 OK\r\n{fields}\r\n\r\n").as_bytes(), false);
        assert_eq!(head("content-length: 5"), Ok(Some((200, Content::Length(5), false, 0))));
        let found = head("content-length: 5\r\nconnection: keep-alive");
        assert_eq!(found, Ok(Some((200, Content::Length(5), true, 0))));
        assert_eq!(head("transfer-encoding: chunked"), Err(Malformed::TransferEncoding));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for head in [
            &b"SSH-2.0-x\r\n\r\n"[..],
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 99x OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
        ] {
            assert!(read(head, false).is_err(), "{}", head.escape_ascii());
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX + 1));
        assert!(read(many.as_bytes(), false).is_err());
        let large = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(HEAD_BYTES_MAX));
        let found = Search::default().next(&mut BytesMut::from(large.as_bytes()), false);
        assert_eq!(found.unwrap_err(), Malformed::HeadTooLarge);
    }

    #[test]
    fn fields_are_taken_as_they_are() {
        let mut received = BytesMut::from("HTTP/1.1 200 OK\r\nX-A:  b c \r\nempty:\r\nx-a: d\r\n\r\n");
        let head = Search::default().next(&mut received, false).unwrap().unwrap();
        let values: Vec<_> = head.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["b c", "d"]);
        assert_eq!(head.headers["empty"], "");
        assert!(received.is_empty());
    }
}
