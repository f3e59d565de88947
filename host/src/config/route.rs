//! `[[route]]`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderValue;

use super::defaults::PING_TIMEOUT;
use super::field::{DURATION_MAX, Field};
use super::names::Names;
use super::reader::Section;
use super::text::quoted;
use super::types::{
    HostHeader, IdleCounts, Limits, Ping, PluginIndex, Route, Target, Timeouts, UpstreamIndex,
};
use super::units::{GIB, KIB, MIB};
use super::{host, paths};

const PAYLOAD: RangeInclusive<usize> = 1..=GIB;
const FRAGMENTS: RangeInclusive<u32> = 1..=1_000_000;
const WAITING: RangeInclusive<usize> = 16 * KIB..=64 * MIB;
const PING_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=DURATION_MAX;

const HOST: &str = r#"an ASCII host name without port such as "chat.example.com" or "*.example.com""#;
const HOST_HEADER: &str = r#""keep", "server" or a host name such as "chat.example.com""#;
const PATH: &str = concat!(
    r#"a path prefix such as "/ws/", percent-encoded, "#,
    "without query, empty segments and dot segments",
);

/// What a route can name.
pub(super) struct Known {
    pub(super) plugins: Names,
    pub(super) upstreams: Names,
}

/// Which route has a host (empty: any) and a path without its final slash.
type Taken = HashMap<(String, String), String>;

pub(super) fn read_routes(root: &mut Section<'_>, known: &Known) -> Vec<Route> {
    let mut taken = Taken::new();
    root.at_least_one("route", |section| read_route(section, known, &mut taken))
}

fn read_route(section: &mut Section<'_>, known: &Known, taken: &mut Taken) -> Route {
    let (hosts, host_header) = read_hosts(section);
    let path = read_path(section);
    if let (Some(hosts), Some(path)) = (&hosts, &path) {
        refuse_taken(section, hosts, path, taken);
    }
    let mut route = Route::new(read_target(section, known));
    route.hosts = hosts.unwrap_or_default();
    route.path = path.unwrap_or_default();
    section.set(&mut route.plugins, "plugins", |field| read_plugins(field, known));
    section.set(&mut route.timeouts, "timeouts", |field| field.table(read_timeouts));
    section.set(&mut route.limits, "limits", |field| field.table(read_limits));
    route.ping = section.table("ping", read_ping).flatten();
    route.host_header = host_header.unwrap_or(route.host_header);
    route
}

/// The hosts that match (none where they cannot be read), and the `host` to send. `host = "keep"` and
/// `host = "server"` are `host-header` by another key: no host has such a name.
fn read_hosts(section: &mut Section<'_>) -> (Option<Vec<String>>, Option<HostHeader>) {
    let host = section.field("host");
    let word = host.as_ref().and_then(|field| host_header_word(field.value().as_str()?));
    let hosts = match &host {
        Some(field) if word.is_none() => read_host_list(field),
        _ => Some(Vec::new()),
    };
    let host_header = section.optional("host-header", |field| {
        if word.is_some() {
            field.refuse(r#"expected host-header or host = "keep" or "server", found both"#);
        }
        field.parsed(HOST_HEADER, host_header)
    });
    (hosts, word.or(host_header))
}

fn read_host_list(field: &Field<'_>) -> Option<Vec<String>> {
    if field.value().is_str() {
        return field.parsed(HOST, host::host_pattern).map(|host| vec![host]);
    }
    let items = field.list(&format!("{HOST}, or a list of them"))?;
    if items.is_empty() {
        return field.mismatch("at least one host, or no such key for any host");
    }
    let pattern = |text: &str| host::host_pattern(text).filter(|_| host_header_word(text).is_none());
    let mut hosts = Vec::new();
    for item in &items {
        match item.parsed(HOST, pattern) {
            Some(host) if hosts.contains(&host) => refuse_twice(item),
            host => hosts.extend(host),
        }
    }
    Some(hosts)
}

fn read_path(section: &mut Section<'_>) -> Option<String> {
    match section.field("path") {
        Some(field) => field.parsed(PATH, |text| is_path(text).then(|| text.to_owned())),
        None => Some("/".to_owned()),
    }
}

fn host_header(text: &str) -> Option<HostHeader> {
    if let Some(word) = host_header_word(text) {
        return Some(word);
    }
    let is_name = host::host(text).is_some() || host::is_host_and_port(text);
    let name = is_name.then(|| HeaderValue::from_str(text).ok())?;
    name.map(HostHeader::Name)
}

fn host_header_word(text: &str) -> Option<HostHeader> {
    match text {
        "keep" => Some(HostHeader::Keep),
        "server" => Some(HostHeader::Server),
        _ => None,
    }
}

fn read_target(section: &mut Section<'_>, known: &Known) -> Target {
    let upstream = section.field("upstream");
    let files = section.field("files");
    match (&upstream, &files) {
        (None, None) => section.refuse("expected one of upstream and files, found neither"),
        (Some(_), Some(files)) => files.refuse("expected one of upstream and files, found both"),
        _ => {}
    }
    let upstream = upstream.and_then(|field| known.upstreams.find(&field));
    let files = files.and_then(|field| field.table(read_files));
    files.unwrap_or(Target::Upstream(UpstreamIndex(upstream.unwrap_or_default())))
}

fn read_files(section: &mut Section<'_>) -> Target {
    let root = section.required("root", "the path of a directory", paths::directory);
    let fallback = section.field("fallback");
    // Without a root there is no telling whether the fallback is below it.
    let fallback = root.as_deref().zip(fallback).and_then(|(root, field)| paths::file_below(root, &field));
    Target::Files { root: root.unwrap_or_default(), fallback }
}

fn read_plugins(field: &Field<'_>, known: &Known) -> Option<Vec<PluginIndex>> {
    let mut plugins = Vec::new();
    for item in field.list(r#"a list of plugin names such as ["origin-check"]"#)? {
        match known.plugins.find(&item).map(PluginIndex) {
            Some(plugin) if plugins.contains(&plugin) => refuse_twice(&item),
            plugin => plugins.extend(plugin),
        }
    }
    Some(plugins)
}

fn refuse_twice(item: &Field<'_>) {
    let name = quoted(item.value().as_str().unwrap_or_default());
    item.refuse(format!("{name} is listed twice: expected once"));
}

fn read_timeouts(section: &mut Section<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    section.set(&mut timeouts.connect, "connect", Field::any_duration);
    if let Some(read) = section.optional("read", Field::any_duration) {
        timeouts = Timeouts { read, request_body: read, upstream_header: read, idle: read, ..timeouts };
    }
    section.set(&mut timeouts.request_body, "request-body", Field::any_duration);
    section.set(&mut timeouts.upstream_header, "upstream-header", Field::any_duration);
    section.set(&mut timeouts.send, "send", Field::any_duration);
    section.set(&mut timeouts.idle, "idle", Field::any_duration);
    section.set(&mut timeouts.idle_counts, "idle-counts", |field| {
        field.word(&[("bytes", IdleCounts::Bytes), ("messages", IdleCounts::Messages)])
    });
    timeouts.lifetime = section.optional("lifetime", Field::any_duration);
    timeouts
}

fn read_limits(section: &mut Section<'_>) -> Limits {
    let mut limits = Limits::default();
    section.set(&mut limits.message_bytes_max, "message-bytes-max", |field| field.size(PAYLOAD));
    limits.frame_bytes_max = limits.message_bytes_max;
    section.set(&mut limits.frame_bytes_max, "frame-bytes-max", |field| field.size(PAYLOAD));
    section.set(&mut limits.fragments_max, "fragments-max", |field| field.whole_number(FRAGMENTS));
    limits.messages_rate = section.optional("messages-rate", Field::rate);
    section.set(&mut limits.waiting_bytes_max, "waiting-bytes-max", |field| field.size(WAITING));
    limits
}

fn read_ping(section: &mut Section<'_>) -> Option<Ping> {
    let interval =
        section.required("interval", "a duration such as \"30s\"", |field| field.duration(PING_INTERVAL));
    let timeout = section.optional("timeout", Field::any_duration);
    Some(Ping { interval: interval?, timeout: timeout.unwrap_or(PING_TIMEOUT) })
}

/// Of two routes for the same requests, one would never be used.
fn refuse_taken(section: &Section<'_>, hosts: &[String], path: &str, taken: &mut Taken) {
    let any = [String::new()];
    let hosts = if hosts.is_empty() { &any } else { hosts };
    for host in hosts {
        let key = (host.clone(), path.trim_end_matches('/').to_owned());
        match taken.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(section.path().to_owned())),
            Entry::Occupied(other) => {
                let other = other.get();
                let host = if host.is_empty() { "any host" } else { host };
                section.refuse(format!("{other} has {host} and {path:?} too: expected another host or path"));
            }
        }
    }
}

/// A prefix that a request's path (RFC 3986 §3.3) can begin with once dot segments are gone.
fn is_path(text: &str) -> bool {
    let Some(path) = text.strip_prefix('/') else {
        return false;
    };
    let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
    path.is_empty() || segments.all(|segment| !["", ".", ".."].contains(&segment) && is_segment(segment))
}

/// `pchar`s only.
fn is_segment(segment: &str) -> bool {
    let mut parts = segment.split('%');
    let literal = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte))
    };
    let escape =
        |part: &str| part.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    parts.next().is_some_and(literal) && parts.all(|part| escape(part) && literal(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for path in ["/", "/ws", "/ws/", "/a/b.c", "/a%20b", "/~x/;v=1", "/.well-known", "/..."] {
            assert!(is_path(path), "{path:?}");
        }
    }

    #[test]
    fn what_is_no_path() {
        let refused = [
            "", "ws", "/ws?x", "/ws#x", "//", "/a//b", "/ws//", "/.", "/a/../b", "/a b", "/ü", "/a%2",
            "/a%zz", "/a\\b", "/a\n", "*", "/{x}",
        ];
        for path in refused {
            assert!(!is_path(path), "{path:?}");
        }
    }

    #[test]
    fn host_headers() {
        assert_eq!(host_header("keep"), Some(HostHeader::Keep));
        assert_eq!(host_header("server"), Some(HostHeader::Server));
        for name in ["chat.example.com", "chat.example.com:8080", "[::1]:80"] {
            assert_eq!(host_header(name), Some(HostHeader::Name(HeaderValue::from_static(name))), "{name:?}");
        }
        for refused in ["", "*.example.com", "http://a", "a b", "a\r\nx: y"] {
            assert_eq!(host_header(refused), None, "{refused:?}");
        }
    }
}
