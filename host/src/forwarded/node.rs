//! A node as `X-Forwarded-For` and `Forwarded` name it (RFC 7239 §6): an address with or without a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]`, `[2001:db8::7]:4711`; the port is 0 where it is not
/// told. None of `unknown`, of identifiers that hide the node (`_hidden`), and of everything else.
pub(super) fn parse(text: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(text).ok()?;
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
        }
        // In `X-Forwarded-For` mostly without brackets, and then without a port.
        None => match text.parse::<Ipv6Addr>() {
            Ok(address) => (IpAddr::V6(address), ""),
            Err(_) => {
                let (address, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
                (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
            }
        },
    };
    Some(SocketAddr::new(address.to_canonical(), parse_port(port)?))
}

/// Empty, or what follows on `:`. A port may be hidden (`_x`) where the address is not (RFC 7239 §6.3).
fn parse_port(text: &str) -> Option<u16> {
    if text.is_empty() {
        return Some(0);
    }
    let port = text.strip_prefix(':')?;
    match port.strip_prefix('_') {
        Some(hidden) if !hidden.is_empty() => Some(0),
        Some(_) => None,
        None if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7239_6_addresses_with_and_without_ports() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7:0"),
            ("192.0.2.7:4711", "192.0.2.7:4711"),
            ("192.0.2.7:_p", "192.0.2.7:0"),
            ("2001:db8::7", "[2001:db8::7]:0"),
            ("[2001:db8::7]", "[2001:db8::7]:0"),
            ("[2001:db8::7]:4711", "[2001:db8::7]:4711"),
            ("::ffff:192.0.2.7", "192.0.2.7:0"),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            "unknown",
            "_hidden",
            "a.example",
            "192.0.2",
            "192.0.2.007",
            "192.0.2.7:",
            "192.0.2.7:x",
            "192.0.2.7:65536",
            "192.0.2.7:+1",
            "192.0.2.7:_",
            "192.0.2.7 ",
            "[192.0.2.7]",
            "[2001:db8::7",
            "[2001:db8::7]4711",
            "fe80::1%eth0",
            "192.0.2.7:1:2",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"\xff"), None);
    }
}
