//! The opening handshake on its way through the proxy.

use sluicegate_tests::{
    Frame, Head, Proxy, RawUpstream, Upstream, WebSocket, Wire, handshake, run, soon, switching_protocols,
};
use tokio::process::Command;

#[test]
fn rfc6455_1_3_the_handshake_arrives_as_it_was_sent() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let more =
            "Origin: https://chat.example.com\r\nCookie: a=1\r\nSec-WebSocket-Protocol: chat.v1, chat.v2\r\n";
        let mut client = Wire::send_to(proxy.address(), handshake("/room/7?name=ada%20l", more)).await;
        let mut server = upstream.next().await;
        let request = server.head().await;
        assert_eq!(request.first_line, "GET /room/7?name=ada%20l HTTP/1.1");
        for (name, value) in [
            ("host", "chat.example.com"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat.v1, chat.v2"),
            ("origin", "https://chat.example.com"),
            ("cookie", "a=1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "chat.example.com"),
        ] {
            assert_eq!(request.field(name), Some(value), "{name}");
        }
        server.send(switching_protocols(&request, "Sec-WebSocket-Protocol: chat.v2\r\nX-Node: 3\r\n")).await;
        let answer = client.head().await;
        assert_eq!(answer.first_line, "HTTP/1.1 101 Switching Protocols");
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(answer.field("sec-websocket-protocol"), Some("chat.v2"));
        assert_eq!(answer.field("x-node"), Some("3"));
        assert!(!answer.has("content-length") && !answer.has("transfer-encoding"), "{answer}");
    });
}

/// What the nginx guide tells its reader to run.
#[test]
fn the_curl_handshake_check() {
    run(async {
        let server = Upstream::echo().await;
        let proxy = Proxy::to(server.address()).start().await;
        let url = format!("http://{}/ws", proxy.address());
        let curl = Command::new("curl")
            .args(["--include", "--silent", "--no-buffer", "--http1.1", "--max-time", "2"])
            .args(["--header", "Connection: Upgrade", "--header", "Upgrade: websocket"])
            .args([
                "--header",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "--header",
                "Sec-WebSocket-Version: 13",
            ])
            .arg(url)
            .kill_on_drop(true)
            .output();
        let output = soon("curl", curl).await.expect("curl is installed");
        let head = Head::parse(&output.stdout);
        assert_eq!(head.first_line, "HTTP/1.1 101 Switching Protocols");
        assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(head.field("upgrade"), Some("websocket"));
    });
}

#[test]
fn the_client_sees_its_101_only_after_the_upstreams() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::send_to(proxy.address(), handshake("/", "")).await;
        let mut server = upstream.next().await;
        let request = server.head().await;
        let answer = switching_protocols(&request, "");
        server.send(&answer[..answer.len() - 2]).await;
        // Another exchange from beginning to end: time enough for a hasty 101.
        let mut other = Wire::send_to(proxy.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut other_server = upstream.next().await;
        other_server.head().await;
        other_server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(other.response().await.status(), 204);
        assert!(!client.has_more());
        server.send("\r\n").await;
        assert_eq!(client.head().await.status(), 101);
    });
}

#[test]
fn frames_sent_together_with_the_handshake_reach_the_upstream_in_order() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let frames = ["one", "two", "three"].map(|text| Frame::text(text).masked().bytes()).concat();
        let client = Wire::send_to(proxy.address(), [handshake("/", "").as_bytes(), &frames].concat()).await;
        let mut server = WebSocket::accept(upstream.next().await).await;
        for text in ["one", "two", "three"] {
            assert_eq!(server.hear().await, text);
        }
        drop(client);
    });
}

#[test]
fn frames_sent_in_the_same_segment_as_the_101_reach_the_client_in_order() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let accept = async {
            let mut wire = upstream.next().await;
            let answer = switching_protocols(&wire.head().await, "");
            let frames = [Frame::text("welcome"), Frame::ping("1"), Frame::text("here is the room")];
            wire.send([answer.into_bytes(), frames.map(|frame| frame.bytes()).concat()].concat()).await;
            wire
        };
        let (mut client, mut server) = tokio::join!(WebSocket::connect(proxy.address(), "/"), accept);
        assert_eq!(client.hear().await, "welcome");
        assert_eq!(client.frame().await, Frame::ping("1"));
        assert_eq!(client.hear().await, "here is the room");
        client.say("thanks").await;
        assert_eq!(server.take(6 + 6).await, Frame::text("thanks").masked().bytes());
    });
}

/// The same with a plugin between them, and with a frame that is cut in two.
#[test]
fn early_frames_are_inspected_too() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).guest("stamp", "settings = { mark = \"!\" }").start().await;
        let frames = ["one", "two"].map(|text| Frame::text(text).masked().bytes()).concat();
        let (early, late) = frames.split_at(12);
        let mut client =
            Wire::send_to(proxy.address(), [handshake("/", "").as_bytes(), early].concat()).await;
        let mut wire = upstream.next().await;
        let answer = switching_protocols(&wire.head().await, "");
        wire.send([answer.into_bytes(), Frame::text("welcome").bytes()].concat()).await;
        assert_eq!(client.head().await.status(), 101);
        assert_eq!(client.take(2 + 8).await, Frame::text("welcome!").bytes());
        client.send(late).await;
        for text in ["one!", "two!"] {
            let frame = wire.take(2 + 4 + 4).await;
            let unmasked: Vec<u8> =
                frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
            assert_eq!(str::from_utf8(&unmasked), Ok(text));
        }
    });
}

#[test]
fn rfc6455_4_2_2_handshake_errors_are_the_clients() {
    run(async {
        let upstream = Upstream::named("never asked").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let without = |line: &str| handshake("/", "").replace(line, "");
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for (request, status) in [
            (without(key), 400),
            (handshake("/", "").replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
            (handshake("/", "").replace("dGhlIHNhbXBsZSBub25jZQ==", "not base64 at all"), 400),
            (handshake("/", key), 400),
            (handshake("/", "Sec-WebSocket-Protocol: a, a\r\n"), 400),
            (handshake("/", "").replace("Version: 13", "Version: 12"), 426),
            (without("Sec-WebSocket-Version: 13\r\n"), 426),
        ] {
            let response = Wire::connect(proxy.address()).await.ask(&request).await;
            assert_eq!(response.status(), status, "{request}");
            // RFC 6455 §4.4: the versions that would do.
            let version = (status == 426).then_some("13");
            assert_eq!(response.head.field("sec-websocket-version"), version, "{request}");
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn a_connection_goes_on_after_a_handshake_that_was_refused() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let response = client.ask(handshake("/", "").replace("Version: 13", "Version: 8")).await;
        assert_eq!(response.status(), 426);
        let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(response.text(), "home");
    });
}
