//! Clients that come back to their server by a cookie; the guide's exercise with three Node backends.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sluicegate_tests::{Head, Peer, Proxy, Upstream, WebSocket, Wire, config, run};

const SECRET: &str = "secret = \"a secret that two proxies share\"";

/// `NAME=VALUE` of the cookie that is set.
fn cookie(head: &Head) -> Option<String> {
    let set = head.field("set-cookie")?;
    Some(set.split(';').next().unwrap().to_owned())
}

async fn get(proxy: &Proxy, cookie: &str) -> (String, Option<String>) {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    let response = Wire::connect(proxy.address()).await.ask(request).await;
    assert_eq!(response.status(), 200);
    (response.text().to_owned(), self::cookie(&response.head))
}

fn sticky(servers: &[SocketAddr], keys: &str) -> String {
    config::listener("")
        + &config::upstream("pool", servers, &format!("sticky = {{ cookie = \"SERVER\", {keys} }}"))
        + &config::route("pool", "")
}

#[test]
fn a_client_comes_back_to_its_server() {
    run(async {
        let servers =
            [Upstream::named("one").await, Upstream::named("two").await, Upstream::named("three").await];
        let proxy = Proxy::start(&sticky(&servers.each_ref().map(|server| server.address()), SECRET)).await;
        for _ in 0..6 {
            let (name, cookie) = get(&proxy, "other=1").await;
            let cookie = cookie.unwrap();
            assert!(servers.iter().all(|server| !cookie.contains(&server.address().port().to_string())));
            for _ in 0..3 {
                // It has its cookie already.
                assert_eq!(get(&proxy, &format!("other=1; {cookie}")).await, (name.clone(), None));
            }
        }
    });
}

#[test]
fn the_cookie_is_the_proxys_alone_and_no_scripts() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = Proxy::start(&sticky(&[upstream.address()], SECRET)).await;
        let session = WebSocket::connect(proxy.address(), "/").await;
        let set = session.head.field("set-cookie").unwrap();
        assert!(set.starts_with("SERVER="), "{set}");
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    });
}

#[test]
fn a_forged_or_unknown_value_is_ignored() {
    run(async {
        let servers = [Upstream::named("one").await, Upstream::named("two").await];
        let addresses = servers.each_ref().map(|server| server.address());
        let proxy = Proxy::start(&sticky(&addresses, SECRET)).await;
        let others = Proxy::start(&sticky(&addresses, "secret = \"a secret of somebody else\"")).await;
        let (_, foreign) = get(&others, "").await;
        for forged in
            [foreign.unwrap().as_str(), "SERVER=one", "SERVER=", &format!("SERVER={}", addresses[0])]
        {
            let mut names = Vec::new();
            for _ in 0..2 {
                let (name, cookie) = get(&proxy, forged).await;
                assert!(cookie.is_some(), "{forged}");
                names.push(name);
            }
            // In turn, as if there were none.
            assert_ne!(names[0], names[1], "{forged}");
        }
    });
}

#[test]
fn proxies_with_one_secret_agree_and_drained_servers_are_left() {
    run(async {
        let servers = [Upstream::named("one").await, Upstream::named("two").await];
        let addresses = servers.each_ref().map(|server| server.address());
        let proxy = Proxy::start(&sticky(&addresses, SECRET)).await;
        let (name, cookie) = get(&proxy, "").await;
        let cookie = cookie.unwrap();
        let other = Proxy::start(&sticky(&addresses, SECRET)).await;
        for _ in 0..3 {
            assert_eq!(get(&other, &cookie).await, (name.clone(), None));
        }
        assert_eq!(name, "one");
        let servers = [config::server(addresses[0], "drain = true"), format!("\"{}\"", addresses[1])];
        let text = config::listener("")
            + &config::pool("pool", &servers, &format!("sticky = {{ cookie = \"SERVER\", {SECRET} }}"))
            + &config::route("pool", "");
        let drained = Proxy::start(&text).await;
        let (name, cookie) = get(&drained, &cookie).await;
        assert_eq!(name, "two");
        assert!(cookie.is_some());
    });
}

/// A Node backend with an address of its own, so that it can come back to it.
struct Backend {
    name: &'static str,
    address: SocketAddr,
    peer: Option<Peer>,
}

impl Backend {
    async fn start(name: &'static str, host: &str) -> Self {
        let (peer, address) = Peer::server("backend.js", &[name, host, "0"]).await;
        let address = SocketAddr::new(host.parse().unwrap(), address.port());
        Self { name, address, peer: Some(peer) }
    }

    async fn come_back(&mut self) {
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let (peer, _) = Peer::server("backend.js", &[self.name, &host, &port]).await;
        self.peer = Some(peer);
    }
}

struct Visitor {
    session: WebSocket,
    server: String,
    cookie: String,
}

async fn visit(proxy: &Proxy, cookie: &str) -> Visitor {
    let mut session = WebSocket::connect_with(proxy.address(), "/", &format!("Cookie: {cookie}\r\n")).await;
    let cookie = self::cookie(&session.head).unwrap_or_else(|| cookie.to_owned());
    let server = session.hear().await;
    Visitor { session, server, cookie }
}

fn count(visitors: &[Visitor]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for visitor in visitors {
        *counts.entry(visitor.server.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn one_of_three_node_backends_is_killed_and_comes_back_under_200_sessions() {
    run(async {
        let mut backends = [
            Backend::start("one", "127.0.4.1").await,
            Backend::start("two", "127.0.4.2").await,
            Backend::start("three", "127.0.4.3").await,
        ];
        let keys = "balance = \"least-connections\"\nsticky = { cookie = \"SERVER\" }\n\
                    [upstream.health]\nhttp = { path = \"/health\" }\n\
                    interval = \"200ms\"\ntimeout = \"5s\"\nrise = 2\nfall = 2";
        let addresses = backends.each_ref().map(|backend| backend.address);
        let text =
            config::listener("") + &config::upstream("pool", &addresses, keys) + &config::route("pool", "");
        let proxy = Proxy::start(&text).await;
        let mut visitors = Vec::new();
        for _ in 0..200 {
            visitors.push(visit(&proxy, "").await);
        }
        assert!(count(&visitors).values().all(|count| (66..=67).contains(count)), "{:?}", count(&visitors));

        drop(backends[1].peer.take());
        let (lost, mut left): (Vec<_>, Vec<_>) =
            visitors.into_iter().partition(|visitor| visitor.server == "two");
        let mut homeless = Vec::new();
        for mut visitor in lost {
            assert_eq!(visitor.session.closed().await.0, Some(1014));
            homeless.push(visitor.cookie);
        }
        // None of them is refused, and nobody else noticed.
        for old in &homeless {
            let visitor = visit(&proxy, old).await;
            assert_ne!(visitor.server, "two");
            assert_ne!(visitor.cookie, *old);
            left.push(visitor);
        }
        for visitor in &mut left {
            visitor.session.assert_echo("still here").await;
        }
        assert_eq!(left.len(), 200);
        proxy.log().line(&["server is down", &addresses[1].to_string()]).await;

        backends[1].come_back().await;
        proxy.log().line(&["server is up", &addresses[1].to_string()]).await;
        // It has the fewest, and those who were there find back.
        let newcomer = visit(&proxy, "").await;
        assert_eq!(newcomer.server, "two");
        for old in homeless.iter().take(10) {
            let visitor = visit(&proxy, old).await;
            assert_eq!((visitor.server.as_str(), &visitor.cookie), ("two", old));
        }
        for visitor in &mut left {
            visitor.session.assert_echo("still here").await;
        }
    });
}
