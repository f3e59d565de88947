//! The WebSocket opening handshake (RFC 6455 §4), seen from between client and server. Pure: heads in, verdicts out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode, Version};
use sha1::{Digest as _, Sha1};

use crate::headers::{has_token, tokens};

/// RFC 6455 §1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Subprotocols a client may offer: each is compared with all before it.
const SUBPROTOCOLS_MAX: usize = 64;

/// A client's handshake, all of it checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// What the server's `Sec-WebSocket-Accept` has to be.
    accept: String,
    /// In the client's order; empty where it offers none.
    pub subprotocols: Vec<String>,
}

/// A request that asks for WebSocket in the wrong way: the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("handshake without sec-websocket-key")]
    NoKey,
    #[error("handshake whose sec-websocket-key is not one value of 16 bytes in base64")]
    BadKey,
    #[error("handshake without sec-websocket-version 13")]
    BadVersion,
    #[error("handshake whose sec-websocket-protocol is not a list of at most 64 distinct tokens")]
    BadSubprotocols,
}

/// An answer to a handshake that opens nothing: the upstream's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("101 without upgrade: websocket and connection: upgrade")]
    NotWebSocket,
    #[error("101 with a wrong sec-websocket-accept")]
    BadAccept,
    #[error("101 with a subprotocol the client did not offer")]
    BadSubprotocol,
    #[error("101 with extensions that do not follow from the offer: {0}")]
    BadExtensions(String),
}

/// What `request` is: a handshake, no handshake (to be forwarded as plain HTTP, its `Upgrade` left out as any hop may), or
/// one gone wrong.
///
/// Over HTTP/2 a handshake has been given this shape by then: clients cannot send these fields there.
///
/// Only a GET of HTTP/1.1 that names `websocket` in `Upgrade` and `upgrade` in `Connection` asks for WebSocket
/// (RFC 6455 §4.2.1); "a server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request" (RFC 9110
/// §7.8).
pub fn parse(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<Option<Handshake>, HandshakeError> {
    let asked = *method == Method::GET
        && (version == Version::HTTP_11 || version == Version::HTTP_2)
        && has_token(headers, &UPGRADE, "websocket")
        && has_token(headers, &CONNECTION, "upgrade");
    if !asked {
        return Ok(None);
    }
    if single(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(HandshakeError::BadVersion);
    }
    if !headers.contains_key(SEC_WEBSOCKET_KEY) {
        return Err(HandshakeError::NoKey);
    }
    let key = single(headers, &SEC_WEBSOCKET_KEY).ok_or(HandshakeError::BadKey)?;
    // With room for more than it may be.
    if STANDARD.decode_slice(key, &mut [0; 32]) != Ok(16) {
        return Err(HandshakeError::BadKey);
    }
    Ok(Some(Handshake { accept: accept(key.as_bytes()), subprotocols: subprotocols(headers)? }))
}

impl Handshake {
    /// Check the head of a 101: "the client MUST fail the connection" otherwise (RFC 6455 §4.1), and a proxy is the
    /// upstream's client. The subprotocol it chose, if any. Extensions are the codec's to check.
    pub fn verify(&self, headers: &HeaderMap) -> Result<Option<String>, AnswerError> {
        let upgrade =
            single(headers, &UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
        if !upgrade || !has_token(headers, &CONNECTION, "upgrade") {
            return Err(AnswerError::NotWebSocket);
        }
        if single(headers, &SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| accept != self.accept) {
            return Err(AnswerError::BadAccept);
        }
        if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            return Ok(None);
        }
        let chosen = single(headers, &SEC_WEBSOCKET_PROTOCOL).ok_or(AnswerError::BadSubprotocol)?;
        let offered = self.subprotocols.iter().find(|offered| *offered == chosen);
        offered.cloned().map(Some).ok_or(AnswerError::BadSubprotocol)
    }
}

impl HandshakeError {
    pub fn status(self) -> StatusCode {
        match self {
            // With `Sec-WebSocket-Version: 13` in the answer (RFC 6455 §4.4).
            Self::BadVersion => StatusCode::UPGRADE_REQUIRED,
            Self::NoKey | Self::BadKey | Self::BadSubprotocols => StatusCode::BAD_REQUEST,
        }
    }
}

/// RFC 6455 §4.2.2, step 5.
pub fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize())
}

fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, HandshakeError> {
    let mut offered = Vec::new();
    for token in headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().flat_map(tokens) {
        let token = std::str::from_utf8(token).map_err(|_| HandshakeError::BadSubprotocols)?;
        // A subprotocol is a token, as a header name is (RFC 6455 §4.1, RFC 9110 §5.6.2).
        let valid = HeaderName::from_bytes(token.as_bytes()).is_ok();
        if !valid || offered.len() >= SUBPROTOCOLS_MAX || offered.iter().any(|known| known == token) {
            return Err(HandshakeError::BadSubprotocols);
        }
        offered.push(token.to_owned());
    }
    Ok(offered)
}

/// The value of a field that must stand once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let value = lines.next().filter(|_| lines.next().is_none())?;
    HeaderValue::to_str(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn request(edits: &[(&'static str, Option<&'static str>)]) -> HeaderMap {
        head(
            &[
                ("upgrade", "websocket"),
                ("connection", "keep-alive, Upgrade"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", KEY),
                ("sec-websocket-protocol", "chat, superchat"),
            ],
            edits,
        )
    }

    fn answer(edits: &[(&'static str, Option<&'static str>)]) -> HeaderMap {
        head(&[("upgrade", "WebSocket"), ("connection", "upgrade"), ("sec-websocket-accept", ACCEPT)], edits)
    }

    fn head(
        lines: &[(&'static str, &'static str)],
        edits: &[(&'static str, Option<&'static str>)],
    ) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.insert(*name, HeaderValue::from_static(value));
        }
        for (name, value) in edits {
            match value {
                Some(value) => drop(map.append(*name, HeaderValue::from_static(value))),
                None => drop(map.remove(*name)),
            }
        }
        map
    }

    fn parse_get(headers: &HeaderMap) -> Result<Option<Handshake>, HandshakeError> {
        parse(&Method::GET, Version::HTTP_11, headers)
    }

    #[test]
    fn rfc6455_1_3_accept_of_the_sample_nonce() {
        assert_eq!(accept(KEY.as_bytes()), ACCEPT);
    }

    #[test]
    fn rfc6455_4_2_1_a_whole_handshake() {
        let handshake = parse_get(&request(&[])).unwrap().unwrap();
        assert_eq!(handshake.subprotocols, ["chat", "superchat"]);
    }

    #[test]
    fn what_does_not_ask_for_websocket_is_plain_http() {
        assert_eq!(parse(&Method::POST, Version::HTTP_11, &request(&[])), Ok(None));
        assert_eq!(parse(&Method::GET, Version::HTTP_10, &request(&[])), Ok(None));
        let h2c = [("upgrade", None), ("upgrade", Some("h2c"))];
        assert_eq!(parse_get(&request(&h2c)), Ok(None));
        assert_eq!(parse_get(&request(&[("connection", None)])), Ok(None));
        let close = [("connection", None), ("connection", Some("close"))];
        assert_eq!(parse_get(&request(&close)), Ok(None));
    }

    #[test]
    fn rfc6455_4_2_1_what_a_handshake_must_have() {
        let bad = |edits: &[_]| parse_get(&request(edits)).unwrap_err();
        assert_eq!(bad(&[("sec-websocket-key", None)]), HandshakeError::NoKey);
        assert_eq!(bad(&[("sec-websocket-key", Some(KEY))]), HandshakeError::BadKey);
        let short = [("sec-websocket-key", None), ("sec-websocket-key", Some("c2hvcnQ="))];
        assert_eq!(bad(&short), HandshakeError::BadKey);
        assert_eq!(bad(&[("sec-websocket-version", None)]), HandshakeError::BadVersion);
        let twelve = [("sec-websocket-version", None), ("sec-websocket-version", Some("12"))];
        assert_eq!(bad(&twelve), HandshakeError::BadVersion);
        assert_eq!(bad(&twelve).status(), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(bad(&[("sec-websocket-protocol", Some("chat"))]), HandshakeError::BadSubprotocols);
        assert_eq!(bad(&[("sec-websocket-protocol", Some("a b"))]), HandshakeError::BadSubprotocols);
    }

    #[test]
    fn rfc6455_4_1_what_a_101_must_have() {
        let handshake = parse_get(&request(&[])).unwrap().unwrap();
        assert_eq!(handshake.verify(&answer(&[])), Ok(None));
        let chosen = answer(&[("sec-websocket-protocol", Some("superchat"))]);
        assert_eq!(handshake.verify(&chosen), Ok(Some("superchat".to_owned())));
        let bad = |edits: &[_]| handshake.verify(&answer(edits)).unwrap_err();
        assert_eq!(bad(&[("sec-websocket-protocol", Some("mqtt"))]), AnswerError::BadSubprotocol);
        assert_eq!(bad(&[("sec-websocket-accept", None)]), AnswerError::BadAccept);
        let wrong =
            [("sec-websocket-accept", None), ("sec-websocket-accept", Some("AAAAAAAAAAAAAAAAAAAAAAAAAAA="))];
        assert_eq!(bad(&wrong), AnswerError::BadAccept);
        assert_eq!(bad(&[("connection", None)]), AnswerError::NotWebSocket);
        let other = [("upgrade", None), ("upgrade", Some("h2c"))];
        assert_eq!(bad(&other), AnswerError::NotWebSocket);
    }
}
