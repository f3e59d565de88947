//! Chooses the upstream by what stands in the request: a tenant's field, a cookie, a share of the clients.
//!
//! ```toml
//! [[plugin]]
//! name = "router"
//! file = "target/plugins/router.wasm"
//!
//! [plugin.settings]
//! affinity = "query:room"
//! rules = [
//!     { header = { name = "x-tenant", value = "b" }, upstream = "b" },
//!     { cookie = { name = "beta", value = "yes" }, upstream = "canary" },
//!     { query = { name = "region", value = "eu" }, upstream = "eu" },
//!     { subprotocol = "chat.v2", upstream = "chat-v2" },
//!     { percent = 10, upstream = "canary" },
//! ]
//! ```
//!
//! | setting | meaning |
//! |---|---|
//! | `rules` | each has one condition and an upstream; the first that matches is taken, and where none does, the route's own upstream |
//! | `header`, `cookie`, `query` | matches where the request has exactly this value |
//! | `subprotocol` | matches where the client offers it (RFC 6455 §4.1) |
//! | `percent` | matches this share of the client addresses, always the same ones |
//! | `affinity` | `header:NAME`, `cookie:NAME` or `query:NAME`: requests with the same value go to the same server of the upstream as long as it is there |
//!
//! A rule that names an upstream which the configuration does not have is answered with 502 and logged: going
//! on to another upstream would be the wrong tenant's.

mod share;

use share::Share;
use sluicegate_sdk::prelude::*;

/// The `settings` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    #[serde(default)]
    rules: Vec<RuleSettings>,
    affinity: Option<RequestKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleSettings {
    header: Option<Pair>,
    cookie: Option<Pair>,
    query: Option<Pair>,
    subprotocol: Option<String>,
    percent: Option<f64>,
    upstream: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    name: String,
    value: String,
}

/// The plugin.
pub struct Router {
    rules: Vec<Rule>,
    affinity: Option<RequestKey>,
}

struct Rule {
    condition: Condition,
    upstream: String,
}

enum Condition {
    Is(RequestKey, String),
    Subprotocol(String),
    Share(Share),
}

impl Plugin for Router {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, ConfigureError> {
        let rules = settings.rules.into_iter().enumerate();
        let rules = rules.map(|(index, rule)| {
            Rule::new(rule).map_err(|error| ConfigureError::new(format_args!("rules[{index}]: {error}")))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, affinity: settings.affinity })
    }
}

impl RequestHook for Router {
    fn on_request(&self, request: &Request) -> RequestVerdict {
        match self.route(request) {
            Ok(()) => RequestVerdict::Pass,
            Err(error) => {
                log::error!("cannot route: {error}");
                RequestVerdict::respond(502, "no upstream for this request\n")
            }
        }
    }
}

export!(Router: RequestHook);

impl Router {
    fn route(&self, request: &Request) -> Result<(), String> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.condition.matches(request)) {
            let upstream = &rule.upstream;
            request.route_to(upstream).map_err(|error| format!("upstream `{upstream}`: {error}"))?;
        }
        if let Some(key) = self.affinity.as_ref().and_then(|affinity| affinity.of(request)) {
            request.set_affinity(key).map_err(|error| format!("affinity `{key}`: {error}"))?;
        }
        Ok(())
    }
}

impl Rule {
    fn new(settings: RuleSettings) -> Result<Self, ConfigureError> {
        let RuleSettings { header, cookie, query, subprotocol, percent, upstream } = settings;
        let given = [
            header.map(|pair| Condition::Is(RequestKey::Header(pair.name), pair.value)),
            cookie.map(|pair| Condition::Is(RequestKey::Cookie(pair.name), pair.value)),
            query.map(|pair| Condition::Is(RequestKey::Query(pair.name), pair.value)),
            subprotocol.map(Condition::Subprotocol),
            percent.map(|percent| Share::new(percent, &upstream)).transpose()?.map(Condition::Share),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(condition), None) => Ok(Self { condition, upstream }),
            _ => Err(ConfigureError::new(
                "give exactly one of `header`, `cookie`, `query`, `subprotocol` and `percent`",
            )),
        }
    }
}

impl Condition {
    fn matches(&self, request: &Request) -> bool {
        match self {
            Self::Is(key, value) => key.of(request) == Some(value),
            Self::Subprotocol(name) => request.subprotocols().contains(name),
            Self::Share(share) => share.contains(request.client_address()),
        }
    }
}

#[cfg(test)]
mod tests;
