//! Which route a request takes. Pure.

use std::cmp::Reverse;

use crate::config;

/// The routes of a configuration, most particular first.
#[derive(Debug)]
pub struct Routes {
    order: Vec<Entry>,
}

/// One host pattern of one route.
#[derive(Debug)]
struct Entry {
    /// None: any host.
    host: Option<String>,
    /// As requests' paths are compared with it: decoded, without the last slash.
    prefix: String,
    /// Position in [`config::Config::routes`].
    route: usize,
}

/// A path that servers read differently, some of them as one of another route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

// === impl Routes ===

impl Routes {
    /// A named host comes before a wildcard, the longer wildcard before the shorter, that before any host; then the
    /// longest path wins.
    pub fn new(routes: &[config::Route]) -> Self {
        let mut order = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            let prefix = percent_decoded(&route.path);
            let prefix = prefix.strip_suffix('/').unwrap_or(&prefix).to_owned();
            let entry = |host| Entry { host, prefix: prefix.clone(), route: at };
            match route.hosts.as_slice() {
                [] => order.push(entry(None)),
                hosts => order.extend(hosts.iter().map(|host| entry(Some(host.clone())))),
            }
        }
        order.sort_by_key(|entry| Reverse((particularity(entry.host.as_deref()), entry.prefix.len())));
        Self { order }
    }

    /// The route of `path` (as received) at `host` (as received, with or without port).
    pub fn find(&self, host: &[u8], path: &str) -> Result<Option<usize>, Ambiguous> {
        let host = name_of(host);
        let route_of =
            |path: &str| self.order.iter().find(|entry| entry.matches(host, path)).map(|entry| entry.route);
        if is_plain(path) {
            return Ok(route_of(path));
        }
        // An upstream may read the path in any of these ways, and a route's plugins must not be avoidable by a spelling
        // that is this route's for one and another's for the other.
        let decoded = percent_decoded(path);
        let route = route_of(&decoded);
        if readings(&decoded).iter().all(|reading| route_of(reading) == route) {
            Ok(route)
        } else {
            Err(Ambiguous)
        }
    }
}

// === impl Entry ===

impl Entry {
    fn matches(&self, host: &[u8], path: &str) -> bool {
        let host_matches = match &self.host {
            None => true,
            Some(pattern) => match pattern.strip_prefix('*') {
                // `*.example.com`: at least one label more.
                Some(suffix) => {
                    let (label, end) = host.split_at(host.len().saturating_sub(suffix.len()));
                    !label.is_empty() && end.eq_ignore_ascii_case(suffix.as_bytes())
                }
                None => host.eq_ignore_ascii_case(pattern.as_bytes()),
            },
        };
        host_matches && matches_path(&self.prefix, path)
    }
}

/// Whether all servers read this path alike.
fn is_plain(path: &str) -> bool {
    let special = |byte: &u8| matches!(byte, b'%' | b'\\' | b';');
    let is_dot_or_empty = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    let bytes = path.as_bytes();
    path.starts_with('/') && !bytes.windows(2).any(is_dot_or_empty) && !bytes.iter().any(special)
}

/// Ways in which servers read a decoded path that is not plain: without dot segments (RFC 3986 §6.2.2), the same without
/// parameters of segments (as servlets do), with backslashes for slashes, and with what follows `//` as a host (as WHATWG URLs
/// have it).
fn readings(decoded: &str) -> Vec<String> {
    let slashes = decoded.replace('\\', "/");
    let without_parameters = |path: &str| {
        let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
        segments.collect::<Vec<_>>().join("/")
    };
    let without_host = |path: &str| match path.strip_prefix("//") {
        Some(rest) => rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/").to_owned(),
        None => path.to_owned(),
    };
    let mut readings = Vec::new();
    for reading in
        [decoded.to_owned(), slashes.clone(), without_parameters(decoded), without_parameters(&slashes)]
    {
        readings.push(without_dots(&without_host(&reading)));
        readings.push(without_dots(&reading));
    }
    readings
}

/// Without dot segments and empty ones.
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let directory = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let end = if directory && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// What is no percent-encoding, or no UTF-8, stays as it is or becomes what no route's path has in it.
fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let encoded = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        let decoded = encoded.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = decoded.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A name before wildcards, those by length, before any host.
fn particularity(host: Option<&str>) -> usize {
    match host {
        None => 0,
        Some(pattern) if pattern.starts_with("*.") => pattern.len(),
        Some(_) => usize::MAX,
    }
}

/// Whole segments: `/ws` is a prefix of `/ws`, `/ws/` and `/ws/x`, not of `/wsx`.
fn matches_path(prefix: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) || (prefix.is_empty() && path == "*")
}

/// A host without its port and without the dot that ends a full name.
fn name_of(host: &[u8]) -> &[u8] {
    let name = match host.iter().rposition(|byte| *byte == b':') {
        // The colons of an address in brackets are its own.
        Some(colon) if host.last() != Some(&b']') => host.get(..colon).unwrap_or(host),
        _ => host,
    };
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Route, Target, UpstreamIndex};

    fn routes(routes: &[(&[&str], &str)]) -> Routes {
        let route = |(hosts, path): &(&[&str], &str)| {
            let mut route = Route::new(Target::Upstream(UpstreamIndex(0)));
            route.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            route.path = (*path).to_owned();
            route
        };
        Routes::new(&routes.iter().map(route).collect::<Vec<_>>())
    }

    #[test]
    fn prefixes_are_whole_segments_and_the_longest_wins() {
        let routes = routes(&[(&[], "/"), (&[], "/ws/"), (&[], "/ws/admin")]);
        let find = |path| routes.find(b"a.example", path).unwrap().unwrap();
        for path in ["/ws", "/ws/", "/ws/a", "/ws/administrator"] {
            assert_eq!(find(path), 1, "{path}");
        }
        for path in ["/", "/wsx", "/a/ws", "*"] {
            assert_eq!(find(path), 0, "{path}");
        }
        assert_eq!(find("/ws/admin/x"), 2);
    }

    #[test]
    fn a_name_comes_before_a_wildcard_and_the_longer_wildcard_first() {
        let routes = routes(&[
            (&[], "/"),
            (&["*.example.com"], "/api"),
            (&["*.eu.example.com"], "/"),
            (&["a.example", "*.b.example"], "/"),
            (&["*.b.example"], "/admin"),
            (&["x.eu.example.com"], "/"),
        ]);
        let find = |host: &str, path| routes.find(host.as_bytes(), path).unwrap().unwrap();
        assert_eq!(find("other.example", "/api"), 0);
        assert_eq!(find("example.com", "/api"), 0);
        assert_eq!(find("www.example.com:8080", "/api"), 1);
        assert_eq!(find("www.eu.example.com", "/api"), 2);
        assert_eq!(find("X.EU.example.com.", "/api"), 5);
        assert_eq!(find("a.example", "/admin"), 3);
        assert_eq!(find("x.b.example", "/admin"), 4);
        assert_eq!(find("x.b.example", "/"), 3);
    }

    #[test]
    fn no_spelling_leads_past_a_route() {
        let routes = routes(&[(&[], "/"), (&[], "/admin")]);
        for path in [
            "/admin/..",
            "/admin/x/../..",
            "/admin/%2e%2e",
            "/x/../admin",
            "//admin",
            "//x/admin",
            "/x\\..\\admin",
            "/x/..;/admin",
            "/;/admin",
            "/admin;v=1",
            "/x%2f..%2fadmin",
            "/./admin",
        ] {
            assert_eq!(routes.find(b"a.example", path), Err(Ambiguous), "{path}");
        }
        for (path, route) in [
            ("/a%20b", 0),
            ("/a//b", 0),
            ("/a;v=1/b", 0),
            ("/.well-known/x", 0),
            ("/admin/a%20b", 1),
            ("/admin/./x", 1),
            ("/admin/a;v=1", 1),
            ("/a%", 0),
            ("/admin/%zz", 1),
            ("/%61dmin", 1),
        ] {
            assert_eq!(routes.find(b"a.example", path), Ok(Some(route)), "{path}");
        }
    }

    #[test]
    fn a_route_with_percent_encoding_matches_what_it_says() {
        let routes = routes(&[(&[], "/"), (&[], "/a%20b")]);
        assert_eq!(routes.find(b"", "/c%20d"), Ok(Some(0)));
        assert_eq!(routes.find(b"", "/a%20b/c"), Ok(Some(1)));
    }

    #[test]
    fn a_port_and_a_final_dot_are_no_part_of_the_name() {
        assert_eq!(name_of(b"chat.example.com:8080"), b"chat.example.com");
        assert_eq!(name_of(b"chat.example.com."), b"chat.example.com");
        assert_eq!(name_of(b"[::1]:8080"), b"[::1]");
        assert_eq!(name_of(b"[::1]"), b"[::1]");
    }
}
