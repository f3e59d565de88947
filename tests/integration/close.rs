//! How sessions end (RFC 6455 §7).

use sluicegate_tests::{Frame, Session, run};

use crate::ways::{BothWays, WAYS};

/// All that RFC 6455 §7.4 lets be sent, with and without words; and the empty close frame.
fn closes() -> Vec<Frame> {
    let mut closes: Vec<Frame> =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
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
        let both = BothWays::start("").await;
        for way in WAYS {
            for close in closes() {
                for by_client in [false, true] {
                    assert_passes_and_ends(both.session(way).await, by_client, close.clone()).await;
                }
            }
        }
    });
}

/// Each side answers with the code it likes: the answer is carried, too.
#[test]
fn the_answer_to_a_close_arrives_as_sent() {
    run(async {
        let both = BothWays::start("").await;
        for way in WAYS {
            let mut session = both.session(way).await;
            session.client.send(Frame::close(1000, "bye")).await;
            assert_eq!(session.upstream.closed().await, (Some(1000), "bye".to_owned()));
            session.upstream.send(Frame::close(4321, "farewell")).await;
            assert_eq!(session.client.closed().await, (Some(4321), "farewell".to_owned()));
        }
    });
}

#[test]
fn messages_before_the_answer_to_a_close_still_arrive() {
    run(async {
        let both = BothWays::start("").await;
        for way in WAYS {
            let mut session = both.session(way).await;
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
        let both = BothWays::start("").await;
        for (way, reset) in [(WAYS[0], false), (WAYS[0], true), (WAYS[1], false), (WAYS[1], true)] {
            let Session { mut client, mut upstream } = both.session(way).await;
            client.say("hello").await;
            assert_eq!(upstream.hear().await, "hello");
            if reset {
                client.wire.reset()
            } else {
                drop(client)
            }
            assert_eq!(upstream.closed().await.0, Some(1001), "{way}, reset {reset}");
            upstream.send(Frame::close(1001, "")).await;
            upstream.wire.assert_closed().await;
        }
    });
}

#[test]
fn a_lost_upstream_is_1014_to_the_client() {
    run(async {
        let both = BothWays::start("").await;
        for (way, reset) in [(WAYS[0], false), (WAYS[0], true), (WAYS[1], false), (WAYS[1], true)] {
            let Session { mut client, mut upstream } = both.session(way).await;
            upstream.say("hello").await;
            assert_eq!(client.hear().await, "hello");
            if reset {
                upstream.wire.reset()
            } else {
                drop(upstream)
            }
            assert_eq!(client.closed().await.0, Some(1014), "{way}, reset {reset}");
            client.send(Frame::close(1014, "")).await;
            client.wire.assert_closed().await;
        }
    });
}

/// No close frame can be put into the middle of another frame: the peer gets the end of the connection instead.
#[test]
fn a_peer_lost_in_the_middle_of_a_frame_is_no_clean_close() {
    run(async {
        let both = BothWays::start("").await;
        let mut session = both.session("/relayed").await;
        let frame = Frame::binary(vec![7; 1000]).bytes();
        session.upstream.wire.send(&frame[..500]).await;
        assert_eq!(session.client.wire.take(500).await, frame[..500]);
        session.upstream.wire.reset();
        session.client.wire.assert_closed().await;
        // Who inspects has passed nothing of it on yet, and can still say what happened.
        let mut session = both.session("/inspected").await;
        session.upstream.wire.send(&frame[..500]).await;
        session.upstream.wire.reset();
        assert_eq!(session.client.closed().await.0, Some(1014));
    });
}

#[test]
fn rfc6455_5_5_pings_and_pongs_pass_in_order_between_fragments() {
    run(async {
        let both = BothWays::start("").await;
        for way in WAYS {
            let Session { mut client, mut upstream } = both.session(way).await;
            client.send_all([Frame::text("a").unfinished(), Frame::ping("1")]).await;
            if way == "/relayed" {
                assert_eq!(upstream.frame().await, Frame::text("a").unfinished());
            }
            // Where the message is inspected it is not complete yet; the ping need not wait for that.
            assert_eq!(upstream.frame().await, Frame::ping("1"));
            upstream.send(Frame::pong("1")).await;
            assert_eq!(client.frame().await, Frame::pong("1"));
            client.send(Frame::continuation("b")).await;
            if way == "/inspected" {
                assert_eq!(upstream.frame().await, Frame::text("a").unfinished());
            }
            assert_eq!(upstream.frame().await, Frame::continuation("b"));
            upstream.send(Frame::pong("unasked")).await;
            assert_eq!(client.frame().await, Frame::pong("unasked"));
        }
    });
}

/// No data may follow a close frame (RFC 6455 §5.5.1): a peer that sends some is not heard.
#[test]
fn rfc6455_5_5_1_nothing_after_a_close_frame_is_passed_on() {
    run(async {
        let both = BothWays::start("").await;
        for way in WAYS {
            let mut session = both.session(way).await;
            session.client.send_all([Frame::close(1000, ""), Frame::text("too late")]).await;
            assert_eq!(session.upstream.closed().await.0, Some(1000));
            session.upstream.send(Frame::close(1000, "")).await;
            session.upstream.wire.assert_closed().await;
        }
    });
}
