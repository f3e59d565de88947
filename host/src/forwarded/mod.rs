//! Where a request comes from: what its connection shows, and what trusted proxies in front of this one say of it in
//! `X-Forwarded-For`, `-Proto` and `-Host`, or in `Forwarded` (RFC 7239).
//!
//! Anybody can write these fields. They are believed as far as a chain of trust reaches: the connection's sender must be
//! one of the listener's `trusted-proxies`; then what it says of its own sender is true, and so on from right to left as
//! long as these are trusted proxies themselves. The first that is not is the client, as with nginx's
//! `real_ip_recursive on`. What stands further left was written by the client and is dropped.
//!
//! All doubt ends the walk where it is: an element that is no address (`unknown`, `_hidden`), a line that breaks the
//! grammar, more than [`HOPS_MAX`] proxies. The last address reached counts as the client then.
//!
//! Many proxies write one of the two kinds and pass the other on as the client sent it. So where both are there and tell
//! of different clients, neither is believed, unless `real-ip-header` says which it is.

mod element;
mod node;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use crate::config::{Listener, RealIpHeader};
use crate::guard::is_host_and_port;

/// Trusted proxies that a request may have come through.
const HOPS_MAX: usize = 32;

/// `255.255.255.255`
const IPV4_BYTES_MAX: usize = 15;

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Where a request comes from, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Port 0 where it was not told.
    pub client: SocketAddr,
    /// The trusted proxies it came through, in that order.
    through: Vec<SocketAddr>,
    /// `http` or `https`, as the client reached the first of them, or this proxy.
    pub scheme: &'static str,
    /// The `host` the client asked for.
    host: HeaderValue,
}

/// What one kind of header fields tells; none where they say nothing of it.
#[derive(Debug, Default)]
struct Told {
    /// The client and the proxies after it, without the connection's own sender.
    path: Option<Vec<SocketAddr>>,
    scheme: Option<&'static str>,
    host: Option<HeaderValue>,
}

// === impl Provenance ===

impl Provenance {
    /// Of a request that `sender` sent, by this scheme and with this `host`.
    pub fn of(
        headers: &HeaderMap,
        sender: SocketAddr,
        scheme: &'static str,
        host: &HeaderValue,
        listener: &Listener,
    ) -> Self {
        let mut direct = Self { client: sender, through: Vec::new(), scheme, host: host.clone() };
        if !listener.trusts(sender.ip()) {
            return direct;
        }
        let told = match listener.real_ip_header {
            RealIpHeader::XForwardedFor => told_by_x_forwarded(headers, listener),
            RealIpHeader::Forwarded => told_by_forwarded(headers, listener),
            RealIpHeader::Either => {
                told_by_x_forwarded(headers, listener).and(told_by_forwarded(headers, listener))
            }
        };
        let mut path = told.path.unwrap_or_default().into_iter();
        if let Some(client) = path.next() {
            direct.client = client;
            direct.through = path.chain([sender]).collect();
        }
        direct.scheme = told.scheme.unwrap_or(direct.scheme);
        direct.host = told.host.unwrap_or(direct.host);
        direct
    }

    /// Tell the upstream. What was said in these fields before is replaced; what was believed of it is said again.
    pub fn write(&self, headers: &mut HeaderMap, listener: &Listener) {
        headers.remove(header::FORWARDED);
        // Addresses are always valid values, and so are lists of them.
        if let Ok(client) = HeaderValue::try_from(text(self.client.ip())) {
            headers.insert(X_FORWARDED_FOR, self.path().unwrap_or_else(|| client.clone()));
            headers.insert(X_REAL_IP, client);
        }
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(self.scheme));
        headers.insert(X_FORWARDED_HOST, self.host.clone());
        if listener.forwarded_header
            && let Ok(forwarded) = HeaderValue::try_from(self.forwarded())
        {
            headers.insert(header::FORWARDED, forwarded);
        }
    }

    /// The client and the proxies after it, where there are any.
    fn path(&self) -> Option<HeaderValue> {
        if self.through.is_empty() {
            return None;
        }
        let addresses = [&self.client].into_iter().chain(&self.through);
        let addresses: Vec<String> =
            addresses.map(|address| address.ip().to_canonical().to_string()).collect();
        HeaderValue::try_from(addresses.join(", ")).ok()
    }

    /// `for=192.0.2.7;host=a.example;proto=https, for=10.0.0.1`: the client with what it asked for, then the proxies.
    fn forwarded(&self) -> String {
        let mut line = format!("for={}", Node(self.client.ip()));
        // Behind HTTP/1.0 there may be none, and no host that the guard lets pass needs an escape.
        if let Ok(host) = self.host.to_str()
            && is_host_and_port(host.as_bytes())
        {
            // Writing to a string cannot fail.
            let _ = write!(line, ";host=\"{host}\"");
        }
        let _ = write!(line, ";proto={}", self.scheme);
        for proxy in &self.through {
            let _ = write!(line, ", for={}", Node(proxy.ip()));
        }
        line
    }
}

/// An address as it is mostly written. IPv4, which each request may need, does without the machinery of `format!`.
fn text(address: IpAddr) -> Vec<u8> {
    let IpAddr::V4(address) = address.to_canonical() else {
        return address.to_string().into_bytes();
    };
    let mut text = Vec::with_capacity(IPV4_BYTES_MAX);
    for octet in address.octets() {
        if !text.is_empty() {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
    text
}

/// An address as RFC 7239 §6 has it: of IPv6 in brackets and quotes.
struct Node(IpAddr);

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.to_canonical() {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "\"[{address}]\""),
        }
    }
}

// === impl Told ===

impl Told {
    /// What both say, or one says and the other does not gainsay.
    fn and(self, other: Self) -> Self {
        let same_client = |one: &Vec<SocketAddr>, other: &Vec<SocketAddr>| {
            one.first().map(SocketAddr::ip) == other.first().map(SocketAddr::ip)
        };
        Self {
            path: agreed(self.path, other.path, same_client),
            scheme: agreed(self.scheme, other.scheme, PartialEq::eq),
            host: agreed(self.host, other.host, PartialEq::eq),
        }
    }
}

fn agreed<T>(one: Option<T>, other: Option<T>, agree: impl FnOnce(&T, &T) -> bool) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => agree(&one, &other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// Scheme and host are the last member's: what the sender itself wrote, where it did not replace the client's.
fn told_by_x_forwarded(headers: &HeaderMap, listener: &Listener) -> Told {
    let told = |name: &HeaderName| headers.contains_key(name);
    Told {
        path: told(&X_FORWARDED_FOR)
            .then(|| follow(members_from_right(headers, &X_FORWARDED_FOR).map(node::parse), listener)),
        scheme: members_from_right(headers, &X_FORWARDED_PROTO).next().and_then(scheme),
        host: members_from_right(headers, &X_FORWARDED_HOST).next().and_then(host),
    }
}

/// Scheme and host are those of the element the walk ended with: the furthest that a trusted proxy wrote.
fn told_by_forwarded(headers: &HeaderMap, listener: &Listener) -> Told {
    if !headers.contains_key(header::FORWARDED) {
        return Told::default();
    }
    let lines = headers.get_all(header::FORWARDED).iter().rev();
    let elements = lines.flat_map(|line| match element::parse(line.as_bytes()) {
        Some(elements) => elements.into_iter().rev().map(Some).collect(),
        None => vec![None],
    });
    let mut furthest = None;
    let nodes = elements.map(|element| {
        furthest = element;
        furthest.as_ref().and_then(|element| node::parse(element.sender?))
    });
    let path = follow(nodes, listener);
    Told {
        path: Some(path),
        scheme: furthest.as_ref().and_then(|element| scheme(element.proto?)),
        host: furthest.as_ref().and_then(|element| host(element.host?)),
    }
}

/// From the nearest node on up to the client; turned around, so that the client comes first.
fn follow(nodes: impl Iterator<Item = Option<SocketAddr>>, listener: &Listener) -> Vec<SocketAddr> {
    let mut path = Vec::new();
    for node in nodes.take(HOPS_MAX) {
        let Some(address) = node else { break };
        path.push(address);
        if !listener.trusts(address.ip()) {
            break;
        }
    }
    path.reverse();
    path
}

/// Of all lines of a list-valued field, the last first, without empty ones.
fn members_from_right<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().rev();
    let members = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

fn scheme(text: &[u8]) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| scheme.as_bytes().eq_ignore_ascii_case(text))
}

fn host(text: &[u8]) -> Option<HeaderValue> {
    is_host_and_port(text).then(|| HeaderValue::from_bytes(text).ok())?
}

#[cfg(test)]
mod tests;
