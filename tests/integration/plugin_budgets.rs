//! Plugins that take too much: time, memory, stack, log.

use std::time::Duration;

use sluicegate_tests::{Proxy, RawUpstream, Session, Upstream, WebSocket, Wire, run};
use tokio::time::Instant;

const BAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Fail: 1\r\n\r\n";

fn failing(hook: &str, by: &str, keys: &str) -> String {
    format!("settings = {{ in = \"{hook}\", by = \"{by}\" }}\n{keys}")
}

#[test]
fn a_request_hook_that_never_ends_is_ended_at_call_time_max() {
    run(async {
        let upstream = Upstream::named("home").await;
        let keys = failing("on-request", "spin", "call-time-max = \"100ms\"");
        let proxy = Proxy::to(upstream.address()).server("workers = 1").guest("failing", &keys).start().await;
        let began = Instant::now();
        assert_eq!(Wire::connect(proxy.address()).await.ask(BAD).await.status(), 500);
        assert!(began.elapsed() >= Duration::from_millis(90), "{:?}", began.elapsed());
        assert_eq!(upstream.connections(), 0);
        proxy.log().line(&["WARN", "500", "failing", "on-request", "call-time-max"]).await;
    });
}

/// One worker has them all: a plugin that computes must not keep it from the others.
#[test]
fn sessions_beside_one_that_spins_go_on() {
    run(async {
        let upstream = Upstream::echo().await;
        let keys = failing("on-message", "spin", "call-time-max = \"3s\"");
        let proxy = Proxy::to(upstream.address()).server("workers = 1").guest("failing", &keys).start().await;
        let mut other = WebSocket::connect(proxy.address(), "/").await;
        let mut spinning = WebSocket::connect(proxy.address(), "/").await;
        other.assert_echo("before").await;
        spinning.say("fail").await;
        for round in 0..50 {
            other.assert_echo(&round.to_string()).await;
        }
        assert!(!spinning.wire.has_more(), "it still spins");
        assert_eq!(spinning.closed().await.0, Some(1011));
        other.assert_echo("after").await;
        proxy.log().line(&["WARN", "failing", "on-message", "call-time-max"]).await;
    });
}

#[test]
fn several_that_spin_at_once_are_each_ended() {
    run(async {
        let upstream = Upstream::echo().await;
        let keys = failing("on-message", "spin", "call-time-max = \"200ms\"");
        let proxy = Proxy::to(upstream.address()).server("workers = 1").guest("failing", &keys).start().await;
        let mut spinning = Vec::new();
        for _ in 0..4 {
            spinning.push(WebSocket::connect(proxy.address(), "/").await);
        }
        let mut other = WebSocket::connect(proxy.address(), "/").await;
        for socket in &mut spinning {
            socket.say("fail").await;
        }
        other.assert_echo("beside").await;
        for mut socket in spinning {
            assert_eq!(socket.closed().await.0, Some(1011));
        }
        other.assert_echo("after").await;
    });
}

#[test]
fn a_plugin_that_hoards_memory_is_ended_at_memory_max() {
    run(async {
        let upstream = Upstream::echo().await;
        let keys = failing("on-message", "memory", "memory-max = \"8MiB\"\ncall-time-max = \"5s\"");
        let mut proxy = Proxy::to(upstream.address()).guest("failing", &keys).start().await;
        let mut other = WebSocket::connect(proxy.address(), "/").await;
        for _ in 0..3 {
            let mut hoarding = WebSocket::connect(proxy.address(), "/").await;
            hoarding.say("fail").await;
            assert_eq!(hoarding.closed().await.0, Some(1011));
        }
        other.assert_echo("after").await;
        proxy
            .log()
            .line(&["WARN", "failing", "on-message", "wanted more than its memory-max of 8388608"])
            .await;
        proxy.assert_running();
    });
}

#[test]
fn a_plugin_without_end_of_recursion_is_ended() {
    run(async {
        let upstream = Upstream::echo().await;
        let keys = failing("on-message", "recursion", "call-time-max = \"5s\"");
        let mut proxy = Proxy::to(upstream.address()).guest("failing", &keys).start().await;
        let mut other = WebSocket::connect(proxy.address(), "/").await;
        let mut deep = WebSocket::connect(proxy.address(), "/").await;
        deep.say("fail").await;
        assert_eq!(deep.closed().await.0, Some(1011));
        other.assert_echo("after").await;
        proxy.log().line(&["WARN", "failing", "on-message", "call stack exhausted"]).await;
        proxy.assert_running();
    });
}

#[test]
fn a_plugin_that_floods_the_log_is_cut_short_and_goes_on() {
    run(async {
        let upstream = RawUpstream::start().await;
        let keys = failing("on-message", "flood", "call-time-max = \"5s\"");
        let proxy = Proxy::to(upstream.address()).guest("failing", &keys).start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        session.client.say("fail").await;
        assert_eq!(session.upstream.hear().await, "fail");
        proxy.log().line(&["failing", "logs too much"]).await;
        let lines = proxy.log().count(&["failing", "line "]);
        // A hundred each second, and the flood may have crossed some ends of seconds.
        assert!((100..=500).contains(&lines), "{lines} lines");
    });
}
