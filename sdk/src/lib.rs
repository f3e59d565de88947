//! Write Sluicegate plugins in Rust.
//!
//! A plugin decides what differs from one application to the next: who may enter, where a request goes, what
//! becomes of a WebSocket message. It is a small library, compiled to WebAssembly, that the proxy loads,
//! bounds and replaces without dropping a connection. This page makes one from nothing.
//!
//! # A crate
//!
//! ```toml
//! [package]
//! name = "doorman"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib", "rlib"]     # the plugin, and what its tests use
//!
//! [dependencies]
//! serde = { version = "1", features = ["derive"] }
//! sluicegate-sdk = { path = "../sluicegate/sdk" }
//! ```
//!
//! # A plugin
//!
//! A plugin is a type, its settings another, and there is one trait for each hook. This one turns away
//! requests without a token, and greets the users it lets in:
//!
//! ```
//! use sluicegate_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields, rename_all = "kebab-case")]
//! struct Settings {
//!     token: String,
//!     #[serde(default = "hello")]
//!     greeting: String,
//! }
//!
//! fn hello() -> String {
//!     "hello".to_owned()
//! }
//!
//! struct Doorman {
//!     settings: Settings,
//! }
//!
//! impl Plugin for Doorman {
//!     type Settings = Settings;
//!
//!     fn configure(settings: Settings) -> Result<Self, ConfigureError> {
//!         if settings.token.is_empty() {
//!             return Err(ConfigureError::new("token: an empty one would let everybody in"));
//!         }
//!         Ok(Self { settings })
//!     }
//! }
//!
//! impl RequestHook for Doorman {
//!     fn on_request(&self, request: &Request) -> RequestVerdict {
//!         if request.header("x-token") == Some(&self.settings.token) {
//!             RequestVerdict::Pass
//!         } else {
//!             log::info!("turned away {}", request.client_address());
//!             RequestVerdict::respond(401, "no token\n")
//!         }
//!     }
//! }
//!
//! impl SessionHook for Doorman {
//!     type Session = Greeted;
//!
//!     fn open(&self, _: &Request, connection: &Connection) -> Result<Greeted, Response> {
//!         connection.inspect(Side::Upstream, MessageKinds::NONE);
//!         Ok(Greeted { before: false })
//!     }
//! }
//!
//! struct Greeted {
//!     before: bool,
//! }
//!
//! impl Session for Greeted {
//!     type Plugin = Doorman;
//!
//!     fn on_message(
//!         &mut self, doorman: &Doorman, connection: &Connection, _sender: Side, _message: Message,
//!     ) -> MessageVerdict {
//!         if !self.before {
//!             self.before = true;
//!             if let Err(error) = connection.send(Side::Client, doorman.settings.greeting.as_str()) {
//!                 log::warn!("not greeted: {error}");
//!             }
//!         }
//!         MessageVerdict::Forward
//!     }
//! }
//!
//! export!(Doorman: RequestHook, SessionHook);
//! #
//! # let doorman: Doorman = testing::configure(r#"{ "token": "s3cret" }"#).unwrap();
//! # let stranger = Request::builder().build();
//! # assert_eq!(doorman.on_request(&stranger).response().unwrap().status, 401);
//! # let guest = Request::builder().header("x-token", "s3cret").build();
//! # assert_eq!(doorman.on_request(&guest), RequestVerdict::Pass);
//! # let connection = Connection::builder().build();
//! # let mut session = doorman.open(&guest, &connection).unwrap();
//! # for _ in 0..2 {
//! #     let verdict = session.on_message(&doorman, &connection, Side::Client, "hi".into());
//! #     assert_eq!(verdict, MessageVerdict::Forward);
//! # }
//! # assert_eq!(connection.sent(), [(Side::Client, Message::from("hello"))]);
//! ```
//!
//! [`export!`] lists the hooks the file shall have. The host calls those, and relays everything else without
//! asking; a list that does not fit the implementations does not compile.
//!
//! | hook | called | says |
//! |---|---|---|
//! | [`Plugin::configure`] | once, when the configuration is checked or loaded | whether the settings make sense |
//! | [`RequestHook`] | for each request, handshakes included | pass, or an answer of its own; edits and routes it |
//! | [`ResponseHook`] | for each answer of the upstream | nothing; edits its head |
//! | [`SessionHook`] | for each WebSocket, before it opens | a [`Session`], or an answer that refuses it |
//! | [`Session`] | for each message, timer, and the end | forward, replace, drop or close |
//!
//! # Its tests
//!
//! Plain `cargo test`, on any machine. [`testing`] has the rest.
//!
//! ```
//! # use sluicegate_sdk::prelude::*;
//! # struct Doorman;
//! # impl Plugin for Doorman {
//! #     type Settings = Settings;
//! #     fn configure(_: Settings) -> Result<Self, ConfigureError> { Ok(Self) }
//! # }
//! # #[derive(Deserialize)]
//! # struct Settings { #[serde(rename = "token")] _token: String }
//! # impl RequestHook for Doorman {
//! #     fn on_request(&self, _: &Request) -> RequestVerdict { RequestVerdict::respond(401, "no token\n") }
//! # }
//! # export!(Doorman: RequestHook);
//! let doorman: Doorman = testing::configure(r#"{ "token": "s3cret" }"#)?;
//! let stranger = Request::builder().path("/ws").websocket(true).build();
//! assert_eq!(doorman.on_request(&stranger), RequestVerdict::respond(401, "no token\n"));
//! # Ok::<(), ConfigureError>(())
//! ```
//!
//! # Running it
//!
//! `sluicegate plugin build` compiles it for `wasm32-unknown-unknown`; the configuration names the file:
//!
//! ```toml
//! [[plugin]]
//! name = "doorman"
//! file = "doorman.wasm"
//! settings = { token = "s3cret" }
//!
//! [[route]]
//! path = "/ws"
//! upstream = "chat"
//! plugins = ["doorman"]
//! ```
//!
//! # What to know
//!
//! * **Nothing is shared between sessions.** By default each WebSocket has an instance of the plugin to itself,
//!   a copy of what `configure` left. What must be counted together is counted by the host: see [`limits`].
//! * **Look at as little as you can.** What no plugin wants to see costs next to nothing:
//!   [`Connection::inspect`] says which messages a session still wants.
//! * **A hook has a time limit.** There are no threads, files or sockets; `std::time::Instant::now` panics. [`clock`] and
//!   [`random`] stand in. Only what is on grant waits, and is not counted: requests of its own by [`http`].
//! * **What reaches beyond the exchange is on grant**: `grants` of the configuration lists what [`env`], [`http`] and [`store`] may
//!   reach, and a plugin that uses more does not load.
//! * **A panic costs what it was about**: the request (500) or the session (1011). The log has its words.
//! * **Say why.** [`log`] lines carry the plugin's name and the exchange; a [`ConfigureError`] is read by
//!   somebody who does not have the source.
//! * **To outlive its own replacement** a session hands its state to the next version: [`state`].

#![deny(missing_docs)]

#[cfg(target_arch = "wasm32")]
mod bindings;
mod connection;
mod error;
mod export;
mod hook;
mod host;
mod message;
mod plugin;
mod request;
mod request_key;
mod response;
mod text;

pub mod clock;
pub mod env;
pub mod http;
pub mod limits;
pub mod log;
pub mod prelude;
pub mod random;
pub mod state;
pub mod store;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use connection::Connection;
pub use error::{ConfigureError, EditError, SendError};
pub use hook::{RequestHook, RequestVerdict, ResponseHook, Session, SessionHook};
pub use message::{CloseInfo, CloseReason, Closer, Message, MessageKinds, MessageVerdict, Side};
pub use plugin::{NoSettings, Plugin};
pub use request::{ClientCertificate, Request};
pub use request_key::{RequestKey, RequestKeyError};
pub use response::{HeaderField, Response, ResponseHead};

/// What `export!` needs of this crate. No plugin names it.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_arch = "wasm32")]
    pub use crate::bindings::{
        Installed, LifecycleExport, Place, RequestExport, ResponseExport, SessionExport, lifecycle, request,
        response, session,
    };
    pub use crate::export::{Exported, hook};
}
