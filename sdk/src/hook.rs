//! The hooks: one trait for each interface a plugin may export.

use crate::connection::Connection;
use crate::export::{Exported, hook};
use crate::message::{CloseInfo, Message, MessageVerdict, Side};
use crate::plugin::Plugin;
use crate::request::Request;
use crate::response::{Response, ResponseHead};

/// What becomes of a request.
///
/// ```
/// use sluicegate_sdk::{RequestVerdict, Response};
///
/// let verdict = RequestVerdict::respond(403, "not here");
/// assert_eq!(verdict, RequestVerdict::Respond(Response::text(403, "not here")));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RequestVerdict {
    /// Go on, with the edits made through the request.
    Pass,
    /// Answer the client with this; the upstream never hears of the request.
    Respond(Response),
}

impl RequestVerdict {
    /// Answer with a status and plain text.
    ///
    /// ```
    /// use sluicegate_sdk::RequestVerdict;
    ///
    /// assert_ne!(RequestVerdict::respond(403, "not here"), RequestVerdict::Pass);
    /// ```
    #[must_use]
    pub fn respond(status: u16, text: impl Into<String>) -> Self {
        Self::Respond(Response::text(status, text))
    }

    /// The answer, or `None` where the request passes: what tests look at.
    ///
    /// ```
    /// use sluicegate_sdk::RequestVerdict;
    ///
    /// assert_eq!(RequestVerdict::Pass.response(), None);
    /// assert_eq!(RequestVerdict::respond(403, "").response().map(|response| response.status), Some(403));
    /// ```
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        match self {
            Self::Pass => None,
            Self::Respond(response) => Some(response),
        }
    }
}

impl From<Response> for RequestVerdict {
    fn from(response: Response) -> Self {
        Self::Respond(response)
    }
}

/// Deciding on a request before it goes anywhere: the plugin's part in `on-request`.
///
/// Called for each request of a route that lists the plugin, WebSocket handshakes included, in the order of
/// the list; the first answer ends it. A panic answers 500.
///
/// ```
/// use sluicegate_sdk::prelude::*;
///
/// struct Maintenance;
///
/// impl Plugin for Maintenance {
///     type Settings = NoSettings;
///     fn configure(_: NoSettings) -> Result<Self, ConfigureError> { Ok(Self) }
/// }
///
/// impl RequestHook for Maintenance {
///     fn on_request(&self, request: &Request) -> RequestVerdict {
///         if request.path().starts_with("/admin/") {
///             RequestVerdict::Pass
///         } else {
///             RequestVerdict::respond(503, "back at noon\n")
///         }
///     }
/// }
///
/// export!(Maintenance: RequestHook);
///
/// let request = Request::builder().path("/admin/status").build();
/// assert_eq!(Maintenance.on_request(&request), RequestVerdict::Pass);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `RequestHook` in its `export!` line but does not implement it",
    label = "write `impl RequestHook for {Self}`, or take `RequestHook` off the list"
)]
pub trait RequestHook: Plugin + Exported<hook::RequestHook> {
    /// Say what becomes of this request.
    fn on_request(&self, request: &Request) -> RequestVerdict;
}

/// Looking at an upstream's answer, and editing its head: the plugin's part in `on-response`.
///
/// Called for each answer of the upstream, the 101 of a WebSocket handshake among them, in reverse order of
/// the list. Answers made by the proxy or by a plugin are not offered. A panic answers 500.
///
/// [`ResponseHead`] has an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `ResponseHook` in its `export!` line but does not implement it",
    label = "write `impl ResponseHook for {Self}`, or take `ResponseHook` off the list"
)]
pub trait ResponseHook: Plugin + Exported<hook::ResponseHook> {
    /// Look at this answer, and edit its head.
    fn on_response(&self, request: &Request, response: &ResponseHead);
}

/// Seeing and steering the messages of WebSocket sessions: the plugin's part in opening one.
///
/// [`Session`] has an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `SessionHook` in its `export!` line but does not implement it",
    label = "write `impl SessionHook for {Self}`, or take `SessionHook` off the list"
)]
pub trait SessionHook: Plugin + Exported<hook::SessionHook> {
    /// This plugin's state of one WebSocket.
    type Session: Session<Plugin = Self>;

    /// A WebSocket is about to open: the upstream has answered 101, the client has not heard it yet.
    ///
    /// # Errors
    ///
    /// An answer for the client instead of its 101; the upstream is closed with 1001.
    fn open(&self, request: &Request, connection: &Connection) -> Result<Self::Session, Response>;
}

/// A plugin's state of one WebSocket. Calls never overlap, and the messages of one direction come in order.
///
/// Each method is given the plugin, so that what all sessions share (settings, compiled patterns) is kept
/// once. A panic closes the session with 1011.
///
/// ```
/// use sluicegate_sdk::prelude::*;
///
/// #[derive(Deserialize)]
/// struct Settings { greeting: String }
///
/// struct Greeter { greeting: String }
///
/// impl Plugin for Greeter {
///     type Settings = Settings;
///     fn configure(settings: Settings) -> Result<Self, ConfigureError> {
///         Ok(Self { greeting: settings.greeting })
///     }
/// }
///
/// impl SessionHook for Greeter {
///     type Session = Greeted;
///     fn open(&self, _: &Request, connection: &Connection) -> Result<Greeted, Response> {
///         connection.inspect(Side::Upstream, MessageKinds::NONE);
///         Ok(Greeted { messages: 0 })
///     }
/// }
///
/// struct Greeted { messages: u32 }
///
/// impl Session for Greeted {
///     type Plugin = Greeter;
///     fn on_message(
///         &mut self, greeter: &Greeter, connection: &Connection, _: Side, _: Message,
///     ) -> MessageVerdict {
///         self.messages += 1;
///         if self.messages == 1 && connection.send(Side::Client, greeter.greeting.as_str()).is_err() {
///             log::warn!("no greeting for session {}", connection.id());
///         }
///         MessageVerdict::Forward
///     }
/// }
///
/// export!(Greeter: SessionHook);
///
/// let greeter: Greeter = testing::configure(r#"{ "greeting": "hello" }"#)?;
/// let connection = Connection::builder().build();
/// let mut session = greeter.open(&Request::builder().build(), &connection).unwrap();
/// let verdict = session.on_message(&greeter, &connection, Side::Client, "hi".into());
/// assert_eq!(verdict, MessageVerdict::Forward);
/// assert_eq!(connection.sent(), [(Side::Client, Message::from("hello"))]);
/// # Ok::<(), ConfigureError>(())
/// ```
pub trait Session: Sized + 'static {
    /// The plugin whose session this is.
    type Plugin: SessionHook<Session = Self>;

    /// A whole message, of a kind this session wants ([`Connection::inspect`]; all, at first).
    fn on_message(
        &mut self,
        plugin: &Self::Plugin,
        connection: &Connection,
        sender: Side,
        message: Message,
    ) -> MessageVerdict;

    /// The time given to [`Connection::set_timer`] has come.
    fn on_timer(&mut self, plugin: &Self::Plugin, connection: &Connection) {
        let _ = (plugin, connection);
    }

    /// The proxy will close this session soon: a last chance to send something.
    fn on_drain(&mut self, plugin: &Self::Plugin, connection: &Connection) {
        let _ = (plugin, connection);
    }

    /// The session has ended; sending fails from here.
    fn on_close(&mut self, plugin: &Self::Plugin, connection: &Connection, closed: CloseInfo) {
        let _ = (plugin, connection, closed);
    }

    /// This session's state for the plugin's next version; `None`, the default, where it cannot be carried over and the
    /// session is to stay with this version. [`state`](crate::state) makes JSON of it.
    ///
    /// Asked between two messages when another version is put in service with `migrate = true`. If that version takes the
    /// session over, no other method is called, [`on_close`](Self::on_close) among them: it has not ended. If not, it goes on
    /// here as if nothing had been asked.
    fn export_state(&self, plugin: &Self::Plugin) -> Option<Vec<u8>> {
        let _ = plugin;
        None
    }

    /// A session that the previous version opened and exported. A timer that is set, the messages that are
    /// wanted ([`Connection::inspect`]) and the connection's attributes are as they were, unless this asks for others.
    ///
    /// A slot of [`limits`](crate::limits) that the previous version's session held itself is given back after this; one that was
    /// handed to [`Request::hold`] stays with the WebSocket, whatever version serves it.
    ///
    /// # Errors
    ///
    /// Words for the log, where the state means nothing to this version; that is the default.
    fn import_state(plugin: &Self::Plugin, connection: &Connection, state: Vec<u8>) -> Result<Self, String> {
        let _ = (plugin, connection, state);
        Err("this plugin does not carry sessions over".to_owned())
    }
}
