//! Peers that send what is no WebSocket frame, or one too many (RFC 6455 §5, §7.4, §8.1): who does it is told so with the code
//! that belongs to it, the other side that it is alone, and nothing of it goes on.

use sluicegate_tests::{Frame, Opcode, Session, WebSocket, run};

use crate::engine_compressed_frames::hellos;
use crate::engine_modes::{FORWARD, INSPECTING, MODES, RELAY, REPLACE};
use crate::engine_peers::{
    BINARY, CLOSE, DEFLATE_WITHOUT_TAKEOVER, FIN, Frames, PING, PONG, Peers, RSV, TEXT, directed,
};

#[test]
fn rfc6455_5_1_clients_mask_and_servers_do_not_or_1002() {
    run(async {
        let peers = Peers::start("").await;
        for frames in
            [Frames::of([(FIN | TEXT, b"a")]), Frames::of([(FIN | PING, &[])]), Frames::of([(BINARY, &[])])]
        {
            // As the other side would have to send them.
            peers.assert_told(1002, &MODES, "", |by_client| frames.bytes(!by_client)).await;
        }
    });
}

#[test]
fn rfc6455_5_2_reserved_bits_and_opcodes_are_1002() {
    run(async {
        let peers = Peers::start("").await;
        let mut cases = Vec::new();
        for reserved in RSV {
            cases.extend(
                [TEXT, BINARY, CLOSE, PING, PONG].map(|opcode| Frames::of([(FIN | reserved | opcode, &[])])),
            );
            cases.push(Frames::of([(TEXT, b"a"), (FIN | reserved, b"b")]));
        }
        cases.push(Frames::of([(FIN | RSV[0] | RSV[1] | RSV[2] | TEXT, b"a")]));
        for opcode in (0x3..=0x7).chain(0xb..=0xf) {
            cases.push(Frames::of([(FIN | opcode, b"a")]));
            cases.push(Frames::of([(opcode, &[])]));
            cases.push(Frames::of([(TEXT, b"a"), (FIN | opcode, b"b")]));
        }
        for frames in cases {
            peers.assert_frames_told(1002, &[RELAY, FORWARD], "", frames).await;
        }
    });
}

#[test]
fn rfc6455_5_2_lengths_in_another_than_the_shortest_form_are_1002() {
    run(async {
        let peers = Peers::start("").await;
        let headers: [&[u8]; 6] = [
            &[FIN | BINARY, 126, 0, 0],
            &[FIN | BINARY, 126, 0, 125],
            &[FIN | BINARY, 127, 0, 0, 0, 0, 0, 0, 0, 125],
            &[FIN | BINARY, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            // The top bit of a length has no meaning.
            &[FIN | BINARY, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
            &[FIN | BINARY, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ];
        for header in headers {
            peers.assert_told(1002, &MODES, "", |by_client| header_of(by_client, header)).await;
        }
    });
}

/// What it announces is never made room for.
#[test]
fn rfc6455_10_4_a_frame_of_2_to_the_62_bytes_is_1009_when_it_is_announced() {
    run(async {
        let peers = Peers::start("").await;
        for length in [1_u64 << 62, (1 << 63) - 1, (1 << 20) + 1] {
            let header = [&[FIN | BINARY, 127][..], &length.to_be_bytes()].concat();
            peers.assert_told(1009, &MODES, "", |by_client| header_of(by_client, &header)).await;
        }
        let mut header = vec![BINARY, 127];
        header.extend(((1_u64 << 20) - 1).to_be_bytes());
        for mode in MODES {
            // One that may come is waited for.
            let mut session = peers.session(mode, "").await;
            session.client.wire.send(header_of(true, &header)).await;
            session.upstream.say("still here").await;
            assert_eq!(session.client.hear().await, "still here");
        }
    });
}

fn header_of(by_client: bool, header: &[u8]) -> Vec<u8> {
    let mut header = header.to_vec();
    if by_client {
        header[1] |= 0x80;
        header.extend([1, 2, 3, 4]);
    }
    header
}

#[test]
fn rfc6455_5_4_fragments_out_of_order_are_1002() {
    run(async {
        let peers = Peers::start("").await;
        for frames in [
            Frames::of([(FIN, b"a")]),
            Frames::of([(0, &[])]),
            Frames::of([(FIN | TEXT, b"a"), (FIN, b"b")]),
            Frames::of([(TEXT, b"a"), (FIN, b"b"), (FIN, b"c")]),
            Frames::of([(TEXT, b"a"), (FIN | TEXT, b"b")]),
            Frames::of([(TEXT, &[]), (BINARY, &[])]),
            Frames::of([(BINARY, b"a"), (0, b"b"), (FIN | TEXT, &[])]),
            // Nor do pings between fragments make an end of the message.
            Frames::of([(BINARY, b"a"), (FIN | PING, b"b"), (FIN | BINARY, b"c")]),
        ] {
            peers.assert_frames_told(1002, &[RELAY, FORWARD], "", frames).await;
        }
    });
}

#[test]
fn rfc6455_5_5_control_frames_are_whole_and_short_or_1002() {
    run(async {
        let peers = Peers::start("").await;
        for opcode in [CLOSE, PING, PONG] {
            let payload = [&1000_u16.to_be_bytes()[..], &[b'x'; 124]].concat();
            peers
                .assert_frames_told(1002, &[RELAY, FORWARD], "", Frames::of([(FIN | opcode, &payload)]))
                .await;
            peers
                .assert_frames_told(1002, &[RELAY, FORWARD], "", Frames::of([(opcode, &payload[..2])]))
                .await;
            let fragments = Frames::of([(opcode, &payload[..2]), (FIN, &payload[..2])]);
            peers.assert_frames_told(1002, &[RELAY, FORWARD], "", fragments).await;
            peers.assert_passes(&MODES, "", Frames::of([(FIN | opcode, &payload[..125])])).await;
        }
    });
}

#[test]
fn rfc6455_7_4_close_frames_that_say_what_none_may_say() {
    run(async {
        let peers = Peers::start("").await;
        for code in [0_u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
            let frames = Frames::of([(FIN | CLOSE, &code.to_be_bytes())]);
            peers.assert_frames_told(1002, &[RELAY, FORWARD], "", frames).await;
        }
        peers.assert_frames_told(1002, &[RELAY, FORWARD], "", Frames::of([(FIN | CLOSE, &[3])])).await;
        for reason in [&b"\xff"[..], b"cut \xe2\x82", b"\xed\xa0\x80"] {
            let payload = [&1000_u16.to_be_bytes(), reason].concat();
            peers
                .assert_frames_told(1007, &[RELAY, FORWARD], "", Frames::of([(FIN | CLOSE, &payload)]))
                .await;
        }
    });
}

/// Texts that are none, in one frame and in several; and one of which that is clear before its end.
fn broken_texts() -> Vec<Frames> {
    vec![
        Frames::of([(FIN | TEXT, b"caf\xe9")]),
        Frames::of([(FIN | TEXT, b"cut \xe2\x82")]),
        Frames::of([(TEXT, b"\xc3"), (FIN, b"x")]),
        Frames::of([(TEXT, b"\xf0\x9f"), (0, b"\x98"), (FIN, b"x")]),
        Frames::of([(TEXT, b"\xe2\x82"), (0, &[]), (FIN, &[])]),
        // A surrogate, more bytes than needed, and past the last character.
        Frames::of([(TEXT, b"\xed"), (FIN, b"\xa0\x80")]),
        Frames::of([(TEXT, b"\xc0"), (FIN, b"\x80")]),
        Frames::of([(FIN | TEXT, b"\xf4\x90\x80\x80")]),
        Frames::of([(TEXT, b"fine so far \xff")]),
    ]
}

#[test]
fn rfc6455_8_1_text_that_is_not_utf_8_is_1007_where_it_is_inspected() {
    run(async {
        let peers = Peers::start("").await;
        for frames in broken_texts() {
            peers.assert_frames_told(1007, &INSPECTING, "", frames.clone()).await;
            peers.assert_passes(&[RELAY], "", frames).await;
        }
    });
}

#[test]
fn rfc6455_8_1_text_is_utf_8_as_a_whole_and_not_by_frames() {
    run(async {
        let peers = Peers::start("").await;
        let text = "grüße: €, 😀";
        let single = text.as_bytes().chunks(1).map(<[u8]>::to_vec).enumerate();
        let mut frames = Frames(single.map(|(at, byte)| (if at == 0 { TEXT } else { 0 }, byte)).collect());
        frames.0.push((FIN, Vec::new()));
        peers.assert_passes(&[RELAY, FORWARD], "", frames.clone()).await;
        let mut session = peers.session(REPLACE, "").await;
        session.client.wire.send(frames.bytes(true)).await;
        assert_eq!(session.upstream.hear().await, text);
        // What is not text may be anything.
        peers.assert_passes(&[RELAY, FORWARD], "", Frames::of([(FIN | BINARY, b"caf\xe9")])).await;
    });
}

/// A conversation of all that frames can be.
fn conversation() -> Frames {
    let mut frames = Frames::of([
        (FIN | TEXT, "grüß dich".as_bytes()),
        (FIN | BINARY, &[7; 300]),
        (TEXT, b"in "),
        (FIN | PING, b"between"),
        (0, b"three "),
        (FIN | PONG, &[]),
        (FIN, b"frames"),
        (FIN | BINARY, &[]),
    ]);
    frames.0.extend(hellos().into_iter().flat_map(|hello| hello.0));
    frames.0.push((FIN | CLOSE, [&1000_u16.to_be_bytes()[..], b"bye"].concat()));
    frames
}

/// The whole of what these bytes say, whatever frames it is in.
async fn said(socket: &mut WebSocket) -> (Vec<Frame>, Vec<Frame>) {
    let (mut messages, mut controls) = (Vec::<Frame>::new(), Vec::new());
    loop {
        let frame = socket.frame().await;
        match frame.opcode {
            Opcode::Close => {
                controls.push(frame);
                return (messages, controls);
            }
            Opcode::Ping | Opcode::Pong => controls.push(frame),
            Opcode::Continuation => {
                let message = messages.last_mut().unwrap();
                message.payload.extend(frame.payload);
                message.fin = frame.fin;
            }
            Opcode::Text | Opcode::Binary => messages.push(frame),
        }
    }
}

#[test]
fn bytes_that_come_one_by_one_are_the_same_bytes() {
    run(async {
        let peers = Peers::start("").await;
        for mode in MODES {
            for by_client in [true, false] {
                let mut heard = Vec::new();
                for step in [1, 3, usize::MAX] {
                    let session = peers.session(mode, DEFLATE_WITHOUT_TAKEOVER).await;
                    let (mut from, mut to) = directed(session, by_client);
                    let bytes = conversation().bytes(by_client);
                    let send = async {
                        for bytes in bytes.chunks(step.min(bytes.len())) {
                            from.wire.send(bytes).await;
                            tokio::task::yield_now().await;
                        }
                    };
                    heard.push(tokio::join!(send, said(&mut to)).1);
                }
                let (messages, controls) = &heard[0];
                assert_eq!(
                    (messages.len(), controls.len()),
                    (4 + hellos().len(), 3),
                    "{mode}, by client: {by_client}"
                );
                assert_eq!(messages[0], Frame::text("grüß dich"));
                assert_eq!(messages[2], Frame::text("in three frames"));
                assert_eq!(controls[2], Frame::close(1000, "bye"));
                assert!(
                    heard.iter().all(|one| one == &heard[0]),
                    "{mode}, by client: {by_client}, {heard:?}"
                );
            }
        }
    });
}

/// RFC 6455 §9.1: an extension that the proxy does not know is the peers' own business, but not where it has to look inside.
#[test]
fn rfc6455_9_1_an_unknown_extension_passes_where_nobody_inspects() {
    run(async {
        let peers = Peers::start("").await;
        let extension = "Sec-WebSocket-Extensions: x-reversed; deep\r\n";
        let frames =
            || Frames::of([(FIN | RSV[1] | TEXT, b"olleh".as_slice()), (FIN | RSV[2] | BINARY, &[1])]);
        peers.assert_passes(&[RELAY], extension, frames()).await;
        for mode in INSPECTING {
            let session = Session::open_with(&peers.proxy, &peers.upstream, mode, extension, "").await;
            assert_eq!(session.upstream.head.field("sec-websocket-extensions"), None);
        }
        peers.assert_frames_told(1002, &[RELAY, FORWARD], "", frames()).await;
    });
}

#[test]
fn all_that_was_sent_before_a_close_arrives_and_a_half_closed_connection_still_hears() {
    run(async {
        let peers = Peers::start("").await;
        for mode in MODES {
            for by_client in [true, false] {
                let (mut from, mut to) = directed(peers.session(mode, "").await, by_client);
                let message = Frame::binary(vec![7; 100_000]);
                let say = async {
                    for _ in 0..50 {
                        from.send(message.clone()).await;
                    }
                    from.send(Frame::close(1000, "that is all")).await;
                    from.wire.finish().await;
                    assert_eq!(from.hear().await, "one more thing");
                    assert_eq!(from.closed().await, (Some(1000), "bye".to_owned()));
                };
                let hear = async {
                    for _ in 0..50 {
                        assert_eq!(to.frame().await, message);
                    }
                    assert_eq!(to.closed().await, (Some(1000), "that is all".to_owned()));
                    to.say("one more thing").await;
                    to.send(Frame::close(1000, "bye")).await;
                };
                tokio::join!(say, hear);
                from.wire.assert_closed().await;
                to.wire.assert_closed().await;
            }
        }
    });
}
