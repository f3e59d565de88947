//! A client connection's first request, where that is a handshake. It is read and answered without hyper, which a connection
//! that becomes a session would need only to be taken down again; the guard has checked its head like any other. Whatever else
//! comes first is hyper's, from its first byte, and so is every answer but the 101 of a session.

use std::future::poll_fn;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{Method, Request, Response, Uri};
use httparse::{ParserConfig, Status};
use httpdate::HttpDate;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::body::{Received, ResponseBody};
use crate::exchange::{self, Connection};
use crate::guard::Guard;
use crate::heads::{FIELDS_MAX, Located, write_field};
use crate::leg::Leg;
use crate::stall::Stall;

/// Most heads are shorter; a handshake that is not goes by hyper.
const READ_BYTES: usize = 4096;

/// A connection that goes on with hyper.
pub struct Begun {
    /// What was read of it.
    pub read: Bytes,
    /// The answer to that, where there is one.
    pub answer: Option<Response<ResponseBody>>,
}

/// The guard's stream as hyper reads it: what was read before comes first.
pub struct Rewound<'a> {
    pub read: Bytes,
    pub guard: &'a Guard<Stall<Leg>>,
}

/// Read what comes first, and answer it if it is a handshake. None: there is no more to do here, as the client or a rule has
/// ended the connection, or it is a session whose 101 is out.
pub async fn serve(guard: &Guard<Stall<Leg>>, connection: &Connection) -> io::Result<Option<Begun>> {
    let read = receive(guard, connection).await?;
    if read.is_empty() {
        return Ok(None);
    }
    let request = if guard.is_handshake() { parse(&read) } else { None };
    let Some(request) = request else { return Ok(Some(Begun { read, answer: None })) };
    let mut exchange = pin!(exchange::serve(connection, request));
    let answer = poll_fn(|cx| match exchange.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        // The client is gone: dropping the exchange lets the upstream know.
        Poll::Pending => guard.poll_abandoned(cx).map(|()| None),
    });
    let Some(answer) = answer.await else { return Ok(None) };
    if connection.upgraded.borrow().is_none() {
        return Ok(Some(Begun { read, answer: Some(answer) }));
    }
    let mut stream = guard;
    stream.write_all(&switching(&answer)).await?;
    stream.flush().await?;
    Ok(None)
}

/// The first read, of what the guard lets pass; nothing: the end. The memory it is read to is nobody's while it is waited for.
async fn receive(guard: &Guard<Stall<Leg>>, connection: &Connection) -> io::Result<Bytes> {
    let mut drain = connection.worker.draining.watch();
    let mut stream = guard;
    poll_fn(|cx| {
        if drain.poll(cx).is_ready() {
            return Poll::Ready(Ok(Bytes::new()));
        }
        let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
        let mut scratch = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut stream).poll_read(cx, &mut scratch))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(scratch.filled())))
    })
    .await
}

/// The request, if all of it was read.
fn parse(read: &Bytes) -> Option<Request<Received>> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut []);
    let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut head, read, &mut fields);
    let Ok(Status::Complete(length)) = parsed else { return None };
    let mut request = Request::new(Received::Nothing);
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(read.slice_ref(head.path?.as_bytes())).ok()?;
    *request.headers_mut() = Located::new(read, head.headers)?.collect(read)?;
    (length == read.len()).then_some(request)
}

/// The head of a session's 101, with a `Date`, as any answer has (RFC 9110 §6.6.1), and without what would speak of a body.
fn switching(answer: &Response<ResponseBody>) -> Vec<u8> {
    let fields = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let mut head = Vec::with_capacity(fields.sum::<usize>() + 128);
    head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    for (name, value) in answer.headers() {
        if !matches!(*name, CONTENT_LENGTH | TRANSFER_ENCODING) {
            write_field(&mut head, name.as_str(), value.as_bytes());
        }
    }
    if !answer.headers().contains_key(DATE) {
        // Memory takes whatever is written.
        let _ = write!(head, "date: {}\r\n", HttpDate::from(SystemTime::now()));
    }
    head.extend_from_slice(b"\r\n");
    head
}

// === impl Rewound ===

impl AsyncRead for Rewound<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return Pin::new(&mut this.guard).poll_read(cx, out);
        }
        let length = this.read.len().min(out.remaining());
        out.put_slice(&this.read.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().guard).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().guard).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.guard.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().guard).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().guard).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_taken_whole_or_not_at_all() {
        let whole = Bytes::from_static(b"GET /chat?a HTTP/1.1\r\nHost: a\r\nx:\t1 \r\nX:\r\n\r\n");
        let request = parse(&whole).unwrap();
        assert_eq!((request.method(), request.uri().path()), (&Method::GET, "/chat"));
        assert_eq!(request.uri().query(), Some("a"));
        let fields: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("host", &b"a"[..]), ("x", b"1"), ("x", b"")]);
        for end in 0..whole.len() {
            assert!(parse(&whole.slice(..end)).is_none(), "{end}");
        }
        assert!(parse(&[&whole[..], b"GET"].concat().into()).is_none());
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(FIELDS_MAX + 1));
        assert!(parse(&many.into()).is_none());
    }

    #[test]
    fn rfc9110_6_6_1_a_101_has_one_date_and_no_body() {
        let mut answer = Response::new(ResponseBody::empty());
        answer.headers_mut().insert("upgrade", http::HeaderValue::from_static("websocket"));
        answer.headers_mut().insert(CONTENT_LENGTH, http::HeaderValue::from_static("0"));
        let head = String::from_utf8(switching(&answer)).unwrap();
        let (begin, date) = head.split_once("date: ").unwrap();
        assert_eq!(begin, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n");
        assert!(httpdate::parse_http_date(date.trim_end()).is_ok() && date.ends_with("\r\n\r\n"), "{date:?}");
        answer.headers_mut().insert(DATE, http::HeaderValue::from_static("today"));
        let head = String::from_utf8(switching(&answer)).unwrap();
        assert!(head.ends_with("websocket\r\ndate: today\r\n\r\n"), "{head:?}");
    }
}
