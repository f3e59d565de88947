//! Requests over HTTP/2 that would say something else to a server of HTTP/1.1 reach none: request smuggling by
//! downgrade, and whatever else two could read differently.

use sluicegate_tests::{Http2, Proxy, RawFrame, RawHttp2, Upstream, run};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// `GET /` with these instead of, or after, its pseudo-header fields.
fn with(edits: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut fields = RawFrame::GET.to_vec();
    for edit in edits {
        match fields.iter_mut().find(|(name, _)| name.starts_with(':') && *name == edit.0) {
            Some(field) => *field = *edit,
            None => fields.push(*edit),
        }
    }
    fields
}

#[test]
fn rfc9113_8_1_1_malformed_requests_go_nowhere() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        for fields in [
            with(&[("x", "a\r\ntransfer-encoding: chunked")]),
            with(&[("x", "a\nb")]),
            with(&[("x", "a\rb")]),
            with(&[("x", "a\0b")]),
            with(&[("x y", "a")]),
            with(&[("x:y", "a")]),
            with(&[("X", "a")]),
            with(&[("x\r\ny", "a")]),
            with(&[("", "a")]),
            with(&[("transfer-encoding", "chunked")]),
            with(&[("connection", "upgrade")]),
            with(&[("keep-alive", "1")]),
            with(&[("proxy-connection", "close")]),
            with(&[("upgrade", "websocket")]),
            with(&[("te", "gzip")]),
            with(&[("content-length", "5")]),
            with(&[("content-length", "0"), ("content-length", "0")]),
            with(&[("content-length", "0"), ("content-length", "1")]),
            with(&[("content-length", "0x0")]),
            with(&[("host", "b.example")]),
            with(&[("host", "a.example"), ("host", "a.example")]),
            with(&[("x", " padded")]),
            with(&[("x", "padded ")]),
            with(&[("expect", "something")]),
            with(&[(":path", "")]),
            with(&[(":path", "*")]),
            with(&[(":path", "a")]),
            with(&[(":path", "/a b")]),
            with(&[(":path", "/ HTTP/1.1\r\nx: y")]),
            with(&[(":path", "http://b.example/")]),
            with(&[(":method", "GET / HTTP/1.1")]),
            with(&[(":method", "")]),
            with(&[(":scheme", "http://b.example/?")]),
            with(&[(":scheme", "ftp")]),
            with(&[(":authority", "")]),
            with(&[(":authority", "a.example/b")]),
            with(&[(":authority", "user@a.example")]),
            with(&[(":authority", "a.example:x")]),
            with(&[(":unknown", "x")]),
            with(&[("x", "y"), (":late", "x")]),
            with(&[(":method", "CONNECT")]),
            with(&[(":protocol", "websocket")]),
            with(&[(":method", "CONNECT"), (":protocol", "connect-udp")]),
            with(&[(":status", "200")]),
            vec![(":method", "GET"), (":scheme", "http"), (":path", "/")],
            vec![(":method", "GET"), (":authority", "a.example"), (":path", "/")],
            vec![(":scheme", "http"), (":authority", "a.example"), (":path", "/")],
            vec![
                (":method", "GET"),
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/"),
            ],
        ] {
            let mut client = RawHttp2::connect(proxy.address()).await;
            client.wire.send(RawFrame::request(1, &fields).bytes()).await;
            let answer = loop {
                let frame = client.frame().await;
                if matches!(frame.kind, RawHttp2::HEADERS | RawHttp2::RST_STREAM | RawHttp2::GOAWAY) {
                    break frame;
                }
            };
            // The static table's 200 (RFC 7541 appendix A).
            let is_ok = answer.kind == RawHttp2::HEADERS && answer.payload.first() == Some(&0x88);
            assert!(!is_ok, "{fields:?} was answered with 200");
        }
        assert_eq!(upstream.connections(), 0);
        // What these differ from is fine.
        let mut client = RawHttp2::connect(proxy.address()).await;
        client.wire.send(RawFrame::get(1).bytes()).await;
        assert_eq!(client.frame_of(RawHttp2::HEADERS).await.payload.first(), Some(&0x88));
    });
}

#[test]
fn what_the_proxy_refuses_itself_is_told() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let proxy = Proxy::to(upstream.address()).listener("limits = { headers-max = 10 }").start().await;
        let mut client = Http2::connect(proxy.address()).await;
        let get = || Http2::request("GET", "/");
        let many = (0..11).fold(get(), |request, _| request.header("x", "y"));
        for (request, status, words) in [
            (get().header("host", "b.example"), 400, "differs from the authority"),
            (get().header("x", " y"), 400, "white space around a field value"),
            (get().header("expect", "x"), 417, "unknown expectation"),
            (many, 431, "too many field lines"),
            (Http2::request("GET", "/a/..%2fb"), 200, ""),
        ] {
            let response = client.ask(request, b"").await;
            assert_eq!(response.status(), status, "{words}");
            if status != 200 {
                assert!(response.text().contains(words), "{}", response.text());
                proxy.log().line(&["request refused", "fault=client", words]).await;
            }
        }
        assert_eq!(upstream.connections(), 1);
    });
}

#[test]
fn rfc8441_4_other_protocols_are_not_offered() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Http2::connect(proxy.address()).await;
        // The client has the server's settings by then.
        assert_eq!(client.get("/").await.status(), 200);
        let request = Http2::request("CONNECT", "/").extension(h2::ext::Protocol::from("connect-udp"));
        assert_eq!(client.ask(request, b"").await.status(), 501);
        assert_eq!(upstream.connections(), 1);
    });
}
