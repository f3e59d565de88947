//! The request target (RFC 9112 §3.2) and the host it names (RFC 9110 §4.2, RFC 3986 §3.2.2).
//!
//! Stricter than the grammar where the grammar leaves room for two readings: no userinfo, no fragment, no
//! percent-encoding, comma or other `sub-delims` in a host name, no empty port, nothing outside ASCII.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::lines::number;
use super::rejection::Rejection;

/// What the target says of the host: where the authority of an absolute-form stands in it.
pub(super) fn check(target: &[u8], method: &[u8]) -> Result<Option<Range<usize>>, Rejection> {
    if target.first() == Some(&b'/') {
        return check_path_and_query(target).map(|()| None);
    }
    if target == b"*" && method == b"OPTIONS" {
        return Ok(None);
    }
    let (start, rest) = ["http://", "https://"]
        .iter()
        .find_map(|scheme| {
            let (begin, rest) = target.split_at_checked(scheme.len())?;
            begin.eq_ignore_ascii_case(scheme.as_bytes()).then_some((scheme.len(), rest))
        })
        .ok_or(Rejection::Target)?;
    let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at_checked(length).ok_or(Rejection::Target)?;
    if !is_host_and_port(authority) {
        return Err(Rejection::Host);
    }
    check_path_and_query(path_and_query)?;
    Ok(Some(start..start + length))
}

/// `uri-host [ ":" port ]`, neither of them empty.
pub fn is_host_and_port(text: &[u8]) -> bool {
    let (host_is_valid, port) = match text.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (address, port) = rest.split_at_checked(end).unwrap_or_default();
            (is_ipv6_address(address), port.get(1..).unwrap_or_default())
        }
        None => {
            let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
            let (name, port) = text.split_at_checked(end).unwrap_or_default();
            (is_name(name), port)
        }
    };
    host_is_valid && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
}

/// A registered name or an IPv4 address.
fn is_name(text: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !text.is_empty() && text.iter().all(is_allowed)
}

fn is_ipv6_address(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_port(text: &[u8]) -> bool {
    number(text).is_some_and(|port| u16::try_from(port).is_ok())
}

/// Clients send a few bytes more unencoded than RFC 3986 allows; here pass those that `http::Uri` takes.
fn check_path_and_query(text: &[u8]) -> Result<(), Rejection> {
    let end = text.iter().position(|byte| *byte == b'?').unwrap_or(text.len());
    let (path, query) = text.split_at_checked(end).unwrap_or_default();
    let in_path = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'`');
    let in_query = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'"');
    if path.iter().all(in_path) && query.iter().all(in_query) { Ok(()) } else { Err(Rejection::TargetByte) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_the_target() {
        for (target, method, authority) in [
            ("/", "GET", None),
            ("//a/../b%2f?c=/?:@!$&'()*+,;=|[]{}^\\", "GET", None),
            ("*", "OPTIONS", None),
            ("http://a.example", "GET", Some("a.example")),
            ("HTTPS://a.example:8443/b?c", "POST", Some("a.example:8443")),
            ("http://[::1]:80/", "GET", Some("[::1]:80")),
        ] {
            let found = check(target.as_bytes(), method.as_bytes()).unwrap();
            assert_eq!(found.map(|range| &target[range]), authority, "{target}");
        }
    }

    #[test]
    fn other_targets_are_refused() {
        for (target, rejection) in [
            ("*", Rejection::Target),
            ("a.example:80", Rejection::Target),
            ("a/b", Rejection::Target),
            ("ftp://a.example/", Rejection::Target),
            ("http:/a.example/", Rejection::Target),
            ("http:///", Rejection::Host),
            ("http://user@a.example/", Rejection::Host),
            ("http://a.example?b", Rejection::Host),
            ("http://a.example#b", Rejection::Host),
            ("/a#b", Rejection::TargetByte),
            ("/a?b#c", Rejection::TargetByte),
            ("/a\tb", Rejection::TargetByte),
            ("/ü", Rejection::TargetByte),
            ("/<a>", Rejection::TargetByte),
            ("/?\"", Rejection::TargetByte),
        ] {
            assert_eq!(check(target.as_bytes(), b"GET"), Err(rejection), "{target}");
        }
    }

    #[test]
    fn hosts() {
        for host in [
            "a",
            "a.example",
            "a_b.example:0",
            "A-1.example.:65535",
            "127.0.0.1:80",
            "[::1]",
            "[::ffff:1.2.3.4]:9",
        ] {
            assert!(is_host_and_port(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:+1",
            "a:65536",
            "a:80:80",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "a%2eb",
            "ä",
            "a;b",
            "::1",
            "[::1",
            "[]",
            "[::1]80",
            "[::1]:",
            "[a]",
            "[v1.a]",
            "[fe80::1%25eth0]",
            "a[::1]",
            "http://a",
        ] {
            assert!(!is_host_and_port(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn http_takes_what_passes() {
        for byte in 0..=u8::MAX {
            for target in [&[b'/', byte][..], &[b'/', b'?', byte]] {
                if check(target, b"GET").is_ok() {
                    let uri = http::Uri::try_from(target).unwrap();
                    assert_eq!(uri.path_and_query().unwrap().as_str().as_bytes(), target);
                }
            }
            if is_host_and_port(&[byte]) {
                http::uri::Authority::try_from(&[byte][..]).unwrap();
            }
        }
    }
}
