//! What stands between an HTTP/2 client's stream and the `h2` crate: time for header blocks, a measure for floods; and, of
//! each request, the rules that its head is held to.
//!
//! At abuse nothing more is read: [`FrameGuard::abuse`] says why, and the connection is to be ended with a word
//! (RFC 9113 §5.4.1).

mod fields;
mod frames;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use fields::{Asked, check};
pub use frames::Abuse;
use frames::Frames;

use super::deadline::Deadline;

/// What RFC 9113 §3.4 lets a client begin with, as far as it looks like the first line of a request.
pub(super) const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";

/// A client's stream, lent to `h2` as `&FrameGuard`.
///
/// Its shutdown is not passed on: [`FrameGuard::into_inner`] gives the stream back to be closed.
#[derive(Debug)]
pub struct FrameGuard<IO>(RefCell<State<IO>>);

#[derive(Debug)]
struct State<IO> {
    io: IO,
    /// Read before the protocol was known.
    early: Bytes,
    frames: Frames,
    header_timeout: Duration,
    /// For the end of this header block.
    deadline: (Option<u64>, Deadline),
    abuse: Option<Abuse>,
}

// === impl FrameGuard ===

impl<IO: AsyncRead + AsyncWrite + Unpin> FrameGuard<IO> {
    /// `header_timeout`: for a whole header block, from the moment its client has nothing more to say of it.
    pub fn new(io: IO, early: Bytes, header_timeout: Duration) -> Self {
        let (frames, deadline) = (Frames::new(), (None, Deadline::default()));
        Self(RefCell::new(State { io, early, frames, header_timeout, deadline, abuse: None }))
    }

    /// Why no more is read of the client, if so.
    pub fn abuse(&self) -> Option<Abuse> {
        self.0.borrow().abuse
    }

    pub fn into_inner(self) -> IO {
        self.0.into_inner().io
    }
}

impl<IO: AsyncRead + Unpin> State<IO> {
    fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.abuse.is_some() {
            // Whoever polls this looks at the abuse next.
            return Poll::Pending;
        }
        let before = out.filled().len();
        if self.early.is_empty() {
            let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, out) else {
                return self.poll_deadline(cx);
            };
            read?;
        } else {
            let length = self.early.len().min(out.remaining());
            out.put_slice(self.early.get(..length).unwrap_or_default());
            self.early.advance(length);
        }
        let received = out.filled().get(before..).unwrap_or_default();
        self.abuse = self.frames.check(received).err();
        Poll::Ready(Ok(()))
    }

    /// Nothing has come. Never ready: what is told is the abuse.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(block) = self.frames.block() else { return Poll::Pending };
        let (timed, deadline) = &mut self.deadline;
        if *timed != Some(block) {
            *timed = Some(block);
            deadline.set(self.header_timeout);
        }
        ready!(deadline.poll(cx));
        self.abuse = Some(Abuse::HeaderTimeout);
        Poll::Pending
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for &FrameGuard<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(cx, out)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for &FrameGuard<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.borrow_mut();
        let written = ready!(Pin::new(&mut state.io).poll_write(cx, bytes))?;
        state.frames.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.borrow_mut();
        let written = ready!(Pin::new(&mut state.io).poll_write_vectored(cx, slices))?;
        state.frames.written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn the_preface_begins_with_its_line() {
        assert!(frames::PREFACE.starts_with(&[PREFACE_LINE, b"\r\n"].concat()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_block_has_its_time_however_it_drips() {
        let (mut client, server) = duplex(64);
        let early = Bytes::from_static(frames::PREFACE);
        let guard = FrameGuard::new(server, early, Duration::from_secs(10));
        let start = Instant::now();
        let drip = async {
            client.write_all(&[0, 0, 99, 1, 0, 0, 0, 0, 1]).await.unwrap();
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let mut read = Vec::new();
        let mut io = &guard;
        let ended = async {
            let mut reading = Box::pin(io.read_to_end(&mut read));
            poll_fn(|cx| match (reading.as_mut().poll(cx), guard.abuse()) {
                (_, Some(abuse)) => Poll::Ready(abuse),
                _ => Poll::Pending,
            })
            .await
        };
        tokio::select! {
            () = drip => unreachable!("the guard keeps the stream"),
            abuse = ended => assert_eq!(abuse, Abuse::HeaderTimeout),
        }
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }
}
