//! Which server of a pool a request or a session goes to.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sluicegate_tests::{Frame, Proxy, Upstream, WebSocket, Wire, config, run};

async fn get(proxy: &Proxy, more: &str) -> String {
    get_at(proxy, "/", more).await
}

async fn get_at(proxy: &Proxy, path: &str, more: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let response = Wire::connect(proxy.address()).await.ask(request).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    response.text().to_owned()
}

async fn pool(servers: &[&Upstream], keys: &str) -> Proxy {
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address()).collect();
    let text =
        config::listener("") + &config::upstream("pool", &addresses, keys) + &config::route("pool", "");
    Proxy::start(&text).await
}

#[test]
fn least_connections_keep_a_thousand_long_sessions_within_one_of_even() {
    run(async {
        let names = ["one", "two", "three"];
        let servers = [
            Upstream::greeting(names[0]).await,
            Upstream::greeting(names[1]).await,
            Upstream::greeting(names[2]).await,
        ];
        let proxy = pool(&servers.each_ref(), "balance = \"least-connections\"").await;
        let mut sessions: BTreeMap<String, Vec<WebSocket>> = BTreeMap::new();
        let open = async |sessions: &mut BTreeMap<String, Vec<WebSocket>>| {
            let mut session = WebSocket::connect(proxy.address(), "/").await;
            let name = session.hear().await;
            sessions.entry(name).or_default().push(session);
        };
        let assert_even = |sessions: &BTreeMap<String, Vec<WebSocket>>| {
            let counts: Vec<usize> = names.iter().map(|name| sessions[*name].len()).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{counts:?}");
        };
        for _ in 0..1_000 {
            open(&mut sessions).await;
        }
        assert_even(&sessions);
        // One loses a hundred sessions, and gets the next hundred.
        for mut session in sessions.get_mut("two").unwrap().split_off(233) {
            session.send(Frame::close(1000, "")).await;
            assert_eq!(session.closed().await.0, Some(1000));
            session.wire.assert_closed().await;
        }
        for _ in 0..100 {
            open(&mut sessions).await;
        }
        assert_even(&sessions);
    });
}

#[test]
fn requests_in_flight_count_as_sessions_do() {
    run(async {
        let (one, two) = (Upstream::named("one").await, Upstream::named("two").await);
        let slow = sluicegate_tests::RawUpstream::start().await;
        let addresses = [slow.address(), one.address(), two.address()];
        let text = config::listener("")
            + &config::upstream("pool", &addresses, "balance = \"least-connections\"")
            + &config::route("pool", "");
        let proxy = Proxy::start(&text).await;
        let mut waiting = Wire::send_to(proxy.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut server = slow.next().await;
        server.head().await;
        for _ in 0..10 {
            get(&proxy, "").await;
        }
        assert_eq!([one.requests().len(), two.requests().len()], [5, 5]);
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(waiting.response().await.status(), 200);
    });
}

#[test]
fn consistent_hashing_moves_only_the_share_of_a_server_that_is_gone() {
    run(async {
        let servers = [
            Upstream::named("one").await,
            Upstream::named("two").await,
            Upstream::named("three").await,
            Upstream::named("four").await,
        ];
        let keys = "balance = \"hash\"\nhash = \"header:x-room\"";
        let [one, two, three, four] = &servers;
        let (all, fewer) = (pool(&[one, two, three, four], keys).await, pool(&[one, two, three], keys).await);
        let (mut before, mut after) =
            (Wire::connect(all.address()).await, Wire::connect(fewer.address()).await);
        let mut moved = 0;
        for room in 0..1_000 {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Room: {room}\r\n\r\n");
            let (before, after) = (before.ask(&request).await, after.ask(&request).await);
            if before.text() != after.text() {
                assert_eq!(before.text(), "four", "room {room} moved though its server stayed");
                moved += 1;
            }
        }
        let share = f64::from(moved) / 1_000.0;
        assert!((share - 0.25).abs() < 0.05, "{share}");
    });
}

#[test]
fn what_is_hashed() {
    run(async {
        let servers =
            [Upstream::named("one").await, Upstream::named("two").await, Upstream::named("three").await];
        for hash in ["header:x-room", "cookie:room", "query:room"] {
            let proxy = pool(&servers.each_ref(), &format!("balance = \"hash\"\nhash = \"{hash}\"")).await;
            let mut seen = BTreeMap::new();
            for round in 0..60 {
                let room = round % 20;
                let (path, more) = match hash {
                    "header:x-room" => ("/".to_owned(), format!("X-Room: {room}\r\n")),
                    "cookie:room" => ("/".to_owned(), format!("Cookie: a={round}; room={room}\r\n")),
                    _ => (format!("/?a={round}&room={room}"), String::new()),
                };
                let name = get_at(&proxy, &path, &more).await;
                assert_eq!(*seen.entry(room).or_insert(name.clone()), name, "{hash}: {room}");
            }
            let names: std::collections::BTreeSet<_> = seen.values().collect();
            assert_eq!(names.len(), 3, "{hash}: {seen:?}");
            // Without what is hashed they take turns.
            let mut names = [get(&proxy, "").await, get(&proxy, "").await, get(&proxy, "").await];
            names.sort();
            assert_eq!(names, ["one", "three", "two"]);
        }
    });
}

#[test]
fn a_clients_address_keeps_its_server() {
    run(async {
        let servers = [Upstream::named("one").await, Upstream::named("two").await];
        let proxy = pool(&servers.each_ref(), "balance = \"ip-hash\"").await;
        let mut names = BTreeMap::new();
        for host in 1..=40 {
            for _ in 0..2 {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::from(([127, 0, 1, host], 0))).unwrap();
                let stream = socket.connect(proxy.address()).await.unwrap();
                let name =
                    Wire::over(stream).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text().to_owned();
                assert_eq!(*names.entry(host).or_insert(name.clone()), name);
            }
        }
        let one = names.values().filter(|name| *name == "one").count();
        assert!((5..=35).contains(&one), "{names:?}");
    });
}

#[test]
fn of_two_at_random_the_less_loaded() {
    run(async {
        let servers = [Upstream::greeting("one").await, Upstream::greeting("two").await];
        let proxy = pool(&servers.each_ref(), "balance = \"random-two\"").await;
        let mut sessions = Vec::new();
        for _ in 0..40 {
            sessions.push(WebSocket::connect(proxy.address(), "/").await);
        }
        // Of two servers both are drawn each time.
        assert_eq!(servers.map(|server| server.connections()), [20, 20]);
    });
}

#[test]
fn a_backup_is_used_only_while_nobody_else_can_be() {
    run(async {
        let (usual, backup) = (Upstream::named("usual").await, Upstream::named("backup").await);
        let servers = [
            format!("\"{}\"", usual.address()),
            config::server(backup.address(), "backup = true, weight = 1000"),
        ];
        let text = config::listener("")
            + &config::pool("pool", &servers, "keep-alive.idle-max = 0")
            + &config::route("pool", "");
        let proxy = Proxy::start(&text).await;
        for _ in 0..5 {
            assert_eq!(get(&proxy, "").await, "usual");
        }
        drop(usual);
        for _ in 0..5 {
            assert_eq!(get(&proxy, "").await, "backup");
        }
    });
}

#[test]
fn a_drained_server_takes_nothing_new() {
    run(async {
        let (old, new) = (Upstream::named("old").await, Upstream::named("new").await);
        let servers = [config::server(old.address(), "drain = true"), format!("\"{}\"", new.address())];
        for keys in ["", "balance = \"hash\"\nhash = \"header:x-room\"", "balance = \"least-connections\""] {
            let text =
                config::listener("") + &config::pool("pool", &servers, keys) + &config::route("pool", "");
            let proxy = Proxy::start(&text).await;
            for room in 0..10 {
                assert_eq!(get(&proxy, &format!("X-Room: {room}\r\n")).await, "new");
            }
        }
        assert_eq!(old.connections(), 0);
        let text =
            config::listener("") + &config::pool("pool", &servers[..1], "") + &config::route("pool", "");
        let proxy = Proxy::start(&text).await;
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 503);
    });
}
