//! What holds where the file says nothing; `types.rs` documents each value.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::server::WORKERS_MAX;
use super::types::{
    Balance, Grants, Health, HostHeader, Http2, HttpVersion, IdleCounts, Isolation, KeyPair, Limits,
    Listener, OnFailure, Plugin, PluginCache, Probe, Rate, RealIpHeader, Retry, Route, Server, Store, Target,
    Timeouts, Tls, TlsVersion, Upstream, UpstreamKeepAlive, UpstreamServer, UpstreamTls,
};
use super::units::{KIB, MIB};

pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

impl Default for Server {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            workers: cores.min(WORKERS_MAX),
            shutdown_grace: Duration::from_secs(30),
            plugin_cache: PluginCache::Default,
            pid_file: None,
            watch: None,
            plugin_instances_max: None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: None,
            timeout: Duration::from_millis(250),
            on_failure: OnFailure::Refuse,
            prefix: "sluicegate:".to_owned(),
            slot_lease: Duration::from_secs(30),
            entries_max: 100_000,
            bytes_max: 64 * MIB,
        }
    }
}

impl Listener {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            real_ip_header: RealIpHeader::Either,
            forwarded_header: false,
            header_timeout: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(75),
            header_bytes_max: 64 * KIB,
            headers_max: 100,
            http2: Http2::default(),
            tls: None,
            tls_handshake_timeout: Duration::from_secs(10),
            hsts: None,
            redirect_https: None,
        }
    }
}

impl Tls {
    pub fn new(certificates: Vec<KeyPair>) -> Self {
        Self {
            certificates,
            min_version: TlsVersion::Tls12,
            client_certificates: None,
            reload_interval: Duration::from_secs(5),
        }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self { max_concurrent_streams: 128 }
    }
}

impl Plugin {
    pub fn new(name: String, file: PathBuf) -> Self {
        Self {
            name,
            file,
            settings: None,
            digest: None,
            grants: Grants::default(),
            call_time_max: Duration::from_millis(10),
            configure_time_max: Duration::from_secs(1),
            memory_bytes_max: 16 * MIB,
            isolation: Isolation::Session,
            on_failure: OnFailure::Refuse.into(),
            store_on_failure: BTreeMap::new(),
            max_traps: Some(Rate { count: 20, period: Duration::from_secs(60) }),
            log_lines_max: Rate { count: 100, period: Duration::from_secs(1) },
            migrate: false,
            max_age: None,
        }
    }
}

impl Upstream {
    pub fn new(name: String, servers: Vec<UpstreamServer>) -> Self {
        Self {
            name,
            servers,
            balance: Balance::RoundRobin,
            sticky: None,
            queue: None,
            slow_start: None,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            retry: Retry::default(),
            keep_alive: UpstreamKeepAlive::default(),
            health: None,
            resolve_interval: Duration::from_secs(30),
            proxy_protocol: None,
            http_version: HttpVersion::Http1,
            tls: None,
        }
    }
}

impl UpstreamServer {
    pub fn new(address: String) -> Self {
        Self { address, https: false, weight: 1, backup: false, drain: false, max_sessions: None }
    }
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { ca: None, server_name: None, certificate: None, verify: true }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { statuses: Vec::new(), attempts: 3, timeout: Duration::from_secs(10) }
    }
}

impl Default for UpstreamKeepAlive {
    fn default() -> Self {
        Self { idle_max: 32, timeout: Duration::from_secs(60), requests_max: 1_000 }
    }
}

impl Health {
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            host: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        }
    }
}

impl Route {
    /// Any host, any path, no plugins.
    pub fn new(target: Target) -> Self {
        Self {
            hosts: Vec::new(),
            path: "/".to_owned(),
            target,
            plugins: Vec::new(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            ping: None,
            host_header: HostHeader::Keep,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request_body: Duration::from_secs(60),
            upstream_header: Duration::from_secs(60),
            read: Duration::from_secs(60),
            send: Duration::from_secs(60),
            idle: Duration::from_secs(3_600),
            idle_counts: IdleCounts::Bytes,
            lifetime: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: MIB,
            frame_bytes_max: MIB,
            fragments_max: 1_024,
            messages_rate: None,
            waiting_bytes_max: 256 * KIB,
        }
    }
}
