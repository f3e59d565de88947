//! Lets requests in only from the web pages they are meant for.
//!
//! A browser lets any page open a WebSocket to any server and sends the user's cookies along; all the server
//! gets to tell pages apart is the `origin` field (RFC 6455 §10.2). This plugin compares it with a list:
//!
//! ```toml
//! [[plugin]]
//! name = "origin-check"
//! file = "target/plugins/origin-check.wasm"
//! settings = { allow = ["https://chat.example.com", "https://*.example.com"], missing = "refuse" }
//! ```
//!
//! | setting | meaning |
//! |---|---|
//! | `allow` | origins that may enter: scheme, host and, where it is not the scheme's own, port. `*.` stands for one or more labels, so not for the name after it. `null` for pages without an origin, such as local files. |
//! | `missing` | a request without `origin`, as programs other than browsers send it: `refuse` (the default) or `pass` |
//!
//! Any other request is answered with 403, one with two origins among them.

mod origin;

use origin::{Origin, Pattern};
use sluicegate_sdk::prelude::*;

/// The `settings` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    allow: Vec<String>,
    #[serde(default)]
    missing: Missing,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Missing {
    #[default]
    Refuse,
    Pass,
}

/// The plugin.
pub struct OriginCheck {
    allow: Vec<Pattern>,
    missing: Missing,
}

impl Plugin for OriginCheck {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, ConfigureError> {
        if settings.allow.is_empty() {
            return Err(ConfigureError::new(
                "allow: an empty list lets nobody in; give an origin such as `https://chat.example.com`",
            ));
        }
        let allow = settings.allow.iter().map(|text| Pattern::parse(text));
        Ok(Self { allow: allow.collect::<Result<_, _>>()?, missing: settings.missing })
    }
}

impl RequestHook for OriginCheck {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        let allowed = match request.header_lines("origin").as_slice() {
            [] => self.missing == Missing::Pass,
            [value] => self.allows(value),
            _ => false,
        };
        if allowed { RequestVerdict::Pass } else { RequestVerdict::respond(403, "origin not allowed\n") }
    }
}

export!(OriginCheck: RequestHook);

impl OriginCheck {
    fn allows(&self, value: &[u8]) -> bool {
        std::str::from_utf8(value)
            .ok()
            .and_then(Origin::parse)
            .is_some_and(|origin| self.allow.iter().any(|pattern| pattern.matches(&origin)))
    }
}

#[cfg(test)]
mod tests;
