//! Requests that two servers could read differently: the proxy refuses them with 400, closes, and lets no upstream see
//! anything of them (RFC 9112 §11.2).

use sluicegate_tests::{Proxy, Upstream, Wire, handshake, run};

/// What is hidden behind a request, for a server that sees its end elsewhere.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// Each a request and what is wrong with it.
fn requests() -> Vec<(&'static str, String)> {
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
    vec![
        ("both lengths", post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
        (
            "both lengths, in the other order",
            post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        ),
        ("differing lengths", post("Content-Length: 5\r\nContent-Length: 6", "hello!")),
        ("differing lengths in a list", post("Content-Length: 5, 6", "hello!")),
        ("a signed length", post("Content-Length: +5", "hello")),
        ("a negative length", post("Content-Length: -5", "hello")),
        ("a length in hexadecimal", post("Content-Length: 0x5", "hello")),
        ("a length with a space in it", post("Content-Length: 5 0", "hello")),
        ("no length at all in its field", post("Content-Length:", "hello")),
        ("a length past 64 bits", post("Content-Length: 18446744073709551621", "hello")),
        ("chunked twice", post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n")),
        (
            "chunked in two fields",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ),
        ("chunked not last", post("Transfer-Encoding: chunked, identity", "0\r\n\r\n")),
        ("an unknown coding", post("Transfer-Encoding: cow", "0\r\n\r\n")),
        ("a coding that is nearly chunked", post("Transfer-Encoding: xchunked", "0\r\n\r\n")),
        ("a coding in quotes", post("Transfer-Encoding: \"chunked\"", "0\r\n\r\n")),
        ("a coding after a vertical tab", post("Transfer-Encoding: \u{b}chunked", "0\r\n\r\n")),
        ("a space before the colon", post("Transfer-Encoding : chunked", "0\r\n\r\n")),
        ("chunked in HTTP/1.0", chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0")),
        ("a folded field", post("X-Long: one\r\n two\r\nContent-Length: 0", "")),
        ("a folded coding", post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n")),
        ("a folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned()),
        ("a bare CR in a value", get("Host: a\r\nX-A: one\rTransfer-Encoding: chunked")),
        ("a bare CR before the end of a line", get("Host: a\r\nX-A: one\r\r\nX-B: 2")),
        ("a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned()),
        ("a bare LF after a field", get("Host: a\nX-A: 1")),
        ("bare LFs for an empty line", "GET / HTTP/1.1\r\nHost: a\n\n".to_owned()),
        ("a NUL in a value", get("Host: a\r\nX-A: on\0e")),
        ("a field without a colon", get("Host: a\r\nX-A")),
        ("a field without a name", get("Host: a\r\n: value")),
        ("a name with a space in it", get("Host: a\r\nX A: 1")),
        ("no host", get("X-A: 1")),
        ("two hosts", get("Host: a\r\nHost: b")),
        ("two equal hosts", get("Host: a\r\nHost: a")),
        ("two hosts in one field", get("Host: a, b")),
        ("a host with a path", get("Host: a/b")),
        ("a host with a user", get("Host: b@a")),
        ("a target that contradicts the host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("no version", "GET /\r\nHost: a\r\n\r\n".to_owned()),
        ("a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n".to_owned()),
    ]
}

const UNKNOWN_CODINGS: [&str; 3] =
    ["an unknown coding", "a coding that is nearly chunked", "a coding in quotes"];

/// Bodies of which only the beginning is fine: the upstream may have seen that, but no end of it.
const CHUNKS: [(&str, &str); 11] = [
    ("a size that is no number", "xyz\r\nhello\r\n0\r\n\r\n"),
    ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
    ("a signed size", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a space before it", " 5\r\nhello\r\n0\r\n\r\n"),
    ("a size past 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
    ("a chunk without its end", "5\r\nhello0\r\n\r\n"),
    ("a bare LF after a size", "5\nhello\r\n0\r\n\r\n"),
    ("a bare LF after a chunk", "5\r\nhello\n0\r\n\r\n"),
    ("a bare CR in an extension", "5;a=\rb\r\nhello\r\n0\r\n\r\n"),
];

async fn assert_refused(client: &mut Wire, what: &str) {
    let response = client.response().await;
    // "A server that receives a request message with a transfer coding it does not understand SHOULD respond with
    // 501" (RFC 9112 §6.1).
    let status = if UNKNOWN_CODINGS.contains(&what) { 501 } else { 400 };
    assert_eq!(response.status(), status, "{what}");
    assert_eq!(response.head.field("connection"), Some("close"), "{what}");
    client.assert_closed().await;
}

#[test]
fn rfc9112_ambiguous_requests_are_refused_and_reach_nobody() {
    run(async {
        let upstream = Upstream::named("seen").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let requests = requests();
        assert_eq!(requests.len(), 44);
        for (what, request) in requests {
            let mut client = Wire::send_to(proxy.address(), request + HIDDEN).await;
            assert_refused(&mut client, what).await;
        }
        assert_eq!(upstream.connections(), 0);
        // Nobody was confused by any of that.
        let mut client = Wire::connect(proxy.address()).await;
        assert_eq!(client.ask(HIDDEN).await.text(), "seen");
    });
}

#[test]
fn rfc9112_ambiguous_second_requests_are_refused_and_reach_nobody() {
    run(async {
        let upstream = Upstream::named("seen").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        for (count, (what, request)) in requests().into_iter().enumerate() {
            let first = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";
            let mut client = Wire::connect(proxy.address()).await;
            if count % 2 == 0 {
                assert_eq!(client.ask(first).await.text(), "seen", "{what}");
                client.send(request + HIDDEN).await;
            } else {
                // Both in one segment: the answer to the first must still come.
                client.send(format!("{first}{request}{HIDDEN}")).await;
                assert_eq!(client.response().await.text(), "seen", "{what}");
            }
            assert_refused(&mut client, what).await;
            assert_eq!(upstream.requests().len(), count + 1, "{what}");
        }
        assert!(upstream.requests().iter().all(|request| request.head.target() == "/first"));
        assert!(upstream.connections() <= upstream.requests().len());
    });
}

#[test]
fn rfc9112_7_1_bad_chunks_are_refused_and_end_the_upstreams_request() {
    run(async {
        let upstream = Upstream::named("complete").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        for (what, chunks) in CHUNKS {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut client = Wire::send_to(proxy.address(), format!("{head}{chunks}{HIDDEN}")).await;
            assert_refused(&mut client, what).await;
        }
        assert!(
            upstream.requests().is_empty(),
            "a broken body must not look complete: {:?}",
            upstream.requests()
        );
        let seen = String::from_utf8(upstream.bytes()).unwrap();
        assert!(!seen.contains("/hidden") && !seen.contains("\r\n0\r\n"), "{seen}");
    });
}

#[test]
fn rfc9112_3_2_a_handshake_is_held_to_the_same_rules() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let good = handshake("/", "");
        for (what, request) in [
            ("two hosts", handshake("/", "Host: b\r\n")),
            ("no host", good.replace("Host: chat.example.com\r\n", "")),
            ("a bare LF", good.replace("websocket\r\n", "websocket\n")),
            ("both lengths", handshake("/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
        ] {
            assert_refused(&mut Wire::send_to(proxy.address(), request).await, what).await;
        }
        assert_eq!(upstream.connections(), 0);
    });
}

/// Of an upgrade, a body would be the first bytes of the tunnel for one server and none of it for another.
#[test]
fn a_handshake_with_a_body_opens_no_tunnel_that_two_servers_see_differently() {
    run(async {
        let upstream = Upstream::named("plain").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let request = handshake("/", &format!("Content-Length: {}\r\n", HIDDEN.len())) + HIDDEN;
        let mut client = Wire::send_to(proxy.address(), request).await;
        let response = client.response().await;
        assert!(matches!(response.status(), 200 | 400), "{}", response.head);
        let seen = upstream.requests();
        assert!(seen.iter().all(|request| request.head.target() != "/hidden"), "{seen:?}");
    });
}
