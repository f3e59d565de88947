//! A WebSocket connection made by a test.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::SendError;
use crate::message::{CloseReason, Message, MessageKinds, Side};
use crate::text::Texts;

thread_local! {
    static LAST_ID: Cell<u64> = const { Cell::new(0) };
}

/// The state behind a [`crate::Connection`].
#[derive(Debug)]
pub(crate) struct Connection {
    fixed: ConnectionBuilder,
    id: u64,
    sent: RefCell<Vec<(Side, Message)>>,
    closed: RefCell<Option<CloseReason>>,
    timer_ms: Cell<Option<u64>>,
    client_kinds: Cell<MessageKinds>,
    upstream_kinds: Cell<MessageKinds>,
}

impl Connection {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn client_address(&self) -> String {
        self.fixed.client_address.clone()
    }

    pub(crate) fn subprotocol(&self) -> Option<String> {
        self.fixed.subprotocol.clone()
    }

    pub(crate) fn upstream(&self) -> String {
        self.fixed.upstream.clone()
    }

    pub(crate) fn server(&self) -> String {
        self.fixed.server.clone()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.fixed.attributes.get(name).cloned()
    }

    pub(crate) fn send(&self, to: Side, message: &Message) -> Result<(), SendError> {
        if self.closed.borrow().is_some() {
            Err(SendError::Closing)
        } else if self.fixed.message_bytes_max.is_some_and(|max| message.len() > max) {
            Err(SendError::TooLarge)
        } else if self.fixed.backlog == Some(to) {
            Err(SendError::Backlog)
        } else {
            self.sent.borrow_mut().push((to, message.clone()));
            Ok(())
        }
    }

    /// The first reason stays: a session closes once.
    pub(crate) fn close(&self, reason: &CloseReason) {
        self.closed.borrow_mut().get_or_insert_with(|| reason.clone());
    }

    pub(crate) fn set_timer(&self, after_ms: Option<u64>) {
        self.timer_ms.set(after_ms);
    }

    pub(crate) fn inspect(&self, sender: Side, kinds: MessageKinds) -> bool {
        let wanted = self.kinds(sender);
        if self.fixed.compressed && wanted.get() == MessageKinds::NONE && kinds != MessageKinds::NONE {
            return false;
        }
        wanted.set(kinds);
        true
    }

    fn kinds(&self, sender: Side) -> &Cell<MessageKinds> {
        match sender {
            Side::Client => &self.client_kinds,
            Side::Upstream => &self.upstream_kinds,
        }
    }
}

/// In tests: making a connection, and what hooks did to it. Not in a WebAssembly build.
impl crate::Connection {
    /// A connection of `192.0.2.1` to the upstream `chat`, to be made different.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// assert_eq!(Connection::builder().build().upstream(), "chat");
    /// ```
    #[must_use]
    pub fn builder() -> ConnectionBuilder {
        ConnectionBuilder::new()
    }

    /// What was sent by [`send`](Self::send), in order.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// assert!(Connection::builder().build().sent().is_empty());
    /// ```
    #[must_use]
    pub fn sent(&self) -> Vec<(Side, Message)> {
        self.host.sent.borrow().clone()
    }

    /// The reason given to [`close`](Self::close), the first where there were several.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// assert_eq!(Connection::builder().build().closed(), None);
    /// ```
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> {
        self.host.closed.borrow().clone()
    }

    /// The time given to [`set_timer`](Self::set_timer). A test calls `on_timer` itself.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// assert_eq!(Connection::builder().build().timer(), None);
    /// ```
    #[must_use]
    pub fn timer(&self) -> Option<Duration> {
        self.host.timer_ms.get().map(Duration::from_millis)
    }

    /// Which messages of this sender the session wants: see [`inspect`](Self::inspect).
    ///
    /// ```
    /// use sluicegate_sdk::{Connection, MessageKinds, Side};
    ///
    /// assert_eq!(Connection::builder().build().inspected(Side::Client), MessageKinds::ALL);
    /// ```
    #[must_use]
    pub fn inspected(&self, sender: Side) -> MessageKinds {
        self.host.kinds(sender).get()
    }
}

/// Makes a [`Connection`](crate::Connection) for a test.
///
/// ```
/// use sluicegate_sdk::Connection;
///
/// let connection = Connection::builder()
///     .client_address("192.0.2.7")
///     .subprotocol("chat.v2")
///     .upstream("chat")
///     .server("10.0.0.1:9001")
///     .attribute("user", "ada")
///     .build();
/// assert_eq!(connection.attribute("user"), Some("ada"));
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionBuilder {
    client_address: String,
    subprotocol: Option<String>,
    upstream: String,
    server: String,
    attributes: BTreeMap<String, String>,
    message_bytes_max: Option<usize>,
    backlog: Option<Side>,
    compressed: bool,
}

impl ConnectionBuilder {
    fn new() -> Self {
        Self {
            client_address: "192.0.2.1".to_owned(),
            subprotocol: None,
            upstream: "chat".to_owned(),
            server: "127.0.0.1:9001".to_owned(),
            attributes: BTreeMap::new(),
            message_bytes_max: None,
            backlog: None,
            compressed: false,
        }
    }

    /// The client's IP address.
    #[must_use]
    pub fn client_address(mut self, address: &str) -> Self {
        address.clone_into(&mut self.client_address);
        self
    }

    /// The subprotocol the upstream chose.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: &str) -> Self {
        self.subprotocol = Some(subprotocol.to_owned());
        self
    }

    /// The name of the upstream.
    #[must_use]
    pub fn upstream(mut self, name: &str) -> Self {
        name.clone_into(&mut self.upstream);
        self
    }

    /// The address of its server.
    #[must_use]
    pub fn server(mut self, address: &str) -> Self {
        address.clone_into(&mut self.server);
        self
    }

    /// An attribute as a request hook would have set it.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The route's limit: sending a longer message fails with [`SendError::TooLarge`].
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = Some(bytes);
        self
    }

    /// A side that reads too slowly: sending to it fails with [`SendError::Backlog`].
    #[must_use]
    pub fn backlog(mut self, side: Side) -> Self {
        self.backlog = Some(side);
        self
    }

    /// Whether both sides compress with context takeover, so that none comes back once it left inspection.
    #[must_use]
    pub fn compressed(mut self, compressed: bool) -> Self {
        self.compressed = compressed;
        self
    }

    /// The connection.
    #[must_use]
    pub fn build(self) -> crate::Connection {
        let id = LAST_ID.get() + 1;
        LAST_ID.set(id);
        crate::Connection {
            host: Connection {
                fixed: self,
                id,
                sent: RefCell::default(),
                closed: RefCell::default(),
                timer_ms: Cell::new(None),
                client_kinds: Cell::new(MessageKinds::ALL),
                upstream_kinds: Cell::new(MessageKinds::ALL),
            },
            texts: Texts::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_side_takes_nothing() {
        let connection = crate::Connection::builder().backlog(Side::Client).build();
        assert_eq!(connection.send(Side::Client, "a"), Err(SendError::Backlog));
        assert_eq!(connection.send(Side::Upstream, "a"), Ok(()));
        assert_eq!(connection.sent().len(), 1);
    }

    #[test]
    fn a_compressed_side_does_not_come_back() {
        let connection = crate::Connection::builder().compressed(true).build();
        assert!(connection.inspect(Side::Client, MessageKinds::TEXT));
        assert!(connection.inspect(Side::Client, MessageKinds::NONE));
        assert!(!connection.inspect(Side::Client, MessageKinds::TEXT));
        assert_eq!(connection.inspected(Side::Client), MessageKinds::NONE);
        assert!(connection.inspect(Side::Upstream, MessageKinds::BINARY));
    }

    #[test]
    fn a_session_closes_once() {
        let connection = crate::Connection::builder().build();
        connection.close(CloseReason::new(1008, "first"));
        connection.close(CloseReason::new(1000, "second"));
        assert_eq!(connection.closed(), Some(CloseReason::new(1008, "first")));
    }
}
