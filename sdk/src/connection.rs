//! The WebSocket connection a session looks at.

use std::fmt;
use std::time::Duration;

use crate::error::SendError;
use crate::host;
use crate::message::{CloseReason, Message, MessageKinds, Side};
use crate::text::Texts;

/// Both legs of a WebSocket, the client's and the upstream's, as one. Lent for the length of a call.
///
/// ```
/// use sluicegate_sdk::{Connection, Message, Side};
///
/// let connection = Connection::builder().build();
/// connection.send(Side::Client, "welcome")?;
/// assert_eq!(connection.sent(), [(Side::Client, Message::from("welcome"))]);
/// # Ok::<(), sluicegate_sdk::SendError>(())
/// ```
pub struct Connection {
    pub(crate) host: host::Connection,
    pub(crate) texts: Texts,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Connection").field(&self.host).finish()
    }
}

/// Reading.
impl Connection {
    /// A number no other session of this process has had.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// assert_ne!(Connection::builder().build().id(), Connection::builder().build().id());
    /// ```
    #[must_use]
    pub fn id(&self) -> u64 {
        self.host.id()
    }

    /// The client's IP address, as [`Request::client_address`](crate::Request::client_address).
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// let connection = Connection::builder().client_address("2001:db8::7").build();
    /// assert_eq!(connection.client_address(), "2001:db8::7");
    /// ```
    #[must_use]
    pub fn client_address(&self) -> &str {
        self.texts.keep(self.host.client_address())
    }

    /// The subprotocol the upstream chose (RFC 6455 §4.2.2); `None` where it chose none.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// let connection = Connection::builder().subprotocol("chat.v2").build();
    /// assert_eq!(connection.subprotocol(), Some("chat.v2"));
    /// ```
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.host.subprotocol().map(|name| self.texts.keep(name))
    }

    /// The name of the upstream this session goes to.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// assert_eq!(Connection::builder().upstream("chat").build().upstream(), "chat");
    /// ```
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.texts.keep(self.host.upstream())
    }

    /// The address of its server.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// assert_eq!(Connection::builder().server("10.0.0.1:9001").build().server(), "10.0.0.1:9001");
    /// ```
    #[must_use]
    pub fn server(&self) -> &str {
        self.texts.keep(self.host.server())
    }

    /// An attribute set by a request hook of this exchange.
    ///
    /// ```
    /// use sluicegate_sdk::Connection;
    ///
    /// let connection = Connection::builder().attribute("user", "ada").build();
    /// assert_eq!(connection.attribute("user"), Some("ada"));
    /// ```
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.host.attribute(name).map(|value| self.texts.keep(value))
    }
}

/// Steering.
impl Connection {
    /// Send a message of the plugin's own to one side. It goes out before the verdict of the hook it was made
    /// in takes effect, and passes the plugins that stand between this one and that side, never this one
    /// itself.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    ///
    /// ```
    /// use sluicegate_sdk::{Connection, CloseReason, SendError, Side};
    ///
    /// let connection = Connection::builder().build();
    /// connection.send(Side::Upstream, vec![1, 2, 3])?;
    /// connection.close(CloseReason::new(1000, ""));
    /// assert_eq!(connection.send(Side::Client, "too late"), Err(SendError::Closing));
    /// # Ok::<(), SendError>(())
    /// ```
    pub fn send(&self, to: Side, message: impl Into<Message>) -> Result<(), SendError> {
        self.host.send(to, &message.into())
    }

    /// Close both legs with this reason, after what has been sent so far.
    ///
    /// ```
    /// use sluicegate_sdk::{CloseReason, Connection};
    ///
    /// let connection = Connection::builder().build();
    /// connection.close(CloseReason::new(1008, "idle"));
    /// assert_eq!(connection.closed(), Some(CloseReason::new(1008, "idle")));
    /// ```
    pub fn close(&self, reason: CloseReason) {
        self.host.close(&reason);
    }

    /// Call `on_timer` once after this time, in whole milliseconds; a new time replaces the old one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluicegate_sdk::Connection;
    ///
    /// let connection = Connection::builder().build();
    /// connection.set_timer(Duration::from_secs(30));
    /// assert_eq!(connection.timer(), Some(Duration::from_secs(30)));
    /// ```
    pub fn set_timer(&self, after: Duration) {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.host.set_timer(Some(after_ms));
    }

    /// Do not call `on_timer` after all.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluicegate_sdk::Connection;
    ///
    /// let connection = Connection::builder().build();
    /// connection.set_timer(Duration::from_secs(30));
    /// connection.cancel_timer();
    /// assert_eq!(connection.timer(), None);
    /// ```
    pub fn cancel_timer(&self) {
        self.host.set_timer(None);
    }

    /// From now on offer this session only these messages of this sender. When no plugin of the chain wants
    /// any message of a sender, the proxy relays that side unread, which is the cheapest there is.
    ///
    /// `false`: that side left inspection earlier and cannot come back, because its compressor's window
    /// (RFC 7692 §7.1.1) was not followed meanwhile.
    ///
    /// ```
    /// use sluicegate_sdk::{Connection, MessageKinds, Side};
    ///
    /// let connection = Connection::builder().build();
    /// connection.inspect(Side::Upstream, MessageKinds::NONE);
    /// assert_eq!(connection.inspected(Side::Upstream), MessageKinds::NONE);
    /// assert_eq!(connection.inspected(Side::Client), MessageKinds::ALL);
    /// ```
    pub fn inspect(&self, sender: Side, kinds: MessageKinds) -> bool {
        self.host.inspect(sender, kinds)
    }
}
