//! Servers that are not well, as it shows in passing and as checks find it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use sluicegate_tests::{
    Frame, Opcode, Proxy, RawUpstream, SOON, Upstream, WebSocket, Wire, config, eventually, run,
};
use tokio::time::Instant;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn proxy(servers: &[SocketAddr], keys: &str) -> Proxy {
    let text = config::listener("") + &config::upstream("pool", servers, keys) + &config::route("pool", "");
    Proxy::start(&text).await
}

async fn ask(proxy: &Proxy) -> u16 {
    Wire::connect(proxy.address()).await.ask(GET).await.status()
}

/// An address that nobody listens on, and nobody else will.
async fn nobody(host: u8) -> SocketAddr {
    RawUpstream::at(SocketAddr::from(([127, 0, 5, host], 0))).await.address()
}

#[test]
fn a_server_that_failed_is_passed_over_for_fail_timeout_and_then_tried() {
    run(async {
        let (gone, alive) = (nobody(1).await, Upstream::named("alive").await);
        let proxy = proxy(&[gone, alive.address()], "max-fails = 2\nfail-timeout = \"2s\"").await;
        let began = Instant::now();
        while proxy.log().count(&["is passed over", &gone.to_string()]) == 0 {
            assert_eq!(ask(&proxy).await, 200);
            assert!(began.elapsed() < SOON, "it is never passed over");
        }
        assert!(proxy.log().count(&["server passed over", &gone.to_string()]) >= 2);
        let back = RawUpstream::at(gone).await;
        let answering = tokio::task::spawn_local(async move {
            loop {
                let mut wire = back.next().await;
                wire.head().await;
                wire.send(OK).await;
            }
        });
        // One request is the test.
        let began = Instant::now();
        while proxy.log().count(&["server answers again", &gone.to_string()]) == 0 {
            assert_eq!(ask(&proxy).await, 200);
            assert!(began.elapsed() < SOON, "it is never tried");
        }
        answering.abort();
    });
}

#[test]
fn where_all_have_failed_all_are_tried() {
    run(async {
        let gone = [nobody(2).await, nobody(3).await];
        let proxy = proxy(&gone, "fail-timeout = \"1h\"").await;
        // The truth is that they refuse, each time.
        for _ in 0..3 {
            assert_eq!(ask(&proxy).await, 502);
            assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 502);
        }
        let back = RawUpstream::at(gone[1]).await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut server = back.next().await;
        server.head().await;
        server.send(OK).await;
        assert_eq!(client.response().await.status(), 200);
    });
}

#[test]
fn a_session_that_its_server_ended_is_no_failure() {
    run(async {
        let servers = [Upstream::greeting("one").await, Upstream::greeting("two").await];
        let addresses = servers.each_ref().map(|server| server.address());
        let proxy = proxy(&addresses, "fail-timeout = \"1h\"").await;
        for _ in 0..4 {
            WebSocket::connect(proxy.address(), "/").await.wire.reset();
        }
        assert_eq!(servers.map(|server| server.connections()), [2, 2]);
        proxy.log().assert_none(&["passed over"]);
    });
}

#[test]
fn a_server_is_down_and_up_as_its_http_checks_find_it() {
    run(async {
        let status = Rc::new(Cell::new(204));
        let upstream = Upstream::http({
            let status = Rc::clone(&status);
            move |request| match request.head.target() {
                "/health?deep" => {
                    format!("HTTP/1.1 {} Found\r\nContent-Length: 0\r\n\r\n", status.get()).into()
                }
                _ => OK.into(),
            }
        })
        .await;
        let keys = "[upstream.health]\nhttp = { path = \"/health?deep\", status = 204 }\nhost = \"chat.internal\"\n\
                    interval = \"100ms\"\nrise = 2\nfall = 3";
        let proxy = proxy(&[upstream.address()], keys).await;
        assert_eq!(ask(&proxy).await, 200);
        for _ in 0..2 {
            status.set(200);
            proxy.log().line(&["server is down", "status 200", "instead of 204"]).await;
            assert_eq!(ask(&proxy).await, 503);
            assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 503);
            let ups = proxy.log().count(&["server is up"]);
            status.set(204);
            eventually("a server that is up", || (proxy.log().count(&["server is up"]) > ups).then_some(()))
                .await;
            assert_eq!(ask(&proxy).await, 200);
            let downs = proxy.log().count(&["server is down"]);
            status.set(200);
            eventually("a server that is down", || {
                (proxy.log().count(&["server is down"]) > downs).then_some(())
            })
            .await;
        }
        let requests = upstream.requests();
        let check = requests.iter().find(|request| request.head.target() == "/health?deep").unwrap();
        assert_eq!(check.head.field("host"), Some("chat.internal"));
        assert_eq!(check.head.field("user-agent"), Some("sluicegate-health-check"));
    });
}

#[test]
fn a_check_takes_no_longer_than_its_timeout() {
    run(async {
        let silent = RawUpstream::start().await;
        let keys =
            "health = { http = { path = \"/\" }, interval = \"100ms\", timeout = \"200ms\", fall = 1 }";
        let proxy = proxy(&[silent.address()], keys).await;
        proxy.log().line(&["server is down", "timeout"]).await;
        assert_eq!(ask(&proxy).await, 503);
    });
}

#[test]
fn rfc6455_a_server_is_down_and_up_as_its_websocket_checks_find_it() {
    run(async {
        let upstream = RawUpstream::at(SocketAddr::from(([127, 0, 5, 4], 0))).await;
        let address = upstream.address();
        let keys = "health = { websocket = { path = \"/ws\" }, interval = \"100ms\", rise = 1, fall = 1 }";
        let proxy = proxy(&[address], keys).await;
        // A check opens, pings and closes.
        let mut check = WebSocket::accept(upstream.next().await).await;
        assert_eq!(check.head.target(), "/ws");
        assert_eq!(check.head.field("host"), Some(address.to_string().as_str()));
        check.say("a greeting").await;
        let ping = check.frame().await;
        assert_eq!(ping.opcode, Opcode::Ping);
        check.send(Frame::pong(ping.payload)).await;
        let close = check.frame().await;
        assert_eq!(close.opcode, Opcode::Close);
        check.send(close).await;
        check.wire.assert_closed().await;
        // No pong, but an end.
        drop(WebSocket::accept(upstream.next().await).await);
        proxy.log().line(&["server is down", "websocket"]).await;
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 503);
        drop(upstream);
        let back = RawUpstream::at(address).await;
        let serving = tokio::task::spawn_local(async move {
            loop {
                let mut socket = WebSocket::accept(back.next().await).await;
                tokio::task::spawn_local(async move {
                    loop {
                        let frame = socket.frame().await;
                        match frame.opcode {
                            Opcode::Ping => {
                                socket.send(Frame::pong(frame.payload)).await;
                            }
                            _ => return socket.send(frame).await,
                        }
                    }
                });
            }
        });
        proxy.log().line(&["server is up"]).await;
        drop(WebSocket::connect(proxy.address(), "/").await);
        serving.abort();
    });
}

#[test]
fn down_ends_no_session() {
    run(async {
        let upstream = Upstream::echo().await;
        let keys = "health = { http = { path = \"/health\" }, interval = \"300ms\", fall = 2 }";
        let proxy = proxy(&[upstream.address()], keys).await;
        let mut session = WebSocket::connect(proxy.address(), "/").await;
        proxy.log().line(&["server is down"]).await;
        session.assert_echo("still here").await;
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 503);
    });
}
