//! RFC 6455 section by section: what is accepted, and what hostile peers are told.

use sluicegate_websocket::negotiation::Extensions;
use sluicegate_websocket::{
    Boundary, CloseCode, Control, ControlKind, Limits, Outbound, Payload, Piece, Reader, Scanner, Side,
    Violation,
};

use crate::peers::{
    BINARY, CLOSE, CONTINUATION, Frame, KEY, LIMITS, PING, PONG, Received, Receiver, TEXT, close_payload,
};
use crate::support::{Outcome, Seen, read, scan};

const SIDES: [Side; 2] = [Side::Client, Side::Upstream];

fn scanned(sender: Side, limits: Limits, stream: &[u8]) -> Outcome {
    scan(&mut Scanner::new(sender, limits, Extensions::None), [stream])
}

fn inspected(sender: Side, limits: Limits, stream: &[u8]) -> Outcome {
    read(&mut Reader::new(sender, limits, None), [stream])
}

/// Both refuse the stream, whole or byte by byte, after having let `before` pass.
#[track_caller]
fn both_refuse(sender: Side, limits: Limits, before: &[u8], stream: &[u8], expected: Violation) {
    let all = [before, stream].concat();
    let (scanned, inspected) = (scanned(sender, limits, &all), inspected(sender, limits, &all));
    assert_eq!(scanned.violation, Some(expected), "scanned from {sender:?}");
    assert_eq!(inspected.violation, Some(expected), "read from {sender:?}");
    assert_eq!(scanned.wire(), before, "nothing of the wrong frame is let through");

    let bytes = || all.chunks(1);
    let mut scanner = Scanner::new(sender, limits, Extensions::None);
    assert_eq!(scan(&mut scanner, bytes()), scanned);
    let mut reader = Reader::new(sender, limits, None);
    assert_eq!(read(&mut reader, bytes()), inspected);

    let swallowed = Outcome { events: vec![], violation: None };
    assert_eq!(scan(&mut scanner, [&all[..]]), swallowed, "nothing is read after a violation");
    assert_eq!(read(&mut reader, [&all[..]]), swallowed, "nothing is read after a violation");
    assert!(scanner.is_closed() && reader.is_closed());
}

#[track_caller]
fn refused(frame: impl Fn(Side) -> Frame, expected: Violation) {
    for sender in SIDES {
        both_refuse(sender, LIMITS, b"", &frame(sender).bytes(), expected);
    }
}

#[test]
fn section_5_1_clients_mask_and_servers_do_not() {
    for opcode in [TEXT, BINARY, PING, CLOSE] {
        let unmasked = Frame::new(Side::Upstream, opcode, "").bytes();
        both_refuse(Side::Client, LIMITS, b"", &unmasked, Violation::Mask);
        let masked = Frame::new(Side::Client, opcode, "").bytes();
        both_refuse(Side::Upstream, LIMITS, b"", &masked, Violation::Mask);
    }
    assert_eq!(Violation::Mask.close_code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn section_5_2_reserved_bits_and_opcodes() {
    for reserved in 1..8 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let frame = |sender| Frame { reserved, ..Frame::new(sender, opcode, "") };
            refused(frame, Violation::ReservedBits);
        }
    }
    for opcode in (0x3..0x8).chain(0xb..0x10) {
        refused(|sender| Frame::new(sender, opcode, ""), Violation::ReservedOpcode(opcode));
    }
}

#[test]
fn section_5_2_lengths() {
    let long = |len: &[u8]| [&[0x82], len].concat();
    let refused = |len: &[u8], expected| {
        both_refuse(Side::Upstream, LIMITS, b"", &long(len), expected);
    };
    refused(&[126, 0, 125], Violation::LengthNotMinimal);
    refused(&[127, 0, 0, 0, 0, 0, 0, 255, 255], Violation::LengthNotMinimal);
    refused(&[127, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::LengthTopBit);
    // A frame of 2^62 bytes is refused for its header, however much of it there is.
    let too_large = Violation::FrameTooLarge(LIMITS.frame_bytes_max);
    refused(&[127, 0x40, 0, 0, 0, 0, 0, 0, 0], too_large);
    assert_eq!(too_large.close_code(), CloseCode::TOO_BIG);
}

#[test]
fn section_5_2_every_length_form_is_read() {
    for sender in SIDES {
        for len in [0, 1, 125, 126, 127, 128, 65535, 65536, 65537] {
            let frame = Frame::new(sender, BINARY, vec![7; len]).bytes();
            let expected = Seen::Message {
                payload: Received::Binary(vec![7; len]),
                original: frame.clone(),
                compressed: false,
            };
            assert_eq!(inspected(sender, LIMITS, &frame).events, [expected]);
            assert_eq!(scanned(sender, LIMITS, &frame).events, [Seen::Data(frame)]);
        }
    }
}

#[test]
fn section_5_4_fragments_with_control_frames_between() {
    for sender in SIDES {
        let frames = [
            Frame::new(sender, TEXT, "κόσ").fragment().bytes(),
            Frame::new(sender, PING, "in between").bytes(),
            Frame::new(sender, CONTINUATION, "").fragment().bytes(),
            Frame::new(sender, CONTINUATION, "με").bytes(),
        ];
        let outcome = inspected(sender, LIMITS, &frames.concat());
        let ping = Seen::Control { payload: Received::Ping(b"in between".to_vec()), raw: frames[1].clone() };
        let message = Seen::Message {
            payload: Received::Text("κόσμε".into()),
            original: [&frames[0][..], &frames[2], &frames[3]].concat(),
            compressed: false,
        };
        assert_eq!(outcome.events, [ping, message]);
        assert_eq!(outcome.violation, None);
    }
}

#[test]
fn section_5_4_sequence() {
    refused(|sender| Frame::new(sender, CONTINUATION, "x"), Violation::ContinuationWithoutStart);
    for sender in SIDES {
        let whole = Frame::new(sender, TEXT, "whole").bytes();
        let continuation = Frame::new(sender, CONTINUATION, "x").bytes();
        let expected = Violation::ContinuationWithoutStart;
        both_refuse(sender, LIMITS, &whole, &continuation, expected);
        let begun = Frame::new(sender, BINARY, "begun").fragment().bytes();
        for opcode in [TEXT, BINARY] {
            let new = Frame::new(sender, opcode, "new").bytes();
            both_refuse(sender, LIMITS, &begun, &new, Violation::MessageInsideMessage);
        }
    }
}

#[test]
fn section_5_5_control_frames() {
    for opcode in [PING, PONG, CLOSE] {
        refused(|sender| Frame::new(sender, opcode, "").fragment(), Violation::ControlFragmented);
        refused(|sender| Frame::new(sender, opcode, [b'x'; 126]), Violation::ControlTooLong);
    }
    let longest = Frame::new(Side::Client, PONG, [b'x'; 125]).bytes();
    let outcome = inspected(Side::Client, LIMITS, &longest);
    assert_eq!(outcome.messages(), [Received::Pong(vec![b'x'; 125])]);
}

#[test]
fn section_5_5_1_close_payload() {
    refused(|sender| Frame::new(sender, CLOSE, "x"), Violation::ClosePayload);
    let not_utf8 = [&close_payload(1000, "")[..], b"\xc3\x28"].concat();
    refused(|sender| Frame::new(sender, CLOSE, &not_utf8), Violation::CloseReasonNotUtf8);
    assert_eq!(Violation::CloseReasonNotUtf8.close_code(), CloseCode::INVALID_PAYLOAD);

    for (payload, expected) in [
        (vec![], None),
        (close_payload(1000, ""), Some((CloseCode::NORMAL, ""))),
        (close_payload(1001, "gehen"), Some((CloseCode::GOING_AWAY, "gehen"))),
    ] {
        let frame = Frame::new(Side::Client, CLOSE, &payload).bytes();
        let control = only_control(&frame);
        assert_eq!(control.kind(), ControlKind::Close);
        assert_eq!(control.close_reason(), expected);
        assert_eq!((control.payload(), control.raw()), (&payload[..], &frame[..]));
    }
}

fn only_control(mut frame: &[u8]) -> Control {
    let mut scanner = Scanner::new(Side::Client, LIMITS, Extensions::None);
    match scanner.next(&mut frame) {
        Ok(Some(Piece::Control(control))) => control,
        other => panic!("no control frame: {other:?}"),
    }
}

#[test]
fn section_7_4_close_codes() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let payload = close_payload(code, "");
        refused(|sender| Frame::new(sender, CLOSE, &payload), Violation::CloseCode(code));
    }
    for code in [1000, 1003, 1007, 1014, 3000, 4999] {
        let control = only_control(&Frame::new(Side::Client, CLOSE, close_payload(code, "x")).bytes());
        assert_eq!(control.close_reason().map(|(code, _)| code.get()), Some(code));
    }
}

#[test]
fn section_1_4_after_a_close_nothing_is_read() {
    for sender in SIDES {
        let close = Frame::new(sender, CLOSE, close_payload(1000, "")).bytes();
        let stream = [&close[..], &Frame::new(sender, TEXT, "late").bytes(), b"\xff\xff"].concat();
        for outcome in [scanned(sender, LIMITS, &stream), inspected(sender, LIMITS, &stream)] {
            assert_eq!(outcome.messages(), [Received::Close(close_payload(1000, ""))]);
            assert_eq!(outcome.violation, None);
        }
        let mut scanner = Scanner::new(sender, LIMITS, Extensions::None);
        scan(&mut scanner, [&stream[..]]);
        assert!(scanner.is_closed());
    }
}

#[test]
fn section_8_1_text_is_utf8_wherever_it_is_cut() {
    let wrong = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    for cut in 0..wrong.len() {
        let frames = [
            Frame::new(Side::Client, TEXT, &wrong[..cut]).fragment().bytes(),
            Frame::new(Side::Client, CONTINUATION, &wrong[cut..]).bytes(),
        ]
        .concat();
        let outcome = inspected(Side::Client, LIMITS, &frames);
        assert_eq!(outcome, Outcome { events: vec![], violation: Some(Violation::TextNotUtf8) });
    }
    // A character may be cut by a fragment, but not by the end of a message.
    let cut = Frame::new(Side::Upstream, TEXT, b"\xe2\x82").bytes();
    let outcome = inspected(Side::Upstream, LIMITS, &cut);
    assert_eq!(outcome.violation, Some(Violation::TextNotUtf8));
    assert_eq!(Violation::TextNotUtf8.close_code(), CloseCode::INVALID_PAYLOAD);
}

#[test]
fn section_8_1_text_fails_as_soon_as_it_is_wrong() {
    for sender in SIDES {
        let mut frame = Frame::new(sender, TEXT, [b'x'; 1000]);
        frame.payload[500] = 0xff;
        let bytes = frame.bytes();
        let wrong_at = bytes.len() - 500;
        let mut reader = Reader::new(sender, LIMITS, None);
        assert_eq!(read(&mut reader, [&bytes[..wrong_at]]).violation, None);
        let next = read(&mut reader, [&bytes[wrong_at..=wrong_at]]);
        assert_eq!(next.violation, Some(Violation::TextNotUtf8));
    }
}

#[test]
fn limits_of_sizes_and_fragments() {
    let limits = Limits { frame_bytes_max: 10, message_bytes_max: 25, fragments_max: 4 };
    for sender in SIDES {
        let frame = |opcode, len| Frame::new(sender, opcode, vec![b'x'; len]);
        let exact = [
            frame(TEXT, 10).fragment().bytes(),
            frame(CONTINUATION, 10).fragment().bytes(),
            frame(CONTINUATION, 5).bytes(),
        ]
        .concat();
        assert_eq!(scanned(sender, limits, &exact).violation, None);
        assert_eq!(inspected(sender, limits, &exact).violation, None);

        let too_large = Violation::FrameTooLarge(10);
        both_refuse(sender, limits, b"", &frame(TEXT, 11).bytes(), too_large);
        let begun = [frame(TEXT, 10).fragment().bytes(), frame(CONTINUATION, 10).fragment().bytes()].concat();
        let last = frame(CONTINUATION, 6).bytes();
        both_refuse(sender, limits, &begun, &last, Violation::MessageTooLarge(25));
        assert_eq!(Violation::MessageTooLarge(25).close_code(), CloseCode::TOO_BIG);

        let empty = frame(CONTINUATION, 0).fragment().bytes();
        let four = [frame(TEXT, 0).fragment().bytes(), empty.repeat(3)].concat();
        both_refuse(sender, limits, &four, &empty, Violation::TooManyFragments(4));
        assert_eq!(Violation::TooManyFragments(4).close_code(), CloseCode::POLICY);
    }
}

#[test]
fn messages_are_counted_where_they_begin() {
    let mut scanner = Scanner::new(Side::Upstream, LIMITS, Extensions::None);
    let mut reader = Reader::new(Side::Upstream, LIMITS, None);
    let frame = |opcode| Frame::new(Side::Upstream, opcode, "x");
    let mut expected = 0;
    for (part, begun) in [
        (frame(TEXT).bytes(), 1),
        (frame(PING).bytes(), 0),
        (frame(BINARY).fragment().bytes(), 1),
        (frame(CONTINUATION).fragment().bytes(), 0),
        (frame(CONTINUATION).bytes(), 0),
        (frame(TEXT).bytes().repeat(100), 100),
    ] {
        expected += begun;
        scan(&mut scanner, [&part[..]]);
        read(&mut reader, [&part[..]]);
        assert_eq!(scanner.messages_started(), expected);
        assert_eq!(reader.messages_started(), expected);
    }
}

#[test]
fn the_scanner_stops_at_boundaries_when_asked() {
    let frame = |opcode, text: &str| Frame::new(Side::Upstream, opcode, text);
    let frames =
        [frame(TEXT, "a").fragment().bytes(), frame(CONTINUATION, "b").bytes(), frame(TEXT, "c").bytes()];
    let stream = frames.concat();
    let stops = |stop| {
        let mut scanner = Scanner::new(Side::Upstream, LIMITS, Extensions::None);
        let (mut input, mut runs) = (&stream[..], Vec::new());
        while let Some(piece) = scanner.next_until(&mut input, stop).unwrap() {
            let Piece::Data(bytes) = piece else { panic!("no control frames here") };
            runs.push(bytes.to_vec());
            assert!(scanner.between_frames());
            assert!(stop == Boundary::Frame || scanner.between_messages());
        }
        runs
    };
    assert_eq!(stops(Boundary::Frame), frames);
    assert_eq!(stops(Boundary::Message), [frames[..2].concat(), frames[2].clone()]);
}

#[test]
fn the_scanner_tells_where_it_stands() {
    let mut scanner = Scanner::new(Side::Client, LIMITS, Extensions::None);
    let first = Frame::new(Side::Client, TEXT, "ab").fragment().bytes();
    let last = Frame::new(Side::Client, CONTINUATION, "c").bytes();
    let mut stands = |part: &[u8]| {
        scan(&mut scanner, [part]);
        (scanner.between_frames(), scanner.between_messages())
    };
    assert_eq!(stands(&first[..3]), (true, true), "a part of a header has not been let through");
    assert_eq!(stands(&first[3..7]), (false, false));
    assert_eq!(stands(&first[7..]), (true, false));
    assert_eq!(stands(&last), (true, true));
}

#[test]
fn section_6_1_frames_written() {
    let keys = &mut || KEY;
    for receiver in SIDES {
        let mut outbound = Outbound::new(receiver, None, None);
        let mut out = Vec::new();
        outbound.inject(Payload::Text("hello"), &mut out, keys);
        outbound.inject(Payload::Binary(&[7; 70_000]), &mut out, keys);
        outbound.inject(Payload::Binary(b""), &mut out, keys);
        outbound.ping(b"still there?", &mut out, keys);
        outbound.pong(&[1; 200], &mut out, keys);
        outbound.close(Some((CloseCode::GOING_AWAY, &"ä".repeat(100))), &mut out, keys);
        assert!(outbound.is_closed());
        // RFC 6455 §5.5.1: nothing after a close frame.
        outbound.inject(Payload::Text("late"), &mut out, keys);
        outbound.ping(b"", &mut out, keys);
        outbound.close(None, &mut out, keys);
        assert_eq!(
            Receiver::new(receiver, None).receive(&out),
            [
                Received::Text("hello".into()),
                Received::Binary(vec![7; 70_000]),
                Received::Binary(vec![]),
                Received::Ping(b"still there?".to_vec()),
                Received::Pong(vec![1; 125]),
                // 123 bytes fit, and 122 of them are whole characters.
                Received::Close(close_payload(1001, &"ä".repeat(61))),
            ]
        );
    }
}

#[test]
fn section_7_1_5_a_close_without_a_code_has_no_payload() {
    let (mut outbound, mut out) = (Outbound::new(Side::Client, None, None), Vec::new());
    outbound.close(None, &mut out, &mut || KEY);
    assert_eq!(out, [0x88, 0x00]);
}

#[test]
fn a_close_that_passes_closes_too() {
    let frame = Frame::new(Side::Client, CLOSE, close_payload(4000, "mine")).bytes();
    let (mut outbound, mut out) = (Outbound::new(Side::Upstream, None, None), Vec::new());
    outbound.pass_control(&only_control(&frame), &mut out);
    outbound.pass_control(&only_control(&frame), &mut out);
    assert_eq!(out, frame);
    assert!(outbound.is_closed());
}
