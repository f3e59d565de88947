//! Origins (RFC 6454) and patterns of them. Only whole parts are compared: `https://example.com.evil.net`
//! begins with an allowed origin and is none.

use sluicegate_sdk::ConfigureError;

/// A scheme, a host and a port; or `null`, which stands for no origin at all (RFC 6454 §6).
#[derive(Debug, PartialEq)]
pub(crate) enum Origin {
    Null,
    Tuple { scheme: String, host: String, port: Option<u16> },
}

impl Origin {
    /// An origin as browsers write it (RFC 6454 §6.2); `None` for anything else, a list of origins included.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = split_port(authority);
        let port = match port {
            Some(digits) => Some(parse_port(digits)?),
            None => default_port(&scheme),
        };
        let host = host.to_ascii_lowercase();
        (is_scheme(&scheme) && is_host(&host)).then_some(Self::Tuple { scheme, host, port })
    }
}

/// What the operator allows.
#[derive(Debug, PartialEq)]
pub(crate) enum Pattern {
    Exactly(Origin),
    /// An origin whose host is this one's with one or more labels before it.
    Below(Origin),
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigureError> {
        let (without_star, below) = match text.split_once("://*.") {
            Some((scheme, rest)) => (format!("{scheme}://{rest}"), true),
            None => (text.to_owned(), false),
        };
        match Origin::parse(&without_star) {
            Some(origin) if below => Ok(Self::Below(origin)),
            Some(origin) => Ok(Self::Exactly(origin)),
            None => Err(ConfigureError::new(format_args!(
                "allow: `{text}` is not an origin; write scheme and host, without a path: \
                 `https://chat.example.com`, `https://*.example.com`, `http://localhost:3000`, or `null`"
            ))),
        }
    }

    pub(crate) fn matches(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Exactly(allowed), origin) => allowed == origin,
            (
                Self::Below(Origin::Tuple { scheme, host, port }),
                Origin::Tuple { scheme: its_scheme, host: its_host, port: its_port },
            ) => scheme == its_scheme && port == its_port && is_below(its_host, host),
            (Self::Below(_), _) => false,
        }
    }
}

/// Whether `host` is `parent` with one or more labels before it.
fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent)
        .and_then(|labels| labels.strip_suffix('.'))
        .is_some_and(|labels| !labels.is_empty())
}

/// `host[:port]`; a colon within the brackets of an IPv6 address (RFC 3986 §3.2.2) is no port's.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    // `parse` would also read "+443".
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// An address, or a name of ASCII labels, as browsers send it (`xn--` for those of other letters).
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    host.split('.').all(|label| !label.is_empty())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, origin: &str) -> bool {
        let origin = Origin::parse(origin);
        origin.is_some_and(|origin| Pattern::parse(pattern).unwrap().matches(&origin))
    }

    #[test]
    fn scheme_host_and_port_must_be_the_same() {
        let allowed = "https://chat.example.com";
        assert!(matches(allowed, "https://chat.example.com"));
        assert!(!matches(allowed, "http://chat.example.com"));
        assert!(!matches(allowed, "https://example.com"));
        assert!(!matches(allowed, "https://chat.example.com:8443"));
    }

    #[test]
    fn a_part_of_an_origin_is_not_the_origin() {
        let allowed = "https://chat.example.com";
        assert!(!matches(allowed, "https://chat.example.com.evil.net"));
        assert!(!matches(allowed, "https://evilchat.example.com"));
        assert!(!matches(allowed, "https://chat.example.co"));
        assert!(!matches(allowed, "https://evil.net/https://chat.example.com"));
        assert!(!matches(allowed, "https://chat.example.com@evil.net"));
    }

    #[test]
    fn case_does_not_matter_in_scheme_and_host() {
        assert!(matches("https://chat.example.com", "HTTPS://Chat.Example.COM"));
        assert!(matches("HTTPS://Chat.Example.COM", "https://chat.example.com"));
    }

    #[test]
    fn a_default_port_may_be_written_or_not() {
        assert!(matches("https://a.example", "https://a.example:443"));
        assert!(matches("http://a.example:80", "http://a.example"));
        assert!(!matches("https://a.example", "https://a.example:80"));
        assert!(matches("http://localhost:3000", "http://localhost:3000"));
    }

    #[test]
    fn a_star_stands_for_labels_below() {
        let allowed = "https://*.example.com";
        assert!(matches(allowed, "https://a.example.com"));
        assert!(matches(allowed, "https://a.b.example.com"));
        assert!(!matches(allowed, "https://example.com"));
        assert!(!matches(allowed, "https://evilexample.com"));
        assert!(!matches(allowed, "https://.example.com"));
        assert!(!matches(allowed, "https://a.example.com:8443"));
        assert!(!matches(allowed, "null"));
    }

    #[test]
    fn null_matches_only_itself() {
        assert!(matches("null", "null"));
        assert!(!matches("null", "https://a.example"));
        assert!(!matches("https://a.example", "null"));
    }

    #[test]
    fn addresses_are_hosts() {
        assert!(matches("http://127.0.0.1:8080", "http://127.0.0.1:8080"));
        assert!(matches("http://[::1]:8080", "http://[::1]:8080"));
        assert!(matches("https://[2001:DB8::1]", "https://[2001:db8::1]:443"));
        assert!(!matches("http://[::1]:8080", "http://[::1]"));
    }

    #[test]
    fn other_schemes_have_no_default_port() {
        assert!(matches("capacitor://localhost", "capacitor://localhost"));
        assert!(!matches("capacitor://localhost", "capacitor://localhost:80"));
    }

    #[test]
    fn what_is_not_one_origin_is_none() {
        for text in [
            "",
            "chat.example.com",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example:",
            "https://a.example:+443",
            "https://a.example:65536",
            "https://a.example b.example",
            "https://a.example https://b.example",
            "https://a..example",
            "https://[::1",
            "https://::1",
            "https://[g::1]",
            "https://[::1]x",
            "//a.example",
            "1https://a.example",
            "https://user@a.example",
            "https://a.example?x",
            "https://bücher.example",
            "Null",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_refused_with_words() {
        for text in
            ["*", "https://*", "https://*.", "https://a.*.example", "*.example.com", "https://a.example/"]
        {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("allow: `{text}` is not an origin; write")), "{error}");
        }
    }
}
