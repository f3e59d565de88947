//! Testing a plugin with plain `cargo test`: no host, no WebAssembly.
//!
//! Natively, requests and connections are made by builders, and remember what a hook did to them. The clock
//! stands still until [`advance`] moves it, limits count by that clock, random numbers repeat, and log lines
//! are kept for [`logs`]. All of it belongs to the thread, as each test does, so tests do not see each other;
//! where they share a thread (`--test-threads=1`), begin each with [`reset`].
//!
//! ```
//! use sluicegate_sdk::prelude::*;
//!
//! struct Canary;
//!
//! impl Plugin for Canary {
//!     type Settings = NoSettings;
//!     fn configure(_: NoSettings) -> Result<Self, ConfigureError> { Ok(Self) }
//! }
//! impl RequestHook for Canary {
//!     fn on_request(&self, request: &Request) -> RequestVerdict {
//!         if let Err(error) = request.route_to("canary") {
//!             log::error!("cannot route: {error}");
//!         }
//!         RequestVerdict::Pass
//!     }
//! }
//! export!(Canary: RequestHook);
//!
//! let canary: Canary = testing::configure("{}")?;
//!
//! let request = Request::builder().upstreams(["stable", "canary"]).build();
//! canary.on_request(&request);
//! assert_eq!(request.routed_to(), Some("canary"));
//!
//! let request = Request::builder().upstreams(["stable"]).build();
//! canary.on_request(&request);
//! assert_eq!(request.routed_to(), None);
//! assert_eq!(testing::logs().len(), 1);
//! # Ok::<(), ConfigureError>(())
//! ```
//!
//! None of this exists in a WebAssembly build.

mod connection;
mod fields;
pub(crate) mod host;
pub(crate) mod http;
mod request;
mod response;
pub(crate) mod store;

use std::time::Duration;

pub use connection::ConnectionBuilder;
pub use http::SentRequest;
pub use request::RequestBuilder;
pub use response::ResponseHeadBuilder;

use crate::Response;
use crate::error::ConfigureError;
use crate::http::HttpError;
use crate::log::Level;
use crate::plugin::{self, Plugin};

/// Make a plugin from settings in JSON, as the host does from the configuration's table.
///
/// # Errors
///
/// What the operator would read.
///
/// ```
/// use sluicegate_sdk::prelude::*;
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Settings { max: u32 }
///
/// struct Cap { max: u32 }
///
/// impl Plugin for Cap {
///     type Settings = Settings;
///     fn configure(settings: Settings) -> Result<Self, ConfigureError> { Ok(Self { max: settings.max }) }
/// }
///
/// assert_eq!(testing::configure::<Cap>(r#"{ "max": 3 }"#)?.max, 3);
/// let error = testing::configure::<Cap>(r#"{ "maxi": 3 }"#).err().unwrap();
/// assert_eq!(error.to_string(), "maxi: unknown field `maxi`, expected `max`");
/// # Ok::<(), ConfigureError>(())
/// ```
pub fn configure<P: Plugin>(settings: &str) -> Result<P, ConfigureError> {
    plugin::configure(settings)
}

/// Move the clocks of this thread forward.
///
/// ```
/// use std::time::Duration;
/// use sluicegate_sdk::{clock, testing};
///
/// let before = clock::since_unix_epoch();
/// testing::advance(Duration::from_millis(1500));
/// assert_eq!(clock::since_unix_epoch() - before, Duration::from_millis(1500));
/// ```
pub fn advance(duration: Duration) {
    host::clock::advance(duration);
}

/// Set a variable that the plugin was granted.
///
/// ```
/// use sluicegate_sdk::{env, testing};
///
/// testing::set_env("API_TOKEN", "s3cret");
/// assert_eq!(env::get("API_TOKEN").as_deref(), Some("s3cret"));
/// ```
pub fn set_env(name: &str, value: &str) {
    host::env::set(name, value);
}

/// Grant the plugin an upstream, whose servers answer like this.
///
/// ```
/// use sluicegate_sdk::{Response, http, testing};
///
/// testing::upstream("auth", |sent| Ok(Response::text(200, sent.path.clone())));
/// assert_eq!(http::Request::get("/whoami").send("auth")?.text(), "/whoami");
/// # Ok::<(), http::HttpError>(())
/// ```
pub fn upstream(name: &str, answering: impl Fn(&SentRequest) -> Result<Response, HttpError> + 'static) {
    http::answer(name, answering);
}

/// The lines logged in this thread so far.
///
/// ```
/// use sluicegate_sdk::{log, testing};
///
/// log::info!("one");
/// assert_eq!(testing::logs(), [(log::Level::Info, "one".to_owned())]);
/// ```
#[must_use]
pub fn logs() -> Vec<(Level, String)> {
    host::log::lines()
}

/// Have the store be out of reach for this thread, until [`reset`].
///
/// ```
/// use sluicegate_sdk::store::{self, StoreError};
/// use sluicegate_sdk::testing;
///
/// testing::lose_store();
/// assert_eq!(store::get("key"), Err(StoreError::Unavailable));
/// testing::reset();
/// assert_eq!(store::get("key"), Ok(None));
/// ```
pub fn lose_store() {
    store::lose();
}

/// Begin anew: clock, limits, store, random numbers, log lines, variables and upstreams of this thread.
///
/// ```
/// use sluicegate_sdk::{log, testing};
///
/// log::info!("one");
/// testing::reset();
/// assert!(testing::logs().is_empty());
/// ```
pub fn reset() {
    host::clock::reset();
    host::env::reset();
    http::reset();
    host::limits::reset();
    host::log::reset();
    host::random::reset();
    store::reset();
}
