//! Values of the proxy's environment: for secrets that shall not stand in the configuration.
//!
//! The configuration grants each variable by name: `grants = ["env:API_TOKEN"]`.
//!
//! ```
//! use sluicegate_sdk::prelude::*;
//!
//! struct Doorman { token: String }
//!
//! impl Plugin for Doorman {
//!     type Settings = NoSettings;
//!
//!     fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
//!         let token = env::get("API_TOKEN").ok_or_else(|| ConfigureError::new("API_TOKEN: set it, and grant it"))?;
//!         Ok(Self { token })
//!     }
//! }
//! # impl RequestHook for Doorman {
//! #     fn on_request(&self, _: &Request) -> RequestVerdict { RequestVerdict::Pass }
//! # }
//! # export!(Doorman: RequestHook);
//!
//! assert!(testing::configure::<Doorman>("{}").is_err());
//! testing::set_env("API_TOKEN", "s3cret");
//! assert_eq!(testing::configure::<Doorman>("{}")?.token, "s3cret");
//! # Ok::<(), ConfigureError>(())
//! ```

use crate::host;

/// The variable's value as it was when the plugin was loaded; `None` where it is not set, is no UTF-8, or was not granted.
///
/// The compiled image of a plugin that asks in `configure` is not kept on disk, so it is compiled at each start.
///
/// ```
/// use sluicegate_sdk::{env, testing};
///
/// assert_eq!(env::get("REGION"), None);
/// testing::set_env("REGION", "eu");
/// assert_eq!(env::get("REGION").as_deref(), Some("eu"));
/// ```
#[must_use]
pub fn get(name: &str) -> Option<String> {
    host::env::get(name)
}
