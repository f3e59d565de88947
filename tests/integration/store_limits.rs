//! Limits that several proxies count together, in a real Redis.

use futures_util::future::join_all;
use sluicegate_tests::{
    Proxy, ProxyBuilder, RawUpstream, Redis, Session, Upstream, WebSocket, Wire, eventually, handshake, run,
};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn proxy(upstream: std::net::SocketAddr, redis: &Redis, settings: &str) -> ProxyBuilder {
    Proxy::to(upstream)
        .server("workers = 2")
        .store(&format!("url = \"{}\"", redis.url()))
        .plugin("rate-limit", &format!("settings = {{ {settings} }}"))
}

/// What became of this many requests, one after the other.
async fn statuses(proxy: &Proxy, count: usize) -> Vec<u16> {
    let mut client = Wire::connect(proxy.address()).await;
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(client.ask(REQUEST).await.status());
    }
    statuses
}

/// A session, where there is room for one.
async fn try_open(proxy: &Proxy) -> Option<WebSocket> {
    match WebSocket::try_connect(proxy.address(), "/").await {
        Ok(session) => Some(session),
        Err(429) => None,
        Err(status) => panic!("{status}"),
    }
}

/// The same when there is room.
async fn open_when_possible(proxy: &Proxy) -> WebSocket {
    loop {
        if let Some(session) = try_open(proxy).await {
            return session;
        }
    }
}

#[test]
fn a_rate_of_100_is_100_for_two_proxies_together() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::named("home").await);
        let settings = "requests = { rate = \"100/h\" }";
        let first = proxy(upstream.address(), &redis, settings).start().await;
        let second = proxy(upstream.address(), &redis, settings).start().await;
        let clients = [&first, &second].map(|proxy| (0..4).map(|_| statuses(proxy, 40)));
        let answers: Vec<u16> = join_all(clients.into_iter().flatten()).await.concat();
        let passed = answers.iter().filter(|status| **status == 200).count();
        // One more in each 36 seconds.
        assert!((100..=105).contains(&passed), "{passed}");
        assert!(answers.iter().all(|status| [200, 429].contains(status)), "{answers:?}");
        assert_eq!(upstream.requests().len(), passed);
    });
}

#[test]
fn a_client_is_told_how_long_to_wait_by_the_shared_clock() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::named("home").await);
        let settings = "requests = { rate = \"60/h\", burst = 1 }";
        let first = proxy(upstream.address(), &redis, settings).start().await;
        let second = proxy(upstream.address(), &redis, settings).start().await;
        assert_eq!(statuses(&first, 1).await, [200]);
        let mut client = Wire::connect(second.address()).await;
        let refused = client.ask(REQUEST).await;
        assert_eq!(refused.status(), 429);
        let wait: u32 = refused.head.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    });
}

#[test]
fn a_hundred_sessions_are_a_hundred_for_two_proxies_together() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let settings = "connections = { max = 100 }";
        let first = proxy(upstream.address(), &redis, settings).start().await;
        let second = proxy(upstream.address(), &redis, settings).start().await;
        let at_once = async |count: usize| -> Vec<WebSocket> {
            let opening = (0..count).map(|at| try_open(if at % 2 == 0 { &first } else { &second }));
            join_all(opening).await.into_iter().flatten().collect()
        };
        let mut sessions = at_once(160).await;
        assert_eq!(sessions.len(), 100);
        assert!(at_once(10).await.is_empty());
        // What is given back at one proxy can be had at the other.
        sessions.truncate(60);
        for _ in 0..40 {
            sessions.push(open_when_possible(&second).await);
        }
        assert!(at_once(10).await.is_empty());
        for session in &mut sessions {
            session.assert_echo("still there").await;
        }
        drop(sessions);
        eventually_no_slots(&redis).await;
    });
}

/// Nothing is left in Redis of slots that nobody has.
async fn eventually_no_slots(redis: &Redis) {
    while !redis.ask(&["KEYS", "sluicegate:slots:*"]).await.is_empty() {}
}

#[test]
fn slots_outlive_their_lease_while_their_proxy_lives_and_not_after_its_end() {
    run(async {
        let (redis, upstream) = (Redis::start().await, RawUpstream::start().await);
        let start = async || {
            let proxy = proxy(upstream.address(), &redis, "connections = { max = 2 }");
            proxy.store("slot-lease = \"1s\"").start().await
        };
        let (first, second) = (start().await, start().await);
        let _sessions = [Session::open(&first, &upstream).await, Session::open(&first, &upstream).await];
        let until = async || redis.ask(&["HVALS", &slots_key(&redis).await]).await;
        for _ in 0..4 {
            let before = until().await;
            while until().await == before {}
            assert_eq!(WebSocket::refused(second.address(), "/", "").await.status(), 429);
        }
        // Killed, it gives nothing back.
        drop(first);
        let _client = Session::eventually_open(&second, &upstream).await;
    });
}

async fn slots_key(redis: &Redis) -> String {
    redis.ask(&["KEYS", "sluicegate:slots:*"]).await
}

#[test]
fn a_proxy_that_ends_in_order_gives_its_slots_back_at_once() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let start = async || {
            let proxy = proxy(upstream.address(), &redis, "connections = { max = 2 }");
            proxy.server("shutdown-grace = \"1s\"").store("slot-lease = \"1h\"").start().await
        };
        let (mut first, second) = (start().await, start().await);
        let sessions = [try_open(&first).await.unwrap(), try_open(&first).await.unwrap()];
        assert!(try_open(&second).await.is_none());
        first.terminate().await;
        for mut session in sessions {
            assert_eq!(session.closed().await.0, Some(1001));
        }
        assert!(first.ended().await.success());
        let _ = [try_open(&second).await.unwrap(), try_open(&second).await.unwrap()];
    });
}

#[test]
fn a_client_that_leaves_at_once_keeps_no_slot() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let proxy = proxy(upstream.address(), &redis, "connections = { max = 3 }").start().await;
        for _ in 0..100 {
            Wire::send_to(proxy.address(), handshake("/", "")).await.reset();
        }
        eventually_no_slots(&redis).await;
        let _all = join_all((0..3).map(|_| open_when_possible(&proxy))).await;
        assert!(try_open(&proxy).await.is_none());
    });
}

#[test]
fn messages_are_counted_by_each_proxy_for_itself_and_wait_for_no_store() {
    run(async {
        let (redis, upstream) = (Redis::start().await, RawUpstream::start().await);
        let settings = "requests = { rate = \"100/s\" }, messages = { rate = \"2/h\" }";
        let first = proxy(upstream.address(), &redis, settings).start().await;
        let second = proxy(upstream.address(), &redis, settings).start().await;
        let mut sessions = [Session::open(&first, &upstream).await, Session::open(&second, &upstream).await];
        redis.freeze().await;
        for session in &mut sessions {
            for text in ["one", "two", "three"] {
                session.client.say(text).await;
            }
            assert_eq!(session.upstream.hear().await, "one");
            assert_eq!(session.upstream.hear().await, "two");
            session.upstream.say("after three").await;
            assert_eq!(session.client.hear().await, "after three");
            assert!(!session.upstream.wire.has_more());
        }
        for proxy in [&first, &second] {
            proxy.log().assert_none(&["store lost"]);
        }
        redis.thaw().await;
    });
}

/// Clients choose keys; what they choose is neither long nor legible in Redis, and owners, names and keys do not run together.
#[test]
fn keys_in_redis() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::named("home").await);
        let settings = "settings = { requests = { rate = \"1/h\" }, key = \"header:x-user\" }";
        let proxy = Proxy::to(upstream.address())
            .store(&format!("url = \"{}\"\nprefix = \"edge:\"", redis.url()))
            .plugin("rate-limit", settings)
            .start()
            .await;
        let mut client = Wire::connect(proxy.address()).await;
        let long = "x".repeat(8_000);
        for user in ["ada", "ada:", "", "ada\u{e4}", "*", &long] {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n");
            assert_eq!(client.ask(&request).await.status(), 200, "{user}");
            assert_eq!(client.ask(&request).await.status(), 429, "{user}");
        }
        let keys = redis.ask(&["KEYS", "*"]).await;
        let keys: Vec<_> = keys.lines().filter(|key| *key != "edge:probe").collect();
        assert_eq!(keys.len(), 6, "{keys:?}");
        for key in keys {
            let hash = key.strip_prefix("edge:rate:rate-limit:").unwrap_or_else(|| panic!("{key}"));
            assert_eq!(hash.len(), 22, "{key}");
            let ttl: i64 = redis.ask(&["PTTL", key]).await.parse().unwrap();
            assert!((1..=3_600_000).contains(&ttl), "{ttl}");
        }
    });
}

/// Both proxies find what they hold again, in a Redis that has forgotten all.
#[test]
fn slots_are_told_to_a_redis_that_has_forgotten_them() {
    run(async {
        let (mut redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let settings = "connections = { max = 10 }";
        let first = proxy(upstream.address(), &redis, settings).start().await;
        let second = proxy(upstream.address(), &redis, settings).start().await;
        let mut sessions = Vec::new();
        for proxy in [&first, &second].repeat(5) {
            sessions.push(try_open(proxy).await.unwrap());
        }
        redis.restart().await;
        for proxy in [&first, &second] {
            proxy.log().line(&["store back"]).await;
        }
        for proxy in [&first, &second] {
            assert!(try_open(proxy).await.is_none());
        }
        // Ended while Redis was away, one that was told is given back as well.
        redis.kill().await;
        for proxy in [&first, &second] {
            eventually("the store to be lost", || (proxy.log().count(&["store lost"]) == 2).then_some(()))
                .await;
        }
        sessions.truncate(6);
        redis.restart().await;
        for proxy in [&first, &second] {
            eventually("the store to be back", || (proxy.log().count(&["store back"]) == 2).then_some(()))
                .await;
        }
        for _ in 0..4 {
            sessions.push(open_when_possible(&first).await);
        }
        assert!(try_open(&second).await.is_none());
    });
}
