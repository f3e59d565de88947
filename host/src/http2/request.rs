//! An HTTP/2 request in the shape that HTTP/1.1 has for it, which is what exchanges and plugins know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Uri};

use crate::guard::http2::Asked;

/// Give the head `host`, one line of `cookie` and an origin-form target; and an extended CONNECT, moreover, what a handshake
/// has over HTTP/1.1 (RFC 6455 §4.1): "instead, a proxy will translate" (RFC 8441 §5, of the method and these fields).
///
/// `nonce`: of the key, which an upstream is asked with and the client does not have.
pub fn shape(request: &mut Parts, asked: Asked, nonce: [u8; 16]) {
    let headers = &mut request.headers;
    headers.insert(header::HOST, asked.authority);
    join_cookies(headers);
    if asked.websocket {
        request.method = Method::GET;
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        // Base64 is always a valid value.
        if let Ok(key) = HeaderValue::try_from(STANDARD.encode(nonce)) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
    }
    if let Some(target) = std::mem::take(&mut request.uri).into_parts().path_and_query {
        request.uri = Uri::from(target);
    }
}

/// "If there are multiple Cookie header fields after decompression, these MUST be concatenated into a single octet string
/// using the two-octet delimiter of 0x3b, 0x20 before being passed into a non-HTTP/2 context" (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    // What was valid in parts is valid as a whole.
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    use super::*;
    use crate::handshake;

    fn asked(websocket: bool) -> Asked {
        Asked { authority: HeaderValue::from_static("a.example"), websocket }
    }

    #[test]
    fn rfc9113_8_2_3_crumbs_are_one_cookie() {
        let request = Request::get("http://a.example/b?c").header("cookie", "a=1").header("cookie", "b=2");
        let mut request = request.header("cookie", "c=3").body(()).unwrap().into_parts().0;
        shape(&mut request, asked(false), [0; 16]);
        let cookies: Vec<_> = request.headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
        assert_eq!(request.headers[header::HOST], "a.example");
        assert_eq!(request.uri, "/b?c");
        assert_eq!(request.method, Method::GET);
    }

    #[test]
    fn rfc8441_5_an_extended_connect_is_a_handshake() {
        let request = Request::connect("http://a.example/chat").version(Version::HTTP_2);
        let request = request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "a, b");
        let mut request = request.header("sec-websocket-key", "theirs").body(()).unwrap().into_parts().0;
        shape(&mut request, asked(true), *b"the sample nonce");
        assert_eq!(request.headers[header::SEC_WEBSOCKET_KEY], "dGhlIHNhbXBsZSBub25jZQ==");
        let handshake =
            handshake::parse(&request.method, request.version, &request.headers).unwrap().unwrap();
        assert_eq!(handshake.subprotocols, ["a", "b"]);
    }
}
