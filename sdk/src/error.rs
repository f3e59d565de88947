//! What can go wrong in a call to the host, and what a plugin says of settings it cannot use.

use std::error::Error;
use std::fmt;

/// Why the host did not make an edit. Nothing has changed then.
///
/// ```
/// use sluicegate_sdk::{EditError, Request};
///
/// let request = Request::builder().build();
/// assert_eq!(request.set_header("connection", "close"), Err(EditError::Forbidden));
/// ```
// The cases stand in the contract's order: they cross the boundary as numbers (see `bindings::lift`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EditError {
    /// The request has already been sent to the upstream: edits are for `on_request` only.
    TooLate,
    /// Not a header name, header value, path or status that HTTP allows here.
    Invalid,
    /// The host keeps this for itself: framing, hop-by-hop and `sec-websocket-*` fields, and `host`.
    Forbidden,
    /// No upstream of this name that the route's plugins may choose.
    UnknownUpstream,
    /// Past the host's limit on header fields or attributes of one request.
    TooMany,
}

impl fmt::Display for EditError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooLate => "the request has already been sent to the upstream",
            Self::Invalid => "not a name, value, path or status that HTTP allows here",
            Self::Forbidden => "the host keeps this field for itself",
            Self::UnknownUpstream => "no upstream of this name may be chosen here",
            Self::TooMany => "past the host's limit on fields or attributes of one request",
        })
    }
}

impl Error for EditError {}

/// Why the host did not take a message for sending.
///
/// ```
/// use sluicegate_sdk::{Connection, SendError, Side};
///
/// let connection = Connection::builder().message_bytes_max(4).build();
/// assert_eq!(connection.send(Side::Client, "too long"), Err(SendError::TooLarge));
/// ```
// The cases stand in the contract's order: they cross the boundary as numbers (see `bindings::lift`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SendError {
    /// The session is closing: no data frame may follow a close frame (RFC 6455 §5.5.1).
    Closing,
    /// Larger than the route's `message-bytes-max`.
    TooLarge,
    /// That side reads too slowly: what waits for it has reached the route's bound.
    Backlog,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closing => "the session is closing",
            Self::TooLarge => "the message is larger than the route allows",
            Self::Backlog => "that side reads too slowly",
        })
    }
}

impl Error for SendError {}

/// Why a plugin cannot work with its settings. The operator reads it when the configuration is checked:
/// name the key, and say what would be accepted.
///
/// ```
/// use sluicegate_sdk::ConfigureError;
///
/// let error = ConfigureError::new("allow: list at least one origin, such as `https://chat.example.com`");
/// assert!(error.to_string().starts_with("allow: "));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigureError {
    text: String,
}

impl ConfigureError {
    /// An error of these words.
    ///
    /// ```
    /// use sluicegate_sdk::ConfigureError;
    ///
    /// let max = 0;
    /// let error = ConfigureError::new(format!("max: {max} would refuse everybody; give at least 1"));
    /// assert_eq!(error.to_string(), "max: 0 would refuse everybody; give at least 1");
    /// ```
    #[must_use]
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string() }
    }
}

impl fmt::Display for ConfigureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Error for ConfigureError {}
