//! Which route a request takes. Pure.

use std::borrow::Cow;

use crate::config;

/// The routes of a configuration, most particular first.
#[derive(Debug)]
pub struct Routes {
    /// Positions in [`config::Config::routes`], by host's and path's particularity.
    order: Vec<usize>,
}

// === impl Routes ===

impl Routes {
    /// A named host comes before a wildcard, that before any host; then the longest path wins.
    pub fn new(routes: &[config::Route]) -> Self {
        let mut order: Vec<(usize, &config::Route)> = routes.iter().enumerate().collect();
        order.sort_by_key(|(_, route)| std::cmp::Reverse((particularity(route), prefix(&route.path).len())));
        Self { order: order.into_iter().map(|(at, _)| at).collect() }
    }

    /// The route of `path` (as received) at `host` (as received, with or without port).
    pub fn find<'a>(
        &self,
        routes: &'a [config::Route],
        host: &[u8],
        path: &str,
    ) -> Option<(usize, &'a config::Route)> {
        let host = name_of(host).to_ascii_lowercase();
        let path = normalized(path);
        let matching = |route: &config::Route| matches_host(route, &host) && matches_path(&route.path, &path);
        let candidates = self.order.iter().filter_map(|at| Some((*at, routes.get(*at)?)));
        candidates.into_iter().find(|(_, route)| matching(route))
    }
}

/// The path that routes are compared with: percent-encoding undone, dot segments and empty ones removed (RFC 3986
/// §6.2.2). An upstream may do the same, so a route's plugins must not be avoidable by another spelling.
fn normalized(path: &str) -> Cow<'_, str> {
    let plain = !path.contains('%') && !path.contains("//") && !path.contains("/.") && path.starts_with('/');
    if plain {
        return Cow::Borrowed(path);
    }
    let decoded = percent_decoded(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let directory = decoded.ends_with('/') || decoded.ends_with("/.") || decoded.ends_with("/..");
    let end = if directory && !segments.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", segments.join("/")))
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

/// 2 for a name, 1 for a wildcard, 0 for any.
fn particularity(route: &config::Route) -> u8 {
    let of = |host: &String| if host.starts_with("*.") { 1 } else { 2 };
    route.hosts.iter().map(of).max().unwrap_or(0)
}

fn matches_host(route: &config::Route, host: &[u8]) -> bool {
    let matches = |pattern: &String| match pattern.strip_prefix('*') {
        // `*.example.com`: at least one label more.
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_bytes()),
        None => host == pattern.as_bytes(),
    };
    route.hosts.is_empty() || route.hosts.iter().any(matches)
}

/// Whole segments: `/ws` and `/ws/` are one prefix, of `/ws`, `/ws/` and `/ws/x`, not of `/wsx`.
fn matches_path(pattern: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix(pattern));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn prefix(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
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

    #[test]
    fn prefixes_are_whole_segments() {
        for path in ["/ws", "/ws/", "/ws/a"] {
            assert!(matches_path("/ws/", path), "{path}");
            assert!(matches_path("/ws", path), "{path}");
        }
        assert!(!matches_path("/ws", "/wsx"));
        assert!(!matches_path("/ws/", "/"));
        assert!(matches_path("/", "/anything"));
        assert!(matches_path("/", "/"));
    }

    #[test]
    fn rfc3986_6_2_2_other_spellings_are_the_same_path() {
        for path in
            ["/x/../ws/a", "/./ws/a", "//ws//a", "/%77s/a", "/x/%2e%2E/ws/a", "/../ws/a", "/x%2f..%2fws/a"]
        {
            assert_eq!(normalized(path), "/ws/a", "{path}");
        }
        assert_eq!(normalized("/ws/."), "/ws/");
        assert_eq!(normalized("/ws/.."), "/");
        assert_eq!(normalized("/a%"), "/a%");
        assert_eq!(normalized("/a%+1"), "/a%+1");
        assert_eq!(normalized("*"), "/*");
    }

    #[test]
    fn a_port_and_a_final_dot_are_no_part_of_the_name() {
        assert_eq!(name_of(b"chat.example.com:8080"), b"chat.example.com");
        assert_eq!(name_of(b"chat.example.com."), b"chat.example.com");
        assert_eq!(name_of(b"[::1]:8080"), b"[::1]");
        assert_eq!(name_of(b"[::1]"), b"[::1]");
    }
}
