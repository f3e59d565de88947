//! The head of an HTTP/2 request (RFC 9113 §8.2, §8.3), met as one of HTTP/1.1 is: nothing is repaired, and what
//! another server could read differently goes to none.
//!
//! The `h2` crate has already refused (by resetting the stream) a name that is not a lower-case token, a value with CR, LF
//! or NUL, pseudo-header fields that are missing, unknown, repeated or late, and a body that is not as long as
//! Content-Length says. Of a `:path` with a fragment the path is all that comes here.

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::super::Limits;
use super::super::lines::number;
use super::super::rejection::Rejection;
use super::super::target::{self, is_host_and_port};

/// "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields" (RFC 9113 §8.2.2).
const OF_A_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a valid head asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `:authority`, or `host` where that is not there.
    pub authority: HeaderValue,
    /// A WebSocket, by extended CONNECT (RFC 8441 §4).
    pub websocket: bool,
}

/// Check a head.
pub fn check(request: &Parts, limits: &Limits) -> Result<Asked, Rejection> {
    let websocket = match (&request.method, request.extensions.get::<h2::ext::Protocol>()) {
        (&Method::CONNECT, Some(protocol)) if protocol.as_str() == "websocket" => true,
        (&Method::CONNECT, Some(_)) => return Err(Rejection::Protocol),
        (&Method::CONNECT, None) => return Err(Rejection::Connect),
        _ => false,
    };
    check_target(request, limits)?;
    check_fields(&request.headers, limits)?;
    let length = check_content_length(&request.headers)?;
    if websocket && length > 0 {
        return Err(Rejection::HandshakeBody);
    }
    check_expectation(&request.headers)?;
    Ok(Asked { authority: authority(request)?, websocket })
}

/// `:scheme` and `:path` (RFC 9113 §8.3.1). What the scheme says of the connection is not believed.
fn check_target(request: &Parts, limits: &Limits) -> Result<(), Rejection> {
    if request.uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(Rejection::Target);
    }
    let target = request.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > limits.request_line_bytes_max {
        return Err(Rejection::RequestLineTooLong);
    }
    match target::check(target.as_bytes(), request.method.as_str().as_bytes())? {
        None => Ok(()),
        // A whole URI where only its path belongs.
        Some(_) => Err(Rejection::Target),
    }
}

fn check_fields(headers: &HeaderMap, limits: &Limits) -> Result<(), Rejection> {
    if headers.len() > limits.fields_max {
        return Err(Rejection::TooManyFields);
    }
    if OF_A_CONNECTION.iter().any(|name| headers.contains_key(name))
        || headers.get_all(header::TE).iter().any(|value| value != "trailers")
    {
        return Err(Rejection::ConnectionField);
    }
    let is_padded = |value: &HeaderValue| value.as_bytes().trim_ascii().len() != value.len();
    if headers.values().any(is_padded) { Err(Rejection::FieldValue) } else { Ok(()) }
}

fn check_content_length(headers: &HeaderMap) -> Result<u64, Rejection> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lines.next() else { return Ok(0) };
    if lines.next().is_some() {
        return Err(Rejection::SeveralContentLengths);
    }
    let length = number(length.as_bytes()).filter(|length| i64::try_from(*length).is_ok());
    length.ok_or(Rejection::ContentLength)
}

/// RFC 9110 §10.1.1.
fn check_expectation(headers: &HeaderMap) -> Result<(), Rejection> {
    let mut lines = headers.get_all(header::EXPECT).iter();
    let Some(expectation) = lines.next() else { return Ok(()) };
    let known = expectation.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if known && lines.next().is_none() { Ok(()) } else { Err(Rejection::Expectation) }
}

/// "A server SHOULD treat a request as malformed if it contains a Host header field that identifies an entity that
/// differs from the entity in the :authority pseudo-header field" (RFC 9113 §8.3.1).
fn authority(request: &Parts) -> Result<HeaderValue, Rejection> {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Rejection::SeveralHosts);
    }
    let authority = match request.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).map_err(|_| Rejection::Host)?,
        None => host.cloned().ok_or(Rejection::MissingHost)?,
    };
    if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
        return Err(Rejection::HostMismatch);
    }
    if is_host_and_port(authority.as_bytes()) { Ok(authority) } else { Err(Rejection::Host) }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::uri::{PathAndQuery, Uri};

    use super::*;

    type Fields<'a> = &'a [(&'static str, &'a str)];

    fn head(method: &str, authority: Option<&str>, path: &str, fields: Fields<'_>) -> Parts {
        let mut uri = http::uri::Parts::default();
        uri.scheme = authority.map(|_| "http".parse().unwrap());
        uri.authority = authority.map(|authority| authority.parse().unwrap());
        uri.path_and_query = Some(PathAndQuery::try_from(path).unwrap());
        let mut request = Request::new(());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = Uri::from_parts(uri).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
        }
        request.into_parts().0
    }

    fn check_head(
        method: &str,
        authority: Option<&str>,
        path: &str,
        fields: Fields<'_>,
    ) -> Result<Asked, Rejection> {
        check(&head(method, authority, path, fields), &Limits::default())
    }

    fn check_fields_of_a_get(fields: Fields<'_>) -> Result<Asked, Rejection> {
        check_head("GET", Some("a.example"), "/", fields)
    }

    fn connect(protocol: Option<&'static str>, fields: Fields<'_>) -> Result<Asked, Rejection> {
        let mut head = head("CONNECT", Some("a.example"), "/chat", fields);
        if let Some(protocol) = protocol {
            head.extensions.insert(h2::ext::Protocol::from_static(protocol));
        }
        check(&head, &Limits::default())
    }

    #[test]
    fn whole_heads() {
        let plain = |authority| Asked { authority: HeaderValue::from_static(authority), websocket: false };
        for (method, path, fields) in [
            ("GET", "/", &[][..]),
            ("OPTIONS", "*", &[]),
            ("POST", "/a?b=/c", &[("content-length", "5"), ("expect", "100-continue"), ("te", "trailers")]),
            ("GET", "/", &[("host", "A.example"), ("cookie", "a=1"), ("cookie", "b=2"), ("x", "")]),
        ] {
            assert_eq!(
                check_head(method, Some("a.example"), path, fields),
                Ok(plain("a.example")),
                "{fields:?}"
            );
        }
        assert_eq!(check_head("GET", None, "/", &[("host", "[::1]:80")]), Ok(plain("[::1]:80")));
    }

    #[test]
    fn rfc9113_8_2_2_fields_of_a_connection_are_refused() {
        for field in [
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "identity"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
            ("te", "trailers, deflate"),
        ] {
            assert_eq!(check_fields_of_a_get(&[field]), Err(Rejection::ConnectionField), "{field:?}");
        }
    }

    #[test]
    fn rfc9113_8_2_1_values_are_not_padded() {
        for value in [" a", "a ", "\ta", "a\t"] {
            assert_eq!(check_fields_of_a_get(&[("x", value)]), Err(Rejection::FieldValue), "{value:?}");
        }
        assert!(check_fields_of_a_get(&[("x", "a b\tc")]).is_ok());
    }

    #[test]
    fn rfc9113_8_3_1_one_host_however_it_is_said() {
        for (authority, fields, rejection) in [
            (None, &[][..], Rejection::MissingHost),
            (Some("a.example"), &[("host", "b.example")], Rejection::HostMismatch),
            (Some("a.example"), &[("host", "a.example:80")], Rejection::HostMismatch),
            (Some("a.example"), &[("host", "a.example"), ("host", "a.example")], Rejection::SeveralHosts),
            (None, &[("host", "a.example"), ("host", "b.example")], Rejection::SeveralHosts),
            (None, &[("host", "a/b")], Rejection::Host),
            (None, &[("host", "")], Rejection::Host),
            (Some("user@a.example"), &[], Rejection::Host),
        ] {
            assert_eq!(check_head("GET", authority, "/", fields), Err(rejection), "{authority:?} {fields:?}");
        }
    }

    #[test]
    fn rfc9113_8_3_1_the_path_is_a_path() {
        for (method, path) in [("GET", "*"), ("GET", "a"), ("GET", "http://b.example/"), ("GET", "?a")] {
            // Not all of these are values that come out of the `h2` crate.
            let Ok(path) = PathAndQuery::try_from(path) else { continue };
            let mut head = head(method, Some("a.example"), "/", &[]);
            let mut uri = head.uri.into_parts();
            uri.path_and_query = Some(path);
            let Ok(uri) = Uri::from_parts(uri) else { continue };
            head.uri = uri;
            assert!(check(&head, &Limits::default()).is_err(), "{:?}", head.uri);
        }
        let long = format!("/{}", "a".repeat(Limits::default().request_line_bytes_max));
        assert_eq!(check_head("GET", Some("a"), &long, &[]), Err(Rejection::RequestLineTooLong));
        let mut head = head("GET", Some("a.example"), "/", &[]);
        head.uri = "ftp://a.example/".parse().unwrap();
        assert_eq!(check(&head, &Limits::default()), Err(Rejection::Target));
    }

    #[test]
    fn lengths_and_expectations_as_in_http_1() {
        for (fields, rejection) in [
            (&[("content-length", "5"), ("content-length", "5")][..], Rejection::SeveralContentLengths),
            (&[("content-length", "+5")], Rejection::ContentLength),
            (&[("content-length", "5, 5")], Rejection::ContentLength),
            (&[("content-length", "")], Rejection::ContentLength),
            (&[("content-length", "9223372036854775808")], Rejection::ContentLength),
            (&[("expect", "200-ok")], Rejection::Expectation),
            (&[("expect", "100-continue"), ("expect", "100-continue")], Rejection::Expectation),
        ] {
            assert_eq!(check_fields_of_a_get(fields), Err(rejection), "{fields:?}");
        }
        let many = vec![("x", "y"); 101];
        assert_eq!(check_fields_of_a_get(&many), Err(Rejection::TooManyFields));
    }

    #[test]
    fn rfc8441_4_extended_connect_is_for_websocket() {
        let websocket = Asked { authority: HeaderValue::from_static("a.example"), websocket: true };
        assert_eq!(connect(Some("websocket"), &[]), Ok(websocket));
        assert_eq!(connect(Some("connect-udp"), &[]), Err(Rejection::Protocol));
        assert_eq!(connect(Some("WebSocket"), &[]), Err(Rejection::Protocol));
        assert_eq!(connect(None, &[]), Err(Rejection::Connect));
        assert_eq!(connect(Some("websocket"), &[("content-length", "1")]), Err(Rejection::HandshakeBody));
    }
}
