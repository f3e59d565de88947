//! Bounds on the heads of requests: their size and their time.

use std::time::Duration;

use sluicegate_tests::{Proxy, Upstream, Wire, run};
use tokio::time::{Instant, timeout};

#[test]
fn rfc6585_5_a_head_over_the_limit_is_431() {
    run(async {
        let upstream = Upstream::named("never asked").await;
        let limits = "limits = { header-bytes-max = \"4KiB\", headers-max = 20 }";
        let proxy = Proxy::to(upstream.address()).listener(limits).start().await;
        let large = "x".repeat(4096);
        let many = "X-A: 1\r\n".repeat(20);
        for request in [
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {large}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            // Never complete: the limit is on what is held, not on what is whole.
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {large}"),
        ] {
            let mut client = Wire::send_to(proxy.address(), request).await;
            assert_eq!(client.response().await.status(), 431);
            client.assert_closed().await;
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn a_large_head_within_the_limit_passes() {
    run(async {
        let upstream = Upstream::named("seen").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let large = "x".repeat(60 << 10);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {large}\r\n\r\n");
        assert_eq!(Wire::connect(proxy.address()).await.ask(request).await.text(), "seen");
        assert_eq!(upstream.request().head.field("x-large"), Some(large.as_str()));
    });
}

/// Each byte comes in time for its own sake; the head as a whole does not.
#[test]
fn rfc9110_15_5_9_a_head_sent_byte_by_byte_is_408() {
    run(async {
        let upstream = Upstream::named("never asked").await;
        let proxy = Proxy::to(upstream.address()).listener("timeouts = { header = \"1s\" }").start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let began = Instant::now();
        for byte in "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 0123456789".bytes().cycle() {
            let sent = client.try_send([byte]).await;
            let readable = timeout(Duration::from_millis(25), client.stream().readable()).await;
            if !sent || (readable.is_ok() && client.has_more()) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "the proxy waits for ever");
        }
        assert_eq!(client.response().await.status(), 408);
        client.assert_closed().await;
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn an_idle_connection_ends_without_a_word() {
    run(async {
        let upstream = Upstream::named("home").await;
        let timeouts = "timeouts = { header = \"1s\", keep-alive = \"500ms\" }";
        let proxy = Proxy::to(upstream.address()).listener(timeouts).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "home");
        client.assert_closed().await;
        Wire::connect(proxy.address()).await.assert_closed().await;
    });
}
