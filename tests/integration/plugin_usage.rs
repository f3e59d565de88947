//! What plugins have used, as SIGUSR1 has it told.

use sluicegate_tests::{Proxy, RawUpstream, Session, Upstream, WebSocket, Wire, eventually_asked, run};
use tokio::process::Command;

const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Fail: 1\r\n\r\n";

fn failing(hook: &str, by: &str, keys: &str) -> String {
    format!("settings = {{ in = \"{hook}\", by = \"{by}\" }}\n{keys}")
}

/// Ask for the usage until a line of it has all of these words.
async fn usage(proxy: &Proxy, words: &[&str]) -> String {
    let before = proxy.log().lines().len();
    let id = proxy.process_id().to_string();
    eventually_asked(format_args!("usage with {words:?}"), async || {
        assert!(Command::new("kill").args(["-USR1", &id]).status().await.unwrap().success());
        let lines = proxy.log().lines();
        let mut new = lines.into_iter().skip(before);
        new.find(|line| words.iter().all(|word| line.contains(word)))
    })
    .await
}

/// The number after `name=`.
fn number(line: &str, name: &str) -> u64 {
    let word = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{name} in {line:?}"))
}

#[test]
fn calls_and_traps_are_counted_by_hook_over_all_workers() {
    run(async {
        let upstream = Upstream::named("home").await;
        let keys = failing("on-request", "panic", "max-traps = \"off\"");
        let proxy = Proxy::to(upstream.address()).server("workers = 2").guest("failing", &keys).start().await;
        for _ in 0..4 {
            // Connections in turn are on workers in turn.
            let mut client = Wire::connect(proxy.address()).await;
            assert_eq!(client.ask(GOOD).await.status(), 200);
            assert_eq!(client.ask(GOOD).await.status(), 200);
            assert_eq!(client.ask(BAD).await.status(), 500);
        }
        usage(
            &proxy,
            &["INFO", "plugin=failing", "hook=\"on-request\"", "calls=12", "traps=4", "time_outs=0"],
        )
        .await;
        usage(&proxy, &["plugin=failing", "hook=\"on-response\"", "calls=8", "traps=0"]).await;
        proxy.log().assert_none(&["usage of hook", "on-message"]);
    });
}

#[test]
fn time_outs_and_processor_time_are_counted() {
    run(async {
        let upstream = Upstream::echo().await;
        let keys = failing("on-message", "spin", "call-time-max = \"200ms\"");
        let proxy = Proxy::to(upstream.address()).server("workers = 1").guest("failing", &keys).start().await;
        let mut quick = WebSocket::connect(proxy.address(), "/").await;
        for round in 0..100 {
            quick.assert_echo(&round.to_string()).await;
        }
        let line =
            usage(&proxy, &["plugin=failing", "hook=\"on-message\"", "calls=200", "time_outs=0"]).await;
        let cpu_us = number(&line, "cpu_us_estimated");
        assert!((1..150_000).contains(&cpu_us), "{line}");
        for _ in 0..2 {
            let mut spinning = WebSocket::connect(proxy.address(), "/").await;
            spinning.say("fail").await;
            assert_eq!(spinning.closed().await.0, Some(1011));
        }
        let line =
            usage(&proxy, &["plugin=failing", "hook=\"on-message\"", "calls=202", "time_outs=2"]).await;
        let spun_us = number(&line, "cpu_us_estimated") - cpu_us;
        // Twice the limit, and the last tick of each.
        assert!((400_000..600_000).contains(&spun_us), "{line}");
    });
}

/// Whatever its sessions do then.
#[test]
fn a_shared_instance_is_given_back_as_soon_as_it_is_lost() {
    run(async {
        let upstream = RawUpstream::start().await;
        let keys = failing("on-message", "panic", "isolation = \"shared\"");
        let proxy = Proxy::to(upstream.address()).server("workers = 1").guest("failing", &keys).start().await;
        let mut first = Session::open(&proxy, &upstream).await;
        let second = Session::open(&proxy, &upstream).await;
        // The one they share, and the one that their requests borrowed.
        usage(&proxy, &["usage of plugin", "plugin=failing", "instances=2"]).await;
        first.client.say("fail").await;
        usage(&proxy, &["usage of plugin", "plugin=failing", "instances=1"]).await;
        drop((first, second));
    });
}

#[test]
fn instances_memory_and_dropped_lines_are_counted() {
    run(async {
        let upstream = RawUpstream::start().await;
        let keys = failing("on-message", "flood", "call-time-max = \"5s\"\nlog-lines-max = \"10/h\"");
        let proxy = Proxy::to(upstream.address()).server("workers = 1").guest("failing", &keys).start().await;
        let mut first = Session::open(&proxy, &upstream).await;
        let second = Session::open(&proxy, &upstream).await;
        first.client.say("fail").await;
        assert_eq!(first.upstream.hear().await, "fail");
        // One of each session, which its request had borrowed.
        let line = usage(&proxy, &["usage of plugin", "plugin=failing", "instances=2"]).await;
        assert!(number(&line, "log_lines_dropped") >= 1_980, "{line}");
        assert_eq!(proxy.log().count(&["failing", "line "]), 10);
        let memory = number(&line, "memory_bytes_high");
        assert!(memory >= 1 << 16 && memory < number(&line, "memory_bytes_max"), "{line}");
        drop((first, second));
        usage(&proxy, &["usage of plugin", "plugin=failing", "instances=0"]).await;
    });
}
