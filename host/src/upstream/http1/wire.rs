//! A connection's stream and its buffers.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::Failure;
use super::answer::{Head, Search};
use super::content::{Content, Piece};
use crate::leg::Leg;
use crate::stall::Stall;

/// What one read takes at first, and at most where there is always more.
const READ_BYTES_MIN: usize = 8 * 1024;
const READ_BYTES_MAX: usize = 128 * 1024;
/// For requests, a connection that waits for one keeps so much.
const OUT_BYTES_KEPT: usize = 4 * 1024;

/// The stream, and what was read of it or is to be written to it.
pub struct Wire {
    pub io: Stall<Leg>,
    received: BytesMut,
    /// What the next read takes.
    read_bytes: usize,
    pub out: Vec<u8>,
    /// So much of `out` is written.
    pub written: usize,
    /// The request is still being sent, and its answer has begun.
    pub is_sending: bool,
    /// The body of the request broke off: the answer is none to it.
    pub is_broken: bool,
    /// Who reads the answer while its request is still being sent.
    pub reader: Option<Waker>,
}

// === impl Wire ===

impl Wire {
    pub fn new(io: Stall<Leg>) -> Self {
        Self {
            io,
            received: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            out: Vec::new(),
            written: 0,
            is_sending: false,
            is_broken: false,
            reader: None,
        }
    }

    pub fn is_quiet(&mut self) -> bool {
        self.received.is_empty() && self.poll_receive(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    pub fn rest(&mut self) {
        if self.read_bytes > READ_BYTES_MIN {
            (self.received, self.read_bytes) = (BytesMut::new(), READ_BYTES_MIN);
        }
        self.out.shrink_to(OUT_BYTES_KEPT);
    }

    /// The stream, and what was received of it and nobody has taken.
    pub fn into_parts(self) -> (Leg, Bytes) {
        // Where there is nothing, nothing keeps the buffer.
        let early = if self.received.is_empty() { Bytes::new() } else { self.received.freeze() };
        (self.io.into_inner(), early)
    }

    /// How many bytes more have been received: none at the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // A new buffer is taken only where the old one, of which somebody may hold a part still, has little left.
        if self.room() < self.read_bytes / 2 {
            self.received.reserve(self.read_bytes);
        }
        let room = self.room();
        let received = ready!(pin!(self.io.read_buf(&mut self.received)).poll(cx))?;
        // Whoever has much to say is listened to in larger pieces.
        self.read_bytes = match received {
            received if received == room => (self.read_bytes * 2).min(READ_BYTES_MAX),
            received if received < self.read_bytes / 2 => (self.read_bytes / 2).max(READ_BYTES_MIN),
            _ => self.read_bytes,
        };
        Poll::Ready(Ok(received))
    }

    fn room(&self) -> usize {
        self.received.capacity() - self.received.len()
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        search: &mut Search,
        to_head: bool,
    ) -> Poll<Result<Head, Failure>> {
        loop {
            if let Some(head) = search.next(&mut self.received, to_head)? {
                return Poll::Ready(Ok(head));
            }
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(Failure::Closed));
            }
        }
    }

    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        content: &mut Content,
    ) -> Poll<Result<Piece, Failure>> {
        loop {
            match content.next(&mut self.received)? {
                Piece::Nothing => {}
                piece => return Poll::Ready(Ok(piece)),
            }
            if ready!(self.poll_receive(cx))? == 0 {
                if *content != Content::UntilClose {
                    return Poll::Ready(Err(Failure::Closed));
                }
                *content = Content::Length(0);
            }
        }
    }
}
