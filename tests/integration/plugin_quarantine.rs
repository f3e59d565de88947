//! Plugins that fail again and again: when they are no longer called, what becomes of exchanges meanwhile, and how it ends.

use sluicegate_tests::{
    Proxy, RawUpstream, Session, Upstream, WebSocket, Wire, eventually, eventually_asked, run,
};

const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Fail: 1\r\n\r\n";
const FAIL: &str = "X-Fail: 1\r\n";
const BEGINS: [&str; 3] = ["ERROR", "failing", "is in quarantine"];
const ENDS: [&str; 3] = ["WARN", "failing", "out of quarantine"];

fn failing(hook: &str, keys: &str) -> String {
    format!("settings = {{ in = \"{hook}\", by = \"panic\" }}\n{keys}")
}

async fn proxy(upstream: &Upstream, keys: &str) -> Proxy {
    Proxy::to(upstream.address()).guest("failing", &failing("on-request", keys)).start().await
}

/// Ask until the answer has this status.
async fn answered(proxy: &Proxy, request: &str, status: u16) {
    eventually_asked(format_args!("{status}"), async || {
        let answer = Wire::connect(proxy.address()).await.ask(request).await;
        (answer.status() == status).then_some(())
    })
    .await;
}

#[test]
fn after_max_traps_nobody_is_let_in_until_a_call_goes_well() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = proxy(&upstream, "max-traps = \"3/m\"").await;
        let mut client = Wire::connect(proxy.address()).await;
        assert_eq!(client.ask(GOOD).await.status(), 200);
        for _ in 0..3 {
            assert_eq!(client.ask(BAD).await.status(), 500);
        }
        assert_eq!(client.ask(GOOD).await.status(), 500);
        let line = proxy.log().line(&BEGINS).await;
        for word in ["failures=3", "on-request", "panicked", "lasts_ms=1000"] {
            assert!(line.contains(word), "{line}");
        }
        proxy.log().line(&["WARN", "500", "failing", "it is in quarantine"]).await;
        assert_eq!(upstream.requests().len(), 1);
        proxy.log().assert_none(&ENDS);
        answered(&proxy, GOOD, 200).await;
        proxy.log().line(&ENDS).await;
        // And one failure more is one failure.
        assert_eq!(client.ask(BAD).await.status(), 500);
        assert_eq!(client.ask(GOOD).await.status(), 200);
        assert_eq!((proxy.log().count(&BEGINS), proxy.log().count(&ENDS)), (1, 1));
    });
}

#[test]
fn what_fails_after_it_begins_one_twice_as_long() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = proxy(&upstream, "max-traps = \"5/m\"").await;
        for lasts in ["lasts_ms=1000", "lasts_ms=2000", "lasts_ms=4000"] {
            eventually_asked(lasts, async || {
                assert_eq!(Wire::connect(proxy.address()).await.ask(BAD).await.status(), 500);
                (proxy.log().count(&[lasts]) > 0).then_some(())
            })
            .await;
        }
        proxy.log().assert_none(&ENDS);
    });
}

#[test]
fn a_plugin_that_may_fail_is_passed_over_and_the_chain_goes_on() {
    run(async {
        let upstream = Upstream::named("home").await;
        let keys = failing("on-request", "max-traps = \"3/m\"\non-failure = \"pass\"");
        let proxy = Proxy::to(upstream.address())
            .guest("failing", &keys)
            .guest_as("second", "failing", "settings = { in = \"open\", by = \"panic\" }")
            .start()
            .await;
        let mut client = Wire::connect(proxy.address()).await;
        for _ in 0..3 {
            assert_eq!(client.ask(BAD).await.text(), "home");
        }
        proxy.log().line(&BEGINS).await;
        let passed_over = proxy.log().count(&["passed over"]);
        // What would be one failure more is none, as nobody asks the plugin.
        let answer = client.ask(BAD).await;
        assert_eq!((answer.text(), answer.head.field("x-seen")), ("home", Some("failing")));
        assert_eq!(proxy.log().count(&["passed over"]), passed_over);
    });
}

#[test]
fn sessions_that_are_open_go_on() {
    run(async {
        let upstream = RawUpstream::start().await;
        let keys = failing("open", "max-traps = \"3/m\"");
        let proxy = Proxy::to(upstream.address()).guest("failing", &keys).start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        let refused = async |more| {
            let accepted = async { WebSocket::accept(upstream.next().await).await };
            let (refused, mut server) =
                tokio::join!(WebSocket::refused(proxy.address(), "/", more), accepted);
            assert_eq!((refused.status(), server.closed().await.0), (500, Some(1001)));
        };
        for _ in 0..3 {
            refused(FAIL).await;
        }
        proxy.log().line(&BEGINS).await;
        // Its on-request is not called either, so nothing gets to the upstream.
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 500);
        session.client.say("still here").await;
        assert_eq!(session.upstream.hear().await, "still here");
    });
}

#[test]
fn failures_among_calls_that_go_well_are_their_own() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = proxy(&upstream, "max-traps = \"3/m\"").await;
        let mut client = Wire::connect(proxy.address()).await;
        for _ in 0..10 {
            assert_eq!(client.ask(BAD).await.status(), 500);
            assert_eq!(client.ask(GOOD).await.status(), 200);
            assert_eq!(client.ask(GOOD).await.status(), 200);
        }
        proxy.log().assert_none(&BEGINS);
    });
}

#[test]
fn it_can_be_switched_off() {
    run(async {
        let upstream = Upstream::named("home").await;
        let proxy = proxy(&upstream, "max-traps = \"off\"").await;
        let mut client = Wire::connect(proxy.address()).await;
        for _ in 0..50 {
            assert_eq!(client.ask(BAD).await.status(), 500);
        }
        assert_eq!(client.ask(GOOD).await.status(), 200);
        proxy.log().assert_none(&BEGINS);
    });
}

/// It is nobody's loss, where each session has an instance of its own.
#[test]
fn failures_after_the_end_of_a_session_do_not_count() {
    run(async {
        let upstream = Upstream::echo().await;
        let keys = failing("on-close", "max-traps = \"1/m\"");
        let proxy = Proxy::to(upstream.address()).guest("failing", &keys).start().await;
        for failed in 1..=3 {
            let mut socket = WebSocket::connect(proxy.address(), "/").await;
            socket.assert_echo("later").await;
            drop(socket);
            let told = || (proxy.log().count(&["WARN", "failing", "on-close"]) == failed).then_some(());
            eventually("the failure", told).await;
        }
        proxy.log().assert_none(&BEGINS);
    });
}

#[test]
fn each_hook_has_its_policy() {
    run(async {
        let upstream = Upstream::echo().await;
        let policy = "on-failure = { on-request = \"refuse\", session = \"pass\" }";
        let start =
            async |hook| Proxy::to(upstream.address()).guest("failing", &failing(hook, policy)).start().await;
        let proxy = start("open").await;
        let mut socket = WebSocket::connect_with(proxy.address(), "/", FAIL).await;
        socket.assert_echo("fail").await;
        for hook in ["on-request", "on-response"] {
            let proxy = start(hook).await;
            assert_eq!(WebSocket::refused(proxy.address(), "/", FAIL).await.status(), 500);
        }
    });
}
