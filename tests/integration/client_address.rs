//! Who the client is, where the connection is a proxy's: as upstreams, plugins and the log see it.

use sluicegate_tests::{Head, Proxy, RawUpstream, Upstream, WebSocket, Wire, run};

const TRUSTED: &str = "trusted-proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";
/// Networks of which the tests' clients are not.
const OTHERS_TRUSTED: &str = "trusted-proxies = [\"10.0.0.0/8\", \"::1\"]";

/// What a client of its own making could say.
const TOLD: &str = "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n\
                    X-Forwarded-Host: chat.example.com\r\nX-Real-IP: 6.6.6.6\r\n";
const FORWARDED: &str = "Forwarded: for=6.6.6.6, for=203.0.113.9;proto=https;host=chat.example.com\r\n\
                         Forwarded: for=\"10.0.0.2:_p\"\r\n";

async fn seen_by_upstream(listener: &str, told: &str) -> Head {
    let upstream = Upstream::named("home").await;
    let proxy = Proxy::to(upstream.address()).listener(listener).start().await;
    let request = format!("GET / HTTP/1.1\r\nHost: a.internal\r\n{told}\r\n");
    assert_eq!(Wire::connect(proxy.address()).await.ask(request).await.text(), "home");
    upstream.request().head
}

#[test]
fn what_a_trusted_proxy_says_of_the_client_is_said_to_the_upstream() {
    run(async {
        for told in [TOLD, FORWARDED, &format!("{TOLD}{FORWARDED}")] {
            let head = seen_by_upstream(TRUSTED, told).await;
            assert_eq!(head.field("x-real-ip"), Some("203.0.113.9"));
            assert_eq!(head.field("x-forwarded-for"), Some("203.0.113.9, 10.0.0.2, 127.0.0.1"));
            assert_eq!(head.field("x-forwarded-proto"), Some("https"));
            assert_eq!(head.field("x-forwarded-host"), Some("chat.example.com"));
            assert_eq!(head.field("host"), Some("a.internal"));
            assert!(!head.has("forwarded"));
        }
    });
}

#[test]
fn what_anybody_else_says_changes_nothing() {
    run(async {
        for listener in ["", OTHERS_TRUSTED] {
            for told in [TOLD, FORWARDED] {
                let head = seen_by_upstream(listener, told).await;
                assert_eq!(head.field("x-real-ip"), Some("127.0.0.1"));
                assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
                assert_eq!(head.field("x-forwarded-proto"), Some("http"));
                assert_eq!(head.field("x-forwarded-host"), Some("a.internal"));
                assert!(!head.has("forwarded"));
            }
        }
    });
}

#[test]
fn of_two_accounts_that_differ_none_is_believed_but_the_one_that_is_named() {
    run(async {
        let told = "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=198.51.100.9;proto=https\r\n";
        for (key, client, scheme) in [
            ("", "127.0.0.1", "https"),
            ("real-ip-header = \"x-forwarded-for\"", "203.0.113.9", "http"),
            ("real-ip-header = \"forwarded\"", "198.51.100.9", "https"),
        ] {
            let head = seen_by_upstream(&format!("{TRUSTED}\n{key}"), told).await;
            assert_eq!(head.field("x-real-ip"), Some(client), "{key}");
            assert_eq!(head.field("x-forwarded-proto"), Some(scheme), "{key}");
        }
    });
}

#[test]
fn rfc7239_4_the_upstream_is_told_in_forwarded_where_that_is_asked_for() {
    run(async {
        let head = seen_by_upstream("forwarded-header = true", FORWARDED).await;
        assert_eq!(head.field("forwarded"), Some("for=127.0.0.1;host=\"a.internal\";proto=http"));
        let head = seen_by_upstream(&format!("{TRUSTED}\nforwarded-header = true"), TOLD).await;
        let told = "for=203.0.113.9;host=\"chat.example.com\";proto=https, for=10.0.0.2, for=127.0.0.1";
        assert_eq!(head.field("forwarded"), Some(told));
    });
}

#[test]
fn plugins_and_the_log_see_the_client_and_not_the_proxy_in_front() {
    run(async {
        for (listener, address) in [(TRUSTED, "203.0.113.9"), (OTHERS_TRUSTED, "127.0.0.1")] {
            let upstream = RawUpstream::start().await;
            let proxy = Proxy::to(upstream.address()).listener(listener).guest("scripted", "").start().await;
            let (mut client, server) =
                tokio::join!(WebSocket::connect_with(proxy.address(), "/", TOLD), async {
                    WebSocket::accept(upstream.next().await).await
                });
            client.say("connection").await;
            let known = client.hear().await;
            assert!(known.starts_with(&format!("client-address={address} ")), "{known}");
            drop(server);
            let line = proxy.log().line(&["session ended early", &format!("client={address}:")]).await;
            assert_eq!(line.contains(" peer=127.0.0.1:"), address != "127.0.0.1", "{line}");
        }
    });
}

/// A plugin that counts by the client's address.
#[test]
fn limits_are_the_clients_own_and_nobody_makes_up_more_of_them() {
    run(async {
        let upstream = Upstream::named("home").await;
        let settings = "settings = { requests = { rate = \"1/h\" } }";
        for (listener, second_client) in [(TRUSTED, 200), (OTHERS_TRUSTED, 429)] {
            let proxy = Proxy::to(upstream.address()).listener(listener).plugin("rate-limit", settings);
            let proxy = proxy.start().await;
            let mut wire = Wire::connect(proxy.address()).await;
            let mut ask = async |address: &str| {
                let told = format!("X-Forwarded-For: {address}\r\n");
                wire.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{told}\r\n")).await.status()
            };
            assert_eq!(ask("203.0.113.9").await, 200);
            assert_eq!(ask("203.0.113.10").await, second_client);
            assert_eq!(ask("203.0.113.9").await, 429);
            // What such a client puts in front of itself is not looked at.
            assert_eq!(ask("198.51.100.1, 203.0.113.9").await, 429);
        }
    });
}
