//! Where servers are: sockets in the file system, and names.

use sluicegate_tests::{Proxy, Upstream, WebSocket, Wire, config, run, scratch, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// Passes connections on to `upstream`.
fn forward(socket: UnixListener, upstream: std::net::SocketAddr) {
    tokio::task::spawn_local(async move {
        while let Ok((mut near, _)) = socket.accept().await {
            let mut far = TcpStream::connect(upstream).await.unwrap();
            tokio::task::spawn_local(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
}

fn pool(path: &std::path::Path, keys: &str) -> String {
    let server = format!("\"unix:{}\"", path.display());
    config::listener("")
        + &config::pool("app", &[server], keys)
        + &config::route("app", "host-header = \"server\"")
}

#[test]
fn a_server_may_be_a_socket_in_the_file_system() {
    run(async {
        let folder = scratch();
        let path = folder.path().join("app.sock");
        let upstream = Upstream::named("app").await;
        forward(UnixListener::bind(&path).unwrap(), upstream.address());
        let proxy = Proxy::start(&pool(&path, "")).await;
        let mut client = Wire::connect(proxy.address()).await;
        for _ in 0..2 {
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "app");
        }
        // A path is no host.
        assert_eq!(upstream.requests()[0].head.field("host"), Some("localhost"));
    });
}

#[test]
fn sessions_run_over_a_socket_in_the_file_system() {
    run(async {
        let folder = scratch();
        let path = folder.path().join("app.sock");
        let upstream = Upstream::echo().await;
        forward(UnixListener::bind(&path).unwrap(), upstream.address());
        let keys = "health = { websocket = { path = \"/\" }, interval = \"100ms\", fall = 1 }";
        let proxy = Proxy::start(&pool(&path, keys)).await;
        let mut session = WebSocket::connect(proxy.address(), "/").await;
        session.assert_echo("over a socket").await;
        session.assert_echo(&"x".repeat(100_000)).await;
        proxy.log().assert_none(&["server is down"]);
    });
}

#[test]
fn a_socket_that_is_not_there_is_502() {
    run(async {
        let folder = scratch();
        let path = folder.path().join("none.sock");
        let proxy = Proxy::start(&pool(&path, "")).await;
        let response = Wire::connect(proxy.address()).await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(response.status(), 502);
        proxy.log().line(&["502", "none.sock"]).await;
        // It comes up while the proxy runs.
        let socket = UnixListener::bind(&path).unwrap();
        let answering = async {
            let (mut stream, _): (UnixStream, _) = soon("a connection", socket.accept()).await.unwrap();
            let mut buffer = [0; 1024];
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        };
        let mut client = Wire::connect(proxy.address()).await;
        let (response, ()) = tokio::join!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), answering);
        assert_eq!(response.status(), 204);
    });
}

#[test]
fn a_name_that_cannot_be_resolved_is_502() {
    run(async {
        let servers = ["\"no-such-host.invalid:80\"".to_owned()];
        let text = config::listener("") + &config::pool("app", &servers, "") + &config::route("app", "");
        let proxy = Proxy::start(&text).await;
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 502);
        proxy.log().line(&["cannot be resolved", "no-such-host.invalid"]).await;
    });
}

/// `localhost` may have an address of each family, and the server has but one.
#[test]
fn all_addresses_of_a_name_are_tried() {
    run(async {
        let upstream = Upstream::named("home").await;
        let servers = [format!("\"localhost:{}\"", upstream.address().port())];
        let text = config::listener("")
            + &config::pool("app", &servers, "keep-alive = { idle-max = 0 }\nresolve = \"1s\"")
            + &config::route("app", "");
        let proxy = Proxy::start(&text).await;
        for _ in 0..6 {
            let response =
                Wire::connect(proxy.address()).await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(response.text(), "home");
        }
        proxy.log().assert_none(&["passed over"]);
    });
}
