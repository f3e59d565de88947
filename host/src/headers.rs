//! Header fields on their way through a proxy: what ends at each hop, and what is told of a client's certificate and of
//! https.

use std::time::Duration;

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use crate::tls::ClientCertificate;

const X_CLIENT_CERT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const X_CLIENT_CERT_FINGERPRINT: HeaderName = HeaderName::from_static("x-client-cert-fingerprint");

/// "A sender MUST NOT send a connection option corresponding to a field that is intended for all recipients"
/// (RFC 9110 §7.6.1). One that does so is after a decision based on the field, here or at the upstream, so its
/// word is not taken for these.
static FOR_ALL_RECIPIENTS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    header::ORIGIN,
    header::SET_COOKIE,
    header::FORWARDED,
];

/// What upstreams take for the proxy's word, beside `X-Forwarded-…`.
static OF_THE_PROXY: [HeaderName; 3] =
    [HeaderName::from_static("x-real-ip"), X_CLIENT_CERT_SUBJECT, X_CLIENT_CERT_FINGERPRINT];

/// Remove what belongs to the connection the message came on: "Intermediaries MUST parse a received Connection
/// header field before a message is forwarded and, for each connection-option in this field, remove any header or
/// trailer field(s) from the message with the same name as the connection-option" (RFC 9110 §7.6.1).
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    // Most messages have none, and then nothing is named either.
    if own.is_empty() {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !FOR_ALL_RECIPIENTS.contains(name) && !name.as_str().starts_with("sec-websocket-"))
        .collect();
    for name in named.iter().chain(&own) {
        headers.remove(name);
    }
}

/// Fields of one connection (RFC 9110 §7.6.1), whether or not `Connection` names them.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade"
    )
}

/// Remove what trailers may not have: what frames, routes or authenticates the message must be known before it
/// (RFC 9110 §6.5.1), and what the proxy itself says in a request's head is not to be said again behind it.
pub fn remove_from_trailers(trailers: &mut HeaderMap) {
    let is_own = |name: &HeaderName| OF_THE_PROXY.contains(name) || name.as_str().starts_with("x-forwarded-");
    let removed: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| is_hop_by_hop(name) || FOR_ALL_RECIPIENTS.contains(name) || is_own(name))
        .cloned()
        .collect();
    for name in &removed {
        trailers.remove(name);
    }
}

/// Tell the upstream what certificate the client has shown. What it said in these fields is removed in any case: upstreams
/// take them for verified.
pub fn set_client_certificate(headers: &mut HeaderMap, certificate: Option<&ClientCertificate>) {
    // Whoever says nothing of it, as most do, is not searched for each.
    if headers.keys().any(|name| name.as_str().starts_with("x-client-cert-")) {
        headers.remove(X_CLIENT_CERT_SUBJECT);
        headers.remove(X_CLIENT_CERT_FINGERPRINT);
    }
    let Some(certificate) = certificate else { return };
    // Both are ASCII.
    if let Ok(subject) = HeaderValue::try_from(&certificate.subject) {
        headers.insert(X_CLIENT_CERT_SUBJECT, subject);
    }
    if let Ok(fingerprint) = HeaderValue::try_from(&certificate.fingerprint) {
        headers.insert(X_CLIENT_CERT_FINGERPRINT, fingerprint);
    }
}

/// Tell the client to come by https only, for so long (RFC 6797 §6.1); an upstream's own word on it is replaced, as there
/// may be only one.
pub fn set_strict_transport_security(headers: &mut HeaderMap, age: Duration) {
    if let Ok(value) = HeaderValue::try_from(format!("max-age={}", age.as_secs())) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
}

/// The members of a list-valued field's line, without white space and empty members (RFC 9110 §5.6.1).
pub fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Whether any line of a list-valued field has this member, in any case of letters.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let is_token = |found: &[u8]| found.eq_ignore_ascii_case(token.as_bytes());
    headers.get_all(name).iter().any(|line| tokens(line).any(is_token))
}

/// Names and values of a request's cookies (RFC 6265 §4.2.1), of all its lines.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    #[test]
    fn rfc9110_7_6_1_fields_of_the_connection_end_here() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Hop"),
            ("connection", "upgrade"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "websocket"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-hop", "1"),
            ("x-end", "2"),
        ]);
        remove_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("x-end", "2")]));
    }

    #[test]
    fn a_client_cannot_have_fields_for_all_recipients_removed() {
        let kept = [("origin", "https://a.example"), ("host", "b.example"), ("sec-websocket-key", "k")];
        let mut map = headers(&kept);
        map.append("connection", HeaderValue::from_static("origin, Host, sec-websocket-key"));
        remove_hop_by_hop(&mut map);
        assert_eq!(map, headers(&kept));
    }

    #[test]
    fn rfc9110_6_5_1_trailers_say_nothing_that_must_be_known_before() {
        let mut map = headers(&[
            ("grpc-status", "0"),
            ("content-length", "1"),
            ("transfer-encoding", "chunked"),
            ("host", "b"),
            ("authorization", "x"),
            ("set-cookie", "a=b"),
            ("x-real-ip", "1"),
            ("x-forwarded-for", "1"),
            ("x-client-cert-subject", "CN=admin"),
        ]);
        remove_from_trailers(&mut map);
        assert_eq!(map, headers(&[("grpc-status", "0")]));
    }

    #[test]
    fn rfc6265_4_2_1_cookies_are_pairs() {
        let map = headers(&[("cookie", "a=1; b=2;c = 3 ; d; =4"), ("cookie", "a=x=y")]);
        let found: Vec<_> = cookies(&map).collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"", b"4"), (b"a", b"x=y")];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_client_says_of_its_certificate_is_replaced() {
        let forged = [
            ("x-client-cert-subject", "CN=admin"),
            ("x-client-cert-fingerprint", "00"),
            ("x-client-cert-subject", "CN=root"),
        ];
        let mut map = headers(&forged);
        set_client_certificate(&mut map, None);
        assert_eq!(map, headers(&[]));
        let certificate = ClientCertificate {
            subject: r"CN=Lu\C4\8Di\C4\87".to_owned(),
            issuer: "CN=ca".to_owned(),
            serial: "01".to_owned(),
            fingerprint: "ff".to_owned(),
        };
        map = headers(&forged);
        set_client_certificate(&mut map, Some(&certificate));
        let told = [("x-client-cert-subject", r"CN=Lu\C4\8Di\C4\87"), ("x-client-cert-fingerprint", "ff")];
        assert_eq!(map, headers(&told));
    }
}
