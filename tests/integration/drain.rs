//! SIGTERM: nothing new is taken, what goes on may finish, sessions are closed with 1001.

use std::time::Duration;

use sluicegate_tests::{Frame, Proxy, RawUpstream, Session, Upstream, Wire, eventually, run};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::ways::{BothWays, WAYS};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn rfc6455_7_4_1_sessions_are_closed_with_1001() {
    run(async {
        let mut both = BothWays::start_with("shutdown-grace = \"10s\"", "").await;
        let mut sessions = Vec::new();
        for way in WAYS {
            sessions.push(both.session(way).await);
        }
        both.proxy.terminate().await;
        for Session { client, upstream } in &mut sessions {
            for side in [client, upstream] {
                assert_eq!(side.closed().await.0, Some(1001));
                side.send(Frame::close(1001, "")).await;
            }
        }
        for Session { client, upstream } in &mut sessions {
            client.wire.assert_closed().await;
            upstream.wire.assert_closed().await;
        }
        assert_eq!(both.proxy.ended().await.code(), Some(0));
    });
}

#[test]
fn nobody_new_is_let_in() {
    run(async {
        let upstream = RawUpstream::start().await;
        let mut proxy = Proxy::to(upstream.address()).server("shutdown-grace = \"2s\"").start().await;
        let session = Session::open(&proxy, &upstream).await;
        proxy.terminate().await;
        let address = proxy.address();
        eventually("the listener's end", || std::net::TcpStream::connect(address).is_err().then_some(()))
            .await;
        drop(session);
        assert_eq!(proxy.ended().await.code(), Some(0));
    });
}

#[test]
fn an_answer_under_way_is_finished() {
    run(async {
        let upstream = RawUpstream::start().await;
        let mut proxy = Proxy::to(upstream.address()).start().await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut server = upstream.next().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
        assert_eq!(client.head().await.status(), 200);
        proxy.terminate().await;
        let address = proxy.address();
        eventually("the listener's end", || std::net::TcpStream::connect(address).is_err().then_some(()))
            .await;
        server.send("half").await;
        assert_eq!(client.take(8).await, b"halfhalf");
        client.assert_closed().await;
        assert_eq!(proxy.ended().await.code(), Some(0));
    });
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    run(async {
        let upstream = Upstream::named("home").await;
        let mut proxy = Proxy::to(upstream.address()).start().await;
        let mut used = Wire::connect(proxy.address()).await;
        assert_eq!(used.ask(GET).await.text(), "home");
        let unused = TcpStream::connect(proxy.address()).await.unwrap();
        let began = Instant::now();
        proxy.terminate().await;
        assert_eq!(proxy.ended().await.code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        used.assert_closed().await;
        drop(unused);
    });
}

#[test]
fn peers_that_do_not_answer_are_left_behind_after_the_grace() {
    run(async {
        let upstream = RawUpstream::start().await;
        let mut proxy = Proxy::to(upstream.address()).server("shutdown-grace = \"1s\"").start().await;
        let _session = Session::open(&proxy, &upstream).await;
        let began = Instant::now();
        proxy.terminate().await;
        assert_eq!(proxy.ended().await.code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    });
}

#[test]
fn plugins_are_told_and_may_say_goodbye() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address())
            .server("shutdown-grace = \"10s\"")
            .guest("recorder", "")
            .start()
            .await;
        let mut session = Session::open(&proxy, &upstream).await;
        proxy.terminate().await;
        assert_eq!(session.client.hear().await, "the proxy will close this session");
        for side in [&mut session.client, &mut session.upstream] {
            assert_eq!(side.closed().await.0, Some(1001));
            side.send(Frame::close(1001, "")).await;
        }
        proxy.log().line(&["recorder", "on-drain Ok"]).await;
        proxy.log().line(&["recorder", "on-close Proxy clean=true code=Some(1001)"]).await;
    });
}
