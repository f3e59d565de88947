//! A session's state as JSON, on its way to the plugin's next version.
//!
//! JSON, since the next version may know more or less than this one: with `#[serde(default)]` it does without what an
//! older one did not say, and what it does not know it ignores. What is exported is read by one version, a moment later,
//! on the same machine.
//!
//! ```
//! use sluicegate_sdk::prelude::*;
//!
//! struct Counter;
//!
//! impl Plugin for Counter {
//!     type Settings = NoSettings;
//!     fn configure(_: NoSettings) -> Result<Self, ConfigureError> { Ok(Self) }
//! }
//!
//! impl SessionHook for Counter {
//!     type Session = Counted;
//!     fn open(&self, _: &Request, _: &Connection) -> Result<Counted, Response> { Ok(Counted::default()) }
//! }
//!
//! #[derive(Default, Deserialize, Serialize)]
//! struct Counted {
//!     messages: u64,
//!     /// New in this version.
//!     #[serde(default)]
//!     bytes: u64,
//! }
//!
//! impl Session for Counted {
//!     type Plugin = Counter;
//!
//!     fn on_message(&mut self, _: &Counter, _: &Connection, _: Side, message: Message) -> MessageVerdict {
//!         self.messages += 1;
//!         self.bytes += message.len() as u64;
//!         MessageVerdict::Forward
//!     }
//!     fn export_state(&self, _: &Counter) -> Option<Vec<u8>> {
//!         state::export(self)
//!     }
//!     fn import_state(_: &Counter, _: &Connection, state: Vec<u8>) -> Result<Self, String> {
//!         state::import(&state)
//!     }
//! }
//!
//! export!(Counter: SessionHook);
//!
//! let connection = Connection::builder().build();
//! let by_the_last_version = br#"{ "messages": 7 }"#.to_vec();
//! let session = Counted::import_state(&Counter, &connection, by_the_last_version).unwrap();
//! assert_eq!((session.messages, session.bytes), (7, 0));
//! assert_eq!(session.export_state(&Counter).unwrap(), br#"{"messages":7,"bytes":0}"#);
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What [`Session::export_state`](crate::Session::export_state) gives; `None`, and a line in the log, where `state` has no
/// JSON: a map whose keys are no strings, for one.
#[must_use]
pub fn export(state: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(state).inspect_err(|error| crate::log::error!("state not exported: {error}")).ok()
}

/// What [`Session::import_state`](crate::Session::import_state) makes of it.
///
/// # Errors
///
/// What of the state this version does not understand.
pub fn import<T: DeserializeOwned>(state: &[u8]) -> Result<T, String> {
    serde_json::from_slice(state).map_err(|error| format!("state not understood: {error}"))
}
