//! What is counted and kept outlives configurations.

use sluicegate_tests::{Proxy, Redis, Upstream, WebSocket, run};

const SETTINGS: &str = "requests = { rate = \"3/h\" }, connections = { max = 2 }";

/// `settings`: of the plugin, beside what it limits.
fn config(upstream: &Upstream, store: &str, settings: &str) -> String {
    let keys = format!("settings = {{ {SETTINGS}{settings} }}");
    Proxy::to(upstream.address()).store(store).plugin("rate-limit", &keys).config()
}

/// The plugin is replaced, and its limits go on where they were, in memory and in Redis.
#[test]
fn limits_go_on_where_they_were() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        for store in [String::new(), format!("url = \"{}\"", redis.url())] {
            let proxy = Proxy::start(&config(&upstream, &store, "")).await;
            let mut first = WebSocket::connect(proxy.address(), "/").await;
            proxy.write_config(&config(&upstream, &store, ", messages = { rate = \"9/h\" }"));
            let line = proxy.reload().await;
            assert!(line.contains("plugins_changed=1"), "{line}");
            let mut second = WebSocket::connect(proxy.address(), "/").await;
            // The two have the connections there may be, and the third request was the last.
            for reason in ["too many connections\n", "too many requests\n"] {
                assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.text(), reason);
            }
            first.assert_echo("still there").await;
            second.assert_echo("here").await;
            proxy.log().assert_none(&["store lost"]);
        }
    });
}

#[test]
fn another_store_takes_a_restart() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let proxy = Proxy::start(&config(&upstream, "", "")).await;
        for store in [&format!("url = \"{}\"", redis.url()), "timeout = \"1s\""] {
            proxy.write_config(&config(&upstream, store, ""));
            proxy.refuse_to_reload().await;
        }
        assert_eq!(proxy.log().count(&["[store] has changed, which takes a restart"]), 2);
        proxy.write_config(&config(&upstream, "", ""));
        proxy.reload().await;
    });
}
