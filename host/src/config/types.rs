//! The validated configuration: what the rest of the host works with. No half-checked value is in here:
//! names are resolved to indices, paths to absolute ones, texts to durations and sizes.
//!
//! Where a duration has no bounds of its own, it is 1 ms to 365 days.

mod store;
mod upstream;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

pub use self::store::{Store, StoreUrl};
pub use self::upstream::{
    Balance, HashKey, Health, HttpVersion, Probe, ProxyProtocol, Queue, Retry, Secret, Sticky, Upstream,
    UpstreamKeepAlive, UpstreamServer, UpstreamTls,
};

/// A whole configuration. Indices in it ([`PluginIndex`], [`UpstreamIndex`]) point into its own lists.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub store: Store,
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
    /// `pid-file`: where this process's number is written, until it drains; a start is refused while another process has
    /// the file. Default: none; nginx's `pid`.
    pub pid_file: Option<PathBuf>,
    /// `watch`: how often the configuration file and the plugins' files are looked at; what was the same twice and is not
    /// what is in service is loaded, as by SIGHUP. Of a configuration that was refused, certificates and keys that are there, too. Default: not; at least 100 ms.
    pub watch: Option<Duration>,
    /// `plugin-instances-max`: plugin instances at once, of all plugins; what needs one more is answered with 503. Default:
    /// as many as the descriptors of the process and the mappings of its memory allow. 1 to 1,000,000.
    pub plugin_instances_max: Option<u32>,
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
    /// `grants`: what the plugin may reach beyond its own exchange. Default: nothing.
    pub grants: Grants,
    /// `call-time-max`: the guest's own running time in one hook call. Default 10 ms, 1 ms to 60 s.
    pub call_time_max: Duration,
    /// `configure-time-max`: the same for `configure`. Default 1 s, 1 ms to 60 s.
    pub configure_time_max: Duration,
    /// `memory-max`: linear memory of one instance. Default 16 MiB, 64 KiB to 4 GiB.
    pub memory_bytes_max: usize,
    /// `isolation`: what shares an instance. Default `session`.
    pub isolation: Isolation,
    /// `on-failure`: what a trap or a time-out means; a word for all hooks, or a table of words. Default `refuse`.
    pub on_failure: FailurePolicy,
    /// `store-on-failure`: by the names of this plugin's limits, what becomes of each while the shared store cannot be reached.
    /// Default: the `on-failure` of `[store]`.
    pub store_on_failure: BTreeMap<String, OnFailure>,
    /// `max-traps`: traps and time-outs, such as `"20/m"`, after which the plugin is not called for a while, where at least
    /// half of the calls of the hooks that failed did. Default 20 in a minute. None for `"off"`.
    pub max_traps: Option<Rate>,
    /// `log-lines-max`: what its instances may write to the log, together. Default 100 in a second.
    pub log_lines_max: Rate,
    /// `migrate`: open sessions are handed over to this version from the one before it, where the plugin can. Default
    /// false: they stay with the version they began with.
    pub migrate: bool,
    /// `max-age`: how long sessions may stay with a version that was replaced; then they are closed with 1001, spread over a
    /// tenth of that time. Default: for ever.
    pub max_age: Option<Duration>,
}

/// `grants` of a plugin
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// `"store"`: values that outlive its instances.
    pub store: bool,
    /// `"http:UPSTREAM"`: requests of its own to these upstreams, each of which is there.
    pub http: Vec<String>,
    /// `"env:NAME"`: these variables of the proxy's environment.
    pub env: Vec<String>,
}

/// `isolation`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each WebSocket session has an instance of its own.
    Session,
    /// The sessions of a worker share instances.
    Shared,
}

/// `on-failure` of a plugin, by hook
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailurePolicy {
    /// `on-request`
    pub on_request: OnFailure,
    /// `on-response`
    pub on_response: OnFailure,
    /// `session`: `open` and the hooks after it.
    pub session: OnFailure,
}

/// What becomes of an exchange or a session whose plugin fails, and of a limit whose store cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Of a plugin: the request is answered with 500, the session closed with 1011. Of a limit: it is exhausted.
    Refuse,
    /// Of a plugin: go on as if it were not listed. Of a limit: as if there were none.
    Pass,
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

/// `"100/s"`: this many in each period, and as a burst where it is a bucket's. 1 to 1,000,000 in a second, minute or hour.
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

// === impl FailurePolicy ===

impl From<OnFailure> for FailurePolicy {
    fn from(policy: OnFailure) -> Self {
        Self { on_request: policy, on_response: policy, session: policy }
    }
}

// === impl Listener ===

impl Listener {
    /// Whether `address` is one of `trusted-proxies`. IPv4 in IPv6's clothes is IPv4.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}
