//! Clients that come back to their server, by a cookie.
//!
//! A server's value is HMAC-SHA-256 of its name under a secret: it says nothing of the address, cannot be made up, and
//! needs no table. A value that is no server's is as good as none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::{CtOutput, Key};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::config;
use crate::headers::cookies;

/// The cookie of one upstream.
#[derive(Debug)]
pub struct Sticky {
    cookie: String,
    /// By server.
    values: Vec<Value>,
}

struct Value {
    mac: CtOutput<Hmac<Sha256>>,
    text: String,
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value")
    }
}

// === impl Sticky ===

impl Sticky {
    /// `secret` where the configuration has none.
    pub fn new(config: &config::Sticky, upstream: &config::Upstream, secret: &[u8]) -> Self {
        let secret = config.secret.as_ref().map_or(secret, |secret| secret.0.as_bytes());
        let value = |server: &config::UpstreamServer| Value::new(secret, &upstream.name, &server.address);
        Self { cookie: config.cookie.clone(), values: upstream.servers.iter().map(value).collect() }
    }

    /// The server that a request's cookie names.
    pub fn server(&self, headers: &HeaderMap) -> Option<usize> {
        cookies(headers).filter(|(name, _)| *name == self.cookie.as_bytes()).find_map(|(_, value)| {
            let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(value).ok()?.try_into().ok()?;
            // Compared in constant time.
            let mac = CtOutput::new(bytes.into());
            self.values.iter().position(|value| value.mac == mac)
        })
    }

    /// A `Set-Cookie` (RFC 6265) that brings its client back to this server for as long as its browser is open.
    pub fn set_cookie(&self, server: usize, secure: bool) -> Option<HeaderValue> {
        let value = &self.values.get(server)?.text;
        let secure = if secure { "; Secure" } else { "" };
        HeaderValue::try_from(format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}", self.cookie)).ok()
    }
}

// === impl Value ===

impl Value {
    fn new(secret: &[u8], upstream: &str, server: &str) -> Self {
        // A secret of any length becomes a key of the one length that cannot be wrong.
        let mut key = Key::<Hmac<Sha256>>::default();
        key.iter_mut().zip(Sha256::digest(secret)).for_each(|(to, from)| *to = from);
        let mut mac = Hmac::<Sha256>::new(&key);
        // Names of upstreams hold no zero.
        mac.update(upstream.as_bytes());
        mac.update(&[0]);
        mac.update(server.as_bytes());
        let mac = mac.finalize();
        let text = URL_SAFE_NO_PAD.encode(mac.as_bytes());
        Self { mac, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky(secret: &str) -> Sticky {
        let servers = ["192.0.2.1:80", "192.0.2.2:80"];
        let servers = servers.map(|address| config::UpstreamServer::new(address.to_owned())).to_vec();
        let upstream = config::Upstream::new("chat".to_owned(), servers);
        let config = config::Sticky { cookie: "SERVER".to_owned(), secret: None };
        Sticky::new(&config, &upstream, secret.as_bytes())
    }

    fn request(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    fn value(set_cookie: &HeaderValue) -> &str {
        set_cookie.to_str().unwrap().split(';').next().unwrap()
    }

    #[test]
    fn a_cookie_names_its_server() {
        let sticky = sticky("a secret of some length");
        for server in [0, 1] {
            let set = sticky.set_cookie(server, false).unwrap();
            let text = set.to_str().unwrap();
            assert!(text.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{text}");
            assert!(!text.contains("192"), "{text}");
            assert_eq!(sticky.server(&request(value(&set))), Some(server));
            assert_eq!(sticky.server(&request(&format!("a=b; {}; c=d", value(&set)))), Some(server));
        }
        assert!(sticky.set_cookie(0, true).unwrap().to_str().unwrap().ends_with("; Secure"));
        assert_eq!(sticky.set_cookie(2, true), None);
    }

    #[test]
    fn what_was_not_made_here_names_none() {
        let ours = sticky("a secret of some length");
        let others = sticky("another secret of some length").set_cookie(0, false).unwrap();
        let own = ours.set_cookie(0, false).unwrap();
        let mut changed = value(&own).to_owned();
        let first = changed.replace("SERVER=", "").chars().next().unwrap();
        changed = changed.replacen(&format!("={first}"), if first == 'A' { "=B" } else { "=A" }, 1);
        for forged in [value(&others), &changed, "SERVER=", "SERVER=0", "SERVER=192.0.2.1:80", "OTHER=x"] {
            assert_eq!(ours.server(&request(forged)), None, "{forged}");
        }
        let renamed = value(&own).replace("SERVER", "server");
        assert_eq!(ours.server(&request(&renamed)), None);
    }
}
