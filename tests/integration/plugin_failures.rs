//! Plugins that fail: what it costs the exchange or session, that it costs no other, and that the log says who and why.

use sluicegate_tests::{Frame, Proxy, RawUpstream, Session, Upstream, WebSocket, Wire, run};

const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Fail: 1\r\n\r\n";
const FAIL: &str = "X-Fail: 1\r\n";

fn failing(hook: &str, by: &str) -> String {
    format!("settings = {{ in = \"{hook}\", by = \"{by}\" }}")
}

fn passed_over(hook: &str, by: &str) -> String {
    failing(hook, by) + "\non-failure = \"pass\""
}

#[test]
fn a_trap_in_on_request_is_500_for_that_request_only() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy =
            Proxy::to(upstream.address()).guest("failing", &failing("on-request", "panic")).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        for _ in 0..3 {
            let response = client.ask(BAD).await;
            assert_eq!(response.status(), 500);
            // Whose fault it was is the operator's to know.
            assert!(!response.text().contains("failing"), "{}", response.text());
            assert_eq!(client.ask(GOOD).await.text(), "home");
        }
        assert_eq!(WebSocket::refused(proxy.address(), "/", FAIL).await.status(), 500);
        assert_eq!(upstream.requests().len(), 3);
        proxy.log().line(&["WARN", "500", "failing", "on-request", "panicked"]).await;
        // The plugin's last words.
        proxy.log().line(&["ERROR", "failing", "as the settings say"]).await;
    });
}

#[test]
fn a_trap_in_on_request_is_passed_over_where_the_plugin_may_fail() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy =
            Proxy::to(upstream.address()).guest("failing", &passed_over("on-request", "panic")).start().await;
        assert_eq!(Wire::connect(proxy.address()).await.ask(BAD).await.text(), "home");
        proxy.log().line(&["WARN", "failing", "on-request", "passed over"]).await;
    });
}

#[test]
fn a_trap_in_on_response_is_500_and_the_answer_is_dropped() {
    run(async {
        let upstream = Upstream::named("secret").await;
        let proxy =
            Proxy::to(upstream.address()).guest("failing", &failing("on-response", "panic")).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let response = client.ask(BAD).await;
        assert_eq!(response.status(), 500);
        assert!(!response.text().contains("secret") && !response.head.has("x-seen"));
        let response = client.ask(GOOD).await;
        assert_eq!((response.text(), response.head.field("x-seen")), ("secret", Some("failing")));
        proxy.log().line(&["WARN", "500", "failing", "on-response"]).await;
    });
}

#[test]
fn an_answer_passes_as_it_was_before_a_plugin_that_failed() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = Proxy::to(upstream.address())
            .guest("failing", &passed_over("on-response", "panic"))
            .start()
            .await;
        let response = Wire::connect(proxy.address()).await.ask(BAD).await;
        assert_eq!((response.status(), response.text()), (200, "home"));
        assert!(!response.head.has("x-seen"), "{}", response.head);
    });
}

#[test]
fn a_trap_in_on_response_ends_a_handshake_with_500_and_the_upstreams_session_with_1001() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy =
            Proxy::to(upstream.address()).guest("failing", &failing("on-response", "panic")).start().await;
        let (refused, mut server) = tokio::join!(WebSocket::refused(proxy.address(), "/", FAIL), async {
            WebSocket::accept(upstream.next().await).await
        });
        assert_eq!(refused.status(), 500);
        assert_eq!(server.closed().await.0, Some(1001));
    });
}

/// What the client and the upstream get of a handshake that a plugin's `open` does not let become a session.
async fn assert_open_refused(keys: &str, status: u16, text: Option<&str>) -> Proxy {
    let upstream = RawUpstream::start().await;
    let proxy = Proxy::to(upstream.address()).guest("recorder", "").guest("failing", keys).start().await;
    let (refused, mut server) = tokio::join!(WebSocket::refused(proxy.address(), "/", FAIL), async {
        WebSocket::accept(upstream.next().await).await
    });
    assert_eq!(refused.status(), status);
    assert!(text.is_none_or(|text| refused.text() == text), "{}", refused.text());
    assert_eq!(server.closed().await.0, Some(1001));
    server.send(Frame::close(1001, "")).await;
    server.wire.assert_closed().await;
    // The plugin before it had opened.
    proxy.log().line(&["recorder", "on-close"]).await;
    proxy
}

#[test]
fn a_session_refused_in_open() {
    run(async {
        assert_open_refused(&failing("open", "refuse"), 403, Some("refused\n")).await;
    });
}

#[test]
fn a_trap_in_open_is_500() {
    run(async {
        let proxy = assert_open_refused(&failing("open", "panic"), 500, None).await;
        proxy.log().line(&["WARN", "500", "failing", "open"]).await;
        let proxy = assert_open_refused(&failing("open", "bad-status"), 500, None).await;
        proxy.log().line(&["WARN", "500", "failing", "99"]).await;
    });
}

#[test]
fn a_trap_in_open_is_passed_over_where_the_plugin_may_fail() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy =
            Proxy::to(upstream.address()).guest("failing", &passed_over("open", "panic")).start().await;
        let mut session = Session::open_with(&proxy, &upstream, "/", FAIL, "").await;
        session.client.say("fail").await;
        assert_eq!(session.upstream.hear().await, "fail");
    });
}

#[test]
fn an_answer_that_is_none_is_500() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = Proxy::to(upstream.address())
            .guest("failing", &failing("on-request", "bad-status"))
            .start()
            .await;
        assert_eq!(Wire::connect(proxy.address()).await.ask(BAD).await.status(), 500);
        proxy.log().line(&["WARN", "fault=plugin", "`failing` answered with status 99"]).await;
    });
}

#[test]
fn a_trap_in_on_message_closes_that_session_with_1011_and_no_other() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address())
            .server("workers = 1")
            .guest("failing", &failing("on-message", "panic"))
            .start()
            .await;
        let mut first = Session::open(&proxy, &upstream).await;
        let mut second = Session::open(&proxy, &upstream).await;
        first.client.send_all([Frame::text("before"), Frame::text("fail"), Frame::text("after")]).await;
        assert_eq!(first.upstream.hear().await, "before");
        assert_eq!(first.upstream.closed().await.0, Some(1011));
        assert_eq!(first.client.closed().await.0, Some(1011));
        second.client.say("still here").await;
        assert_eq!(second.upstream.hear().await, "still here");
        proxy.log().line(&["WARN", "failing", "on-message", "panicked"]).await;
    });
}

#[test]
fn a_plugin_that_may_fail_is_out_of_the_session_from_then_on() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address())
            .guest("failing", &passed_over("on-message", "panic"))
            .guest("stamp", "settings = { mark = \"!\" }")
            .start()
            .await;
        let mut session = Session::open(&proxy, &upstream).await;
        for text in ["hello", "fail", "fail"] {
            session.client.say(text).await;
            assert_eq!(session.upstream.hear().await, format!("{text}!"));
        }
        proxy.log().line(&["WARN", "failing", "on-message", "passed over"]).await;
        assert_eq!(proxy.log().count(&["passed over"]), 1);
    });
}

#[test]
fn a_trap_in_on_timer_closes_with_1011() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy =
            Proxy::to(upstream.address()).guest("failing", &failing("on-timer", "panic")).start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        session.client.say("timer").await;
        assert_eq!(session.upstream.hear().await, "timer");
        assert_eq!(session.upstream.closed().await.0, Some(1011));
        assert_eq!(session.client.closed().await.0, Some(1011));
        proxy.log().line(&["WARN", "failing", "on-timer"]).await;
    });
}

#[test]
fn a_trap_in_on_close_is_logged_and_harms_nobody() {
    run(async {
        let upstream = RawUpstream::start().await;
        let mut proxy = Proxy::to(upstream.address())
            .guest("failing", &failing("on-close", "panic"))
            .guest("recorder", "")
            .start()
            .await;
        let mut session = Session::open(&proxy, &upstream).await;
        session.client.say("later").await;
        assert_eq!(session.upstream.hear().await, "later");
        session.client.send(Frame::close(4000, "")).await;
        assert_eq!(session.upstream.closed().await.0, Some(4000));
        session.upstream.send(Frame::close(4000, "")).await;
        assert_eq!(session.client.closed().await.0, Some(4000));
        proxy.log().line(&["WARN", "failing", "on-close"]).await;
        proxy.log().line(&["recorder", "on-close Client clean=true code=Some(4000)"]).await;
        proxy.assert_running();
    });
}

#[test]
fn a_trap_in_a_shared_instance_ends_the_sessions_that_share_it_and_the_next_get_a_new_one() {
    run(async {
        let upstream = RawUpstream::start().await;
        let keys = failing("on-message", "panic") + "\nisolation = \"shared\"";
        let proxy = Proxy::to(upstream.address()).server("workers = 1").guest("failing", &keys).start().await;
        let mut first = Session::open(&proxy, &upstream).await;
        let mut second = Session::open(&proxy, &upstream).await;
        for session in [&mut first, &mut second] {
            session.client.say("hello").await;
            assert_eq!(session.upstream.hear().await, "hello");
        }
        first.client.say("fail").await;
        assert_eq!(first.client.closed().await.0, Some(1011));
        // It is told at once, though it says nothing.
        assert_eq!(second.client.closed().await.0, Some(1011));
        assert_eq!(second.upstream.closed().await.0, Some(1011));
        let mut third = Session::open(&proxy, &upstream).await;
        third.client.say("hello").await;
        assert_eq!(third.upstream.hear().await, "hello");
    });
}

#[test]
fn sessions_that_share_an_instance_keep_apart() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address())
            .server("workers = 1")
            .guest("scripted", "isolation = \"shared\"")
            .start()
            .await;
        let mut first = Session::open(&proxy, &upstream).await;
        let mut second = Session::open(&proxy, &upstream).await;
        first.client.say("client to the first\ninspect client none").await;
        second.client.say("client to the second").await;
        assert_eq!(second.client.hear().await, "to the second");
        assert_eq!(first.client.hear().await, "to the first");
        first.client.send(Frame::close(1000, "")).await;
        assert_eq!(first.upstream.hear().await, "client to the first\ninspect client none");
        second.client.say("verdict replace still inspected").await;
        assert_eq!(second.upstream.hear().await, "client to the second");
        assert_eq!(second.upstream.hear().await, "still inspected");
    });
}
