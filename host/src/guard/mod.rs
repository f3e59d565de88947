//! The strict, bounded reading of HTTP/1.1 requests (RFC 9112) that stands between a client's stream and
//! hyper.
//!
//! hyper forgives what another server might read differently: a second length, a bare LF, no `Host` or two.
//! Here nothing is repaired: the bytes of a request pass unchanged, or the request is refused and the
//! connection ended. Three rules make that hold on every request of a connection:
//!
//! * A head passes only whole and valid; a body passes as it comes, as far as its framing is valid.
//! * One request at a time: what follows it is not looked at before hyper asks. So every answer before a
//!   refused request is out, and where a request turned the connection into something else, what follows it
//!   is untouched.
//! * At a violation hyper sees the end of the stream. [`Verdict`] says why, and who is to answer.
//!
//! This counts on hyper reading only when it wants a head or a body, never while it waits for an answer:
//! its `half_close(true)`. That the client went away meanwhile is seen by [`Guard::poll_abandoned`].
//!
//! ```text
//! let guard = Guard::new(io, limits);
//! let mut connection = http1::Builder::new()
//!     .half_close(true)
//!     .header_read_timeout(None)
//!     .max_headers(limits.fields_max)
//!     .serve_connection(TokioIo::new(&guard), service);
//! poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
//!     Poll::Ready(result) => Poll::Ready(Some(result)),
//!     Poll::Pending => guard.poll_abandoned(cx).map(|()| None),
//! }).await;
//! drop(connection);
//! let (io, early) = guard.into_parts();
//! ```

mod chunks;
mod deadline;
mod head;
pub mod http2;
mod lines;
mod linger;
mod messages;
mod rejection;
mod stream;
mod target;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use deadline::Deadline;
pub use lines::is_token;
pub use linger::{Linger, lingering_close};
pub use rejection::Rejection;
use rejection::Violation;
use stream::Stream;
pub use target::is_host_and_port;

/// What a client may take of time and space before its request is under way.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a whole head, from its first byte; of a new connection, from the beginning.
    pub header_timeout: Duration,
    /// Without a byte, from the end of an answer.
    pub keep_alive_timeout: Duration,
    /// Request line, field lines and their CRLFs; at most 64 KiB, as `http` takes no longer names.
    pub head_bytes_max: usize,
    /// With its CRLF; not more than `head_bytes_max`.
    pub request_line_bytes_max: usize,
    /// Of a head and of a trailer section each. hyper's `max_headers` must not be less.
    pub fields_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(75),
            head_bytes_max: 64 * 1024,
            request_line_bytes_max: 16 * 1024,
            fields_max: 100,
        }
    }
}

/// A client's stream, lent to hyper as `&Guard`, which implements tokio's [`AsyncRead`] and [`AsyncWrite`].
///
/// hyper's shutdown is not passed on: [`Guard::into_parts`] gives the stream back to answer a refused head,
/// to carry on with another protocol, or to be closed.
#[derive(Debug)]
pub struct Guard<IO> {
    stream: RefCell<Stream<IO>>,
    verdict: Verdict,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Guard<IO> {
    pub fn new(io: IO, limits: Limits) -> Self {
        let verdict = Verdict::default();
        Self { stream: RefCell::new(Stream::new(io, limits, verdict.clone())), verdict }
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// Ready when the client has closed its write side or reset the connection while a request is being
    /// answered, and has sent nothing else since. Poll it after hyper's connection, in the same task.
    ///
    /// What the client does send is kept, up to a bound, and hyper comes to it first.
    pub fn poll_abandoned(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.borrow_mut().poll_abandoned(cx)
    }

    /// The refused head is the first line of HTTP/2's preface, and the first thing the client said (RFC 9113 §3.4): the
    /// stream and its bytes are another protocol's to go on with.
    pub fn is_http2(&self) -> bool {
        self.verdict.head() == Some(Rejection::Http2) && self.stream.borrow().is_new
    }

    /// The request that passes asks for WebSocket: its head has all of RFC 6455 §4.2.1 that says so, and no body follows.
    pub fn is_handshake(&self) -> bool {
        self.stream.borrow().messages.is_handshake
    }

    /// The stream, and the bytes received after those that hyper was given.
    pub fn into_parts(self) -> (IO, Bytes) {
        self.stream.into_inner().into_parts()
    }
}

/// What the guard of a connection found. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Rc<Cell<Option<Violation>>>);

impl Verdict {
    /// Why the last head was refused. hyper never saw it and has ended the connection without a word about
    /// it; all earlier answers are out. The answer is to be written to the stream itself.
    pub fn head(&self) -> Option<Rejection> {
        match self.0.get() {
            Some(Violation::Head(rejection)) => Some(rejection),
            _ => None,
        }
    }

    /// Why the body of the request under way broke off. The answer is its exchange's if that has not begun,
    /// with `connection: close`: hyper closes after it, but does not say so.
    pub fn body(&self) -> Option<Rejection> {
        match self.0.get() {
            Some(Violation::Body(rejection)) => Some(rejection),
            _ => None,
        }
    }

    fn set(&self, violation: Violation) {
        self.0.set(Some(violation));
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for &Guard<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow_mut().poll_read(cx, out)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for &Guard<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream.borrow_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream.borrow_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.borrow().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.borrow_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
