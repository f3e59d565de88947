//! Which upstream, which of its servers, or which file.

use std::fs;
use std::net::SocketAddr;

use sluicegate_tests::{Proxy, Response, Upstream, WebSocket, Wire, config, run, scratch};

async fn get(address: SocketAddr, host: &str, path: &str) -> Response {
    Wire::connect(address).await.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

#[test]
fn the_longest_path_of_the_closest_host_wins() {
    run(async {
        let names = ["any", "any-ws", "chat", "chat-ws", "wild"];
        let mut upstreams = Vec::new();
        let mut text = config::listener("");
        for name in names {
            let upstream = Upstream::named(name).await;
            text += &config::upstream(name, &[upstream.address()], "");
            upstreams.push(upstream);
        }
        text += &config::route("any", "");
        text += &config::route("any-ws", "path = \"/ws/\"");
        text += &config::route("chat", "host = \"chat.example.com\"");
        text += &config::route("chat-ws", "host = \"chat.example.com\"\npath = \"/ws\"");
        text += &config::route("wild", "host = [\"*.example.com\", \"example.org\"]");
        let proxy = Proxy::start(&text).await;
        for (host, path, expected) in [
            ("other.test", "/", "any"),
            ("other.test", "/ws", "any-ws"),
            ("other.test", "/ws/room", "any-ws"),
            ("other.test", "/wsx", "any"),
            ("other.test", "/%77s/room", "any-ws"),
            ("other.test", "/a/../b", "any"),
            ("chat.example.com", "/", "chat"),
            ("CHAT.example.com:8443", "/ws/room?x=/", "chat-ws"),
            ("game.example.com", "/ws/room", "wild"),
            ("example.org", "/", "wild"),
            ("example.com", "/", "any"),
        ] {
            let response = get(proxy.address(), host, path).await;
            assert_eq!(response.text(), expected, "{host}{path}");
        }
    });
}

/// A route's plugins must not be avoidable by another spelling of its path.
#[test]
fn a_path_that_servers_read_as_ones_of_different_routes_is_refused() {
    run(async {
        let upstream = Upstream::named("app").await;
        let text = config::listener("")
            + &config::upstream("app", &[upstream.address()], "")
            + &config::route("app", "")
            + &config::route("app", "path = \"/admin\"");
        let proxy = Proxy::start(&text).await;
        for path in
            ["/a/../admin", "//admin", "/./admin", "/%2e%2e/admin", "/a/%2e%2e/admin/x", "/a%2f..%2fadmin"]
        {
            assert_eq!(get(proxy.address(), "a", path).await.status(), 400, "{path}");
        }
        assert_eq!(upstream.connections(), 0);
        for path in ["/admin/../admin/x", "/admin//x", "/%61dmin", "/a//b"] {
            assert_eq!(get(proxy.address(), "a", path).await.text(), "app", "{path}");
        }
    });
}

#[test]
fn what_has_no_route_is_not_found() {
    run(async {
        let upstream = Upstream::named("chat").await;
        let text = config::listener("")
            + &config::upstream("chat", &[upstream.address()], "")
            + &config::route("chat", "host = \"chat.example.com\"\npath = \"/ws\"");
        let proxy = Proxy::start(&text).await;
        for (host, path) in [("chat.example.com", "/"), ("other.example.com", "/ws")] {
            assert_eq!(get(proxy.address(), host, path).await.status(), 404, "{host}{path}");
        }
        assert_eq!(WebSocket::refused(proxy.address(), "/elsewhere", "").await.status(), 404);
        assert_eq!(upstream.connections(), 0);
        assert_eq!(get(proxy.address(), "chat.example.com", "/ws").await.status(), 200);
    });
}

#[test]
fn servers_take_turns_by_weight() {
    run(async {
        let (one, two, three) =
            (Upstream::named("one").await, Upstream::named("two").await, Upstream::named("three").await);
        let servers = format!(
            "servers = [\"{}\", {{ address = \"{}\", weight = 2 }}, \"{}\"]",
            one.address(),
            two.address(),
            three.address()
        );
        let text = config::listener("")
            + &format!("[[upstream]]\nname = \"pool\"\n{servers}\n[[route]]\nupstream = \"pool\"");
        let proxy = Proxy::start(&text).await;
        for _ in 0..40 {
            assert_eq!(get(proxy.address(), "a", "/").await.status(), 200);
        }
        let taken = [&one, &two, &three].map(|upstream| upstream.requests().len());
        assert_eq!(taken, [10, 20, 10]);
    });
}

#[test]
fn a_server_that_refuses_connections_is_passed_over() {
    run(async {
        let alive = Upstream::named("alive").await;
        let dead = Upstream::named("dead").await.address();
        let text = config::listener("")
            + &config::upstream("pool", &[dead, alive.address()], "")
            + &config::route("pool", "");
        let proxy = Proxy::start(&text).await;
        for _ in 0..4 {
            assert_eq!(get(proxy.address(), "a", "/").await.text(), "alive");
        }
        proxy.log().line(&["WARN", "pool", &dead.to_string()]).await;
    });
}

#[test]
fn a_server_given_by_name_is_resolved() {
    run(async {
        let upstream = Upstream::named("home").await;
        let text = config::listener("")
            + &format!(
                "[[upstream]]\nname = \"app\"\nservers = [\"localhost:{}\"]\n",
                upstream.address().port()
            )
            + &config::route("app", "host-header = \"server\"");
        let proxy = Proxy::start(&text).await;
        assert_eq!(get(proxy.address(), "a", "/").await.text(), "home");
        let host = format!("localhost:{}", upstream.address().port());
        assert_eq!(upstream.request().head.field("host"), Some(host.as_str()));
    });
}

#[test]
fn files_with_a_fallback_beside_a_websocket() {
    run(async {
        let folder = scratch();
        let public = folder.path().join("public");
        fs::create_dir_all(public.join("css")).unwrap();
        fs::write(public.join("index.html"), "<h1>home</h1>").unwrap();
        fs::write(public.join("css/site.css"), "body {}").unwrap();
        fs::write(folder.path().join("secret.txt"), "secret").unwrap();
        let echo = Upstream::echo().await;
        let text = config::listener("")
            + &config::upstream("chat", &[echo.address()], "")
            + &config::route("chat", "path = \"/ws/\"")
            + "[[route]]\nfiles = { root = \"public\", fallback = \"index.html\" }\n";
        let proxy = Proxy::start_in(folder, &text).await;

        let response = get(proxy.address(), "a", "/css/site.css").await;
        assert_eq!((response.status(), response.text()), (200, "body {}"));
        assert_eq!(response.head.field("content-type"), Some("text/css"));
        for path in ["/", "/index.html", "/rooms/7", "/css/none.css"] {
            let response = get(proxy.address(), "a", path).await;
            assert_eq!((response.status(), response.text()), (200, "<h1>home</h1>"), "{path}");
        }
        for path in ["/../secret.txt", "/css/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"] {
            assert!(!get(proxy.address(), "a", path).await.text().contains("secret"), "{path}");
        }
        let response =
            Wire::connect(proxy.address()).await.ask("HEAD /css/site.css HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((response.status(), response.head.field("content-length")), (200, Some("7")));
        let response = Wire::connect(proxy.address())
            .await
            .ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert_eq!(response.status(), 405);
        WebSocket::connect(proxy.address(), "/ws/room").await.assert_echo("beside files").await;
    });
}

#[test]
fn files_without_a_fallback_are_404_where_there_are_none() {
    run(async {
        let folder = scratch();
        fs::write(folder.path().join("page.html"), "page").unwrap();
        let text = config::listener("") + "[[route]]\nfiles = { root = \".\" }\n";
        let proxy = Proxy::start_in(folder, &text).await;
        assert_eq!(get(proxy.address(), "a", "/page.html").await.text(), "page");
        assert_eq!(get(proxy.address(), "a", "/none.html").await.status(), 404);
        assert_eq!(WebSocket::refused(proxy.address(), "/none", "").await.status(), 404);
    });
}
