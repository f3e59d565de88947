//! What waits to be written to one side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sluicegate_websocket::Outbound;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::masks;
use crate::leg::Leg;
use crate::plugin::Message;

/// A closing session does not wait for a receiver that has taken nothing for so long.
const STALLED_TIME: Duration = Duration::from_secs(5);

/// Of what waits; by default no more than this does.
const KEPT_EXACTLY_BYTES_MAX: usize = 512 * 1024;

/// The way out to one receiver.
pub struct Outgoing {
    /// Decides what goes on the wire.
    pub outbound: Outbound,
    /// What did not fit into the receiver's socket; empty, and without memory, most of the time.
    pending: Vec<u8>,
    /// How much of `pending` has been written.
    written: usize,
    /// Since when the receiver has taken nothing of what waits for it.
    pub stalled_since: Option<Instant>,
    /// The receiver is gone: nothing is written any more.
    lost: bool,
    /// The connection's sending half is closed.
    pub shut: bool,
    /// The stream ended amid a frame: nothing can be put after it.
    pub torn: bool,
    /// A message that nobody inspects is passing and has not ended yet.
    pub passing: bool,
    /// Messages of plugins that wait for the end of the message that is passing.
    held: Vec<Message>,
}

// === impl Outgoing ===

impl Outgoing {
    pub fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            pending: Vec::new(),
            written: 0,
            stalled_since: None,
            lost: false,
            shut: false,
            torn: false,
            passing: false,
            held: Vec::new(),
        }
    }

    /// Bytes that wait for the receiver.
    pub fn waiting_bytes(&self) -> usize {
        self.pending.len().saturating_sub(self.written)
    }

    /// Keep a plugin's message until one may be put in.
    pub fn hold(&mut self, message: Message) {
        self.held.push(message);
    }

    /// Memory of messages that are held; empty ones take some, too.
    pub fn held_bytes(&self) -> usize {
        self.held.iter().map(|message| message.len() + size_of::<Message>()).sum()
    }

    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// A message may be put in: write those held.
    pub fn release(&mut self) {
        for message in std::mem::take(&mut self.held) {
            self.append(|outbound, out| outbound.inject(message.payload(), out, &mut masks::next));
        }
    }

    /// Whether something waits, here or in `leg`, and the receiver has taken some of it lately.
    pub fn goes_on(&self, leg: &Leg, now: Instant) -> bool {
        let stalled =
            self.stalled_since.is_some_and(|since| now.saturating_duration_since(since) >= STALLED_TIME);
        !self.lost && !self.is_flushed(leg) && !stalled
    }

    /// Whether the receiver's socket has taken everything.
    pub fn is_flushed(&self, leg: &Leg) -> bool {
        self.waiting_bytes() == 0 && leg.is_flushed()
    }

    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// The receiver takes nothing any more: forget what waits.
    pub fn lose(&mut self) {
        self.lost = true;
        self.pending = Vec::new();
        self.written = 0;
        self.stalled_since = None;
    }

    /// Have `write` append to what waits.
    pub fn append(&mut self, write: impl FnOnce(&mut Outbound, &mut Vec<u8>)) {
        if !self.lost {
            write(&mut self.outbound, &mut self.pending);
        }
    }

    /// Write `bytes` after what waits: straight to the socket where nothing does.
    pub fn write_through(&mut self, cx: &mut Context<'_>, leg: &mut Leg, bytes: &[u8]) -> io::Result<()> {
        if self.lost {
            return Ok(());
        }
        let mut rest = bytes;
        while self.waiting_bytes() == 0 && !rest.is_empty() {
            let Poll::Ready(written) = Pin::new(&mut *leg).poll_write(cx, rest)? else { break };
            rest = rest.get(written..).unwrap_or_default();
        }
        self.keep(rest);
        Ok(())
    }

    /// Let `bytes` wait. There may be many receivers that take nothing, so little is not doubled to make room for more; much
    /// would be copied too often.
    fn keep(&mut self, bytes: &[u8]) {
        if self.pending.len() < KEPT_EXACTLY_BYTES_MAX {
            self.pending.reserve_exact(bytes.len());
        }
        self.pending.extend_from_slice(bytes);
    }

    /// Write what waits and what the leg holds, as far as the receiver takes it. When all is written, its memory is given
    /// back.
    pub fn flush(&mut self, cx: &mut Context<'_>, leg: &mut Leg) -> io::Result<()> {
        let before = self.written;
        let mut pending = false;
        while let Some(rest) = self.pending.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *leg).poll_write(cx, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => {
                    self.written += written;
                }
                Poll::Pending => {
                    pending = true;
                    break;
                }
            }
        }
        // A socket holds nothing back; what TLS holds has to be asked for.
        if pending || !leg.is_flushed() && Pin::new(leg).poll_flush(cx)?.is_pending() {
            if self.written > before || self.stalled_since.is_none() {
                self.stalled_since = Some(Instant::now());
            }
            self.compact();
            return Ok(());
        }
        self.pending = Vec::new();
        self.written = 0;
        self.stalled_since = None;
        Ok(())
    }

    /// Move what waits to the front once more of the buffer is written than not.
    fn compact(&mut self) {
        if self.written > self.pending.len() / 2 {
            self.pending.drain(..self.written);
            self.written = 0;
        }
    }
}
