//! How sessions end (RFC 6455 §7).

use sluicegate_tests::{Frame, Opcode, Proxy, RawUpstream, Session, run};

async fn session(inspected: bool) -> (Proxy, Session) {
    let upstream = RawUpstream::start().await;
    let proxy = Proxy::to(upstream.address());
    let proxy = if inspected { proxy.guest("forward", "") } else { proxy }.start().await;
    let session = Session::open(&proxy, &upstream).await;
    (proxy, session)
}

/// All that RFC 6455 §7.4 lets be sent, with and without words; and the empty close frame.
fn closes() -> Vec<Frame> {
    let mut closes: Vec<Frame> = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
        .map(|code| Frame::close(code, "that is all"))
        .into();
    closes.push(Frame::close(1000, ""));
    closes.push(Frame::close(4000, &"x".repeat(123)));
    closes.push(Frame::close_without_code());
    closes
}

async fn assert_passes_and_ends(mut session: Session, by_client: bool, close: Frame) {
    let Session { client, upstream } = &mut session;
    let (from, to) = if by_client { (client, upstream) } else { (upstream, client) };
    from.send(close.clone()).await;
    assert_eq!(to.frame().await, close);
    to.send(close.clone()).await;
    assert_eq!(from.frame().await, close);
    from.wire.assert_closed().await;
    to.wire.assert_closed().await;
}

#[test]
fn rfc6455_7_4_close_codes_arrive_as_sent() {
    run(async {
        for inspected in [false, true] {
            let upstream = RawUpstream::start().await;
            let proxy = Proxy::to(upstream.address());
            let proxy = if inspected { proxy.guest("forward", "") } else { proxy }.start().await;
            for close in closes() {
                for by_client in [false, true] {
                    let session = Session::open(&proxy, &upstream).await;
                    assert_passes_and_ends(session, by_client, close.clone()).await;
                }
            }
        }
    });
}

/// Each side answers with the code it likes: the answer is carried, too.
#[test]
fn the_answer_to_a_close_arrives_as_sent() {
    run(async {
        let (_proxy, mut session) = session(false).await;
        session.client.send(Frame::close(1000, "bye")).await;
        assert_eq!(session.upstream.closed().await, (Some(1000), "bye".to_owned()));
        session.upstream.send(Frame::close(4321, "farewell")).await;
        assert_eq!(session.client.closed().await, (Some(4321), "farewell".to_owned()));
    });
}

#[test]
fn messages_before_the_answer_to_a_close_still_arrive() {
    run(async {
        for inspected in [false, true] {
            let (_proxy, mut session) = session(inspected).await;
            session.client.send(Frame::close(1000, "")).await;
            assert_eq!(session.upstream.closed().await.0, Some(1000));
            session.upstream.send_all([Frame::text("one more thing"), Frame::close(1000, "")]).await;
            assert_eq!(session.client.hear().await, "one more thing");
            assert_eq!(session.client.closed().await.0, Some(1000));
        }
    });
}

#[test]
fn a_lost_client_is_1001_to_the_upstream() {
    run(async {
        for inspected in [false, true] {
            for reset in [false, true] {
                let (proxy, mut session) = session(inspected).await;
                session.client.say("hello").await;
                assert_eq!(session.upstream.hear().await, "hello");
                if reset { session.client.wire.reset() } else { drop(session.client) }
                assert_eq!(session.upstream.closed().await.0, Some(1001), "inspected {inspected}, reset {reset}");
                session.upstream.wire.assert_closed().await;
                drop(proxy);
            }
        }
    });
}

#[test]
fn a_lost_upstream_is_1014_to_the_client() {
    run(async {
        for inspected in [false, true] {
            for reset in [false, true] {
                let (proxy, mut session) = session(inspected).await;
                session.upstream.say("hello").await;
                assert_eq!(session.client.hear().await, "hello");
                if reset { session.upstream.wire.reset() } else { drop(session.upstream) }
                assert_eq!(session.client.closed().await.0, Some(1014), "inspected {inspected}, reset {reset}");
                drop(proxy);
            }
        }
    });
}

/// No close frame can be put into the middle of another frame: the peer gets the end of the connection instead.
#[test]
fn a_peer_lost_in_the_middle_of_a_frame_is_no_clean_close() {
    run(async {
        let (_proxy, mut session) = session(false).await;
        let frame = Frame::binary(vec![7; 1000]).bytes();
        session.upstream.wire.send(&frame[..500]).await;
        assert_eq!(session.client.wire.take(500).await, frame[..500]);
        session.upstream.wire.reset();
        session.client.wire.assert_closed().await;
    });
}

#[test]
fn rfc6455_5_5_pings_and_pongs_pass_in_order_between_fragments() {
    run(async {
        for inspected in [false, true] {
            let (_proxy, mut session) = session(inspected).await;
            session.client.send_all([Frame::text("a").unfinished(), Frame::ping("1")]).await;
            if inspected {
                // The message is not complete, the ping need not wait for it.
                assert_eq!(session.upstream.frame().await, Frame::ping("1"));
            } else {
                assert_eq!(session.upstream.frame().await, Frame::text("a").unfinished());
                assert_eq!(session.upstream.frame().await, Frame::ping("1"));
            }
            session.upstream.send(Frame::pong("1")).await;
            assert_eq!(session.client.frame().await, Frame::pong("1"));
            session.client.send(Frame::continuation("b")).await;
            let mut last = session.upstream.frame().await;
            if last.opcode == Opcode::Text {
                last = session.upstream.frame().await;
            }
            assert_eq!(last, Frame::continuation("b"));
            session.upstream.send(Frame::pong("unasked")).await;
            assert_eq!(session.client.frame().await, Frame::pong("unasked"));
        }
    });
}
