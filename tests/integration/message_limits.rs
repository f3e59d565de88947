//! Bounds on what WebSocket peers may send (RFC 6455 §10.4), and what becomes of frames that are none.

use sluicegate_tests::{Frame, Opcode, Session, WebSocket, run};

use crate::ways::{BothWays, WAYS};

/// Whoever breaks a limit is told with `code`, and so is the other side.
async fn assert_limit(both: &BothWays, code: u16, fine: &[Frame], over: &[Frame]) {
    for (way, by_client) in [(WAYS[0], true), (WAYS[0], false), (WAYS[1], true), (WAYS[1], false)] {
        let case = format!("{way}, by client: {by_client}, {over:?}");
        let Session { mut client, mut upstream } = both.session(way).await;
        let (from, to) = if by_client { (&mut client, &mut upstream) } else { (&mut upstream, &mut client) };
        from.send_all(fine.to_vec()).await;
        for frame in fine {
            assert_eq!(&to.frame().await, frame, "{case}");
        }
        from.send_all(over.to_vec()).await;
        assert_eq!(from.closed().await.0, Some(code), "{case}");
        assert!(ends_with_close(to).await, "{case}");
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
        let both = BothWays::start("limits.message-bytes-max = \"1KiB\"").await;
        assert_limit(&both, 1009, &[Frame::text("x".repeat(1024))], &[Frame::text("x".repeat(1025))]).await;
        let fragments = [Frame::binary(vec![1; 1000]).unfinished(), Frame::continuation(vec![1; 25])];
        assert_limit(&both, 1009, &[], &fragments).await;
    });
}

#[test]
fn rfc6455_10_4_a_frame_over_the_limit_is_1009_before_it_has_come() {
    run(async {
        let both =
            BothWays::start("limits = { message-bytes-max = \"1MiB\", frame-bytes-max = \"1KiB\" }").await;
        assert_limit(&both, 1009, &[Frame::text("x".repeat(1024))], &[Frame::text("x".repeat(1025))]).await;
        for way in WAYS {
            // The header alone says how much is to come.
            let mut session = both.session(way).await;
            let huge = session.client.encode(Frame::binary(vec![0; 1 << 20]));
            session.client.wire.send(&huge[..14]).await;
            assert_eq!(session.client.closed().await.0, Some(1009));
        }
    });
}

#[test]
fn rfc6455_10_4_too_many_fragments_are_1008() {
    run(async {
        let both = BothWays::start("limits.fragments-max = 3").await;
        let [a, b, c] = [Frame::text("a"), Frame::continuation("b"), Frame::continuation("c")];
        let whole = [a.clone().unfinished(), b.clone().unfinished(), c.clone()];
        let over = [a.unfinished(), b.unfinished(), c.unfinished(), Frame::continuation("d")];
        assert_limit(&both, 1008, &whole, &over).await;
    });
}

#[test]
fn too_many_messages_are_1008() {
    run(async {
        let both = BothWays::start("limits.messages-rate = \"5/m\"").await;
        let texts =
            |count: usize| -> Vec<Frame> { (0..count).map(|round| Frame::text(round.to_string())).collect() };
        assert_limit(&both, 1008, &texts(5), &texts(50)).await;
    });
}

#[test]
fn rfc6455_5_frames_that_break_the_protocol_are_1002() {
    run(async {
        let both = BothWays::start("").await;
        for frames in [
            vec![Frame::continuation("out of nowhere")],
            vec![Frame::text("a").unfinished(), Frame::text("b")],
            vec![Frame::ping("1").unfinished()],
            vec![Frame::ping(vec![0; 126])],
            vec![Frame { rsv1: true, ..Frame::text("no extension was agreed") }],
            vec![Frame::close(1005, "")],
            vec![Frame::close(1006, "")],
            vec![Frame::close(999, "")],
            vec![Frame::new(Opcode::Close, [3])],
        ] {
            assert_limit(&both, 1002, &[], &frames).await;
        }
    });
}

/// RFC 6455 §5.1: a client masks, a server does not.
#[test]
fn rfc6455_5_1_masks_where_none_belong_and_none_where_they_belong_are_1002() {
    run(async {
        let both = BothWays::start("").await;
        for way in WAYS {
            let mut session = both.session(way).await;
            session.client.wire.send(Frame::text("bare").bytes()).await;
            assert_eq!(session.client.closed().await.0, Some(1002));
            let mut session = both.session(way).await;
            session.upstream.wire.send(Frame::text("masked").masked().bytes()).await;
            assert_eq!(session.upstream.closed().await.0, Some(1002));
        }
    });
}

/// Only who looks inside can see it; who only relays leaves it to the peer.
#[test]
fn rfc6455_8_1_text_that_is_not_utf_8_is_1007_where_it_is_inspected() {
    run(async {
        let both = BothWays::start("").await;
        let bad = Frame::new(Opcode::Text, *b"caf\xe9");
        let mut session = both.session("/inspected").await;
        session.client.send(bad.clone()).await;
        assert_eq!(session.client.closed().await.0, Some(1007));
        assert!(ends_with_close(&mut session.upstream).await);
        let mut session = both.session("/relayed").await;
        session.client.send(bad.clone()).await;
        assert_eq!(session.upstream.frame().await, bad);
    });
}
