//! A tunnel opens only when it should: client and upstream must both have agreed on WebSocket, and on nothing else.

use sluicegate_tests::{
    Head, Proxy, RawUpstream, Upstream, WebSocket, Wire, handshake, run, switching_protocols,
};

/// The upstream sees an ordinary request: without an upgrade it must not answer with 101 (RFC 9110 §7.8).
fn assert_plain(request: &Head) {
    for name in ["upgrade", "http2-settings", "connection", "te"] {
        assert!(!request.has(name), "{request}");
    }
}

#[test]
fn rfc9110_7_8_what_does_not_ask_for_websocket_is_plain_http() {
    run(async {
        let upstream = Upstream::named("plain").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let websocket = handshake("/", "");
        let requests = [
            // Only GET (RFC 6455 §4.1).
            websocket.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"),
            // "A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request."
            websocket.replace("HTTP/1.1", "HTTP/1.0"),
            websocket.replace("Upgrade: websocket", "Upgrade: h2c"),
            websocket
                .replace("Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
                .replace("Connection: Upgrade", "Connection: Upgrade, HTTP2-Settings"),
            websocket.replace("Upgrade: websocket", "Upgrade: TLS/1.2"),
            websocket.replace("Connection: Upgrade\r\n", ""),
            websocket.replace("Connection: Upgrade", "Connection: keep-alive"),
            websocket.replace("Upgrade: websocket\r\n", ""),
        ];
        for (count, request) in requests.iter().enumerate() {
            let response = Wire::connect(proxy.address()).await.ask(request).await;
            assert_eq!((response.status(), response.text()), (200, "plain"), "{request}");
            assert_eq!(upstream.requests().len(), count + 1);
            assert_plain(&upstream.requests()[count].head);
        }
    });
}

#[test]
fn a_server_that_switches_unasked_is_not_followed() {
    run(async {
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nsecret";
        let upstream = Upstream::answering(switch).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let response = Wire::connect(proxy.address()).await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(response.status(), 502);
        assert!(!response.text().contains("secret"));
    });
}

#[test]
fn rfc6455_4_1_a_wrong_101_is_a_502() {
    run(async {
        let proxy_and_upstream = async {
            let upstream = RawUpstream::start().await;
            (Proxy::to(upstream.address()).start().await, upstream)
        };
        let (proxy, upstream) = proxy_and_upstream.await;
        type Answer = fn(&Head) -> String;
        let answers: [(&str, Answer); 7] = [
            ("another protocol", |request| {
                switching_protocols(request, "").replace("Upgrade: websocket", "Upgrade: h2c")
            }),
            ("no upgrade", |request| switching_protocols(request, "").replace("Upgrade: websocket\r\n", "")),
            ("no connection", |request| {
                switching_protocols(request, "").replace("Connection: Upgrade\r\n", "")
            }),
            ("the accept of another key", |_| {
                let other = Head::parse(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==");
                switching_protocols(&other, "")
            }),
            ("no accept", |request| {
                let answer = switching_protocols(request, "");
                let at = answer.find("Sec-WebSocket-Accept").unwrap();
                format!("{}\r\n", &answer[..at])
            }),
            ("a subprotocol not offered", |request| {
                switching_protocols(request, "Sec-WebSocket-Protocol: soap\r\n")
            }),
            ("an extension not offered", |request| {
                switching_protocols(request, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
            }),
        ];
        for (what, answer) in answers {
            let mut client =
                Wire::send_to(proxy.address(), handshake("/", "Sec-WebSocket-Protocol: chat\r\n")).await;
            let mut server = upstream.next().await;
            let request = server.head().await;
            server.send(answer(&request)).await;
            let response = client.response().await;
            assert_eq!(response.status(), 502, "{what}");
            server.assert_closed().await;
        }
    });
}

#[test]
fn an_answer_other_than_101_is_the_applications_own() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        for (answer, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-App: yes\r\n\r\nhello", 200, "hello"),
            (
                "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\nX-App: yes\r\n\r\n4\r\nkeep\r\n4\r\n out\r\n0\r\n\r\n",
                403,
                "keep out",
            ),
            (
                "HTTP/1.1 301 Moved Permanently\r\nLocation: /chat\r\nX-App: yes\r\nContent-Length: 0\r\n\r\n",
                301,
                "",
            ),
        ] {
            let mut client = Wire::send_to(proxy.address(), handshake("/", "")).await;
            let mut server = upstream.next().await;
            server.head().await;
            server.send(answer).await;
            let response = client.response().await;
            assert_eq!((response.status(), response.text()), (status, body));
            assert_eq!(response.head.field("x-app"), Some("yes"));
            // No tunnel: what follows is a request like any other.
            client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let mut next = upstream.next().await;
            assert_eq!(next.head().await.target(), "/next");
        }
    });
}

#[test]
fn a_session_does_not_hold_up_the_next_one() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = Proxy::to(upstream.address()).server("workers = 1").start().await;
        let mut first = WebSocket::connect(proxy.address(), "/").await;
        let mut second = WebSocket::connect(proxy.address(), "/").await;
        for round in 0..3 {
            first.assert_echo(&format!("first {round}")).await;
            second.assert_echo(&format!("second {round}")).await;
        }
    });
}
