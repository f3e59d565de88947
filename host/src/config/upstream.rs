//! `[[upstream]]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::defaults::QUEUE_TIMEOUT;
use super::field::{DURATION_MAX, Field};
use super::health::read_health;
use super::host::{host, is_host_and_port};
use super::names::Names;
use super::reader::Section;
use super::tls;
use super::types::{
    Balance, HashKey, HttpVersion, ProxyProtocol, Queue, Retry, Secret, Sticky, Upstream, UpstreamKeepAlive,
    UpstreamServer,
};

/// What the address of a server is.
pub(super) const SERVER_ADDRESS: &str = concat!(
    r#"HOST:PORT such as "127.0.0.1:9001", "chat.internal:9001" or "[::1]:9001", "#,
    r#"the port from 1 to 65535, with or without https:// in front, or the path of a socket such as "unix:/run/app.sock""#,
);

const SERVERS: &str = r#"a list of servers such as ["127.0.0.1:9001"]"#;
const HASH: &str = r#""header:NAME", "cookie:NAME", "query:NAME" or "affinity""#;
const COOKIE: &str = "the name of a cookie";
const SECRET: &str = "a text of 16 bytes or more";
const RETRIES: &str = r#"a list such as ["connect", "502", "503", "504"]"#;
const RETRY: &str = r#""connect" or a status from "500" to "599""#;

const WEIGHT: RangeInclusive<u32> = 1..=1_000;
const MAX_SESSIONS: RangeInclusive<u32> = 1..=1_000_000;
const MAX_FAILS: RangeInclusive<u32> = 0..=1_000;
const QUEUE_LENGTH: RangeInclusive<usize> = 1..=100_000;
const RETRY_ATTEMPTS: RangeInclusive<u32> = 1..=100;
const IDLE_MAX: RangeInclusive<usize> = 0..=10_000;
const REQUESTS_MAX: RangeInclusive<u32> = 1..=1_000_000;
const RESOLVE: RangeInclusive<Duration> = Duration::from_secs(1)..=DURATION_MAX;
const SECRET_BYTES_MIN: usize = 16;
/// The kernel's `sun_path`, without the zero at its end.
const SOCKET_PATH_BYTES_MAX: usize = 107;

pub(super) fn read_upstream(section: &mut Section<'_>, names: &mut Names) -> Upstream {
    let name = names.add(section);
    let servers = section.required("servers", SERVERS, read_servers).unwrap_or_default();
    let tls = tls::read_upstream_tls(section, &servers);
    let mut upstream = Upstream { tls, ..Upstream::new(name, servers) };
    upstream.proxy_protocol = section.optional("proxy-protocol", |field| {
        field.word(&[("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)])
    });
    upstream.http_version = read_http_version(section, upstream.proxy_protocol);
    upstream.balance = read_balance(section);
    upstream.sticky = section.table("sticky", read_sticky).flatten();
    upstream.queue = section.table("queue", read_queue).flatten();
    upstream.slow_start = section.optional("slow-start", Field::any_duration);
    section.set(&mut upstream.max_fails, "max-fails", |field| field.whole_number(MAX_FAILS));
    section.set(&mut upstream.fail_timeout, "fail-timeout", Field::any_duration);
    upstream.retry = read_retry(section);
    if let Some(keep_alive) = section.table("keep-alive", read_keep_alive) {
        upstream.keep_alive = keep_alive;
    }
    upstream.health = section.table("health", read_health).flatten();
    section.set(&mut upstream.resolve_interval, "resolve", |field| field.duration(RESOLVE));
    upstream
}

fn read_servers(field: &Field<'_>) -> Option<Vec<UpstreamServer>> {
    let servers = field.list(SERVERS)?;
    if servers.is_empty() {
        return field.mismatch("at least one server");
    }
    Some(servers.iter().filter_map(read_server).collect())
}

fn read_server(field: &Field<'_>) -> Option<UpstreamServer> {
    if !field.value().is_table() {
        return server(field);
    }
    field.table(|section| {
        let address = section.required("address", SERVER_ADDRESS, server);
        let mut server = address.unwrap_or_else(|| UpstreamServer::new(String::new()));
        section.set(&mut server.weight, "weight", |field| field.whole_number(WEIGHT));
        section.set(&mut server.backup, "backup", Field::boolean);
        section.set(&mut server.drain, "drain", Field::boolean);
        server.max_sessions = section.optional("max-sessions", |field| field.whole_number(MAX_SESSIONS));
        server
    })
}

fn server(field: &Field<'_>) -> Option<UpstreamServer> {
    field.parsed(SERVER_ADDRESS, server_address)
}

/// What a server's address says of it.
pub(super) fn server_address(text: &str) -> Option<UpstreamServer> {
    let Some(address) = text.strip_prefix("https://").or_else(|| text.strip_prefix("wss://")) else {
        return is_plain_address(text).then(|| UpstreamServer::new(text.to_owned()));
    };
    let address = if host(address).is_some() { format!("{address}:443") } else { address.to_owned() };
    is_host_and_port(&address).then(|| UpstreamServer { https: true, ..UpstreamServer::new(address) })
}

fn is_plain_address(text: &str) -> bool {
    match text.strip_prefix("unix:") {
        Some(path) => {
            path.starts_with('/')
                && path.len() <= SOCKET_PATH_BYTES_MAX
                && !path.bytes().any(|byte| byte < b' ')
        }
        None => is_host_and_port(text),
    }
}

fn read_http_version(section: &mut Section<'_>, proxy_protocol: Option<ProxyProtocol>) -> HttpVersion {
    let words = [("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)];
    let version = section.optional("http-version", |field| {
        let version = field.word(&words)?;
        if version == HttpVersion::Http2 && proxy_protocol.is_some() {
            field.refuse(
                "expected \"1.1\" beside proxy-protocol, as each connection is then for one client, found \"2\"",
            );
        }
        Some(version)
    });
    version.unwrap_or(HttpVersion::Http1)
}

fn read_balance(section: &mut Section<'_>) -> Balance {
    // None: it takes a `hash`.
    let words = [
        ("round-robin", Some(Balance::RoundRobin)),
        ("least-connections", Some(Balance::LeastConnections)),
        ("random-two", Some(Balance::RandomTwo)),
        ("ip-hash", Some(Balance::IpHash)),
        ("hash", None),
    ];
    let balance = section.field("balance");
    let word = match &balance {
        Some(field) => field.word(&words),
        None => Some(Some(Balance::RoundRobin)),
    };
    let hash = section.field("hash");
    let key = hash.as_ref().and_then(|field| field.parsed(HASH, hash_key));
    match (&word, &hash) {
        (Some(None), None) => section.refuse(format!("expected hash with balance = \"hash\": {HASH}")),
        (Some(Some(_)), Some(hash)) => hash.refuse("expected balance = \"hash\" with it"),
        _ => {}
    }
    word.flatten().or(key.map(Balance::Hash)).unwrap_or(Balance::RoundRobin)
}

fn hash_key(text: &str) -> Option<HashKey> {
    match text.split_once(':') {
        Some(("header", name)) => HeaderName::from_bytes(name.as_bytes()).ok().map(HashKey::Header),
        Some(("cookie", name)) => is_token(name).then(|| HashKey::Cookie(name.to_owned())),
        Some(("query", name)) if !name.is_empty() && !name.contains(['&', '=', '#', ' ']) => {
            Some(HashKey::Query(name.to_owned()))
        }
        None if text == "affinity" => Some(HashKey::Affinity),
        _ => None,
    }
}

fn read_sticky(section: &mut Section<'_>) -> Option<Sticky> {
    let cookie = section.required("cookie", COOKIE, |field| {
        field.parsed(COOKIE, |text| is_token(text).then(|| text.to_owned()))
    });
    let secret = section.optional("secret", |field| {
        let secret = field.text(SECRET)?;
        if secret.len() < SECRET_BYTES_MIN {
            // Without the value, which belongs into no log.
            field.refuse(format!("expected {SECRET}, found a shorter one"));
            return None;
        }
        Some(Secret(secret.to_owned()))
    });
    Some(Sticky { cookie: cookie?, secret })
}

fn read_queue(section: &mut Section<'_>) -> Option<Queue> {
    let length = section
        .required("length", "how many may wait, such as 100", |field| field.whole_number(QUEUE_LENGTH));
    let timeout = section.optional("timeout", Field::any_duration);
    Some(Queue { length: length?, timeout: timeout.unwrap_or(QUEUE_TIMEOUT) })
}

fn read_retry(section: &mut Section<'_>) -> Retry {
    let mut retry = Retry::default();
    section.set(&mut retry.statuses, "retry", |field| {
        let items = field.list(RETRIES)?;
        Some(items.iter().filter_map(|item| item.parsed(RETRY, retried).flatten()).collect())
    });
    section.set(&mut retry.attempts, "retry-attempts", |field| field.whole_number(RETRY_ATTEMPTS));
    section.set(&mut retry.timeout, "retry-timeout", Field::any_duration);
    retry
}

/// A status; or the word for what is retried in any case.
fn retried(text: &str) -> Option<Option<StatusCode>> {
    if text == "connect" {
        return Some(None);
    }
    let status: StatusCode = text.parse().ok()?;
    status.is_server_error().then_some(Some(status))
}

fn read_keep_alive(section: &mut Section<'_>) -> UpstreamKeepAlive {
    let mut keep_alive = UpstreamKeepAlive::default();
    section.set(&mut keep_alive.idle_max, "idle-max", |field| field.whole_number(IDLE_MAX));
    section.set(&mut keep_alive.timeout, "timeout", Field::any_duration);
    section.set(&mut keep_alive.requests_max, "requests-max", |field| field.whole_number(REQUESTS_MAX));
    keep_alive
}

/// RFC 9110 §5.6.2, which the name of a cookie is too (RFC 6265 §4.1.1).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers() {
        for (text, address, https) in [
            ("127.0.0.1:9001", "127.0.0.1:9001", false),
            ("chat:1", "chat:1", false),
            ("[::1]:80", "[::1]:80", false),
            ("unix:/run/app.sock", "unix:/run/app.sock", false),
            ("https://chat.internal:8443", "chat.internal:8443", true),
            ("wss://chat.internal", "chat.internal:443", true),
            ("https://[::1]", "[::1]:443", true),
        ] {
            let expected = UpstreamServer { https, ..UpstreamServer::new(address.to_owned()) };
            assert_eq!(server_address(text), Some(expected), "{text:?}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for refused in ["", "chat", "unix:", "unix:app.sock", "unix:/a\n", "http://a:80", &long] {
            assert_eq!(server_address(refused), None, "{refused:?}");
        }
        for refused in
            ["https://", "https://chat/", "https://a:0", "HTTPS://a:1", "https://unix:/run/app.sock"]
        {
            assert_eq!(server_address(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn hash_keys() {
        assert_eq!(hash_key("header:X-Room"), Some(HashKey::Header(HeaderName::from_static("x-room"))));
        assert_eq!(hash_key("cookie:room"), Some(HashKey::Cookie("room".to_owned())));
        assert_eq!(hash_key("query:room"), Some(HashKey::Query("room".to_owned())));
        assert_eq!(hash_key("affinity"), Some(HashKey::Affinity));
        for refused in
            ["", "header", "header:", "header:a b", "cookie:", "cookie:a=b", "query:", "query:a&b", "room"]
        {
            assert_eq!(hash_key(refused), None, "{refused:?}");
        }
    }
}
