//! What becomes of header fields on their way through the proxy.

use sluicegate_tests::{Head, Proxy, RawUpstream, Upstream, Wire, handshake, run, switching_protocols};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn seen_by_upstream(route: &str, request: &str) -> (Head, String) {
    let upstream = Upstream::answering(OK).await;
    let proxy = Proxy::to(upstream.address()).route(route).start().await;
    let response = Wire::connect(proxy.address()).await.ask(request).await;
    assert_eq!(response.status(), 200, "{}", response.head);
    (upstream.request().head, upstream.address().to_string())
}

#[test]
fn host_is_kept_replaced_by_the_servers_or_by_a_name() {
    run(async {
        let request = "GET / HTTP/1.1\r\nHost: Shop.Example.com:8080\r\n\r\n";
        let (head, _) = seen_by_upstream("", request).await;
        assert_eq!(head.field("host"), Some("Shop.Example.com:8080"));
        let (head, _) = seen_by_upstream("host-header = \"keep\"", request).await;
        assert_eq!(head.field("host"), Some("Shop.Example.com:8080"));
        let (head, server) = seen_by_upstream("host-header = \"server\"", request).await;
        assert_eq!(head.field("host"), Some(server.as_str()));
        let (head, _) = seen_by_upstream("host-header = \"shop.internal\"", request).await;
        assert_eq!(head.field("host"), Some("shop.internal"));
        // What the client asked for is told in any case.
        assert_eq!(head.field("x-forwarded-host"), Some("Shop.Example.com:8080"));
    });
}

#[test]
fn rfc9112_3_2_2_the_target_in_absolute_form_says_the_host() {
    run(async {
        let request = "GET http://shop.example.com/cart?item=1 HTTP/1.1\r\nHost: shop.example.com\r\n\r\n";
        let (head, _) = seen_by_upstream("", request).await;
        assert_eq!(head.target(), "/cart?item=1");
        assert_eq!(head.field("host"), Some("shop.example.com"));
    });
}

#[test]
fn rfc9112_3_2_what_the_upstream_is_asked_for_has_a_path() {
    run(async {
        for (line, target) in
            [("GET http://shop.example.com", "/"), ("GET /?item=1", "/?item=1"), ("OPTIONS *", "*")]
        {
            let request = format!("{line} HTTP/1.1\r\nHost: shop.example.com\r\n\r\n");
            let (head, _) = seen_by_upstream("", &request).await;
            assert_eq!(head.target(), target, "{line}");
        }
    });
}

#[test]
fn the_upstream_learns_who_the_client_is_and_not_what_it_says_of_itself() {
    run(async {
        let request = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Real-IP: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.9\r\n\
                       x-forwarded-for: 203.0.113.10\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: bank.example\r\n\
                       Forwarded: for=203.0.113.9\r\n\r\n";
        let (head, _) = seen_by_upstream("", request).await;
        assert_eq!(head.field("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(head.field("x-forwarded-proto"), Some("http"));
        assert_eq!(head.field("x-forwarded-host"), Some("a.example"));
        assert!(!head.has("forwarded"));
    });
}

#[test]
fn rfc9110_7_6_1_fields_of_the_clients_connection_stay_with_it() {
    run(async {
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive\r\nConnection: x-other\r\n\
                       Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: x-sum\r\n\
                       X-Hop: 1\r\nX-Other: 2\r\nX-End: 3\r\nX-End: 4\r\n\r\n";
        let (head, _) = seen_by_upstream("", request).await;
        for name in
            ["connection", "keep-alive", "proxy-connection", "te", "trailer", "x-hop", "x-other", "upgrade"]
        {
            assert!(!head.has(name), "{name} in {head}");
        }
        assert_eq!(head.all("x-end"), ["3", "4"]);
    });
}

#[test]
fn rfc9110_7_6_1_fields_of_the_upstreams_connection_stay_with_it() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
                      X-Hop: 1\r\nTrailer: x-sum\r\nUpgrade: h2c\r\nX-End: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                      Content-Length: 2\r\n\r\nok";
        let upstream = Upstream::answering(answer).await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        for name in ["connection", "keep-alive", "proxy-connection", "x-hop", "trailer", "upgrade"] {
            assert!(!response.head.has(name), "{name} in {}", response.head);
        }
        assert_eq!(response.head.field("x-end"), Some("2"));
        assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2"]);
        // That was about the upstream's connection; the client's is kept.
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
    });
}

#[test]
fn a_client_cannot_make_the_proxy_drop_what_the_upstream_decides_by() {
    run(async {
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Cookie, Authorization, Host\r\n\
                       Cookie: session=1\r\nAuthorization: Basic YQ==\r\n\r\n";
        let (head, _) = seen_by_upstream("", request).await;
        assert_eq!(head.field("cookie"), Some("session=1"));
        assert_eq!(head.field("authorization"), Some("Basic YQ=="));
        assert_eq!(head.field("host"), Some("a"));
    });
}

#[test]
fn values_that_are_not_utf_8_pass_as_they_are() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let mut client =
            Wire::send_to(proxy.address(), b"GET / HTTP/1.1\r\nHost: a\r\nX-Name: caf\xe9\r\n\r\n").await;
        let mut server = upstream.next().await;
        let head = server.take_until(b"\r\n\r\n").await;
        assert!(head.windows(4).any(|found| found == b"caf\xe9"));
        server.send(b"HTTP/1.1 200 OK\r\nX-Name: th\xe9\r\nContent-Length: 0\r\n\r\n").await;
        let head = client.take_until(b"\r\n\r\n").await;
        assert!(head.windows(3).any(|found| found == b"th\xe9"));
    });
}

#[test]
fn rfc9110_7_6_1_an_upgrade_carries_nothing_else_of_the_connection() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let request = handshake("/", "Keep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\n")
            .replace("Connection: Upgrade", "Connection: keep-alive, Upgrade, X-Hop");
        let mut client = Wire::send_to(proxy.address(), request).await;
        let mut server = upstream.next().await;
        let head = server.head().await;
        assert_eq!(head.field("connection"), Some("Upgrade"));
        assert!(!head.has("keep-alive") && !head.has("x-hop"));
        assert_eq!(head.field("x-end"), Some("2"));
        let answer = switching_protocols(&head, "Keep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\n")
            .replace("Connection: Upgrade", "Connection: Upgrade, X-Hop");
        server.send(answer).await;
        let head = client.head().await;
        assert_eq!(head.status(), 101);
        assert!(!head.has("keep-alive") && !head.has("x-hop"));
        assert_eq!(head.field("x-end"), Some("2"));
    });
}
