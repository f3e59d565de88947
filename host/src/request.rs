//! The request as the host and its plugins see it: parsed once, edited by hooks, then sent.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{COOKIE, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::config::UpstreamIndex;
use crate::limits::Slot;
use crate::tls::ClientCertificate;

/// Header lines one request may carry after its hooks' edits.
pub const HEADERS_MAX: usize = 1_000;
/// Attributes one exchange may carry, and the bytes of each one's value.
pub const ATTRIBUTES_MAX: usize = 64;
pub const ATTRIBUTE_BYTES_MAX: usize = 4 * 1024;

/// A request head on its way to an upstream, and what its hooks have decided of it.
#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    /// `http` or `https`, as the client reached the proxy.
    pub scheme: &'static str,
    /// The `host` the client asked for (RFC 9110 §7.2).
    pub authority: HeaderValue,
    pub path_and_query: PathAndQuery,
    pub version: Version,
    /// As received, without hop-by-hop fields and those the host writes itself.
    pub headers: HeaderMap,
    /// The client: the connection's peer, or what a trusted proxy said of it; port 0 where that told none.
    pub client: SocketAddr,
    /// What it has shown of itself over TLS.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// The subprotocols of a WebSocket handshake; none where it is not one.
    pub websocket: Option<Vec<String>>,
    /// Whether hooks may still edit: until it is sent.
    pub editable: bool,
    /// Where it goes: the route's upstream, or the one a hook chose; none: the route's files.
    pub upstream: Option<UpstreamIndex>,
    /// All upstreams' names, by index.
    pub upstream_names: Arc<[String]>,
    /// Requests of equal affinity go to the same server.
    pub affinity: Option<String>,
    pub attributes: Attributes,
    /// Concurrency slots that end with the exchange, or the session it becomes.
    pub held: Vec<Slot>,
}

/// A request to nowhere: what stands in for one that is not there.
impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            scheme: "http",
            authority: HeaderValue::from_static(""),
            path_and_query: PathAndQuery::from_static("/"),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            client: SocketAddr::from(([0, 0, 0, 0], 0)),
            client_certificate: None,
            websocket: None,
            editable: false,
            upstream: None,
            upstream_names: Arc::new([]),
            affinity: None,
            attributes: Attributes::new(),
            held: Vec::new(),
        }
    }
}

/// Words that hooks leave for later hooks of the same exchange.
pub type Attributes = Vec<(String, String)>;

/// An answer's head on its way to the client.
#[derive(Debug, Default)]
pub struct ResponseHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

/// The attribute of this name, if a hook has set it.
pub fn attribute<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// All lines of a field as one value (RFC 9110 §5.3): joined by `, `, those of `cookie` by `; ` (RFC 9113 §8.2.3).
pub fn field_value(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = headers.get_all(name).iter();
    let mut value = lines.next()?.as_bytes().to_vec();
    let separator: &[u8] = if name == COOKIE { b"; " } else { b", " };
    for line in lines {
        value.extend_from_slice(separator);
        value.extend_from_slice(line.as_bytes());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_3_lines_of_one_field_are_one_value() {
        let mut headers = HeaderMap::new();
        assert_eq!(field_value(&headers, &http::header::ORIGIN), None);
        headers.append("origin", HeaderValue::from_static("https://a.example"));
        headers.append("origin", HeaderValue::from_static("https://b.example"));
        headers.append("cookie", HeaderValue::from_static("a=1"));
        headers.append("cookie", HeaderValue::from_static("b=2"));
        assert_eq!(
            field_value(&headers, &http::header::ORIGIN).as_deref(),
            Some(&b"https://a.example, https://b.example"[..])
        );
        assert_eq!(field_value(&headers, &COOKIE).as_deref(), Some(&b"a=1; b=2"[..]));
    }
}
