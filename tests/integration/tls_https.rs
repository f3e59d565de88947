//! What HTTP knows of TLS: the scheme that upstreams are told, the way from http to https, and staying there.

use sluicegate_tests::{Proxy, Response, Upstream, WebSocket, Wire, config, run};

use crate::tls_files::{NAME, TlsFiles};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: chat.example.com\r\n\r\n";

#[test]
fn the_upstream_is_told_https() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::named("app").await;
        let proxy = Proxy::to(upstream.address()).listener(&files.tls("")).start().await;
        let mut wire = files.client().connect(proxy.address(), NAME).await;
        wire.ask("GET / HTTP/1.1\r\nHost: chat.example.com\r\nX-Forwarded-Proto: http\r\n\r\n").await;
        let request = upstream.request();
        assert_eq!(request.head.field("x-forwarded-proto"), Some("https"));
        assert_eq!(request.head.field("x-forwarded-host"), Some("chat.example.com"));
        assert_eq!(request.head.field("x-real-ip"), Some("127.0.0.1"));
    });
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::named("app").await;
        let keys = format!("{}\nproxy-protocol = true\ntrusted-proxies = [\"127.0.0.1\"]", files.tls(""));
        let proxy = Proxy::to(upstream.address()).listener(&keys).start().await;
        let header = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";
        let mut wire = files.client().connect_after(header, proxy.address(), NAME).await;
        assert_eq!(wire.ask(REQUEST).await.text(), "app");
        let request = upstream.request();
        assert_eq!(request.head.field("x-real-ip"), Some("203.0.113.9"));
        assert_eq!(request.head.field("x-forwarded-proto"), Some("https"));
    });
}

#[test]
fn a_sticky_cookie_is_secure_where_the_client_came_by_https() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::named("app").await;
        let text = |keys: &str| {
            let sticky = "sticky = { cookie = \"SERVER\" }";
            config::listener(keys)
                + &config::upstream("app", &[upstream.address()], sticky)
                + &config::route("app", "")
        };
        let is_secure =
            |response: &Response| response.head.field("set-cookie").unwrap().ends_with("; Secure");
        let proxy = Proxy::start(&text(&files.tls(""))).await;
        let mut wire = files.client().connect(proxy.address(), NAME).await;
        assert!(is_secure(&wire.ask(REQUEST).await));
        // The proxy in front speaks TLS, or says that it did not.
        let proxy = Proxy::start(&text("trusted-proxies = [\"127.0.0.1\"]")).await;
        for (scheme, secure) in [("https", true), ("http", false)] {
            let request =
                format!("GET / HTTP/1.1\r\nHost: chat.example.com\r\nX-Forwarded-Proto: {scheme}\r\n\r\n");
            let response = Wire::connect(proxy.address()).await.ask(request).await;
            assert_eq!(is_secure(&response), secure, "{scheme}");
        }
    });
}

#[test]
fn rfc6797_6_1_answers_over_tls_ask_for_more_of_it() {
    run(async {
        let files = TlsFiles::new();
        let answer = "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n";
        let upstream = Upstream::answering(answer).await;
        let proxy = Proxy::to(upstream.address())
            .listener(&format!("{}\nhsts = \"365d\"", files.tls("")))
            .route("host = \"chat.example.com\"")
            .start()
            .await;
        let mut wire = files.client().connect(proxy.address(), NAME).await;
        for (host, status) in [("chat.example.com", 200), ("elsewhere.test", 404)] {
            let response = wire.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!(response.status(), status);
            // Only one, whatever the upstream says.
            assert_eq!(response.head.all("strict-transport-security"), ["max-age=31536000"]);
        }
    });
}

#[test]
fn nothing_is_said_of_it_by_default() {
    run(async {
        let files = TlsFiles::new();
        let upstream = Upstream::named("app").await;
        let proxy = Proxy::to(upstream.address()).listener(&files.tls("")).start().await;
        let response = files.client().connect(proxy.address(), NAME).await.ask(REQUEST).await;
        assert!(!response.head.has("strict-transport-security"));
    });
}

#[test]
fn a_port_that_redirects_to_https() {
    run(async {
        let upstream = Upstream::named("app").await;
        for (key, port) in [("true", ""), ("8443", ":8443")] {
            let keys = format!("redirect-https = {key}");
            let proxy = Proxy::to(upstream.address()).listener(&keys).start().await;
            let mut wire = Wire::connect(proxy.address()).await;
            for (host, path) in [
                ("chat.example.com", "/"),
                ("chat.example.com:8080", "/ws/%20x?a=b&c=//d"),
                ("[::1]:8080", "/no-route"),
            ] {
                let request = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi");
                let response = wire.ask(request).await;
                assert_eq!(response.status(), 308);
                let name = host.strip_suffix(":8080").unwrap_or(host);
                let location = format!("https://{name}{port}{path}");
                assert_eq!(response.head.field("location"), Some(location.as_str()));
            }
            let refused = WebSocket::refused(proxy.address(), "/ws/", "").await;
            assert_eq!(refused.status(), 308);
        }
        assert_eq!(upstream.requests(), []);
    });
}
