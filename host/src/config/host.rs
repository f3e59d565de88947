//! Hosts as requests name them (RFC 9110 §7.2, RFC 3986 §3.2.2), and `HOST:PORT`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 1035 §2.3.4: a label, and a name without the final dot that is refused here.
const LABEL_BYTES_MAX: usize = 63;
const HOST_BYTES_MAX: usize = 253;

/// A host as a request may name it, lower-case, without port; IPv6 in brackets, in its shortest form.
pub(super) fn host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let is_host = text.len() <= HOST_BYTES_MAX
        && text.split('.').all(is_label)
        && (!looks_like_ipv4(text) || text.parse::<Ipv4Addr>().is_ok());
    is_host.then(|| text.to_ascii_lowercase())
}

/// A [`host`], or a domain with one wildcard label in front: `*.example.com`.
pub(super) fn host_pattern(text: &str) -> Option<String> {
    match text.strip_prefix("*.") {
        Some(domain) if !domain.starts_with('[') && !looks_like_ipv4(domain) => {
            host(domain).map(|domain| format!("*.{domain}"))
        }
        Some(_) => None,
        None => host(text),
    }
}

/// `HOST:PORT`, the port from 1 to 65535.
pub(super) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(name, port)| host(name).is_some() && is_port(port))
}

/// Underscores are no host name's by RFC 1123, and yet in service names everywhere.
fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// No top-level domain is numeric (RFC 3696 §2): `10.0.0.256` is an address with a mistake in it.
fn looks_like_ipv4(text: &str) -> bool {
    text.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_lower_case_and_shortest() {
        assert_eq!(host("Chat.Example.COM").as_deref(), Some("chat.example.com"));
        assert_eq!(host("my_service").as_deref(), Some("my_service"));
        assert_eq!(host("127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(host("[0:0:0:0:0:0:0:1]").as_deref(), Some("[::1]"));
    }

    #[test]
    fn what_is_no_host() {
        let long_label = format!("{}.com", "x".repeat(64));
        let long_name = "abc.".repeat(63) + "ab";
        assert_eq!(long_name.len(), 254);
        let refused = [
            "",
            ".",
            "example.com.",
            "a..b",
            "-a.com",
            "a-.com",
            "a b",
            "münchen.de",
            "a:80",
            "::1",
            "[::1",
            "[x]",
            "[::1]:80",
            "10.0.0.256",
            "10.0.1",
            "*",
            "*.a",
            "a/b",
            "user@a",
            &long_label,
            &long_name,
        ];
        for text in refused {
            assert_eq!(host(text), None, "{text:?}");
        }
    }

    #[test]
    fn one_wildcard_label_in_front() {
        assert_eq!(host_pattern("*.Example.com").as_deref(), Some("*.example.com"));
        assert_eq!(host_pattern("example.com").as_deref(), Some("example.com"));
        for refused in ["*", "*.", "*.*.com", "a.*.com", "*a.com", "*.[::1]", "*.0.0.1", "*.127.0.0.1"] {
            assert_eq!(host_pattern(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn hosts_with_ports() {
        for accepted in ["127.0.0.1:9001", "chat:1", "chat.internal:65535", "[::1]:80"] {
            assert!(is_host_and_port(accepted), "{accepted:?}");
        }
        for refused in [
            "",
            "chat",
            "chat:",
            "chat:0",
            "chat:65536",
            "chat:+80",
            ":80",
            "::1:80",
            "http://chat:80",
            "[::1]",
        ] {
            assert!(!is_host_and_port(refused), "{refused:?}");
        }
    }
}
