//! What plugins keep in the store, in memory and in a real Redis.

use sluicegate_tests::{Proxy, ProxyBuilder, Redis, Upstream, WebSocket, Wire, config, guest, run};

const GRANTED: &str = "grants = [\"store\"]";

async fn upstream() -> Upstream {
    Upstream::named("home").await
}

fn proxy(upstream: &Upstream, store: &str) -> ProxyBuilder {
    Proxy::to(upstream.address()).server("workers = 2").store(store).guest("store", GRANTED)
}

fn url(redis: &Redis) -> String {
    format!("url = \"{}\"", redis.url())
}

/// What the plugin answers to a path.
async fn ask(proxy: &Proxy, path: &str) -> String {
    let mut client = Wire::connect(proxy.address()).await;
    client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await.text().to_owned()
}

/// Paths and answers, in order.
async fn assert_answers(proxy: &Proxy, expected: &[(&str, &str)]) {
    for (path, answer) in expected {
        assert_eq!(ask(proxy, path).await, *answer, "{path}");
    }
}

/// Whatever the store is, it does the same.
const SAME_EVERYWHERE: [(&str, &str); 17] = [
    ("/get/motd", "none"),
    ("/set/motd/hello", "done"),
    ("/get/motd", "hello"),
    ("/set/motd/hi", "done"),
    ("/get/motd", "hi"),
    ("/increment/motd/1", "NotANumber"),
    ("/get/motd", "hi"),
    ("/delete/motd", "done"),
    ("/delete/motd", "done"),
    ("/get/motd", "none"),
    ("/increment/visits/9223372036854775806", "9223372036854775806"),
    ("/increment/visits/1", "9223372036854775807"),
    ("/increment/visits/1", "NotANumber"),
    ("/get/visits", "9223372036854775807"),
    ("/fill/large/65536", "done"),
    ("/fill/large/65537", "TooLarge"),
    ("/set/gone/x?0", "done"),
];

#[test]
fn values_in_memory() {
    run(async {
        let upstream = upstream().await;
        let proxy = proxy(&upstream, "").start().await;
        assert_answers(&proxy, &SAME_EVERYWHERE).await;
        assert_answers(&proxy, &[("/get/gone", "none"), ("/set/kept/x?18446744073709551615", "done")]).await;
        assert_eq!(ask(&proxy, "/get/kept").await, "x");
        assert_eq!(ask(&proxy, &format!("/get/{}", "k".repeat(513))).await, "TooLarge");
    });
}

#[test]
fn values_in_redis_are_those_of_all_proxies() {
    run(async {
        let (redis, upstream) = (Redis::start().await, upstream().await);
        let first = proxy(&upstream, &url(&redis)).start().await;
        let second = proxy(&upstream, &url(&redis)).start().await;
        assert_answers(&first, &SAME_EVERYWHERE).await;
        assert_answers(&second, &[("/get/gone", "none"), ("/set/kept/x?18446744073709551615", "done")]).await;
        assert_answers(&first, &[("/get/kept", "x"), ("/get/visits", "9223372036854775807")]).await;
        assert_eq!(ask(&second, &format!("/get/{}", "k".repeat(513))).await, "TooLarge");
        // Other programs may look, as keys are what plugins say they are.
        assert_eq!(redis.ask(&["GET", "sluicegate:value:store:kept"]).await, "x");
        // And a key of theirs that is of another kind is nobody else's trouble.
        redis.ask(&["LPUSH", "sluicegate:value:store:list", "x"]).await;
        assert_answers(&first, &[("/get/list", "Unavailable"), ("/increment/list/1", "NotANumber")]).await;
        assert_answers(&first, &[("/get/kept", "x")]).await;
        first.log().assert_none(&["store lost"]);
    });
}

#[test]
fn increments_by_two_proxies_at_once_lose_none() {
    run(async {
        let (redis, upstream) = (Redis::start().await, upstream().await);
        let first = proxy(&upstream, &url(&redis)).start().await;
        let second = proxy(&upstream, &url(&redis)).start().await;
        let asked = (0..40).map(|at| ask(if at % 2 == 0 { &first } else { &second }, "/times/25/visits"));
        futures_util::future::join_all(asked).await;
        assert_eq!(ask(&first, "/increment/visits/0").await, "1000");
    });
}

#[test]
fn values_expire_and_counts_with_the_window_they_began_in() {
    run(async {
        let (redis, upstream) = (Redis::start().await, upstream().await);
        for store in [String::new(), url(&redis)] {
            let proxy = proxy(&upstream, &store).start().await;
            assert_answers(&proxy, &[("/set/token/x?300", "done"), ("/increment/tries/1?300", "1")]).await;
            while ask(&proxy, "/get/token").await == "x" {}
            assert_eq!(ask(&proxy, "/get/token").await, "none");
            // However often it is added to: the window is the first one's.
            while ask(&proxy, "/increment/tries/1?300").await != "1" {}
        }
    });
}

#[test]
fn memory_is_bounded() {
    run(async {
        let upstream = upstream().await;
        let proxy = proxy(&upstream, "memory = { entries-max = 16, bytes-max = \"2MiB\" }").start().await;
        for at in 0..200 {
            assert_eq!(ask(&proxy, &format!("/set/k{at}/x")).await, "done");
        }
        let mut kept = 0;
        for at in 0..200 {
            kept += usize::from(ask(&proxy, &format!("/get/k{at}")).await == "x");
        }
        assert!((8..=16).contains(&kept), "{kept}");
    });
}

#[test]
fn plugins_do_not_meet() {
    run(async {
        let (redis, upstream) = (Redis::start().await, upstream().await);
        for store in [String::new(), url(&redis)] {
            let routes = ["one", "one-two"].map(|name| {
                let plugin = config::plugin(name, &guest("store"), GRANTED);
                let keys = format!("host = \"{name}.example.com\"\nplugins = [\"{name}\"]");
                format!("{plugin}\n{}", config::route("app", &keys))
            });
            let upstream = config::upstream("app", &[upstream.address()], "");
            let listener = config::listener("");
            let proxy =
                Proxy::start(&format!("[store]\n{store}\n{listener}\n{upstream}\n{}", routes.join("\n")))
                    .await;
            let ask = async |host: &str, path: &str| {
                let mut client = Wire::connect(proxy.address()).await;
                let request = format!("GET {path} HTTP/1.1\r\nHost: {host}.example.com\r\n\r\n");
                client.ask(&request).await.text().to_owned()
            };
            assert_eq!(ask("one", "/set/two:k/mine").await, "done");
            assert_eq!(ask("one-two", "/get/two:k").await, "none");
            assert_eq!(ask("one-two", "/get/k").await, "none");
            assert_eq!(ask("one", "/get/two:k").await, "mine");
        }
    });
}

#[test]
fn a_session_may_ask_the_store_and_only_it_waits() {
    run(async {
        let (redis, upstream) = (Redis::start().await, Upstream::echo().await);
        let store = format!("{}\ntimeout = \"500ms\"", url(&redis));
        let proxy = proxy(&upstream, &store).server("plugin-cache = \"off\"").start().await;
        let mut session = WebSocket::connect(proxy.address(), "/").await;
        session.say("visits").await;
        assert_eq!(session.hear().await, "Ok(1)");
        redis.freeze().await;
        session.say("visits").await;
        let (answer, other) = tokio::join!(session.hear(), ask(&proxy, "/what"));
        assert_eq!((answer.as_str(), other.as_str()), ("Err(Unavailable)", "what?"));
        redis.thaw().await;
        proxy.log().line(&["store back"]).await;
        session.say("visits").await;
        let sum = session.hear().await;
        assert!(sum == "Ok(2)" || sum == "Ok(3)", "{sum}");
    });
}

/// Over TCP, with a password and another database than the first.
#[test]
fn a_url_says_where_and_as_whom() {
    run(async {
        let upstream = upstream().await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut redis = Redis::absent();
        let arguments = ["--bind", "127.0.0.1", "--port", &port.to_string(), "--requirepass", "s3 cret"];
        redis.restart_with(&arguments).await;
        let url = |rest: &str| format!("url = \"redis://{rest}127.0.0.1:{port}/3\"");
        let admitted = proxy(&upstream, &url(":s3%20cret@")).start().await;
        assert_eq!(ask(&admitted, "/set/k/here").await, "done");
        let cli = ["--no-auth-warning", "-a", "s3 cret", "-n", "3", "GET", "sluicegate:value:store:k"];
        assert_eq!(redis.ask(&cli).await, "here");
        let refused = proxy(&upstream, &url(":wr0ng@")).start().await;
        assert_eq!(ask(&refused, "/get/k").await, "Unavailable");
        let line = refused.log().line(&["store lost"]).await;
        assert!(line.contains(&format!("127.0.0.1:{port}")) && !line.contains("wr0ng"), "{line}");
    });
}
