//! A request on its way to a server: its head (RFC 9112 §3), and its body as it comes from the client.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Version};
use http_body::Body as _;
use tokio::io::AsyncWrite as _;

use super::Failure;
use super::wire::Wire;
use crate::heads::write_field;
use crate::lend::Loan;

/// Of a body, what is copied to go out with what comes before it; and how much of that is gathered.
const COPIED_BYTES_MAX: usize = 4 * 1024;
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// The head of a request for a server.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub method: &'a Method,
    pub path_and_query: &'a PathAndQuery,
    /// In place of what `headers` say.
    pub host: HeaderValue,
    pub headers: &'a HeaderMap,
    /// In place of what `headers` say of these; none: nothing.
    pub instead: &'a [(HeaderName, Option<HeaderValue>)],
}

/// What is still to be sent of a request, beside what waits in the wire's `out`.
pub struct Upload {
    body: Loan,
    framing: Framing,
    /// A piece that is not copied; it comes after `out`.
    piece: Bytes,
    /// The CRLF of a chunk comes after that.
    owes_end: bool,
    /// Nothing more comes.
    is_whole: bool,
    /// Some of it was written.
    is_seen: bool,
}

/// How the body of a request ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

// === impl Outgoing ===

impl Outgoing<'_> {
    /// The same as a value of its own.
    pub fn to_request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path_and_query.clone().into();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        for (name, value) in self.instead {
            match value {
                Some(value) => drop(headers.insert(name, value.clone())),
                None => drop(headers.remove(name)),
            }
        }
        request
    }

    /// The framing is the host's to say: fields that speak of another are left out.
    fn write(&self, framing: Option<Framing>, out: &mut Vec<u8>) {
        let target = self.path_and_query.as_str();
        for part in [self.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        write_field(out, HOST.as_str(), self.host.as_bytes());
        for (name, value) in self.headers {
            let is_own = *name == HOST
                || *name == TRANSFER_ENCODING
                || *name == CONTENT_LENGTH
                || self.instead.iter().any(|(own, _)| own == name);
            if !is_own || (*name == CONTENT_LENGTH && framing.is_none() && value == "0") {
                write_field(out, name.as_str(), value.as_bytes());
            }
        }
        for (name, value) in self.instead {
            if let Some(value) = value {
                write_field(out, name.as_str(), value.as_bytes());
            }
        }
        match framing {
            Some(Framing::Length(length)) => {
                write_field(out, CONTENT_LENGTH.as_str(), HeaderValue::from(length).as_bytes());
            }
            Some(Framing::Chunked) => write_field(out, TRANSFER_ENCODING.as_str(), b"chunked"),
            None => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

// === impl Upload ===

impl Upload {
    pub(super) fn new(outgoing: &Outgoing<'_>, body: Loan, out: &mut Vec<u8>) -> Self {
        let is_whole = body.is_end_stream();
        let framing = body.size_hint().exact().map_or(Framing::Chunked, Framing::Length);
        outgoing.write((!is_whole).then_some(framing), out);
        Self { body, framing, piece: Bytes::new(), owes_end: false, is_whole, is_seen: false }
    }

    pub(super) fn is_unseen(&self) -> bool {
        !self.is_seen
    }

    /// Ready when all of it is sent.
    pub(super) fn poll(&mut self, wire: &RefCell<Wire>, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let waits = self.poll_gather(wire, cx)?.is_pending();
            let mut wire = wire.borrow_mut();
            ready!(self.poll_write(&mut wire, cx))?;
            if waits || self.is_whole {
                ready!(wire.poll_flush(cx))?;
                return if waits { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
        }
    }

    /// Take of the body what goes out together. Pending: it has no more for now.
    fn poll_gather(&mut self, wire: &RefCell<Wire>, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while !self.is_whole && self.piece.is_empty() && wire.borrow().out.len() < GATHERED_BYTES_MAX {
            // Not while the wire is borrowed: the body is a client's, and knows nothing of it.
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose();
            let frame = frame.map_err(|_| Failure::Request)?;
            let out = &mut wire.borrow_mut().out;
            match frame {
                None => self.end(out)?,
                // Trailers end here: the server was not told that there would be any.
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.add(data, out)?;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn add(&mut self, data: Bytes, out: &mut Vec<u8>) -> Result<(), Failure> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Failure::Request)?;
                self.is_whole = *left == 0;
            }
            Framing::Chunked => out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes()),
        }
        let owes_end = self.framing == Framing::Chunked;
        if data.len() > COPIED_BYTES_MAX {
            (self.piece, self.owes_end) = (data, owes_end);
            return Ok(());
        }
        out.extend_from_slice(&data);
        if owes_end {
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.is_whole = true;
        match self.framing {
            Framing::Length(0) => Ok(()),
            Framing::Length(_) => Err(Failure::Request),
            Framing::Chunked => {
                out.extend_from_slice(b"0\r\n\r\n");
                Ok(())
            }
        }
    }

    fn poll_write(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let out = wire.out.get(wire.written..).unwrap_or_default();
            if out.is_empty() && self.piece.is_empty() {
                wire.out.clear();
                wire.written = 0;
                if !std::mem::take(&mut self.owes_end) {
                    return Poll::Ready(Ok(()));
                }
                wire.out.extend_from_slice(b"\r\n");
                continue;
            }
            let io = Pin::new(&mut wire.io);
            let written = match self.piece.is_empty() {
                true => ready!(io.poll_write(cx, out))?,
                false => ready!(io.poll_write_vectored(cx, &[IoSlice::new(out), IoSlice::new(&self.piece)]))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_seen = true;
            let of_out = written.min(out.len());
            wire.written += of_out;
            self.piece.advance(written - of_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::body::{Received, Timed};
    use crate::lend::Lender;

    /// The head of a request with these fields, and the body that is received of the client.
    fn head(fields: &[(&'static str, &'static str)], body: impl Into<Received>) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let path_and_query = &PathAndQuery::from_static("/a?b");
        let host = HeaderValue::from_static("a.example");
        let outgoing =
            Outgoing { method: &Method::POST, path_and_query, host, headers: &headers, instead: &[] };
        let (body, mut out) = (Lender::new(Timed::new(body, Duration::MAX)), Vec::new());
        drop(Upload::new(&outgoing, body.lend(), &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_framing_is_what_the_body_is() {
        let forged = [("host", "b"), ("transfer-encoding", "chunked"), ("content-length", "9"), ("x", "y")];
        let line = "POST /a?b HTTP/1.1\r\nhost: a.example\r\n";
        let body = Bytes::from_static(b"hello");
        assert_eq!(head(&forged, body), format!("{line}x: y\r\ncontent-length: 5\r\n\r\n"));
        assert_eq!(head(&forged, Received::Nothing), format!("{line}x: y\r\n\r\n"));
        let none = head(&[("content-length", "0"), ("a", "1"), ("a", "2")], Received::Nothing);
        assert_eq!(none, format!("{line}content-length: 0\r\na: 1\r\na: 2\r\n\r\n"));
    }
}
