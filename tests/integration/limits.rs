//! Bounds on what clients may send: heads, their time, and messages.

use std::time::Duration;

use sluicegate_tests::{Frame, Opcode, Proxy, RawUpstream, Session, Upstream, WebSocket, Wire, run};
use tokio::time::{Instant, sleep};

#[test]
fn rfc6585_5_a_head_over_the_limit_is_431() {
    run(async {
        let upstream = Upstream::named("never asked").await;
        let limits = "limits = { header-bytes-max = \"4KiB\", headers-max = 20 }";
        let proxy = Proxy::to(upstream.address()).listener(limits).start().await;
        let large = "x".repeat(4096);
        let many = "X-A: 1\r\n".repeat(20);
        for request in [
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {large}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            // Never complete: the limit is on what is held, not on what is whole.
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {large}"),
        ] {
            let mut client = Wire::send_to(proxy.address(), request).await;
            assert_eq!(client.response().await.status(), 431);
            client.assert_closed().await;
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn a_large_head_within_the_limit_passes() {
    run(async {
        let upstream = Upstream::named("seen").await;
        let proxy = Proxy::to(upstream.address()).start().await;
        let large = "x".repeat(60 << 10);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {large}\r\n\r\n");
        assert_eq!(Wire::connect(proxy.address()).await.ask(request).await.text(), "seen");
        assert_eq!(upstream.request().head.field("x-large"), Some(large.as_str()));
    });
}

/// Each byte comes in time for its own sake; the head as a whole does not.
#[test]
fn rfc9110_15_5_9_a_head_sent_byte_by_byte_is_408() {
    run(async {
        let upstream = Upstream::named("never asked").await;
        let proxy = Proxy::to(upstream.address()).listener("timeouts = { header = \"1s\" }").start().await;
        let mut client = Wire::connect(proxy.address()).await;
        let began = Instant::now();
        for byte in "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 0123456789".bytes().cycle() {
            if client.has_more() || !client.try_send([byte]).await {
                break;
            }
            sleep(Duration::from_millis(25)).await;
            assert!(began.elapsed() < Duration::from_secs(10), "the proxy waits for ever");
        }
        assert_eq!(client.response().await.status(), 408);
        client.assert_closed().await;
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn an_idle_connection_ends_without_a_word() {
    run(async {
        let upstream = Upstream::named("home").await;
        let timeouts = "timeouts = { header = \"1s\", keep-alive = \"500ms\" }";
        let proxy = Proxy::to(upstream.address()).listener(timeouts).start().await;
        let mut client = Wire::connect(proxy.address()).await;
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "home");
        client.assert_closed().await;
        Wire::connect(proxy.address()).await.assert_closed().await;
    });
}

async fn session(route: &str, inspected: bool) -> (Proxy, Session) {
    let upstream = RawUpstream::start().await;
    let proxy = Proxy::to(upstream.address()).route(route);
    let proxy = if inspected { proxy.guest("forward", "") } else { proxy }.start().await;
    let session = Session::open(&proxy, &upstream).await;
    (proxy, session)
}

/// Whoever breaks a limit is told with `code`, and so is the other side; nothing of what is over arrives there.
async fn assert_limit(route: &str, code: u16, fine: &[Frame], over: &[Frame]) {
    for inspected in [false, true] {
        for by_client in [true, false] {
            let (proxy, mut session) = session(route, inspected).await;
            let Session { client, upstream } = &mut session;
            let (from, to) = if by_client { (client, upstream) } else { (upstream, client) };
            from.send_all(fine.to_vec()).await;
            for frame in fine {
                assert_eq!(&to.frame().await, frame);
            }
            from.send_all(over.to_vec()).await;
            let case = format!("{route}, inspected {inspected}, by client {by_client}");
            assert_eq!(from.closed().await.0, Some(code), "{case}");
            assert!(ends_with_close(to).await, "{case}");
            proxy.log().line(&["session"]).await;
        }
    }
}

/// Frames may come before it, as long as they are whole.
async fn ends_with_close(socket: &mut WebSocket) -> bool {
    loop {
        if socket.frame().await.opcode == Opcode::Close {
            return true;
        }
    }
}

#[test]
fn rfc6455_10_4_a_message_over_the_limit_is_1009() {
    run(async {
        let route = "limits.message-bytes-max = \"1KiB\"";
        assert_limit(route, 1009, &[Frame::text("x".repeat(1024))], &[Frame::text("x".repeat(1025))]).await;
        let fragments = [Frame::binary(vec![1; 1000]).unfinished(), Frame::continuation(vec![1; 25])];
        assert_limit(route, 1009, &[], &fragments).await;
    });
}

#[test]
fn rfc6455_10_4_a_frame_over_the_limit_is_1009_before_it_has_come() {
    run(async {
        let route = "limits = { message-bytes-max = \"1MiB\", frame-bytes-max = \"1KiB\" }";
        assert_limit(route, 1009, &[Frame::text("x".repeat(1024))], &[Frame::text("x".repeat(1025))]).await;
        // The header alone says how much is to come.
        let (_proxy, mut session) = session(route, false).await;
        let huge = session.client.encode(Frame::binary(vec![0; 1 << 20]));
        session.client.wire.send(&huge[..14]).await;
        assert_eq!(session.client.closed().await.0, Some(1009));
    });
}

#[test]
fn rfc6455_10_4_too_many_fragments_are_1008() {
    run(async {
        let whole = [Frame::text("a").unfinished(), Frame::continuation("b").unfinished(), Frame::continuation("c")];
        let open = [Frame::text("a").unfinished(), Frame::continuation("b").unfinished(), Frame::continuation("c").unfinished()];
        let over: Vec<Frame> = open.into_iter().chain([Frame::continuation("d")]).collect();
        let (_proxy, mut session) = session("limits.fragments-max = 3", false).await;
        session.client.send_all(whole.clone()).await;
        for frame in &whole {
            assert_eq!(&session.upstream.frame().await, frame);
        }
        assert_limit("limits.fragments-max = 3", 1008, &[], &over).await;
    });
}

#[test]
fn too_many_messages_are_1008() {
    run(async {
        let five: Vec<Frame> = (0..5).map(|round| Frame::text(round.to_string())).collect();
        let more: Vec<Frame> = (0..50).map(|round| Frame::text(round.to_string())).collect();
        assert_limit("limits.messages-rate = \"5/m\"", 1008, &five, &more).await;
    });
}

#[test]
fn rfc6455_5_violations_of_the_protocol_are_1002_and_1007() {
    run(async {
        let oversized_ping = Frame::ping(vec![0; 126]);
        for (code, frames) in [
            (1002, vec![Frame::continuation("out of nowhere")]),
            (1002, vec![Frame::text("a").unfinished(), Frame::text("b")]),
            (1002, vec![Frame::ping("1").unfinished()]),
            (1002, vec![oversized_ping]),
            (1002, vec![Frame { rsv1: true, ..Frame::text("no extension was agreed") }]),
            (1002, vec![Frame::close(1005, "")]),
            (1002, vec![Frame::new(Opcode::Close, [3])]),
        ] {
            assert_limit("", code, &[], &frames).await;
        }
        // Only who looks inside sees this (RFC 6455 §8.1).
        let (_proxy, mut session) = session("", true).await;
        session.client.send(Frame::new(Opcode::Text, [0xff])).await;
        assert_eq!(session.client.closed().await.0, Some(1007));
        assert_eq!(session.upstream.closed().await.0, Some(1007));
    });
}

/// RFC 6455 §5.1: a client masks, a server does not.
#[test]
fn rfc6455_5_1_masks_where_none_belong_and_none_where_they_belong_are_1002() {
    run(async {
        for inspected in [false, true] {
            let (_proxy, mut session) = session("", inspected).await;
            session.client.wire.send(Frame::text("bare").bytes()).await;
            assert_eq!(session.client.closed().await.0, Some(1002));
            let (_proxy, mut session) = self::session("", inspected).await;
            session.upstream.wire.send(Frame::text("masked").masked().bytes()).await;
            assert_eq!(session.upstream.closed().await.0, Some(1002));
        }
    });
}
