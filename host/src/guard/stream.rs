//! The guard's read side: which bytes are read when, where they wait, and for how long.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::deadline::Deadline;
use super::messages::Messages;
use super::rejection::{Rejection, Violation};
use super::{Limits, Verdict};

/// Read during an exchange to see the client's end behind it. Most clients send nothing then; those that
/// pipeline, or do not wait for a 101, do.
const READ_AHEAD_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Stream<IO> {
    pub(super) io: IO,
    limits: Limits,
    pub(super) messages: Messages,
    verdict: Verdict,
    /// Received and not yet handed on; mostly nothing, and then without memory.
    held: BytesMut,
    /// So many bytes of `held` are checked.
    checked: usize,
    /// No request has come yet.
    pub(super) is_new: bool,
    waiting: Waiting,
    deadline: Deadline,
    /// Nothing more comes from the client, or is taken from it.
    ended: bool,
}

/// What the deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    /// The rest of a head; of a new connection, all of it.
    Head,
    /// The first byte after an answer.
    KeepAlive,
}

impl<IO: AsyncRead + Unpin> Stream<IO> {
    pub(super) fn new(io: IO, limits: Limits, verdict: Verdict) -> Self {
        Self {
            io,
            limits,
            messages: Messages::new(limits),
            verdict,
            held: BytesMut::new(),
            checked: 0,
            is_new: true,
            waiting: Waiting::Nothing,
            deadline: Deadline::default(),
            ended: false,
        }
    }

    /// hyper asks for more of a body, or for the next request. No bytes in answer are the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.checked == 0 && self.messages.is_complete() {
            self.messages.begin();
            self.is_new = false;
            self.waiting = Waiting::Nothing;
        }
        let before = out.filled().len();
        while out.filled().len() == before {
            if self.checked == 0 {
                match self.messages.check(&self.held) {
                    Ok(length) => self.checked = length,
                    Err(violation) => {
                        self.verdict.set(violation);
                        break;
                    }
                }
            }
            if self.checked > 0 {
                self.hand_on(out);
            } else if self.ended {
                break;
            } else if self.poll_receive(cx, out)?.is_pending() {
                ready!(self.poll_deadline(cx));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// See `Guard::poll_abandoned`.
    pub(super) fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.checked > 0 || !self.messages.is_complete() {
            return Poll::Pending;
        }
        while !self.ended && self.held.len() < READ_AHEAD_BYTES_MAX {
            let mut scratch = [MaybeUninit::uninit(); 4096];
            let mut scratch = ReadBuf::uninit(&mut scratch);
            if ready!(Pin::new(&mut self.io).poll_read(cx, &mut scratch)).is_err() {
                return Poll::Ready(());
            }
            self.ended = scratch.filled().is_empty();
            self.held.extend_from_slice(scratch.filled());
        }
        if self.held.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn into_parts(self) -> (IO, Bytes) {
        (self.io, self.held.freeze())
    }

    fn hand_on(&mut self, out: &mut ReadBuf<'_>) {
        let length = self.checked.min(out.remaining());
        out.put_slice(self.held.get(..length).unwrap_or_default());
        self.held.advance(length);
        self.checked -= length;
    }

    /// Reads into hyper's memory, where most requests are found valid and stay. What may not pass yet is
    /// taken back.
    fn poll_receive(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let mut wanted = (&mut self.io).take(self.messages.wanted());
        ready!(Pin::new(&mut wanted).poll_read(cx, out))?;
        let received = out.filled().get(before..).unwrap_or_default();
        self.ended = received.is_empty();
        let valid = match self.held.is_empty() {
            // A violation is kept, and found again with what is held.
            true => self.messages.check(received).unwrap_or(0),
            false => 0,
        };
        self.held.extend_from_slice(received.get(valid..).unwrap_or_default());
        out.set_filled(before + valid);
        Poll::Ready(Ok(()))
    }

    /// The stream has nothing for now. Ready: that took too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(head) = self.messages.head() else { return Poll::Pending };
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        let has_begun = head.has_begun(&self.held);
        let waiting = if has_begun || self.is_new { Waiting::Head } else { Waiting::KeepAlive };
        if waiting != self.waiting {
            self.waiting = waiting;
            self.deadline.set(match waiting {
                Waiting::KeepAlive => self.limits.keep_alive_timeout,
                Waiting::Head | Waiting::Nothing => self.limits.header_timeout,
            });
        }
        ready!(self.deadline.poll(cx));
        if has_begun {
            self.verdict.set(Violation::Head(Rejection::HeaderTimeout));
        }
        self.ended = true;
        Poll::Ready(())
    }
}
