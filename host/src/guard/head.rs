//! A request head (RFC 9112 §3, §5, §6.3): is it well formed, whom is it for, and how does its body end.

use std::ops::Range;

use super::Limits;
use super::http2::PREFACE_LINE;
use super::lines::{FieldName, Lines, elements, is_token, number, split_field};
use super::rejection::Rejection;
use super::target;

/// A server should ignore at least one (RFC 9112 §2.2); some old clients send one after a body.
const EMPTY_LINES_MAX: u8 = 4;
/// What a signed 64-bit offset holds.
const CONTENT_LENGTH_MAX: u64 = i64::MAX as u64;

/// How the body of a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Length(u64),
    Chunked,
}

/// A head of which `lines.begin` bytes have been checked.
#[derive(Debug, Default)]
pub(super) struct Head {
    lines: Lines,
    empty_lines: u8,
    request: Option<Request>,
    fields: usize,
    host: Option<Range<usize>>,
    content_length: Option<u64>,
    chunked: bool,
    expects: bool,
    /// `upgrade` is in `Connection`, `websocket` in `Upgrade` (RFC 6455 §4.1).
    connection_upgrade: bool,
    upgrade_websocket: bool,
}

/// What the request line says.
#[derive(Debug)]
struct Request {
    is_get: bool,
    is_http_1_1: bool,
    /// The authority of an absolute-form target.
    authority: Option<Range<usize>>,
}

impl Head {
    /// Goes on checking the head that begins where `bytes` begins, and grows from one call to the next.
    /// Complete, it says how many bytes it has and what follows.
    pub(super) fn check(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<(usize, Body)>, Rejection> {
        loop {
            // Beyond a limit nothing is looked at, so the verdict is the same however the bytes were cut.
            let (visible_max, rejection) = match self.request {
                None => (self.lines.begin + limits.request_line_bytes_max, Rejection::RequestLineTooLong),
                Some(_) => (limits.head_bytes_max, Rejection::HeadTooLarge),
            };
            let begin = self.lines.begin;
            let Some(line) = self.lines.next(bytes.get(..visible_max).unwrap_or(bytes))? else {
                return if bytes.len() >= visible_max { Err(rejection) } else { Ok(None) };
            };
            match &self.request {
                None if line.is_empty() => self.empty_line()?,
                None => self.request = Some(Request::parse(line, begin)?),
                Some(request) if line.is_empty() => {
                    let body = self.body(request, bytes)?;
                    return Ok(Some((self.lines.begin, body)));
                }
                Some(_) => self.field(line, begin, limits)?,
            }
        }
    }

    /// Whether `bytes`, as given to `check`, have something of a request line.
    pub(super) fn has_begun(&self, bytes: &[u8]) -> bool {
        self.request.is_some() || !matches!(bytes.get(self.lines.begin..), None | Some(b"" | b"\r"))
    }

    fn empty_line(&mut self) -> Result<(), Rejection> {
        self.empty_lines += 1;
        if self.empty_lines > EMPTY_LINES_MAX { Err(Rejection::EmptyLines) } else { Ok(()) }
    }

    fn field(&mut self, line: &[u8], begin: usize, limits: &Limits) -> Result<(), Rejection> {
        self.fields += 1;
        if self.fields > limits.fields_max {
            return Err(Rejection::TooManyFields);
        }
        let (name, value) = split_field(line)?;
        match name {
            FieldName::Other => Ok(()),
            FieldName::Host => self.host(line, value, begin),
            FieldName::ContentLength => self.content_length(value),
            FieldName::TransferEncoding => self.transfer_encoding(value),
            FieldName::Expect => self.expect(value),
            FieldName::Connection => {
                self.connection_upgrade |=
                    elements(value).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
                Ok(())
            }
            FieldName::Upgrade => {
                self.upgrade_websocket |= elements(value).any(|name| name.eq_ignore_ascii_case(b"websocket"));
                Ok(())
            }
        }
    }

    fn host(&mut self, line: &[u8], value: &[u8], begin: usize) -> Result<(), Rejection> {
        if self.host.is_some() {
            return Err(Rejection::SeveralHosts);
        }
        if !target::is_host_and_port(value) {
            return Err(Rejection::Host);
        }
        let end = begin + line.trim_ascii_end().len();
        self.host = Some(end - value.len()..end);
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if self.content_length.is_some() {
            return Err(Rejection::SeveralContentLengths);
        }
        if self.chunked {
            return Err(Rejection::BothLengths);
        }
        let length = number(value).filter(|length| *length <= CONTENT_LENGTH_MAX);
        self.content_length = Some(length.ok_or(Rejection::ContentLength)?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if self.chunked {
            return Err(Rejection::TransferEncoding);
        }
        if self.content_length.is_some() {
            return Err(Rejection::BothLengths);
        }
        if !self.request.as_ref().is_some_and(|request| request.is_http_1_1) {
            return Err(Rejection::TransferEncodingVersion);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        // `chunked` may only be last. After it, and with an empty element, servers differ on whether the body
        // is chunked at all; any other coding is one that just nobody here can decode.
        let mut before_last = elements(value).rev().skip(1);
        let is_ambiguous = before_last.any(|coding| coding.eq_ignore_ascii_case(b"chunked"))
            || elements(value).any(<[u8]>::is_empty);
        Err(if is_ambiguous { Rejection::TransferEncoding } else { Rejection::TransferCoding })
    }

    /// RFC 9110 §10.1.1.
    fn expect(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if self.expects || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Rejection::Expectation);
        }
        self.expects = true;
        Ok(())
    }

    /// The checks that need the whole head.
    fn body(&self, request: &Request, bytes: &[u8]) -> Result<Body, Rejection> {
        if request.is_http_1_1 && self.host.is_none() {
            return Err(Rejection::MissingHost);
        }
        if let (Some(authority), Some(host)) = (&request.authority, &self.host) {
            let text = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
            if !text(authority).eq_ignore_ascii_case(text(host)) {
                return Err(Rejection::HostMismatch);
            }
        }
        let body = match self.content_length {
            _ if self.chunked => Body::Chunked,
            None | Some(0) => Body::None,
            Some(length) => Body::Length(length),
        };
        if self.is_handshake() && body != Body::None {
            return Err(Rejection::HandshakeBody);
        }
        Ok(body)
    }

    /// Whether the request, as far as it has come, asks for WebSocket (RFC 6455 §4.2.1).
    pub(super) fn is_handshake(&self) -> bool {
        let may_be = self.request.as_ref().is_some_and(|request| request.is_get && request.is_http_1_1);
        may_be && self.connection_upgrade && self.upgrade_websocket
    }
}

impl Request {
    /// `method SP request-target SP HTTP-version` (RFC 9112 §3).
    fn parse(line: &[u8], begin: usize) -> Result<Self, Rejection> {
        if line == PREFACE_LINE {
            return Err(Rejection::Http2);
        }
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
            return Err(Rejection::RequestLine);
        };
        if !is_token(method) {
            return Err(Rejection::Method);
        }
        let is_http_1_1 = match parts.next() {
            Some(b"HTTP/1.1") => true,
            Some(b"HTTP/1.0") => false,
            Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => {
                return Err(Rejection::Version);
            }
            Some(_) => return Err(Rejection::RequestLine),
            None => return Err(Rejection::MissingVersion),
        };
        if method == b"CONNECT" {
            return Err(Rejection::Connect);
        }
        let target_begin = begin + method.len() + 1;
        let authority =
            target::check(target, method)?.map(|range| range.start + target_begin..range.end + target_begin);
        Ok(Self { is_get: method == b"GET", is_http_1_1, authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on `head`, which must not depend on how it is cut.
    fn check_with(head: &[u8], limits: &Limits) -> Result<Body, Rejection> {
        let mut whole = Head::default();
        let found = whole.check(head, limits).transpose().expect("incomplete");
        let mut bytewise = Head::default();
        let found_bytewise =
            (0..=head.len()).find_map(|end| bytewise.check(&head[..end], limits).transpose());
        assert_eq!(found_bytewise, Some(found), "{}", head.escape_ascii());
        found.map(|(length, body)| {
            assert_eq!(length, head.len());
            body
        })
    }

    fn check(head: &str) -> Result<Body, Rejection> {
        check_with(head.as_bytes(), &Limits::default())
    }

    fn check_fields(fields: &str) -> Result<Body, Rejection> {
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"))
    }

    #[test]
    fn heads_and_how_their_bodies_end() {
        for (head, body) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Body::None),
            ("GET / HTTP/1.0\r\n\r\n", Body::None),
            ("\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n", Body::None),
            ("OPTIONS * HTTP/1.1\r\nhost:a:80\r\n\r\n", Body::None),
            ("M-SEARCH /a?b HTTP/1.1\r\nhOsT: \t[::1]:80\t \r\nx:\r\ny: \x09 a\x09b\r\n\r\n", Body::None),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Body::None),
            ("POST / HTTP/1.0\r\nContent-Length: 0005\r\n\r\n", Body::Length(5)),
            (
                "PUT / HTTP/1.1\r\nContent-Length:9223372036854775807\r\nHost: a\r\n\r\n",
                Body::Length(i64::MAX as u64),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ChunkeD\r\nTE: gzip\r\nTrailer: x\r\n\r\n",
                Body::Chunked,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
                Body::Length(1),
            ),
            ("GET http://A.example:80/b HTTP/1.1\r\nx: y\r\nHost: \ta.EXAMPLE:80 \r\n\r\n", Body::None),
            ("GET http://a.example HTTP/1.0\r\n\r\n", Body::None),
        ] {
            assert_eq!(check(head), Ok(body), "{head}");
        }
    }

    #[test]
    fn malformed_request_lines_are_refused() {
        for (line, rejection) in [
            ("", Rejection::EmptyLines),
            ("GET", Rejection::RequestLine),
            ("GET /", Rejection::MissingVersion),
            ("GET / ", Rejection::RequestLine),
            ("GET / HTTP/1.1 ", Rejection::RequestLine),
            ("GET /  HTTP/1.1", Rejection::RequestLine),
            ("GET  / HTTP/1.1", Rejection::RequestLine),
            ("GET /a b HTTP/1.1", Rejection::RequestLine),
            ("GET\t/\tHTTP/1.1", Rejection::RequestLine),
            (" GET / HTTP/1.1", Rejection::Method),
            ("G(T / HTTP/1.1", Rejection::Method),
            ("GÉT / HTTP/1.1", Rejection::Method),
            ("GET / http/1.1", Rejection::RequestLine),
            ("GET / HTTP/1.1x", Rejection::RequestLine),
            ("GET / HTTP/11", Rejection::RequestLine),
            ("GET / HTTP/1.2", Rejection::Version),
            ("GET / HTTP/0.9", Rejection::Version),
            ("GET / HTTP/3.0", Rejection::Version),
            ("PRI * HTTP/2.0", Rejection::Http2),
            ("CONNECT a.example:443 HTTP/1.1", Rejection::Connect),
            ("GET * HTTP/1.1", Rejection::Target),
            ("GET a.example HTTP/1.1", Rejection::Target),
            ("GET /#a HTTP/1.1", Rejection::TargetByte),
            ("GET http://u@a/ HTTP/1.1", Rejection::Host),
            ("\x16\x03\x01", Rejection::ControlByte),
        ] {
            let head = format!("{line}\r\n\r\n\r\n\r\n\r\n");
            assert_eq!(check(&head), Err(rejection), "{line}");
        }
    }

    #[test]
    fn line_ends_and_field_syntax_hold_everywhere() {
        for (head, rejection) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", Rejection::BareLf),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", Rejection::BareLf),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", Rejection::BareLf),
            ("\nGET / HTTP/1.1\r\n", Rejection::BareLf),
            ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", Rejection::BareCr),
            ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Rejection::BareCr),
            ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::ControlByte),
            ("GET / HTTP/1.1\r\nHost: a\r\nx: \0\r\n\r\n", Rejection::ControlByte),
            ("GET / HTTP/1.1\r\nHost: a\r\nx: \u{b}\r\n\r\n", Rejection::ControlByte),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Rejection::FoldedLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nx: b\r\n c\r\n\r\n", Rejection::FoldedLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nx: b\r\n\t\r\n\r\n", Rejection::FoldedLine),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Rejection::SpaceBeforeColon),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n",
                Rejection::SpaceBeforeColon,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Rejection::FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent Length: 5\r\n\r\n", Rejection::FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\nGET /b HTTP/1.1\r\n\r\n", Rejection::MissingColon),
        ] {
            assert_eq!(check(head), Err(rejection), "{head}");
        }
    }

    #[test]
    fn the_host_is_told_exactly_once() {
        for (head, rejection) in [
            ("GET / HTTP/1.1\r\n\r\n", Rejection::MissingHost),
            ("GET http://a/ HTTP/1.1\r\n\r\n", Rejection::MissingHost),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Rejection::SeveralHosts),
            ("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", Rejection::SeveralHosts),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Rejection::Host),
            ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Rejection::Host),
            ("GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", Rejection::Host),
            ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", Rejection::HostMismatch),
            ("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::HostMismatch),
            ("GET http://a/ HTTP/1.0\r\nHost: ab\r\n\r\n", Rejection::HostMismatch),
        ] {
            assert_eq!(check(head), Err(rejection), "{head}");
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for (fields, rejection) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", Rejection::BothLengths),
            ("Transfer-Encoding: chunked\r\nContent-Length: 0", Rejection::BothLengths),
            ("Content-Length: 5\r\nContent-Length: 5", Rejection::SeveralContentLengths),
            ("Content-Length: 5\r\ncontent-length: 6", Rejection::SeveralContentLengths),
            ("Content-Length: 5, 5", Rejection::ContentLength),
            ("Content-Length: +5", Rejection::ContentLength),
            ("Content-Length: -5", Rejection::ContentLength),
            ("Content-Length: 5 5", Rejection::ContentLength),
            ("Content-Length: 0x5", Rejection::ContentLength),
            ("Content-Length: 5.0", Rejection::ContentLength),
            ("Content-Length: \"5\"", Rejection::ContentLength),
            ("Content-Length: ٥", Rejection::ContentLength),
            ("Content-Length:", Rejection::ContentLength),
            ("Content-Length: 18446744073709551616", Rejection::ContentLength),
            ("Content-Length: 9223372036854775808", Rejection::ContentLength),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Rejection::TransferEncoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Rejection::TransferEncoding),
            ("Transfer-Encoding: chunked, chunked", Rejection::TransferEncoding),
            ("Transfer-Encoding: chunked, gzip", Rejection::TransferEncoding),
            ("Transfer-Encoding: chunked,", Rejection::TransferEncoding),
            ("Transfer-Encoding: ,chunked", Rejection::TransferEncoding),
            ("Transfer-Encoding:", Rejection::TransferEncoding),
            ("Transfer-Encoding: gzip, chunked", Rejection::TransferCoding),
            ("Transfer-Encoding: identity", Rejection::TransferCoding),
            ("Transfer-Encoding: xchunked", Rejection::TransferCoding),
            ("Transfer-Encoding: chunked;a=b", Rejection::TransferCoding),
            ("Transfer-Encoding: \"chunked\"", Rejection::TransferCoding),
            ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", Rejection::TransferCoding),
            ("Expect: 200-ok", Rejection::Expectation),
            ("Expect:", Rejection::Expectation),
            ("Expect: 100-continue\r\nExpect: 100-continue", Rejection::Expectation),
        ] {
            assert_eq!(check_fields(fields), Err(rejection), "{fields}");
        }
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(check(old), Err(Rejection::TransferEncodingVersion));
    }

    #[test]
    fn a_websocket_handshake_has_no_body() {
        let handshake = "Connection: keep-alive, UPGRADE\r\nUpgrade: h2c , WebSocket";
        assert_eq!(check_fields(handshake), Ok(Body::None));
        assert_eq!(check_fields(&format!("{handshake}\r\nContent-Length: 0")), Ok(Body::None));
        for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let found = check_fields(&format!("{framing}\r\n{handshake}"));
            assert_eq!(found, Err(Rejection::HandshakeBody), "{framing}");
        }
        for fields in
            ["Upgrade: websocket", "Connection: upgrade", "Connection: upgrade\r\nUpgrade: h2c, websockets"]
        {
            assert_eq!(
                check_fields(&format!("{fields}\r\nContent-Length: 5")),
                Ok(Body::Length(5)),
                "{fields}"
            );
        }
        for line in ["POST / HTTP/1.1", "GET / HTTP/1.0"] {
            let head = format!("{line}\r\nHost: a\r\n{handshake}\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(check(&head), Ok(Body::Length(5)), "{line}");
        }
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let limits =
            Limits { request_line_bytes_max: 20, head_bytes_max: 60, fields_max: 3, ..Limits::default() };
        let head = |path: &str, fields: &str| format!("GET /{path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let field = |length: usize| format!("x:{}\r\n", "y".repeat(length - 4));
        for (head, found) in [
            (head("1234", ""), Ok(Body::None)),
            (head("12345", ""), Err(Rejection::RequestLineTooLong)),
            (head("1234567890123", ""), Err(Rejection::RequestLineTooLong)),
            (head("1234", &field(29)), Ok(Body::None)),
            (head("1234", &field(30)), Err(Rejection::HeadTooLarge)),
            (head("1234", &field(50)), Err(Rejection::HeadTooLarge)),
            (head("", "a:\r\nb:\r\n"), Ok(Body::None)),
            (head("", "a:\r\nb:\r\nc:\r\n"), Err(Rejection::TooManyFields)),
        ] {
            assert_eq!(check_with(head.as_bytes(), &limits), found, "{head}");
        }
    }
}
