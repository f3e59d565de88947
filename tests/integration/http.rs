//! Plain HTTP through the proxy: bodies of all sizes and framings, streamed, over connections that are kept.

use sluicegate_tests::{Proxy, RawUpstream, Request, Upstream, Wire, run};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 + at % 251) as u8).collect()
}

fn with_length(start: &str, body: &[u8]) -> Vec<u8> {
    [format!("{start}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// In chunks of unequal sizes.
fn chunked(start: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{start}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    let mut rest = body;
    let mut size = 1;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        message.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        message.extend(chunk);
        message.extend(b"\r\n");
        rest = after;
        size = size * 3 + 1;
    }
    message.extend(b"0\r\n\r\n");
    message
}

/// Sends the body back, chunked where it came chunked.
fn mirror(request: &Request) -> Vec<u8> {
    match request.head.has("transfer-encoding") {
        true => chunked("HTTP/1.1 200 OK", &request.body),
        false => with_length("HTTP/1.1 200 OK", &request.body),
    }
}

#[test]
fn five_hundred_requests_with_bodies_of_all_sizes() {
    run(async {
        let upstream = Upstream::http(mirror).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let small =
            [0, 1, 2, 100, 1023, 1024, 4096, 65_535, 65_536, 65_537, 100_000].into_iter().cycle().take(494);
        let sizes: Vec<usize> =
            small.chain([1 << 20, 1 << 20, 3 << 20, 3 << 20, 10 << 20, 10 << 20]).collect();
        assert_eq!(sizes.len(), 500);
        for (round, size) in sizes.into_iter().enumerate() {
            let body = body(size);
            let start = format!("POST /{round} HTTP/1.1\r\nHost: a");
            let request = if round % 2 == 0 { chunked(&start, &body) } else { with_length(&start, &body) };
            let response = client.ask(request).await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.head.has("transfer-encoding"), round % 2 == 0, "{}", response.head);
            assert!(response.body == body, "round {round}: {size} bytes came back changed");
        }
        assert_eq!(upstream.requests().len(), 500);
    });
}

#[test]
fn server_sent_events_arrive_one_by_one() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::send_to(proxy.address(), get("/events")).await;
        let mut server = upstream.next().await;
        server.head().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        server.send(head).await;
        assert_eq!(client.head().await.field("content-type"), Some("text/event-stream"));
        for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            server.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
            assert_eq!(client.chunk().await, event.as_bytes());
        }
        server.send("0\r\n\r\n").await;
        assert_eq!(client.chunk().await, b"");
    });
}

#[test]
fn a_request_body_arrives_piece_by_piece() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = Wire::send_to(proxy.address(), head).await;
        client.send("3\r\none\r\n").await;
        let mut server = upstream.next().await;
        assert_eq!(server.head().await.field("transfer-encoding"), Some("chunked"));
        assert_eq!(server.chunk().await, b"one");
        client.send("3\r\ntwo\r\n0\r\n\r\n").await;
        assert_eq!(server.chunk().await, b"two");
        assert_eq!(server.chunk().await, b"");
        server.send(OK).await;
        assert_eq!(client.response().await.text(), "ok");
    });
}

#[test]
fn an_answer_before_the_end_of_the_request_body_is_passed_on() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nfirst";
        let mut client = Wire::send_to(proxy.address(), head).await;
        let mut server = upstream.next().await;
        server.head().await;
        server
            .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            .await;
        let response = client.response().await;
        assert_eq!((response.status(), response.text()), (413, "big"));
    });
}

#[test]
fn rfc9110_9_3_2_head_and_rfc9110_15_4_5_not_modified_have_no_body() {
    run(async {
        let upstream = Upstream::http(|request| match request.head.method() {
            "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec(),
            _ if request.head.has("if-none-match") => {
                b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n".to_vec()
            }
            "DELETE" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            _ => OK.into(),
        })
        .await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let response = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((response.status(), response.head.field("content-length")), (200, Some("1000")));
        let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"a\"\r\n\r\n").await;
        assert_eq!((response.status(), response.head.field("etag")), (304, Some("\"a\"")));
        let response = client.ask("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(response.status(), 204);
        // Had one of them had a body, this would begin with it.
        assert_eq!(client.ask(get("/")).await.text(), "ok");
    });
}

#[test]
fn a_body_that_ends_with_the_upstreams_connection_ends_for_the_client_too() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::send_to(proxy.address(), get("/")).await;
        let mut server = upstream.next().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\n\r\nall of it").await;
        drop(server);
        assert_eq!(client.response().await.text(), "all of it");
        // The length of an HTTP/1.1 answer is known by its end, so the connection is kept.
        client.send(get("/again")).await;
        assert_eq!(upstream.next().await.head().await.target(), "/again");
    });
}

#[test]
fn rfc9112_8_a_body_that_was_cut_off_does_not_look_complete() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        for (framing, sent) in
            [("Content-Length: 10", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")]
        {
            let mut client = Wire::send_to(proxy.address(), get("/")).await;
            let mut server = upstream.next().await;
            server.head().await;
            server.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{sent}")).await;
            assert_eq!(client.head().await.status(), 200);
            assert_eq!(client.take(sent.len()).await, sent.as_bytes());
            drop(server);
            client.assert_closed().await;
        }
    });
}

#[test]
fn http_1_0_clients_are_served() {
    run(async {
        let upstream = Upstream::http(mirror).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let response = client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
        assert_eq!(response.status(), 200);
        client.assert_closed().await;
        assert_eq!(upstream.request().head.first_line, "GET / HTTP/1.1");
        // It need not know about hosts; whoever speaks HTTP/1.1 must name one (RFC 9112 §3.2).
        let response = Wire::connect(proxy.address()).await.ask("GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(response.status(), 200);
        assert!(upstream.requests()[1].head.has("host"), "{}", upstream.requests()[1].head);
        // An old client does not know chunks (RFC 9112 §6.1), however the upstream answers.
        let upstream = Upstream::answering(chunked("HTTP/1.1 200 OK", b"in chunks")).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let response = client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
        assert_eq!(response.text(), "in chunks");
        assert!(!response.head.has("transfer-encoding"));
    });
}

#[test]
fn rfc9110_10_1_1_an_expecting_client_is_told_to_continue() {
    run(async {
        let upstream = Upstream::http(mirror).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
        let mut client = Wire::send_to(proxy.address(), head).await;
        assert_eq!(client.head().await.status(), 100);
        client.send("body").await;
        assert_eq!(client.response().await.text(), "body");
    });
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    run(async {
        let upstream = Upstream::http(|request| {
            let target = request.head.target();
            with_length("HTTP/1.1 200 OK", target.as_bytes())
        })
        .await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let requests: String = (0..20).map(|round| get(&format!("/{round}"))).collect();
        let mut client = Wire::send_to(proxy.address(), requests).await;
        for round in 0..20 {
            assert_eq!(client.response().await.text(), format!("/{round}"));
        }
    });
}

#[test]
fn a_client_that_asks_for_the_end_gets_it() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!((response.text(), response.head.field("connection")), ("ok", Some("close")));
        client.assert_closed().await;
    });
}
