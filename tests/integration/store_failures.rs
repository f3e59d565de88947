//! A Redis that goes away, comes back, is not there, or takes connections and answers nothing: what becomes of requests
//! meanwhile, and that none of them waits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sluicegate_tests::{Proxy, ProxyBuilder, Redis, Upstream, WebSocket, Wire, eventually, run};
use tokio::time::{Instant, timeout};

/// Many times the store's time-out of 250 ms, as the machine may be busy; and far less than any time-out of the proxy's own.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

const SETTINGS: &str = "settings = { requests = { rate = \"1000000/s\" }, connections = { max = 1000 } }";

fn proxy(upstream: &Upstream, redis: &Redis, plugin: &str) -> ProxyBuilder {
    Proxy::to(upstream.address())
        .server("workers = 2")
        .store(&format!("url = \"{}\"", redis.url()))
        .plugin("rate-limit", &format!("{SETTINGS}\n{plugin}"))
}

/// One handshake, which must be answered in time.
async fn open(proxy: &Proxy) -> Result<WebSocket, u16> {
    let opened = timeout(ANSWERED_WITHIN, WebSocket::try_connect(proxy.address(), "/")).await;
    opened.expect("an answer in time")
}

/// The status of its answer.
async fn status(proxy: &Proxy) -> u16 {
    open(proxy).await.map_or_else(|status| status, |_| 101)
}

/// Handshakes without end, some at a time, and how they were answered so far.
#[derive(Clone, Default)]
struct Load {
    statuses: Rc<RefCell<Vec<u16>>>,
    ended: Rc<Cell<bool>>,
}

impl Load {
    async fn of(&self, proxy: &Proxy) {
        let clients = (0..4).map(|_| async {
            while !self.ended.get() {
                let status = status(proxy).await;
                self.statuses.borrow_mut().push(status);
            }
        });
        futures_util::future::join_all(clients).await;
    }

    /// So many more answers, all of which came after now.
    async fn more(&self, count: usize) -> Vec<u16> {
        let before = self.statuses.borrow().len();
        let wanted = before + count;
        eventually("more answers", || (self.statuses.borrow().len() >= wanted).then_some(())).await;
        self.statuses.borrow()[before..].to_vec()
    }

    /// Until this many in a row were answered so.
    async fn until_all_are(&self, status: u16) {
        eventually(format_args!("answers of {status}"), || {
            let statuses = self.statuses.borrow();
            let last = statuses.len().checked_sub(20).map(|from| &statuses[from..])?;
            last.iter().all(|found| *found == status).then_some(())
        })
        .await;
    }
}

/// Every answer is one of these.
fn assert_only(statuses: &[u16], allowed: &[u16]) {
    assert!(statuses.iter().all(|status| allowed.contains(status)), "{statuses:?}");
}

#[test]
fn redis_killed_and_restarted_under_load_where_limits_refuse() {
    run(async {
        let (mut redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let proxy = proxy(&upstream, &redis, "").start().await;
        let load = Load::default();
        let watched = async {
            assert_only(&load.more(50).await, &[101]);
            for times in 1..=2 {
                redis.kill().await;
                load.until_all_are(429).await;
                assert_only(&load.more(100).await, &[429]);
                assert_eq!(proxy.log().count(&["store lost"]), times);
                redis.restart().await;
                load.until_all_are(101).await;
                eventually("the store to be back", || {
                    (proxy.log().count(&["store back"]) == times).then_some(())
                })
                .await;
            }
            assert_only(&load.statuses.borrow(), &[101, 429]);
            load.ended.set(true);
        };
        tokio::join!(load.of(&proxy), watched);
    });
}

#[test]
fn redis_killed_and_restarted_under_load_where_limits_pass() {
    run(async {
        let (mut redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let keys = "store-on-failure = { requests = \"pass\", connections = \"pass\" }";
        let proxy = proxy(&upstream, &redis, keys).start().await;
        let load = Load::default();
        let watched = async {
            load.more(50).await;
            redis.kill().await;
            proxy.log().line(&["store lost"]).await;
            load.more(100).await;
            redis.restart().await;
            proxy.log().line(&["store back"]).await;
            load.more(50).await;
            load.ended.set(true);
        };
        tokio::join!(load.of(&proxy), watched);
        assert_only(&load.statuses.borrow(), &[101]);
        while !redis.ask(&["KEYS", "sluicegate:slots:*"]).await.is_empty() {}
    });
}

#[test]
fn one_limit_passes_and_another_refuses() {
    run(async {
        let (redis, upstream) = (Redis::absent(), Upstream::named("home").await);
        let statuses = async |store: &str, plugin: &str| {
            let mut statuses = Vec::new();
            for settings in ["requests = { rate = \"100/s\" }", "connections = { max = 10 }"] {
                let keys = format!("settings = {{ {settings} }}\n{plugin}");
                let proxy = Proxy::to(upstream.address())
                    .store(&format!("url = \"{}\"\n{store}", redis.url()))
                    .plugin("rate-limit", &keys)
                    .start()
                    .await;
                let mut client = Wire::connect(proxy.address()).await;
                statuses.push(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status());
            }
            statuses
        };
        assert_eq!(statuses("", "").await, [429, 429]);
        assert_eq!(statuses("on-failure = \"pass\"", "").await, [200, 200]);
        assert_eq!(statuses("", "store-on-failure = { requests = \"pass\" }").await, [200, 429]);
        let keys = "store-on-failure = { requests = \"refuse\" }";
        assert_eq!(statuses("on-failure = \"pass\"", keys).await, [429, 200]);
    });
}

#[test]
fn a_redis_that_is_not_there_yet() {
    run(async {
        let (mut redis, upstream) = (Redis::absent(), Upstream::echo().await);
        let proxy = proxy(&upstream, &redis, "").start().await;
        assert_eq!(status(&proxy).await, 429);
        proxy.log().line(&["store lost", "redis.sock", "cannot connect"]).await;
        redis.restart().await;
        proxy.log().line(&["store back"]).await;
        assert_eq!(status(&proxy).await, 101);
        assert_eq!(proxy.log().count(&["store lost"]), 1);
    });
}

/// It takes connections, and answers nothing: the first to ask wait for the store's time-out, the others not at all.
#[test]
fn a_redis_that_has_stopped_and_goes_on() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let proxy = proxy(&upstream, &redis, "").start().await;
        let load = Load::default();
        let watched = async {
            assert_only(&load.more(50).await, &[101]);
            redis.freeze().await;
            load.until_all_are(429).await;
            let line = proxy.log().line(&["store lost"]).await;
            assert!(line.contains("did not answer in time"), "{line}");
            let began = Instant::now();
            assert_only(&load.more(100).await, &[429]);
            // A hundred that each waited would have taken 6 s with four at a time.
            assert!(began.elapsed() < ANSWERED_WITHIN, "{:?}", began.elapsed());
            redis.thaw().await;
            load.until_all_are(101).await;
            assert_only(&load.statuses.borrow(), &[101, 429]);
            load.ended.set(true);
        };
        tokio::join!(load.of(&proxy), watched);
        assert_eq!(proxy.log().count(&["store lost"]), 1);
    });
}

#[test]
fn a_redis_that_has_stopped_before_the_proxy_starts() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        redis.freeze().await;
        let proxy = proxy(&upstream, &redis, "").start().await;
        assert_eq!(status(&proxy).await, 429);
        proxy.log().line(&["store lost"]).await;
        redis.thaw().await;
        proxy.log().line(&["store back"]).await;
        assert_eq!(status(&proxy).await, 101);
    });
}

/// As good as none, and found to be so.
#[test]
fn a_redis_that_cannot_write() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let proxy = proxy(&upstream, &redis, "").start().await;
        assert_eq!(status(&proxy).await, 101);
        redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
        assert_eq!(status(&proxy).await, 429);
        let line = proxy.log().line(&["store lost"]).await;
        assert!(line.contains("refuses"), "{line}");
        redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
        proxy.log().line(&["store back"]).await;
        assert_eq!(status(&proxy).await, 101);
    });
}

/// What was granted stays, whatever becomes of Redis.
#[test]
fn sessions_outlive_the_store() {
    run(async {
        let (mut redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let proxy = proxy(&upstream, &redis, "").start().await;
        let mut session = open(&proxy).await.unwrap();
        redis.kill().await;
        proxy.log().line(&["store lost"]).await;
        session.assert_echo("still here").await;
        redis.restart().await;
        proxy.log().line(&["store back"]).await;
        session.assert_echo("and here").await;
    });
}
