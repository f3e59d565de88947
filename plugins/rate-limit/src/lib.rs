//! Bounds how much each client may ask for: requests, exchanges at a time, messages.
//!
//! ```toml
//! [[plugin]]
//! name = "rate-limit"
//! file = "target/plugins/rate-limit.wasm"
//!
//! [plugin.settings]
//! requests = { rate = "10/s", burst = 20 }
//! connections = { max = 10 }
//! messages = { rate = "20/s", burst = 40, action = "drop" }
//! ```
//!
//! | setting | meaning |
//! |---|---|
//! | `requests` | requests of one key: `rate` as `"10/s"`, `"100/m"` or `"1000/h"`, `burst` at once (the rate's number, unless given) |
//! | `connections` | exchanges of one key in progress at a time, as nginx's `limit_conn` counts them; a WebSocket is one until it closes |
//! | `messages` | WebSocket messages of one key from the client; what is over is dropped, or closes the session with 1008 where `action = "close"` |
//! | `key` | what counts as one client: its address, or `header:NAME`, `cookie:NAME` or `query:NAME`. Where a request has no such part, its client's address counts. |
//!
//! Each part may be left out. Refused requests are answered with 429 and `retry-after`.
//!
//! A client can choose what stands in its header fields: use a `key` only that something before this plugin
//! has checked or set. Requests and connections are counted by all nodes together where the configuration
//! names a shared store; messages by each process for itself. While that store cannot be reached,
//! `store-on-failure = { requests = "pass", connections = "pass" }` beside `settings` lets all in; 429 otherwise.

mod session;

use std::time::Duration;

use limits::Rate;
pub use session::MessageRate;
use sluicegate_sdk::prelude::*;

/// The `settings` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    requests: Option<Requests>,
    connections: Option<Connections>,
    messages: Option<Messages>,
    key: Option<RequestKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Requests {
    rate: Rate,
    burst: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Connections {
    max: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Messages {
    rate: Rate,
    burst: Option<u32>,
    #[serde(default)]
    action: Action,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    #[default]
    Drop,
    Close,
}

/// The plugin.
pub struct RateLimit {
    requests: Option<Rate>,
    connections_max: Option<u32>,
    messages: Option<(Rate, Action)>,
    key: Option<RequestKey>,
}

impl Plugin for RateLimit {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, ConfigureError> {
        let Settings { requests, connections, messages, key } = settings;
        if requests.is_none() && connections.is_none() && messages.is_none() {
            return Err(ConfigureError::new(
                "nothing is limited; give at least one of `requests`, `connections` and `messages`",
            ));
        }
        if connections.as_ref().is_some_and(|connections| connections.max == 0) {
            return Err(ConfigureError::new("connections.max: 0 would refuse everybody; give at least 1"));
        }
        let requests = requests.map(|requests| with_burst("requests", requests.rate, requests.burst));
        let messages = messages.map(|messages| {
            let rate = with_burst("messages", messages.rate, messages.burst)?;
            Ok((rate, messages.action))
        });
        Ok(Self {
            requests: requests.transpose()?,
            connections_max: connections.map(|connections| connections.max),
            messages: messages.transpose()?,
            key,
        })
    }
}

impl RequestHook for RateLimit {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        match self.admit(request) {
            Ok(()) => RequestVerdict::Pass,
            Err(refusal) => RequestVerdict::Respond(refusal),
        }
    }
}

export!(RateLimit: RequestHook, SessionHook);

impl RateLimit {
    fn admit(&self, request: &Request) -> Result<(), Response> {
        let key = self.key(request);
        if let Some(rate) = self.requests {
            limits::take("requests", key, rate, 1).map_err(|wait| too_many(wait, "too many requests\n"))?;
        }
        if let Some(max) = self.connections_max {
            let slot = limits::acquire("connections", key, max)
                .ok_or_else(|| too_many(Duration::ZERO, "too many connections\n"))?;
            request.hold(slot).map_err(|error| {
                log::error!("cannot count this connection: {error}");
                Response::text(500, "cannot count this connection\n")
            })?;
        }
        Ok(())
    }

    fn key<'a>(&self, request: &'a Request) -> &'a str {
        let key = self.key.as_ref().and_then(|key| key.of(request));
        key.unwrap_or_else(|| request.client_address())
    }
}

fn with_burst(part: &str, rate: Rate, burst: Option<u32>) -> Result<Rate, ConfigureError> {
    match burst {
        Some(0) => {
            Err(ConfigureError::new(format_args!("{part}.burst: 0 would refuse everything; give at least 1")))
        }
        Some(burst) => Ok(rate.with_burst(burst)),
        None => Ok(rate),
    }
}

/// 429, with the time to wait in whole seconds (RFC 9110 §10.2.3), rounded up lest the client come back too
/// early.
fn too_many(wait: Duration, text: &str) -> Response {
    let retry_after_s = wait.as_millis().div_ceil(1000).max(1);
    Response::text(429, text).with_header("retry-after", retry_after_s.to_string())
}

#[cfg(test)]
mod tests;
