//! What a session makes up for after a hook that had to be waited for.
//!
//! Meanwhile it stands still: what its peers sent lies unread, and what did not fit into a socket is not tried again. So
//! both legs are served before any deadline is judged, or one that is well would be taken for dead. And what is left of a
//! read waits until the session has looked at everything else, as each message of it may take a hook as long again.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;

use sluicegate_websocket::Side;

use super::Session;
use super::buffers::Buffers;

/// Reads that go before deadlines: one of each side. More would let a peer that always has something to say hold them off.
const READS: u8 = 2;

/// Whether the peers are to be heard before deadlines are judged.
#[derive(Debug, Default)]
pub enum Hearing {
    /// They are judged as they come.
    #[default]
    Judged,
    /// A hook was waited for: so many reads first.
    Due(u8),
}

/// What is left of a read.
pub struct Unread {
    pub bytes: Range<usize>,
    pub buffers: Box<Buffers>,
}

// === impl Hearing ===

impl Hearing {
    /// A hook was waited for. Until deadlines have been judged again, once is enough.
    pub fn hook_waited(&mut self) {
        if matches!(self, Self::Judged) {
            *self = Self::Due(READS);
        }
    }

    pub fn is_due(&self) -> bool {
        matches!(self, Self::Due(1..))
    }

    pub fn heard_one(&mut self) {
        if let Self::Due(reads) = self {
            *reads = reads.saturating_sub(1);
        }
    }
}

impl Session {
    /// Keep what is left of the bytes that came with the handshake, if it is no more than a read.
    pub(super) fn keep_early(&mut self, sender: Side, left: &[u8]) -> bool {
        let mut buffers = Buffers::take();
        let Some(room) = buffers.read.get_mut(..left.len()) else {
            buffers.give_back();
            return false;
        };
        room.copy_from_slice(left);
        *self.unread.of_mut(sender) = Some(Unread { bytes: 0..left.len(), buffers });
        true
    }

    /// What is left of a read of `sender`. It says no less than a new one that its peer is there.
    pub(super) fn take_unread(&mut self, sender: Side) -> Option<Unread> {
        let unread = self.unread.of_mut(sender).take()?;
        self.incoming.of_mut(sender).seen = self.timers.now();
        Some(unread)
    }
}

/// See `work` through; whether it had to be waited for.
pub async fn waited(mut work: impl Future<Output = ()> + Unpin) -> bool {
    let mut waited = false;
    poll_fn(|cx| {
        let done = Pin::new(&mut work).poll(cx);
        waited |= done.is_pending();
        done
    })
    .await;
    waited
}
