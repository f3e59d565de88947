//! A WebSocket connection as the plugins of its session see it, and what they asked to be done with it.

use std::net::IpAddr;
use std::sync::Arc;

use super::{CloseReason, Message, MessageKinds, Side};
use crate::request::Attributes;

/// What the hooks of one session are lent, one call at a time.
#[derive(Debug)]
pub struct ConnectionView {
    pub id: u64,
    pub client_address: IpAddr,
    pub subprotocol: Option<String>,
    pub upstream: Arc<str>,
    pub server: Arc<str>,
    pub attributes: Attributes,
    pub message_bytes_max: usize,
    /// Whether the session is closing: no more messages are taken.
    pub closing: bool,
    /// By receiver: bytes that may still be sent to it before it has to read some.
    pub room: [usize; 2],
    /// By sender: whether messages not asked for now can be asked for again.
    pub can_inspect: [bool; 2],
    /// What the call in progress asked for; taken by the caller after it.
    pub asked: Asked,
}

/// What a hook asked for, besides its verdict.
#[derive(Debug, Default)]
pub struct Asked {
    /// In order.
    pub sends: Vec<(Side, Message)>,
    pub close: Option<CloseReason>,
    /// `Some(None)` cancels.
    pub timer_ms: Option<Option<u64>>,
    /// By sender.
    pub inspect: [Option<MessageKinds>; 2],
}

/// Positions of the two sides in arrays.
pub fn index(side: Side) -> usize {
    match side {
        Side::Client => 0,
        Side::Upstream => 1,
    }
}

pub fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Upstream,
        Side::Upstream => Side::Client,
    }
}

// === impl Asked ===

impl Asked {
    /// Whether the hook asked for nothing: the usual case, worth one look.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.close.is_none()
            && self.timer_ms.is_none()
            && self.inspect == [None, None]
    }
}
