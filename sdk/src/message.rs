//! WebSocket messages, the two sides they come from, and what a plugin says of them.

use std::fmt;
use std::ops::BitOr;

/// A whole WebSocket data message (RFC 6455 §5.6), reassembled and decompressed by the proxy.
///
/// ```
/// use sluicegate_sdk::Message;
///
/// let message = Message::from("hello");
/// assert_eq!(message.as_text(), Some("hello"));
/// assert_eq!(message.len(), 5);
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Message {
    /// Valid UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// The text, or `None` for a binary message.
    ///
    /// ```
    /// use sluicegate_sdk::Message;
    ///
    /// assert_eq!(Message::from(vec![1, 2]).as_text(), None);
    /// ```
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload, whichever kind it is.
    ///
    /// ```
    /// use sluicegate_sdk::Message;
    ///
    /// assert_eq!(Message::from("hi").as_bytes(), b"hi");
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The payload's length in bytes.
    ///
    /// ```
    /// use sluicegate_sdk::Message;
    ///
    /// assert_eq!(Message::from("é").len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty, which RFC 6455 allows.
    ///
    /// ```
    /// use sluicegate_sdk::Message;
    ///
    /// assert!(Message::from("").is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

/// One of the two peers of a session.
///
/// ```
/// use sluicegate_sdk::Side;
///
/// assert_eq!(Side::Client.other(), Side::Upstream);
/// ```
// The cases stand in the contract's order: they cross the boundary as numbers (see `bindings::lift`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// The peer that connected to the proxy.
    Client,
    /// The server the proxy connected to.
    Upstream,
}

impl Side {
    /// The side across.
    ///
    /// ```
    /// use sluicegate_sdk::Side;
    ///
    /// assert_eq!(Side::Upstream.other(), Side::Client);
    /// ```
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// Which kinds of messages a session wants to see: see [`Connection::inspect`](crate::Connection::inspect).
///
/// ```
/// use sluicegate_sdk::MessageKinds;
///
/// assert_eq!(MessageKinds::TEXT | MessageKinds::BINARY, MessageKinds::ALL);
/// assert!(!MessageKinds::NONE.contains(MessageKinds::TEXT));
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct MessageKinds(u8);

impl MessageKinds {
    /// No messages: the side is relayed unread.
    pub const NONE: Self = Self(0);
    /// Text messages.
    pub const TEXT: Self = Self(1);
    /// Binary messages.
    pub const BINARY: Self = Self(2);
    /// Text and binary messages: what a session sees unless it says otherwise.
    pub const ALL: Self = Self(3);

    /// Whether all of `kinds` are among these.
    ///
    /// ```
    /// use sluicegate_sdk::MessageKinds;
    ///
    /// assert!(MessageKinds::ALL.contains(MessageKinds::BINARY));
    /// ```
    #[must_use]
    pub fn contains(self, kinds: Self) -> bool {
        self.0 & kinds.0 == kinds.0
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn bits(self) -> u8 {
        self.0
    }
}

impl BitOr for MessageKinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for MessageKinds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match *self {
            Self::NONE => "NONE",
            Self::TEXT => "TEXT",
            Self::BINARY => "BINARY",
            _ => "ALL",
        })
    }
}

/// What becomes of a message.
///
/// ```
/// use sluicegate_sdk::{Message, MessageVerdict};
///
/// fn shout(message: Message) -> MessageVerdict {
///     match message {
///         Message::Text(text) => MessageVerdict::replace(text.to_uppercase()),
///         Message::Binary(_) => MessageVerdict::close(1003, "text only"),
///     }
/// }
/// assert_eq!(shout("hi".into()), MessageVerdict::replace("HI"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MessageVerdict {
    /// Pass it on as it is: the original frames, compressed bytes and all.
    Forward,
    /// Pass this on in its place. Plugins after this one see the new message.
    Replace(Message),
    /// Pass nothing on.
    Drop,
    /// Close both legs with this reason, after the messages before this one.
    Close(CloseReason),
}

impl MessageVerdict {
    /// Pass `message` on in place of the one that came.
    ///
    /// ```
    /// use sluicegate_sdk::{Message, MessageVerdict};
    ///
    /// assert_eq!(MessageVerdict::replace("***"), MessageVerdict::Replace(Message::from("***")));
    /// ```
    #[must_use]
    pub fn replace(message: impl Into<Message>) -> Self {
        Self::Replace(message.into())
    }

    /// Close both legs with a code and words: see [`CloseReason`] for what they may be.
    ///
    /// ```
    /// use sluicegate_sdk::{CloseReason, MessageVerdict};
    ///
    /// let verdict = MessageVerdict::close(1008, "not here");
    /// assert_eq!(verdict, MessageVerdict::Close(CloseReason::new(1008, "not here")));
    /// ```
    #[must_use]
    pub fn close(code: u16, reason: impl Into<String>) -> Self {
        Self::Close(CloseReason::new(code, reason))
    }
}

/// What a close frame carries (RFC 6455 §5.5.1).
///
/// ```
/// use sluicegate_sdk::CloseReason;
///
/// let reason = CloseReason::new(1008, "too many messages");
/// assert_eq!(reason.code, 1008);
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CloseReason {
    /// 1000 to 1003, 1007 to 1014 or 3000 to 4999 (RFC 6455 §7.4); the host sends 1011 in place of any other.
    pub code: u16,
    /// At most 123 bytes; the host cuts a longer one at a character boundary.
    pub reason: String,
}

impl CloseReason {
    /// A code and the words that go with it.
    ///
    /// ```
    /// use sluicegate_sdk::CloseReason;
    ///
    /// assert_eq!(CloseReason::new(1000, "").reason, "");
    /// ```
    #[must_use]
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Who ended a session.
// The cases stand in the contract's order: they cross the boundary as numbers (see `bindings::lift`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Closer {
    /// The peer that connected to the proxy.
    Client,
    /// The server the proxy connected to.
    Upstream,
    /// A plugin's verdict, or [`Connection::close`](crate::Connection::close).
    Plugin,
    /// The proxy: a limit, a time-out, a protocol error, draining.
    Proxy,
}

/// How a session ended: what [`Session::on_close`](crate::Session::on_close) is told.
///
/// ```
/// use sluicegate_sdk::{CloseInfo, Closer};
///
/// let closed = CloseInfo { closer: Closer::Client, clean: true, code: Some(1000), reason: String::new() };
/// assert_eq!(closed.code, Some(1000));
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CloseInfo {
    /// Who ended it.
    pub closer: Closer,
    /// Whether close frames were exchanged (RFC 6455 §7.1.4); a broken connection is not clean.
    pub clean: bool,
    /// The code received or sent; `None` where there was no close frame or none in it.
    pub code: Option<u16>,
    /// The words that went with the code.
    pub reason: String,
}
