//! `[[upstream]]`: a pool of servers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode};

use super::KeyPair;

/// `[[upstream]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `name`: unique, and what routes and plugins call it.
    pub name: String,
    /// `servers`: at least one.
    pub servers: Vec<UpstreamServer>,
    /// `balance` and `hash`: which server is next. Default `round-robin`. An affinity that a plugin set comes before it,
    /// and so does a sticky cookie.
    pub balance: Balance,
    /// `sticky`: a cookie by which a client comes back to its server; nginx's `sticky cookie`. Default: none.
    pub sticky: Option<Sticky>,
    /// `queue`: what waits, in order, while every server has its `max-sessions`; nginx's `queue`. Default: nothing
    /// waits, and the answer is 503.
    pub queue: Option<Queue>,
    /// `slow-start`: over how long the share of a server that came back grows from nothing to its weight; nginx's
    /// `slow_start`. Of no effect where a key decides. Default: none.
    pub slow_start: Option<Duration>,
    /// `max-fails`: failures within `fail-timeout` after which a server is passed over for as long. A failure is a
    /// connection that does not come about, an answer that does not come, or one with a status of `retry`.
    /// Default 1, 0 (never) to 1,000; nginx's `max_fails`.
    pub max_fails: u32,
    /// `fail-timeout`: see `max-fails`; then one request shows whether the server is back. Default 10 s; nginx's
    /// `fail_timeout`.
    pub fail_timeout: Duration,
    pub retry: Retry,
    pub keep_alive: UpstreamKeepAlive,
    /// `health`: asking the servers themselves. Default: none.
    pub health: Option<Health>,
    /// `resolve`: how often names of servers are resolved anew. Default 30 s, 1 s or more.
    pub resolve_interval: Duration,
    /// `proxy-protocol`: `"v1"` or `"v2"`: what connections to the servers begin with, so that these learn the client's
    /// address without reading HTTP. Default: nothing. nginx's `proxy_protocol on` (of its stream module).
    pub proxy_protocol: Option<ProxyProtocol>,
    /// `http-version`: `"1.1"` or `"2"`: what requests are sent by. Over HTTP/2 those of a worker share connections; with
    /// `https://` servers it is agreed on by ALPN, others are expected to know (RFC 9113 §3.3). Handshakes of WebSockets
    /// are sent by HTTP/1.1 in any case. Default `"1.1"`; nginx's `proxy_http_version`. Not `"2"` with `proxy-protocol`.
    pub http_version: HttpVersion,
    /// `tls`: how those of `servers` are spoken to that begin with `https://`. Only where there are such; their default is
    /// [`UpstreamTls::default`].
    pub tls: Option<UpstreamTls>,
}

/// `tls` of an upstream. Files are in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// `ca`: who must have issued a server's certificate, instead of those that the system trusts; nginx's
    /// `proxy_ssl_trusted_certificate`.
    pub ca: Option<PathBuf>,
    /// `server-name`: the name that is asked for (SNI) and that a server's certificate must be for. Default: the host of
    /// its address; nginx's `proxy_ssl_name`.
    pub server_name: Option<String>,
    /// `certificate` and `key`: what the proxy shows where it is asked; nginx's `proxy_ssl_certificate`.
    pub certificate: Option<KeyPair>,
    /// `verify`: whether it matters who a server is. Default `true`, unlike nginx's `proxy_ssl_verify`.
    pub verify: bool,
}

/// `http-version`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    Http1,
    Http2,
}

/// `proxy-protocol` of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    V1,
    V2,
}

/// One of `servers`: `"HOST:PORT"`, `"unix:/PATH"` or `{ address = "HOST:PORT", weight = 2 }`. `https://` (or `wss://`, which
/// is the same) may be in front of a host; its port may be missing then, and is 443.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamServer {
    /// `HOST:PORT`, IPv6 in brackets, or `unix:` and the absolute path of a socket. All addresses of a name are one
    /// server, connected to in turn.
    pub address: String,
    /// Whether it speaks TLS.
    pub https: bool,
    /// `weight`: its share. Default 1, 1 to 1,000.
    pub weight: u32,
    /// `backup`: used only while no other server can be. Default false.
    pub backup: bool,
    /// `drain`: takes nothing new, not even from clients that belong to it; what it has stays. Default false.
    pub drain: bool,
    /// `max-sessions`: sessions and requests at once, over all workers; nginx's `max_conns`. Default: any number;
    /// 1 to 1,000,000.
    pub max_sessions: Option<u32>,
}

/// `balance`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest sessions and requests in flight, in proportion to its weight; nginx's `least_conn`.
    LeastConnections,
    /// Of two drawn by weight the one with fewer; nginx's `random two least_conn`.
    RandomTwo,
    /// By the client's address, the whole of it.
    IpHash,
    /// `hash`: by this; without it in turn.
    Hash(HashKey),
}

/// `hash`: what requests that belong together have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    Header(HeaderName),
    Cookie(String),
    /// Its first value, as it is spelled.
    Query(String),
    /// Only what a plugin set.
    Affinity,
}

/// `sticky`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// `cookie`: its name.
    pub cookie: String,
    /// `secret`: what the cookie's values are made with, so that several proxies agree and values outlive a restart.
    /// 16 bytes or more. Default: random, of this process alone.
    pub secret: Option<Secret>,
}

/// A text that is not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// `queue`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// `length`: how many wait at most, then 503. 1 to 100,000; no default.
    pub length: usize,
    /// `timeout`: how long each waits, then 503. Default 60 s, as nginx has it.
    pub timeout: Duration,
}

/// `retry`, `retry-attempts` and `retry-timeout`: what is tried again with another server. A connection that does not come
/// about always is, within the route's `connect`; a request that was sent only if it is idempotent (RFC 9110 §9.2.2)
/// and nothing of a body was read from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// `retry`: `"connect"`, which is always so, and statuses from 500 to 599. Default `["connect"]`; nginx's
    /// `proxy_next_upstream`.
    pub statuses: Vec<StatusCode>,
    /// `retry-attempts`: how often one request is sent at most. Default 3, 1 to 100; nginx's
    /// `proxy_next_upstream_tries`.
    pub attempts: u32,
    /// `retry-timeout`: from the first time it is sent to the last. Default 10 s; nginx's `proxy_next_upstream_timeout`.
    pub timeout: Duration,
}

/// `keep-alive`: connections to a server that are used for one request after another. Sessions always have their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamKeepAlive {
    /// `idle-max`: how many each worker keeps for each server while they idle. Default 32, 0 (none) to 10,000; nginx's
    /// `keepalive`.
    pub idle_max: usize,
    /// `timeout`: how long each may idle. Default 60 s, or less where the server's `Keep-Alive` field says so; nginx's
    /// `keepalive_timeout`.
    pub timeout: Duration,
    /// `requests-max`: how many requests each serves. Default 1,000, 1 to 1,000,000; nginx's `keepalive_requests`.
    pub requests_max: u32,
}

/// `health`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `http` or `websocket`: exactly one.
    pub probe: Probe,
    /// `host`: the `host` of the checks. Default: the server's address.
    pub host: Option<HeaderValue>,
    /// `interval`: between two checks of a server. Default 5 s, 100 ms or more.
    pub interval: Duration,
    /// `timeout`: for a whole check. Default 2 s.
    pub timeout: Duration,
    /// `rise`: checks in a row that must go well for a server to be used again. Default 2, 1 to 100.
    pub rise: u32,
    /// `fall`: checks in a row that must fail for it not to be. Default 3, 1 to 100.
    pub fall: u32,
}

/// How a server is asked for its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `http = { path = "/health", status = 200 }`: a GET must be answered with this status. Default 200.
    Http { path: PathAndQuery, status: StatusCode },
    /// `websocket = { path = "/ws" }`: a WebSocket must open, answer a ping, and close.
    WebSocket { path: PathAndQuery },
}
