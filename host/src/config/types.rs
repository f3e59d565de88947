//! The validated configuration: what the rest of the host works with. No half-checked value is in here:
//! names are resolved to indices, paths to absolute ones, texts to durations and sizes.
//!
//! Where a duration has no bounds of its own, it is 1 ms to 365 days.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;

/// A whole configuration. Indices in it ([`PluginIndex`], [`UpstreamIndex`]) point into its own lists.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub listeners: Vec<Listener>,
    pub plugins: Vec<Plugin>,
    pub upstreams: Vec<Upstream>,
    pub routes: Vec<Route>,
}

/// Position in [`Config::plugins`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PluginIndex(pub usize);

/// Position in [`Config::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamIndex(pub usize);

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `workers`: threads that each own their connections. Default: the machine's cores. 1 to 1,024.
    pub workers: usize,
    /// `shutdown-grace`: how long sessions and requests may go on after SIGTERM. Default 30 s.
    pub shutdown_grace: Duration,
    /// `plugin-cache`: where compiled plugins are kept. Default: the user's or the service's cache folder.
    pub plugin_cache: PluginCache,
}

/// `plugin-cache`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginCache {
    /// `$CACHE_DIRECTORY`, or `sluicegate` in `$XDG_CACHE_HOME` or `$HOME/.cache`; none where none of these is set.
    Default,
    /// `"off"`: compile at each start.
    Off,
    /// This folder, which must be this user's own and nobody else's to write; it is made if it is not there.
    Folder(PathBuf),
}

/// `[[listener]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `address`, such as `127.0.0.1:8080` or `[::]:80`. Port 0 takes a free one, told in the log.
    pub address: SocketAddr,
    /// `trusted-proxies`: networks (`10.0.0.0/8`) and addresses (`::1`) of proxies in front of this listener, whose word
    /// on a request's client is taken; of the listener, as it decides from where it can be reached. Default: none. nginx's
    /// `set_real_ip_from` with `real_ip_recursive on`.
    pub trusted_proxies: Vec<IpNet>,
    /// `proxy-protocol`: every connection begins with a PROXY header (version 1 or 2), which must come within
    /// `timeouts.header`; connections from elsewhere than `trusted-proxies`, which must be given, are refused. Default
    /// false. nginx's `listen … proxy_protocol`.
    pub proxy_protocol: bool,
    /// `real-ip-header`: where trusted proxies write it. Default: in either, and both must agree where both are there.
    /// nginx's `real_ip_header`.
    pub real_ip_header: RealIpHeader,
    /// `forwarded-header`: whether upstreams are told of the client in `Forwarded` (RFC 7239), too. Default false.
    pub forwarded_header: bool,
    /// `timeouts.header`: from the first byte of a request head (or from accepting the connection) to
    /// its last. Default 60 s, nginx's `client_header_timeout`. Then 408.
    pub header_timeout: Duration,
    /// `timeouts.keep-alive`: how long a connection may idle between requests. Default 75 s, nginx's
    /// `keepalive_timeout`.
    pub keep_alive_timeout: Duration,
    /// `limits.header-bytes-max`: a request head, request line included. Default 64 KiB, which is also the most; 1 KiB at least. Then 431.
    pub header_bytes_max: usize,
    /// `limits.headers-max`: header lines of a request. Default 100, 1 to 1,000. Then 431.
    pub headers_max: usize,
    pub http2: Http2,
    /// `tls`: clients are spoken to over TLS. Default: not.
    pub tls: Option<Tls>,
    /// `timeouts.tls-handshake`: from accepting a connection to the end of its TLS handshake. Default 10 s. Then it is
    /// closed. Only with `tls`.
    pub tls_handshake_timeout: Duration,
    /// `hsts`: answers tell browsers to come by https only, for so long (`Strict-Transport-Security`, RFC 6797). Default:
    /// not. Only with `tls`.
    pub hsts: Option<Duration>,
    /// `redirect-https`: every request is answered with 308 to the same host and path by https; `true`: at port 443, or a
    /// port. Default `false`. Only without `tls`; nginx's `return 308 https://$host$request_uri`.
    pub redirect_https: Option<u16>,
}

/// `tls` of a listener. Files are in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `certificates`, or `certificate` and `key` for one: at least one. A client that names the host it wants (SNI, RFC
    /// 6066 §3) is shown the first that has this name, or the name with its first label replaced by `*`; any other
    /// client, and one that names no host, the first of all.
    pub certificates: Vec<KeyPair>,
    /// `min-version`: the lowest TLS version spoken. Default `1.2`.
    pub min_version: TlsVersion,
    /// `client-certificates`: clients are asked who they are. Default: not.
    pub client_certificates: Option<ClientCertificates>,
    /// `reload-interval`: how often the files are looked at; what was the same twice and is not what is in use is loaded.
    /// Default 5 s, at least 100 ms.
    pub reload_interval: Duration,
}

/// One of `certificates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// `certificate`: the server's own first, then those it was issued by, without the root; nginx's `ssl_certificate`.
    pub certificate: PathBuf,
    /// `key`: the private key of the first of them, without a passphrase; nginx's `ssl_certificate_key`.
    pub key: PathBuf,
}

/// `min-version`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// `client-certificates`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// `ca`: whose certificates are believed; nginx's `ssl_client_certificate`.
    pub ca: PathBuf,
    /// `verify = "optional"`: a client may have none; one that cannot be verified ends the handshake in any case.
    /// Default `required`; nginx's `ssl_verify_client`.
    pub required: bool,
}

/// `http2` of a listener
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// `max-concurrent-streams`: requests and WebSockets of one connection at a time. Default 128, 1 to 1,000; nginx's
    /// `http2_max_concurrent_streams`.
    pub max_concurrent_streams: u32,
}

/// `real-ip-header`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RealIpHeader {
    /// In whichever is there.
    Either,
    /// In `X-Forwarded-For`, with `X-Forwarded-Proto` and `X-Forwarded-Host` beside it.
    XForwardedFor,
    /// In `Forwarded` (RFC 7239).
    Forwarded,
}

/// `[[plugin]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// `name`: unique, and what routes and the log call it.
    pub name: String,
    /// `file`: a component or a core module that carries one; relative to the configuration file's folder.
    pub file: PathBuf,
    /// `settings` as JSON; none where the key is absent.
    pub settings: Option<String>,
    /// `digest`: the SHA-256 the file must have.
    pub digest: Option<[u8; 32]>,
    /// `call-time-max`: the guest's own running time in one hook call. Default 10 ms, 1 ms to 60 s.
    pub call_time_max: Duration,
    /// `configure-time-max`: the same for `configure`. Default 1 s, 1 ms to 60 s.
    pub configure_time_max: Duration,
    /// `memory-max`: linear memory of one instance. Default 16 MiB, 64 KiB to 4 GiB.
    pub memory_bytes_max: usize,
    /// `isolation`: what shares an instance. Default `session`.
    pub isolation: Isolation,
    /// `on-failure`: what a trap or a time-out means. Default `refuse`.
    pub on_failure: OnFailure,
}

/// `isolation`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each WebSocket session has an instance of its own.
    Session,
    /// The sessions of a worker share instances.
    Shared,
}

/// `on-failure`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The request is answered with 500, the session closed with 1011.
    Refuse,
    /// Go on as if the plugin were not listed.
    Pass,
}

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

/// `[[route]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `host`: a name (`chat.example.com`) or one wildcard label in front (`*.example.com`), lower-case, without port;
    /// none: any host. No two routes have a host and a path in common.
    pub hosts: Vec<String>,
    /// `path`: a prefix by whole segments: `/ws` and `/ws/` both match `/ws`, `/ws/` and `/ws/x`, never `/wsx`. Begins
    /// with `/`, holds no `?`. Default `/`.
    pub path: String,
    /// `upstream` or `files`: exactly one.
    pub target: Target,
    /// `plugins`, in the order their hooks run.
    pub plugins: Vec<PluginIndex>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    /// `ping`: pings of the proxy's own to each side of a session.
    pub ping: Option<Ping>,
    /// `host-header`: the `host` the upstream is sent. Default `keep`. `host = "keep"` and `host = "server"` say the
    /// same, as no host has such a name; any host matches then.
    pub host_header: HostHeader,
}

/// What answers a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Upstream(UpstreamIndex),
    /// `files = { root, fallback }`: files below `root`; what is not there is answered with `fallback` (in the file
    /// a path below `root`, here an absolute one; none: 404), as nginx's `try_files $uri /index.html` does.
    Files {
        root: PathBuf,
        fallback: Option<PathBuf>,
    },
}

/// `host-header`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client sent.
    Keep,
    /// The server's address as the configuration names it.
    Server,
    /// This name, with or without a port.
    Name(HeaderValue),
}

/// `timeouts`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// `connect`: to open a connection to a server of the upstream. Default 5 s; nginx's `proxy_connect_timeout`.
    pub connect: Duration,
    /// `request-body`: between two reads of a request's body. Default: `read` where that key is given, else 60 s; nginx's
    /// `client_body_timeout`. Then 408.
    pub request_body: Duration,
    /// `upstream-header`: from the last byte of a request to the head of its answer. Default: `read` where that key is
    /// given, else 60 s; with nginx a part of `proxy_read_timeout`. Then 504.
    pub upstream_header: Duration,
    /// `read`: between two reads of the body of the upstream's answer. Default 60 s; nginx's `proxy_read_timeout`. The
    /// answer is cut off then.
    pub read: Duration,
    /// `send`: between two writes to a peer that does not take what waits for it. Default 60 s; nginx's
    /// `proxy_send_timeout` and `send_timeout`.
    pub send: Duration,
    /// `idle`: a session in which neither side sends anything. Default: `read` where that key is given, as
    /// with nginx; else 1 h.
    pub idle: Duration,
    /// `idle-counts`: what keeps a session from being idle: any bytes, pings and pongs among them, or only messages.
    /// Default `bytes`.
    pub idle_counts: IdleCounts,
    /// `lifetime`: a session's longest life. Default: none.
    pub lifetime: Option<Duration>,
}

/// `idle-counts`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleCounts {
    Bytes,
    Messages,
}

/// `limits` of a route: what one WebSocket peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `message-bytes-max`: payload of a message, inflated where it is inspected. Default 1 MiB, 1 B to 1 GiB. Then
    /// close code 1009.
    pub message_bytes_max: usize,
    /// `frame-bytes-max`: payload of a frame on the wire. Default: `message-bytes-max`, 1 B to 1 GiB. Then 1009.
    pub frame_bytes_max: usize,
    /// `fragments-max`: frames of a message. Default 1,024, 1 to 1,000,000. Then 1008.
    pub fragments_max: u32,
    /// `messages-rate`: messages of each direction, such as `"100/s"`. Default: none. Then 1008.
    pub messages_rate: Option<Rate>,
    /// `waiting-bytes-max`: bytes held for a peer that reads slowly before the other is no longer read.
    /// Default 256 KiB, 16 KiB to 64 MiB.
    pub waiting_bytes_max: usize,
}

/// `"100/s"`: this many in each period, and as a burst. 1 to 1,000,000 in a second, minute or hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub period: Duration,
}

/// `ping`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// `interval`: between a side's last sign of life and a ping to it. 1 s or more; no default.
    pub interval: Duration,
    /// `timeout`: for any sign of life after it. Default 10 s. Then both sides are closed.
    pub timeout: Duration,
}

// === impl Listener ===

impl Listener {
    /// Whether `address` is one of `trusted-proxies`. IPv4 in IPv6's clothes is IPv4.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}
