//! The PROXY protocol (haproxy.org, proxy-protocol.txt, versions 1 and 2): what a proxy in front says of a connection,
//! before its first byte, and what this one says to servers that ask for it.
//!
//! On a listener with `proxy-protocol` every connection begins with such a header, and only those of `trusted-proxies`
//! are taken: that a header is left out cannot be told from a client that begins to speak, nor one that is forged from
//! one that is not. What follows on the header is left in the socket, TLS or HTTP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proxy_header::{ParseConfig, Protocol, ProxiedAddress, ProxyHeader};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Listener, ProxyProtocol};

/// With its CRLF (proxy-protocol.txt §2.1).
const V1_BYTES_MAX: usize = 107;
const V1_BEGIN: &[u8] = b"PROXY ";

/// Signature, version, family, length (§2.2).
const V2_FIXED_BYTES: usize = 16;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses and what else a proxy has to say; of the latter nothing is used here.
const V2_BODY_BYTES_MAX: usize = 4 * 1024;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    pub client: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

/// Why a connection was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("its address is not among trusted-proxies")]
    Untrusted,
    #[error("no whole PROXY header came within the header timeout")]
    TimedOut,
    #[error("expected a PROXY header of version 1 or 2, found other bytes")]
    Malformed,
    #[error(
        "a PROXY header longer than {V1_BYTES_MAX} bytes in version 1, or {V2_BODY_BYTES_MAX} in version 2"
    )]
    TooLong,
    #[error("ended before its PROXY header")]
    Ended,
    #[error("{0}")]
    Lost(#[from] io::Error),
}

/// Read the header that `peer` must begin with, and nothing behind it. None: the proxy speaks for itself (`LOCAL`,
/// `UNKNOWN`, and what is not TCP over IP), as in a health check.
pub async fn accept(
    stream: &mut TcpStream,
    peer: SocketAddr,
    listener: &Listener,
) -> Result<Option<Endpoints>, AcceptError> {
    if !listener.trusts(peer.ip()) {
        return Err(AcceptError::Untrusted);
    }
    let header = read(stream, listener.header_timeout).await?;
    parse(&header)
}

/// The header that a connection to a server begins with. Ports are 0 where they were not told.
pub fn header(endpoints: Endpoints, version: ProxyProtocol) -> Vec<u8> {
    let Endpoints { client, destination } = endpoints;
    let (client, destination) = match (canonical(client), canonical(destination)) {
        (client, destination) if client.is_ipv4() == destination.is_ipv4() => (client, destination),
        // Both must be of one family.
        (client, destination) => (as_ipv6(client), as_ipv6(destination)),
    };
    let header = ProxyHeader::with_address(ProxiedAddress::stream(client, destination));
    let mut bytes = Vec::new();
    // Without further fields, and with addresses of one family, there is nothing that could not be written.
    let written = match version {
        ProxyProtocol::V1 => header.encode_v1(&mut bytes),
        ProxyProtocol::V2 => header.encode_v2(&mut bytes),
    };
    debug_assert!(written.is_ok(), "{written:?}");
    bytes
}

/// The same for a connection that is the proxy's own, such as a health check's.
pub fn local(version: ProxyProtocol) -> &'static [u8] {
    match version {
        ProxyProtocol::V1 => b"PROXY UNKNOWN\r\n",
        ProxyProtocol::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
}

async fn read(stream: &mut TcpStream, time_max: Duration) -> Result<Vec<u8>, AcceptError> {
    let reading = async {
        let mut header = Vec::new();
        loop {
            let taken = header.len();
            let wanted = length_at_least(&header)?;
            // Of the second version it is known how much is to come, of the first only when its end is in sight.
            header.resize(wanted.max(V1_BYTES_MAX), 0);
            let (_, room) = header.split_at_mut_checked(taken).unwrap_or_default();
            let seen = stream.peek(room).await?;
            if seen == 0 {
                return Err(AcceptError::Ended);
            }
            header.truncate(taken + seen);
            let length = length_at_least(&header)?;
            let whole = length <= header.len();
            header.truncate(length);
            let (_, room) = header.split_at_mut_checked(taken).unwrap_or_default();
            stream.read_exact(room).await?;
            if whole {
                return Ok(header);
            }
        }
    };
    timeout(time_max, reading).await.map_err(|_| AcceptError::TimedOut)?
}

/// How long a header is that begins with these bytes. As long as that cannot be told: more than there are.
fn length_at_least(begin: &[u8]) -> Result<usize, AcceptError> {
    let begins_with = |whole: &[u8]| begin.iter().zip(whole).all(|(one, other)| one == other);
    if begins_with(V2_SIGNATURE) {
        // Nothing at all begins like this, too.
        let Some(length) = begin.get(V2_FIXED_BYTES - 2..V2_FIXED_BYTES) else { return Ok(begin.len() + 1) };
        let body = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        return if body > V2_BODY_BYTES_MAX { Err(AcceptError::TooLong) } else { Ok(V2_FIXED_BYTES + body) };
    }
    if !begins_with(V1_BEGIN) {
        return Err(AcceptError::Malformed);
    }
    match begin.iter().take(V1_BYTES_MAX).position(|byte| *byte == b'\n') {
        Some(end) => Ok(end + 1),
        None if begin.len() >= V1_BYTES_MAX => Err(AcceptError::TooLong),
        None => Ok(begin.len() + 1),
    }
}

/// Of a whole header.
fn parse(header: &[u8]) -> Result<Option<Endpoints>, AcceptError> {
    match ProxyHeader::parse(header, ParseConfig::default()) {
        Ok((parsed, length)) if length == header.len() => {
            let tcp = parsed.proxied_address().filter(|address| address.protocol == Protocol::Stream);
            Ok(tcp.map(|address| Endpoints {
                client: canonical(address.source),
                destination: canonical(address.destination),
            }))
        }
        _ => Err(AcceptError::Malformed),
    }
}

/// IPv4 is written as IPv6 by some.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn as_ipv6(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const V1: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, body].concat()
    }

    /// 203.0.113.9:4711 to 192.0.2.1:443, and a TLV that says `a.example`.
    fn v2_tcp4() -> Vec<u8> {
        let addresses = [203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];
        v2(0x21, 0x11, &[&addresses[..], b"\x02\x00\x09a.example"].concat())
    }

    fn whole(header: &[u8]) -> Result<Option<Endpoints>, AcceptError> {
        assert_eq!(length_at_least(header)?, header.len());
        parse(header)
    }

    fn told() -> Endpoints {
        let (client, destination) = ("203.0.113.9:4711".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
        Endpoints { client, destination }
    }

    #[test]
    fn both_versions_name_both_ends() {
        assert_eq!(whole(V1).unwrap(), Some(told()));
        assert_eq!(whole(&v2_tcp4()).unwrap(), Some(told()));
        assert_eq!(
            whole(b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 4711 443\r\n").unwrap(),
            Some(told())
        );
        let mut tcp6 = [0; 36];
        tcp6[15] = 1;
        let address = whole(&v2(0x21, 0x21, &tcp6)).unwrap().unwrap();
        assert_eq!(address.client, "[::1]:0".parse().unwrap());
    }

    #[test]
    fn what_the_proxy_says_for_itself_is_understood() {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            assert_eq!(whole(local(version)).unwrap(), None);
        }
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        let udp = [0; 12];
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
            v2(0x20, 0x00, b""),
            v2(0x20, 0x11, &[1; 12]),
            v2(0x21, 0x00, b""),
            v2(0x21, 0x12, &udp),
            v2(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(whole(&header).unwrap(), None, "{header:?}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for header in [
            b"PROXY\tTCP4 203.0.113.9 192.0.2.1 4711 443\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 4711 443\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 70000\r\n".to_vec(),
            b"PROXY SCTP 203.0.113.9 192.0.2.1 4711 443\r\n".to_vec(),
            b"PROXY \r\n".to_vec(),
            b"GET / HTTP/1.1\r\n".to_vec(),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x41, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 12]),
        ] {
            assert!(matches!(whole(&header), Err(AcceptError::Malformed)), "{header:?}");
        }
        let endless = [V1_BEGIN, &[b'x'; V1_BYTES_MAX]].concat();
        assert!(matches!(length_at_least(&endless), Err(AcceptError::TooLong)));
        let large = v2(0x21, 0x11, &[0; V2_BODY_BYTES_MAX + 1]);
        assert!(matches!(length_at_least(&large), Err(AcceptError::TooLong)));
    }

    #[test]
    fn what_is_written_is_what_would_be_read() {
        assert_eq!(header(told(), ProxyProtocol::V1), V1);
        let (v4, v6) = (told().client, "[2001:db8::7]:80".parse().unwrap());
        for (client, destination) in [(v4, v4), (v6, v6), (v4, v6), (v6, v4)] {
            let endpoints = Endpoints { client, destination };
            for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
                assert_eq!(whole(&header(endpoints, version)).unwrap(), Some(endpoints));
            }
        }
    }

    proptest! {
        /// Whatever comes is read no further than it is a header.
        #[test]
        fn lengths_never_shrink(bytes in prop::collection::vec(any::<u8>(), 0..200), begin in 0..3_usize) {
            let header = [[&b""[..], V1_BEGIN, V2_SIGNATURE][begin], &bytes].concat();
            let mut longest = 0;
            for end in 0..=header.len() {
                let Ok(length) = length_at_least(&header[..end]) else { break };
                prop_assert!(length >= longest);
                longest = length;
                if length <= end {
                    let _ = parse(&header[..length]);
                    break;
                }
            }
        }
    }

    #[tokio::test]
    async fn what_follows_on_the_header_stays_where_it_is() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for header in [V1.to_vec(), v2_tcp4()] {
            for piece in [1, 7, 15, header.len() + 4] {
                let mut client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
                client.set_nodelay(true).unwrap();
                let (mut server, _) = socket.accept().await.unwrap();
                let bytes = [&header, &b"\r\nPROXY behind"[..]].concat();
                let sending = async {
                    for piece in bytes.chunks(piece) {
                        client.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                };
                let (read, ()) = tokio::join!(read(&mut server, Duration::from_secs(20)), sending);
                assert_eq!(read.unwrap(), header);
                drop(client);
                let mut behind = Vec::new();
                server.read_to_end(&mut behind).await.unwrap();
                assert_eq!(behind, b"\r\nPROXY behind");
            }
        }
    }
}
