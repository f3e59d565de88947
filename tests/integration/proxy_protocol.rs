//! Connections that begin with a PROXY header, and those that should or should not.

use std::net::Ipv4Addr;
use std::time::Duration;

use sluicegate_tests::{Proxy, RawUpstream, Upstream, WebSocket, Wire, config, eventually, handshake, run};
use tokio::time::Instant;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const REQUIRED: &str = "proxy-protocol = true\ntrusted-proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";
const V1: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";
/// From 203.0.113.9:4711 to 192.0.2.1:443, with a TLV that says `a`.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xcb\0\x71\x09\xc0\0\x02\x01\x12\x67\x01\xbb\x02\0\x01a";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[test]
fn the_client_is_who_the_header_says() {
    run(async {
        for (header, client) in [
            (V1, "203.0.113.9"),
            (V2, "203.0.113.9"),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", "2001:db8::7"),
            (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
            (LOCAL, "127.0.0.1"),
        ] {
            let upstream = Upstream::named("home").await;
            let proxy = Proxy::to(upstream.address()).listener(REQUIRED).start().await;
            // In one piece with the request, and each byte on its own.
            let mut wire = Wire::send_to(proxy.address(), [header, GET.as_bytes()].concat()).await;
            assert_eq!(wire.response().await.text(), "home");
            // Only at the beginning of the connection.
            assert_eq!(wire.ask(GET).await.text(), "home");
            let mut wire = Wire::connect(proxy.address()).await;
            for byte in [header, GET.as_bytes()].concat() {
                wire.send([byte]).await;
            }
            assert_eq!(wire.response().await.text(), "home");
            let requests = upstream.requests();
            assert_eq!(requests.len(), 3);
            for request in requests {
                assert_eq!(request.head.field("x-real-ip"), Some(client));
                assert_eq!(request.head.field("x-forwarded-for"), Some(client));
            }
        }
    });
}

#[test]
fn sessions_have_the_address_of_the_header_and_the_log_the_peers_too() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).listener(REQUIRED).guest("scripted", "").start().await;
        let wire = Wire::send_to(proxy.address(), [V2, handshake("/", "").as_bytes()].concat()).await;
        let (mut client, server) =
            tokio::join!(WebSocket::upgraded(wire), async { WebSocket::accept(upstream.next().await).await });
        client.say("connection").await;
        let known = client.hear().await;
        assert!(known.starts_with("client-address=203.0.113.9 "), "{known}");
        drop(server);
        proxy.log().line(&["session ended early", "client=203.0.113.9:4711", "peer=127.0.0.1:"]).await;
    });
}

#[test]
fn what_the_client_of_the_header_says_of_itself_is_believed_only_if_it_is_trusted() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = Proxy::to(upstream.address()).listener(REQUIRED).start().await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";
        for header in [&b"PROXY TCP4 10.0.0.2 192.0.2.1 4711 443\r\n"[..], V1] {
            Wire::connect(proxy.address()).await.ask([header, request.as_bytes()].concat()).await;
        }
        let requests = upstream.requests();
        let seen: Vec<_> =
            requests.iter().map(|request| request.head.field("x-forwarded-for").unwrap()).collect();
        assert_eq!(seen, ["198.51.100.1, 10.0.0.2", "203.0.113.9"]);
    });
}

#[test]
fn a_header_from_elsewhere_changes_nothing() {
    run(async {
        let upstream = Upstream::named("home").await;
        // Where headers are required, all that such a connection begins with is the same: it is closed.
        let others = "proxy-protocol = true\ntrusted-proxies = [\"10.0.0.0/8\", \"::1\"]";
        let proxy = Proxy::to(upstream.address()).listener(others).start().await;
        for begin in [V1, V2, LOCAL, b""] {
            let mut wire = Wire::connect(proxy.address()).await;
            wire.try_send([begin, GET.as_bytes()].concat()).await;
            wire.assert_closed().await;
        }
        proxy.log().line(&["connection refused", "peer=127.0.0.1:", "not among trusted-proxies"]).await;
        // Where they are not, they are no HTTP.
        let trusted = "trusted-proxies = [\"127.0.0.1\"]";
        let proxy = Proxy::to(upstream.address()).listener(trusted).start().await;
        for begin in [V1, V2] {
            let mut wire = Wire::send_to(proxy.address(), [begin, GET.as_bytes()].concat()).await;
            assert_eq!(wire.response().await.status(), 400);
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn no_header_or_a_malformed_one_ends_the_connection_and_the_log_says_so() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = Proxy::to(upstream.address()).listener(REQUIRED).start().await;
        let endless = [b"PROXY TCP4 ", &[b'1'; 200][..]].concat();
        let large = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", &[0; 100][..]].concat();
        let begins = [b"", &b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n"[..], &endless, &large];
        for begin in begins {
            let mut wire = Wire::connect(proxy.address()).await;
            wire.try_send([begin, GET.as_bytes()].concat()).await;
            wire.assert_closed().await;
        }
        let refused = |why| proxy.log().count(&["connection refused", why]);
        let both = || {
            (refused("expected a PROXY header") == 2 && refused("longer than 107 bytes") == 2).then_some(())
        };
        eventually("a line for each", both).await;
        // One that only looks whether the port is open is nothing to write of.
        drop(Wire::connect(proxy.address()).await);
        assert_eq!(
            Wire::connect(proxy.address()).await.ask([V1, GET.as_bytes()].concat()).await.text(),
            "home"
        );
        assert_eq!(proxy.log().count(&["connection refused"]), begins.len());
    });
}

#[test]
fn a_header_that_does_not_come_in_time_is_not_waited_for() {
    run(async {
        let upstream = Upstream::named("home").await;
        let listener = format!("{REQUIRED}\ntimeouts.header = \"400ms\"");
        let proxy = Proxy::to(upstream.address()).listener(&listener).start().await;
        for begin in [&b""[..], &V1[..20], &V2[..14]] {
            let began = Instant::now();
            Wire::send_to(proxy.address(), begin).await.assert_closed().await;
            assert!(began.elapsed() >= Duration::from_millis(400));
        }
        proxy.log().line(&["connection refused", "no whole PROXY header came"]).await;
        // Closes those who say nothing after 250 ms.
        let witness = Proxy::to(upstream.address()).listener("timeouts.header = \"250ms\"").start().await;
        // The request has a time of its own: together they take longer than either may.
        let began = Instant::now();
        let mut wire = Wire::connect(proxy.address()).await;
        for [early, late] in [[&V1[..20], &V1[20..]], [b"", GET.as_bytes()]] {
            wire.send(early).await;
            Wire::connect(witness.address()).await.assert_closed().await;
            wire.send(late).await;
        }
        assert!(began.elapsed() >= Duration::from_millis(500));
        assert_eq!(wire.response().await.text(), "home");
    });
}

/// Each request has a connection of its own, as each may be another client's.
#[test]
fn servers_that_ask_for_a_header_are_told_the_client_first() {
    run(async {
        for version in ["v1", "v2"] {
            let server = RawUpstream::start().await;
            let pieces = [
                config::listener("trusted-proxies = [\"127.0.0.1\"]"),
                config::upstream("app", &[server.address()], &format!("proxy-protocol = \"{version}\"")),
                config::route("app", ""),
            ];
            let proxy = Proxy::start(&pieces.concat()).await;
            let port = proxy.address().port();
            let mut client = Wire::connect(proxy.address()).await;
            for address in ["203.0.113.9", "203.0.113.10"] {
                for request in
                    [GET.replace("\r\n\r\n", "\r\n"), handshake("/", "").replace("\r\n\r\n", "\r\n")]
                {
                    client.send(format!("{request}X-Forwarded-For: {address}:4711\r\n\r\n")).await;
                    let mut wire = server.next().await;
                    let expected = expected_header(version, address, port);
                    assert_eq!(wire.take(expected.len()).await, expected);
                    assert_eq!(wire.head().await.field("x-real-ip"), Some(address));
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                    assert_eq!(client.response().await.status(), 200);
                }
            }
        }
    });
}

/// From this address's port 4711 to 127.0.0.1 and this port.
fn expected_header(version: &str, address: &str, port: u16) -> Vec<u8> {
    if version == "v1" {
        return format!("PROXY TCP4 {address} 127.0.0.1 4711 {port}\r\n").into_bytes();
    }
    let address: Ipv4Addr = address.parse().unwrap();
    let ends =
        [&address.octets()[..], &[127, 0, 0, 1], &4711_u16.to_be_bytes(), &port.to_be_bytes()].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &ends].concat()
}
