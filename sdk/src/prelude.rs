//! What nearly every plugin uses: `use sluicegate_sdk::prelude::*;`.
//!
//! ```
//! use sluicegate_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Settings {
//!     allow: Vec<String>,
//! }
//! struct OriginCheck {
//!     allow: Vec<String>,
//! }
//!
//! impl Plugin for OriginCheck {
//!     type Settings = Settings;
//!     fn configure(settings: Settings) -> Result<Self, ConfigureError> {
//!         Ok(Self { allow: settings.allow })
//!     }
//! }
//! impl RequestHook for OriginCheck {
//!     fn on_request(&self, request: &Request) -> RequestVerdict {
//!         match request.header("origin") {
//!             Some(origin) if self.allow.iter().any(|allowed| allowed == origin) => RequestVerdict::Pass,
//!             _ => RequestVerdict::respond(403, "origin not allowed"),
//!         }
//!     }
//! }
//! export!(OriginCheck: RequestHook);
//!
//! let plugin: OriginCheck = testing::configure(r#"{ "allow": ["https://chat.example.com"] }"#)?;
//! let request = Request::builder().header("origin", "https://evil.example").build();
//! assert_ne!(plugin.on_request(&request), RequestVerdict::Pass);
//! # Ok::<(), ConfigureError>(())
//! ```

#[cfg(not(target_arch = "wasm32"))]
#[doc(no_inline)]
pub use crate::testing;
#[doc(no_inline)]
pub use crate::{
    ClientCertificate, CloseInfo, CloseReason, Closer, ConfigureError, Connection, EditError, HeaderField,
    Message, MessageKinds, MessageVerdict, NoSettings, Plugin, Request, RequestHook, RequestKey,
    RequestVerdict, Response, ResponseHead, ResponseHook, SendError, Session, SessionHook, Side, clock, env,
    export, http, limits, log, random, state, store,
};
#[doc(no_inline)]
pub use serde::{Deserialize, Serialize};
