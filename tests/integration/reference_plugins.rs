//! The reference plugins end to end, each with its settings.

use sluicegate_tests::{Frame, Proxy, RawUpstream, Session, Upstream, WebSocket, Wire, eventually, run};

fn get(more: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

#[test]
fn origin_check_lets_in_the_origins_on_its_list() {
    run(async {
        let upstream = Upstream::echo().await;
        let settings = "settings = { allow = [\"https://chat.example.com\", \"https://*.example.org\"] }";
        let proxy = Proxy::to(upstream.address()).plugin("origin-check", settings).start().await;
        for origin in ["https://chat.example.com", "https://eu.example.org"] {
            let more = format!("Origin: {origin}\r\n");
            WebSocket::connect_with(proxy.address(), "/", &more).await.assert_echo("let in").await;
        }
        let connections = upstream.connections();
        for more in [
            "",
            "Origin: https://evil.example\r\n",
            "Origin: http://chat.example.com\r\n",
            "Origin: https://chat.example.com.evil.example\r\n",
            "Origin: https://chat.example.com\r\nOrigin: https://evil.example\r\n",
        ] {
            let refused = WebSocket::refused(proxy.address(), "/", more).await;
            assert_eq!((refused.status(), refused.text()), (403, "origin not allowed\n"), "{more}");
        }
        assert_eq!(upstream.connections(), connections);
    });
}

#[test]
fn rate_limit_bounds_requests() {
    run(async {
        let upstream = Upstream::named("home").await;
        let settings = "settings = { requests = { rate = \"3/h\" }, key = \"header:x-user\" }";
        let proxy = Proxy::to(upstream.address()).plugin("rate-limit", settings).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        for user in ["ada", "bob"] {
            let request = get(&format!("X-User: {user}\r\n"));
            for _ in 0..3 {
                assert_eq!(client.ask(&request).await.status(), 200);
            }
            let response = client.ask(&request).await;
            assert_eq!(response.status(), 429);
            let wait: u32 = response.head.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=1200).contains(&wait), "{wait}");
        }
        assert_eq!(upstream.requests().len(), 6);
    });
}

#[test]
fn rate_limit_bounds_connections_at_a_time() {
    run(async {
        let upstream = RawUpstream::start().await;
        let settings = "settings = { connections = { max = 2 } }";
        let proxy = Proxy::to(upstream.address()).plugin("rate-limit", settings).start().await;
        let first = Session::open(&proxy, &upstream).await;
        let _second = Session::open(&proxy, &upstream).await;
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 429);
        // A place is given back at the end of the session that had it.
        drop(first);
        let mut client = Session::eventually_open(&proxy, &upstream).await;
        client.client.say("hello").await;
        assert_eq!(client.upstream.hear().await, "hello");
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 429);
    });
}

#[test]
fn rate_limit_bounds_messages() {
    run(async {
        let upstream = RawUpstream::start().await;
        let dropping = "settings = { messages = { rate = \"2/h\" } }";
        let proxy = Proxy::to(upstream.address()).plugin("rate-limit", dropping).start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        session.client.send_all(["one", "two", "three", "four"].map(Frame::text)).await;
        assert_eq!(session.upstream.hear().await, "one");
        assert_eq!(session.upstream.hear().await, "two");
        // Only the client's messages are counted.
        for text in ["a", "b", "c"] {
            session.upstream.say(text).await;
            assert_eq!(session.client.hear().await, text);
        }
        assert!(!session.upstream.wire.has_more());

        let closing = "settings = { messages = { rate = \"2/h\", action = \"close\" } }";
        let proxy = Proxy::to(upstream.address()).plugin("rate-limit", closing).start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        session.client.send_all(["one", "two", "three"].map(Frame::text)).await;
        assert_eq!(session.client.closed().await.0, Some(1008));
        assert_eq!(session.upstream.hear().await, "one");
    });
}

#[test]
fn message_filter_drops_replaces_or_closes() {
    run(async {
        let upstream = RawUpstream::start().await;
        let start = async |settings: &str| {
            let settings = format!("settings = {{ deny = ['(?i)darn', '\\d{{16}}'], {settings} }}");
            Proxy::to(upstream.address()).plugin("message-filter", &settings).start().await
        };
        let proxy = start("action = \"drop\"").await;
        let mut session = Session::open(&proxy, &upstream).await;
        session
            .client
            .send_all(["fine", "DARN it", "my card is 1234567812345678", "fine again"].map(Frame::text))
            .await;
        assert_eq!(session.upstream.hear().await, "fine");
        assert_eq!(session.upstream.hear().await, "fine again");
        session.upstream.say("darn: upstreams may").await;
        assert_eq!(session.client.hear().await, "darn: upstreams may");
        session.client.send(Frame::binary(*b"darn: binary passes")).await;
        assert_eq!(session.upstream.frame().await, Frame::binary(*b"darn: binary passes"));

        let proxy = start("action = \"replace\", replacement = \"*\", from = \"both\"").await;
        let mut session = Session::open(&proxy, &upstream).await;
        session.client.say("darn, darn").await;
        assert_eq!(session.upstream.hear().await, "*, *");
        session.upstream.say("call 1234567812345678").await;
        assert_eq!(session.client.hear().await, "call *");

        let proxy = start("action = \"close\"").await;
        let mut session = Session::open(&proxy, &upstream).await;
        session.client.say("darn").await;
        for side in [&mut session.client, &mut session.upstream] {
            assert_eq!(side.closed().await, (Some(1008), "message not allowed".to_owned()));
        }
    });
}

#[test]
fn router_chooses_the_upstream() {
    run(async {
        let (app, blue) = (Upstream::named("app").await, Upstream::named("blue").await);
        let settings = "settings.rules = [\n\
            { header = { name = \"x-tenant\", value = \"blue\" }, upstream = \"blue\" },\n\
            { cookie = { name = \"beta\", value = \"yes\" }, upstream = \"blue\" },\n\
            { query = { name = \"region\", value = \"eu\" }, upstream = \"blue\" },\n\
            { subprotocol = \"chat.v2\", upstream = \"blue\" },\n\
            { header = { name = \"x-tenant\", value = \"lost\" }, upstream = \"no-such\" },\n]";
        let proxy = Proxy::to(app.address())
            .upstream("blue", blue.address())
            .plugin("router", settings)
            .start()
            .await;
        let mut client = Wire::connect(proxy.address()).await;
        for (request, expected) in [
            (get(""), "app"),
            (get("X-Tenant: blue\r\n"), "blue"),
            (get("X-Tenant: red\r\n"), "app"),
            (get("Cookie: a=1; beta=yes\r\n"), "blue"),
            (get("").replace("GET /", "GET /?a=1&region=eu"), "blue"),
        ] {
            assert_eq!(client.ask(&request).await.text(), expected, "{request}");
        }
        assert_eq!(client.ask(get("X-Tenant: lost\r\n")).await.status(), 502);
        let requests = blue.requests().len();
        WebSocket::refused(proxy.address(), "/", "Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n").await;
        eventually("the handshake at the other upstream", || {
            (blue.requests().len() > requests).then_some(())
        })
        .await;
    });
}

#[test]
fn all_four_together() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = Proxy::to(upstream.address())
            .plugin("origin-check", "settings = { allow = [\"https://a.example\"] }")
            .plugin(
                "rate-limit",
                "settings = { requests = { rate = \"100/s\" }, messages = { rate = \"100/s\" } }",
            )
            .plugin("router", "settings.rules = []")
            .plugin("message-filter", "settings = { deny = [\"darn\"], action = \"replace\" }")
            .start()
            .await;
        let mut client = WebSocket::connect_with(proxy.address(), "/", "Origin: https://a.example\r\n").await;
        client.assert_echo("hello").await;
        client.say("darn").await;
        assert_eq!(client.hear().await, "***");
    });
}
