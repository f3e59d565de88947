//! A configuration with every key in it, each with a value that is not its default.

use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::config::units::{GIB, KIB, MIB};

/// The defaults would not show whether a key is read at all.
#[test]
fn every_key_is_read() {
    let text = r#"
        [server]
        workers = 3
        shutdown-grace = "1m"
        pid-file = "run/sluicegate.pid"
        watch = "100ms"
        plugin-instances-max = 9
        [store]
        url = "redis+unix:///run/redis.sock?db=3"
        timeout = "1ms"
        on-failure = "pass"
        prefix = "p:"
        slot-lease = "1s"
        memory = { entries-max = 16, bytes-max = "2MiB" }
        [[listener]]
        address = "[::1]:80"
        trusted-proxies = ["10.0.0.0/8", "::1"]
        proxy-protocol = true
        real-ip-header = "forwarded"
        forwarded-header = true
        timeouts = { header = "1s", keep-alive = "2s" }
        limits = { header-bytes-max = "1KiB", headers-max = 1_000 }
        http2 = { max-concurrent-streams = 7 }
        redirect-https = true
        [[listener]]
        address = "[::1]:443"
        timeouts = { tls-handshake = "3s" }
        hsts = "1d"
        [listener.tls]
        certificates = [{ certificate = "cert.pem", key = "key.pem" }, { certificate = "ca.pem", key = "ca.pem" }]
        min-version = "1.3"
        reload-interval = "100ms"
        client-certificates = { ca = "ca.pem", verify = "optional" }
        [[plugin]]
        name = "first"
        file = "origin-check.wasm"
        [[plugin]]
        name = "second"
        file = "room-log.wasm"
        settings = { rooms = [1] }
        digest = "sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        grants = ["store", "http:b", "env:TOKEN", "http:a"]
        call-time-max = "60s"
        configure-time-max = "1ms"
        memory-max = "4GiB"
        isolation = "shared"
        on-failure = { on-request = "pass" }
        store-on-failure = { requests = "pass", connections = "refuse" }
        max-traps = "off"
        log-lines-max = "5/h"
        migrate = true
        max-age = "10m"
        [[upstream]]
        name = "a"
        servers = ["a:1"]
        [[upstream]]
        name = "c"
        servers = ["https://c", "d:4"]
        tls = { ca = "ca.pem", server-name = "C.internal", certificate = "cert.pem", key = "key.pem", verify = false }
        [[upstream]]
        name = "e"
        servers = ["wss://e:5"]
        http-version = "2"
        [[upstream]]
        name = "b"
        proxy-protocol = "v2"
        balance = "hash"
        hash = "query:room"
        sticky = { cookie = "SERVER", secret = "0123456789abcdef" }
        queue = { length = 100, timeout = "1s" }
        slow-start = "2s"
        max-fails = 0
        fail-timeout = "3s"
        retry = ["502", "connect", "504"]
        retry-attempts = 4
        retry-timeout = "5s"
        keep-alive = { idle-max = 0, timeout = "6s", requests-max = 7 }
        health = { http = { path = "/health?a", status = 204 }, host = "b.internal", interval = "1m", timeout = "8s", rise = 9, fall = 10 }
        resolve = "11s"
        [[upstream.servers]]
        address = "unix:/run/b.sock"
        [[upstream.servers]]
        address = "[::1]:3"
        weight = 1000
        backup = true
        drain = true
        max-sessions = 12
        [[route]]
        host = ["Chat.example.com", "*.example.com"]
        path = "/ws/"
        upstream = "b"
        plugins = ["second", "first"]
        host-header = "b.internal"
        timeouts = { connect = "1ms", read = "2ms", request-body = "6ms", upstream-header = "7ms", send = "3ms", idle = "4ms", idle-counts = "messages", lifetime = "365d" }
        ping = { interval = "1s", timeout = "5ms" }
        [route.limits]
        message-bytes-max = "1GiB"
        frame-bytes-max = "1B"
        fragments-max = 1
        messages-rate = "20/m"
        waiting-bytes-max = "64MiB"
        [[route]]
        files = { root = "public", fallback = "index.html" }
    "#;
    let config = Config::parse(text, "a.toml", &folder("fixtures")).unwrap();
    let milliseconds = Duration::from_millis;
    let server = Server {
        workers: 3,
        shutdown_grace: Duration::from_secs(60),
        plugin_cache: PluginCache::Default,
        pid_file: Some(folder("fixtures").join("run/sluicegate.pid")),
        watch: Some(milliseconds(100)),
        plugin_instances_max: Some(9),
    };
    assert_eq!(config.server, server);
    let store = Store {
        url: StoreUrl::parse("redis+unix:///run/redis.sock?db=3"),
        timeout: milliseconds(1),
        on_failure: OnFailure::Pass,
        prefix: "p:".into(),
        slot_lease: milliseconds(1_000),
        entries_max: 16,
        bytes_max: 2 * MIB,
    };
    assert!(store.url.is_some());
    assert_eq!(config.store, store);
    let listener = Listener {
        address: "[::1]:80".parse().unwrap(),
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        proxy_protocol: true,
        real_ip_header: RealIpHeader::Forwarded,
        forwarded_header: true,
        header_timeout: milliseconds(1_000),
        keep_alive_timeout: milliseconds(2_000),
        header_bytes_max: KIB,
        headers_max: 1_000,
        http2: Http2 { max_concurrent_streams: 7 },
        redirect_https: Some(443),
        ..Listener::new("[::1]:80".parse().unwrap())
    };
    let fixture = |name: &str| folder("fixtures").join(name);
    let https = Listener {
        tls: Some(Tls {
            certificates: vec![
                KeyPair { certificate: fixture("cert.pem"), key: fixture("key.pem") },
                KeyPair { certificate: fixture("ca.pem"), key: fixture("ca.pem") },
            ],
            min_version: TlsVersion::Tls13,
            client_certificates: Some(ClientCertificates { ca: fixture("ca.pem"), required: false }),
            reload_interval: milliseconds(100),
        }),
        tls_handshake_timeout: milliseconds(3_000),
        hsts: Some(Duration::from_secs(86_400)),
        ..Listener::new("[::1]:443".parse().unwrap())
    };
    assert_eq!(config.listeners, [listener, https]);
    assert_eq!(config.plugins[0], Plugin::new("first".into(), folder("fixtures/origin-check.wasm")));
    let second = Plugin {
        name: "second".into(),
        file: folder("fixtures/room-log.wasm"),
        settings: Some(r#"{"rooms":[1]}"#.into()),
        digest: Some(std::array::from_fn(|index| index as u8)),
        grants: Grants {
            store: true,
            http: vec!["b".to_owned(), "a".to_owned()],
            env: vec!["TOKEN".to_owned()],
        },
        call_time_max: milliseconds(60_000),
        configure_time_max: milliseconds(1),
        memory_bytes_max: 4 * GIB,
        isolation: Isolation::Shared,
        on_failure: FailurePolicy { on_request: OnFailure::Pass, ..OnFailure::Refuse.into() },
        store_on_failure: [("requests", OnFailure::Pass), ("connections", OnFailure::Refuse)]
            .map(|(name, on_failure)| (name.to_owned(), on_failure))
            .into(),
        max_traps: None,
        log_lines_max: Rate { count: 5, period: Duration::from_secs(3_600) },
        migrate: true,
        max_age: Some(Duration::from_secs(600)),
    };
    assert_eq!(config.plugins[1..], [second]);
    let plain = Upstream::new("a".into(), vec![UpstreamServer::new("a:1".into())]);
    let https = |address: &str| UpstreamServer { https: true, ..UpstreamServer::new(address.into()) };
    let tls = UpstreamTls {
        ca: Some(fixture("ca.pem")),
        server_name: Some("c.internal".into()),
        certificate: Some(KeyPair { certificate: fixture("cert.pem"), key: fixture("key.pem") }),
        verify: false,
    };
    let over_tls = Upstream {
        tls: Some(tls),
        ..Upstream::new("c".into(), vec![https("c:443"), UpstreamServer::new("d:4".into())])
    };
    let by_default = Upstream {
        tls: Some(UpstreamTls::default()),
        http_version: HttpVersion::Http2,
        ..Upstream::new("e".into(), vec![https("e:5")])
    };
    assert_eq!(config.upstreams, [plain, over_tls, by_default, every_key_of_an_upstream()]);
    assert_eq!(config.routes[0], every_key_of_a_route());
    let files = Target::Files {
        root: folder("fixtures/public"),
        fallback: Some(folder("fixtures/public/index.html")),
    };
    assert_eq!(config.routes[1..], [Route::new(files)]);
}

fn every_key_of_an_upstream() -> Upstream {
    let seconds = Duration::from_secs;
    let second = UpstreamServer {
        address: "[::1]:3".into(),
        https: false,
        weight: 1_000,
        backup: true,
        drain: true,
        max_sessions: Some(12),
    };
    let path = "/health?a".parse().unwrap();
    Upstream {
        proxy_protocol: Some(ProxyProtocol::V2),
        http_version: HttpVersion::Http1,
        name: "b".into(),
        servers: vec![UpstreamServer::new("unix:/run/b.sock".into()), second],
        balance: Balance::Hash(HashKey::Query("room".into())),
        sticky: Some(Sticky { cookie: "SERVER".into(), secret: Some(Secret("0123456789abcdef".into())) }),
        queue: Some(Queue { length: 100, timeout: seconds(1) }),
        slow_start: Some(seconds(2)),
        max_fails: 0,
        fail_timeout: seconds(3),
        retry: Retry {
            statuses: vec![StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT],
            attempts: 4,
            timeout: seconds(5),
        },
        keep_alive: UpstreamKeepAlive { idle_max: 0, timeout: seconds(6), requests_max: 7 },
        health: Some(Health {
            probe: Probe::Http { path, status: StatusCode::NO_CONTENT },
            host: Some(HeaderValue::from_static("b.internal")),
            interval: seconds(60),
            timeout: seconds(8),
            rise: 9,
            fall: 10,
        }),
        resolve_interval: seconds(11),
        tls: None,
    }
}

fn every_key_of_a_route() -> Route {
    let milliseconds = Duration::from_millis;
    Route {
        hosts: vec!["chat.example.com".into(), "*.example.com".into()],
        path: "/ws/".into(),
        target: Target::Upstream(UpstreamIndex(3)),
        plugins: vec![PluginIndex(1), PluginIndex(0)],
        timeouts: Timeouts {
            connect: milliseconds(1),
            request_body: milliseconds(6),
            upstream_header: milliseconds(7),
            read: milliseconds(2),
            send: milliseconds(3),
            idle: milliseconds(4),
            idle_counts: IdleCounts::Messages,
            lifetime: Some(Duration::from_secs(365 * 86_400)),
        },
        limits: Limits {
            message_bytes_max: GIB,
            frame_bytes_max: 1,
            fragments_max: 1,
            messages_rate: Some(Rate { count: 20, period: Duration::from_secs(60) }),
            waiting_bytes_max: 64 * MIB,
        },
        ping: Some(Ping { interval: milliseconds(1_000), timeout: milliseconds(5) }),
        host_header: HostHeader::Name(HeaderValue::from_static("b.internal")),
    }
}
