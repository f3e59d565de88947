//! `max-sessions` of a server, and who waits for room.

use sluicegate_tests::{Frame, Proxy, Upstream, WebSocket, Wire, config, eventually, handshake, run};

async fn proxy(upstream: &Upstream, max_sessions: u32, keys: &str) -> Proxy {
    let servers = [config::server(upstream.address(), &format!("max-sessions = {max_sessions}"))];
    let text = config::listener("") + &config::pool("pool", &servers, keys) + &config::route("pool", "");
    Proxy::start(&text).await
}

async fn end(mut session: WebSocket) {
    session.send(Frame::close(1000, "")).await;
    session.closed().await;
    session.wire.assert_closed().await;
}

#[test]
fn a_full_server_is_503_and_free_again_after_a_session() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = proxy(&upstream, 2, "").await;
        let first = WebSocket::connect(proxy.address(), "/").await;
        let mut second = WebSocket::connect(proxy.address(), "/").await;
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 503);
        proxy.log().line(&["503", "max-sessions"]).await;
        end(first).await;
        second.assert_echo("still here").await;
        // The session's end is known to its client first.
        let third = loop {
            let mut wire = Wire::send_to(proxy.address(), handshake("/", "")).await;
            if wire.head().await.status() == 101 {
                break wire;
            }
        };
        drop(third);
    });
}

/// The first of them that is answered.
async fn answered(waiting: &mut Vec<Wire>) -> Wire {
    let at = eventually("an answer", || waiting.iter_mut().position(Wire::has_more)).await;
    waiting.remove(at)
}

#[test]
fn as_many_wait_as_may_and_are_served_one_by_one() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = proxy(&upstream, 1, "queue = { length = 2, timeout = \"30s\" }").await;
        let mut now = WebSocket::connect(proxy.address(), "/").await;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(Wire::send_to(proxy.address(), handshake("/", "")).await);
        }
        assert_eq!(answered(&mut waiting).await.response().await.status(), 503);
        for _ in 0..2 {
            now.assert_echo("undisturbed").await;
            assert!(!waiting.iter_mut().any(Wire::has_more), "served before there was room");
            end(now).await;
            now = WebSocket::upgraded(answered(&mut waiting).await).await;
        }
        now.assert_echo("the last").await;
    });
}

#[test]
fn patience_has_an_end() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = proxy(&upstream, 1, "queue = { length = 2, timeout = \"200ms\" }").await;
        let session = WebSocket::connect(proxy.address(), "/").await;
        assert_eq!(WebSocket::refused(proxy.address(), "/", "").await.status(), 503);
        proxy.log().line(&["503", "longer than one may wait"]).await;
        end(session).await;
        WebSocket::connect(proxy.address(), "/").await.assert_echo("room").await;
    });
}

#[test]
fn a_client_that_leaves_the_line_holds_nobody_up() {
    run(async {
        let upstream = Upstream::echo().await;
        let proxy = proxy(&upstream, 1, "queue = { length = 1, timeout = \"30s\" }").await;
        let session = WebSocket::connect(proxy.address(), "/").await;
        let leaving = Wire::send_to(proxy.address(), handshake("/", "")).await;
        leaving.reset();
        end(session).await;
        let mut next = WebSocket::connect(proxy.address(), "/").await;
        next.assert_echo("my turn").await;
        eventually("both sessions", || (upstream.connections() >= 2).then_some(())).await;
    });
}

#[test]
fn the_others_are_used_while_one_is_full() {
    run(async {
        let (small, large) = (Upstream::greeting("small").await, Upstream::greeting("large").await);
        let servers =
            [config::server(small.address(), "max-sessions = 1"), format!("\"{}\"", large.address())];
        let keys = "balance = \"hash\"\nhash = \"header:x-room\"";
        let text = config::listener("") + &config::pool("pool", &servers, keys) + &config::route("pool", "");
        let proxy = Proxy::start(&text).await;
        let mut names = Vec::new();
        let mut sessions = Vec::new();
        for room in 0..20 {
            let more = format!("X-Room: {room}\r\n");
            let mut session = WebSocket::connect_with(proxy.address(), "/", &more).await;
            names.push(session.hear().await);
            sessions.push(session);
        }
        assert_eq!(names.iter().filter(|name| *name == "small").count(), 1, "{names:?}");
    });
}
