//! The proxy's own pings (`ping`), the peers' pings, and sessions whose time is up.

use futures_util::future::join_all;
use serde_json::Value;
use sluicegate_tests::{Frame, Opcode, Peer, RawUpstream, Session, WebSocket, run};

use crate::engine_modes::{self, MODES, RELAY};
use crate::engine_sessions::{Led, Plan, Round, echoed, text};

const PING: &str = "ping = { interval = \"1s\", timeout = \"1s\" }";

async fn ping(socket: &mut WebSocket) -> Frame {
    let frame = socket.frame().await;
    assert_eq!(frame.opcode, Opcode::Ping, "{frame:?}");
    frame
}

/// Node answers pings by itself, on both sides.
#[test]
fn rfc6455_5_5_2_idle_peers_that_answer_pings_stay() {
    run(async {
        let (_server, address) = Peer::server("deflate-echo.js", &[]).await;
        let proxy = engine_modes::start(address, PING).await;
        let mut plan = Plan::default();
        let idle = Round { send: Vec::<Value>::new(), hear: Vec::new(), pings: 4 };
        plan.script("idle", [idle, echoed(vec![text("still here")])]);
        for mode in MODES {
            plan.session(mode, "idle", Some(&vec![]), Some(&vec![]));
        }
        assert_eq!(plan.lead("sessions-client.js", &proxy).await, Led { sessions: 3, compressed: 3 });
    });
}

#[test]
fn rfc6455_5_5_2_a_peer_that_shows_no_sign_of_life_is_found_and_both_legs_end() {
    run(async {
        let server = RawUpstream::start().await;
        let proxy = engine_modes::start(server.address(), PING).await;
        for mode in MODES {
            let mut sessions = Vec::new();
            for _ in 0..2 {
                sessions.push(Session::open_at(&proxy, &server, mode).await);
            }
            let (second, first) = (sessions.pop().unwrap(), sessions.pop().unwrap());
            let silent_client = assert_found(first.client, first.upstream, 1001);
            let silent_upstream = assert_found(second.upstream, second.client, 1014);
            tokio::join!(silent_client, silent_upstream);
        }
    });
}

/// Of two sides of a session, one shows no sign of life, so that the other is told `code`.
async fn assert_found(mut silent: WebSocket, mut lively: WebSocket, code: u16) {
    ping(&mut silent).await;
    let (told, last_word) = tokio::join!(close_answering_pings(&mut lively), silent.closed());
    assert_eq!((told, last_word.0), (Some(code), Some(1001)));
    lively.wire.assert_closed().await;
    silent.wire.assert_closed().await;
}

/// The code of the close frame that ends it.
async fn close_answering_pings(socket: &mut WebSocket) -> Option<u16> {
    loop {
        let frame = socket.frame().await;
        match frame.opcode {
            Opcode::Ping => socket.send(Frame::pong(frame.payload)).await,
            _ => {
                let code = frame.close_code();
                socket.send(frame).await;
                return code;
            }
        }
    }
}

#[test]
fn rfc6455_5_5_the_peers_own_pings_pass_and_the_proxys_do_not_mix_with_them() {
    run(async {
        let server = RawUpstream::start().await;
        let proxy = engine_modes::start(server.address(), PING).await;
        for mode in MODES {
            let Session { mut client, mut upstream } = Session::open_at(&proxy, &server, mode).await;
            let (to_client, to_upstream) = (ping(&mut client).await, ping(&mut upstream).await);
            // A pong that answers nothing passes, the answer to the proxy's ping does not, whatever is around it.
            client
                .send_all([Frame::ping("one"), Frame::pong(to_client.payload), Frame::pong("unasked")])
                .await;
            upstream.send_all([Frame::pong(to_upstream.payload), Frame::ping("two")]).await;
            assert_eq!(upstream.frame().await, Frame::ping("one"), "{mode}");
            assert_eq!(upstream.frame().await, Frame::pong("unasked"));
            assert_eq!(client.frame().await, Frame::ping("two"));
            client.send(Frame::pong("two")).await;
            assert_eq!(upstream.frame().await, Frame::pong("two"));
        }
    });
}

/// Any bytes are a sign of life.
#[test]
fn peers_that_speak_need_not_answer_pings() {
    run(async {
        let server = RawUpstream::start().await;
        let proxy = engine_modes::start(server.address(), PING).await;
        let mut sessions = Vec::new();
        for mode in MODES {
            sessions.push(Session::open_at(&proxy, &server, mode).await);
        }
        let speak = async |Session { mut client, mut upstream }| {
            for _ in 0..3 {
                tokio::join!(ping(&mut client), ping(&mut upstream));
                client.say("busy").await;
                upstream.say("busy").await;
                assert_eq!(
                    (upstream.hear().await, client.hear().await),
                    ("busy".to_owned(), "busy".to_owned())
                );
            }
        };
        join_all(sessions.into_iter().map(speak)).await;
    });
}

/// RFC 6455 §5.4: control frames come between frames, never inside one.
#[test]
fn rfc6455_5_4_a_ping_waits_for_the_end_of_the_frame_that_is_passing() {
    run(async {
        let server = RawUpstream::start().await;
        let proxy = engine_modes::start(server.address(), PING).await;
        for mode in MODES {
            let Session { mut client, mut upstream } = Session::open_at(&proxy, &server, mode).await;
            let frames = [Frame::text("x".repeat(2000)).unfinished(), Frame::continuation("the end")];
            let [first, second] = frames.map(|frame| client.encode(frame));
            client.wire.send(&first[..1000]).await;
            // By the time the client is pinged, so would the upstream be.
            ping(&mut client).await;
            if mode == RELAY {
                assert_eq!(upstream.wire.take(1000).await, first[..1000]);
                assert!(!upstream.wire.has_more());
                client.wire.send(&first[1000..]).await;
                assert_eq!(upstream.wire.take(first.len() - 1000).await, first[1000..]);
                ping(&mut upstream).await;
                client.wire.send(&second).await;
            } else {
                // Of what is put together nothing has gone out yet.
                ping(&mut upstream).await;
                client.wire.send([&first[1000..], &second].concat()).await;
            }
            let mut text = String::new();
            while !text.ends_with("the end") {
                text += str::from_utf8(&upstream.frame().await.payload).unwrap();
            }
        }
    });
}

#[test]
fn a_session_whose_time_is_up_ends_at_a_message_boundary_with_1001() {
    run(async {
        let server = RawUpstream::start().await;
        let proxy = engine_modes::start(server.address(), "timeouts.lifetime = \"500ms\"").await;
        for mode in MODES {
            let Session { mut client, mut upstream } = Session::open_at(&proxy, &server, mode).await;
            client.send(Frame::text("begun ").unfinished()).await;
            assert_eq!(client.closed().await.0, Some(1001), "{mode}");
            // The upstream is in the middle of a message, if it has anything of it.
            if mode == RELAY {
                assert_eq!(upstream.frame().await, Frame::text("begun ").unfinished());
                assert!(!upstream.wire.has_more());
                client.send_all([Frame::continuation("and ended"), Frame::close(1001, "")]).await;
                assert_eq!(upstream.frame().await, Frame::continuation("and ended"));
            } else {
                client.send(Frame::close(1001, "")).await;
            }
            assert_eq!(upstream.closed().await.0, Some(1001), "{mode}");
            upstream.send(Frame::close(1001, "")).await;
            upstream.wire.assert_closed().await;
            client.wire.assert_closed().await;
        }
    });
}

#[test]
fn a_session_in_which_nobody_speaks_ends_with_1001_on_both_sides() {
    run(async {
        let server = RawUpstream::start().await;
        let proxy = engine_modes::start(server.address(), "timeouts.idle = \"500ms\"").await;
        for mode in MODES {
            let Session { mut client, mut upstream } = Session::open_at(&proxy, &server, mode).await;
            let (client_code, upstream_code) = tokio::join!(client.closed(), upstream.closed());
            assert_eq!((client_code.0, upstream_code.0), (Some(1001), Some(1001)), "{mode}");
        }
    });
}
