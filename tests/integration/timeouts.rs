//! How long the proxy waits, and for whom.

use std::net::SocketAddr;
use std::time::Duration;

use sluicegate_tests::{
    Frame, Opcode, Proxy, RawUpstream, Session, Upstream, WebSocket, Wire, handshake, run,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::ways::{BothWays, WAYS};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A server whose queue of connections is full: the next one hangs in its handshake.
struct Full {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

async fn full_upstream() -> Full {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 10, "the queue never fills");
    }
    Full { address, _listener: listener, _waiting: waiting }
}

#[test]
fn an_upstream_that_cannot_be_reached_is_502() {
    run(async {
        let nobody = Upstream::named("gone").await.address();
        let proxy = Proxy::to(nobody).start().await;
        let response = Wire::connect(proxy.address()).await.ask(GET).await;
        assert_eq!(response.status(), 502);
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 502);
        proxy.log().line(&["502", "fault=upstream", &nobody.to_string()]).await;
    });
}

#[test]
fn a_connection_that_takes_too_long_is_504() {
    run(async {
        let full = full_upstream().await;
        let proxy = Proxy::to(full.address).route("timeouts.connect = \"300ms\"").start().await;
        let began = Instant::now();
        let response = Wire::connect(proxy.address()).await.ask(GET).await;
        assert_eq!(response.status(), 504);
        assert!(began.elapsed() >= Duration::from_millis(300));
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 504);
        proxy.log().line(&["504", "connect timeout"]).await;
    });
}

#[test]
fn an_upstream_that_does_not_answer_is_504() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).route("timeouts.read = \"300ms\"").start().await;
        for request in [GET.to_owned(), handshake("/", "")] {
            let began = Instant::now();
            let mut client = Wire::send_to(proxy.address(), request).await;
            let mut server = upstream.next().await;
            server.head().await;
            assert_eq!(client.response().await.status(), 504);
            assert!(began.elapsed() >= Duration::from_millis(300));
            server.assert_closed().await;
        }
        proxy.log().line(&["504", "read timeout"]).await;
    });
}

/// `read` is for what comes after it.
#[test]
fn the_head_of_an_answer_can_have_a_time_of_its_own() {
    run(async {
        let upstream = RawUpstream::start().await;
        let timeouts = "timeouts = { read = \"60s\", upstream-header = \"300ms\" }";
        let proxy = Proxy::to(upstream.address()).route(timeouts).start().await;
        for request in [GET.to_owned(), handshake("/", "")] {
            let began = Instant::now();
            let mut client = Wire::send_to(proxy.address(), request).await;
            let mut server = upstream.next().await;
            server.head().await;
            assert_eq!(client.response().await.status(), 504);
            assert!(began.elapsed() >= Duration::from_millis(300));
        }
        let silent = RawUpstream::start().await;
        // Says 504 after 400 ms.
        let witness = Proxy::to(silent.address()).route("timeouts.upstream-header = \"400ms\"").start().await;
        // A head in time, and a body that takes longer.
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut server = upstream.next().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
        assert_eq!(Wire::connect(witness.address()).await.ask(GET).await.status(), 504);
        server.send("late").await;
        assert_eq!(client.response().await.text(), "late");
    });
}

#[test]
fn rfc9110_15_5_9_the_body_of_a_request_can_have_a_time_of_its_own() {
    run(async {
        let upstream = RawUpstream::start().await;
        let timeouts = "timeouts = { read = \"60s\", request-body = \"400ms\" }";
        let proxy = Proxy::to(upstream.address()).route(timeouts).start().await;
        // Says 408 after 200 ms.
        let witness = Proxy::to(upstream.address()).route("timeouts.request-body = \"200ms\"").start().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
        let sending = Instant::now();
        let mut client = Wire::send_to(proxy.address(), head).await;
        let mut server = upstream.next().await;
        server.head().await;
        for _ in 0..3 {
            assert_eq!(Wire::send_to(witness.address(), head).await.response().await.status(), 408);
            client.send("x").await;
        }
        // Longer than there is time between two pieces.
        assert!(sending.elapsed() >= Duration::from_millis(600));
        let began = Instant::now();
        assert_eq!(client.response().await.status(), 408);
        assert!(began.elapsed() >= Duration::from_millis(300));
        client.assert_closed().await;
        proxy.log().line(&["408", "fault=client", "request body"]).await;
    });
}

#[test]
fn an_upstream_that_ends_without_an_answer_is_502() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).start().await;
        for answer in ["", "HTTP/1.1 200 OK\r\nContent-Le", "no HTTP at all\r\n\r\n"] {
            for request in [GET.to_owned(), handshake("/", "")] {
                let mut client = Wire::send_to(proxy.address(), request).await;
                let mut server = upstream.next().await;
                server.head().await;
                server.send(answer).await;
                drop(server);
                assert_eq!(client.response().await.status(), 502, "{answer:?}");
            }
        }
    });
}

#[test]
fn an_answer_that_stops_in_its_middle_is_cut_off() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).route("timeouts.read = \"300ms\"").start().await;
        let mut client = Wire::send_to(proxy.address(), GET).await;
        let mut server = upstream.next().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        assert_eq!(client.head().await.status(), 200);
        assert_eq!(client.take(4).await, b"half");
        client.assert_closed().await;
        server.assert_closed().await;
    });
}

#[test]
fn a_session_in_which_nobody_speaks_ends_with_1001() {
    run(async {
        let both = BothWays::start("timeouts.idle = \"600ms\"").await;
        let echo = Upstream::echo().await;
        // Ends sessions after 250 ms.
        let witness = Proxy::to(echo.address()).route("timeouts.idle = \"250ms\"").start().await;
        for way in WAYS {
            let Session { mut client, mut upstream } = both.session(way).await;
            let began = Instant::now();
            // Either side's words keep it open.
            for round in 0..4 {
                let (from, to) =
                    if round % 2 == 0 { (&mut client, &mut upstream) } else { (&mut upstream, &mut client) };
                assert_eq!(WebSocket::connect(witness.address(), "/").await.closed().await.0, Some(1001));
                from.say("still here").await;
                assert_eq!(to.hear().await, "still here");
            }
            assert!(began.elapsed() >= Duration::from_millis(1000));
            assert_eq!(client.closed().await.0, Some(1001));
            assert_eq!(upstream.closed().await.0, Some(1001));
        }
    });
}

#[test]
fn a_session_ends_with_its_lifetime_whoever_speaks() {
    run(async {
        let upstream = RawUpstream::start().await;
        let proxy = Proxy::to(upstream.address()).route("timeouts.lifetime = \"500ms\"").start().await;
        let mut session = Session::open(&proxy, &upstream).await;
        let began = Instant::now();
        let frame = loop {
            session.client.say("on and on").await;
            let frame = session.upstream.frame().await;
            if frame != Frame::text("on and on") {
                break frame;
            }
        };
        assert_eq!(frame.close_code(), Some(1001));
        assert_eq!(session.client.closed().await.0, Some(1001));
        assert!(began.elapsed() >= Duration::from_millis(450));
    });
}

#[test]
fn rfc6455_5_5_2_the_proxys_own_pings_keep_a_session_or_end_it() {
    run(async {
        let both = BothWays::start("ping = { interval = \"1s\", timeout = \"500ms\" }").await;
        for way in WAYS {
            let Session { mut client, mut upstream } = both.session(way).await;
            // Both are pinged and answer, then only the upstream does.
            for _ in 0..2 {
                for socket in [&mut client, &mut upstream] {
                    let ping = socket.frame().await;
                    assert_eq!(ping.opcode, Opcode::Ping);
                    socket.send(Frame::pong(ping.payload)).await;
                }
            }
            let ping = upstream.frame().await;
            upstream.send(Frame::pong(ping.payload)).await;
            // No pong went to the other side: they were the proxy's.
            assert_eq!(client.frame().await.opcode, Opcode::Ping);
            // Each is told, the silent one in case that it only cannot speak.
            let (told, last_word) = tokio::join!(upstream.closed(), client.closed());
            assert_eq!((told.0, last_word.0), (Some(1001), Some(1001)));
            client.wire.assert_closed().await;
        }
    });
}
