//! Where the input is cut makes no difference: not to what comes out, and not to which error does.

use proptest::prelude::*;
use sluicegate_websocket::negotiation::{Deflate, Extensions};
use sluicegate_websocket::{Limits, Reader, Scanner, Side, Wanted};

use crate::peers::{Frame, Received, Sender, cut};
use crate::support::{Outcome, Seen, ends_between, message, places, read, scan};

const LIMITS: Limits = Limits { frame_bytes_max: 100_000, message_bytes_max: 150_000, fragments_max: 6 };

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Upstream)]
}

fn deflate() -> impl Strategy<Value = Option<Deflate>> {
    prop::option::of((any::<bool>(), 9..=15u8).prop_map(|(no_takeover, bits)| Deflate {
        server_no_context_takeover: no_takeover,
        client_no_context_takeover: no_takeover,
        server_max_window_bits: bits,
        client_max_window_bits: bits,
    }))
}

/// Frames that are mostly in order, so that a stream lasts for some of them.
fn frame(sender: Side) -> impl Strategy<Value = Frame> {
    let opcode = prop_oneof![
        4 => Just(0x1u8), 4 => Just(0x2u8), 4 => Just(0x0u8),
        2 => Just(0x9u8), 2 => Just(0xau8), 1 => Just(0x8u8), 1 => 0..16u8,
    ];
    let payload = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..10),
        8 => "[a-zé€]{0,40}".prop_map(String::into_bytes),
        1 => (0..120_000usize).prop_map(|len| vec![b'x'; len]),
    ];
    let reserved = prop_oneof![12 => Just(0u8), 3 => Just(0b100u8), 1 => 0..8u8];
    (prop::bool::weighted(0.6), reserved, opcode, payload, prop::bool::weighted(0.02)).prop_map(
        move |(fin, reserved, opcode, payload, wrong_mask)| {
            let sender = if wrong_mask { sender.other() } else { sender };
            Frame { fin, reserved, ..Frame::new(sender, opcode, payload) }
        },
    )
}

/// A stream of frames, compressed messages of a real compressor, or noise; possibly damaged.
fn stream(sender: Side, deflate: Option<Deflate>) -> impl Strategy<Value = Vec<u8>> {
    let frames = prop::collection::vec(frame(sender), 0..12)
        .prop_map(|frames| frames.iter().flat_map(Frame::bytes).collect());
    let messages = prop::collection::vec((message(), 1..4usize), 0..5).prop_map(move |messages| {
        let mut sender = Sender::new(sender, deflate.map(|deflate| deflate.of(sender)));
        let frames =
            |(message, fragments): &(Received, usize)| sender.frames(message, true, *fragments).concat();
        messages.iter().flat_map(frames).collect()
    });
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let stream = prop_oneof![4 => frames, 4 => messages, 1 => noise];
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (stream, damage).prop_map(|(mut stream, damage): (Vec<u8>, _)| {
        if let (Some((at, byte)), false) = (damage, stream.is_empty()) {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}

fn any_stream() -> impl Strategy<Value = (Side, Option<Deflate>, Vec<u8>)> {
    (side(), deflate())
        .prop_flat_map(|(sender, deflate)| (Just(sender), Just(deflate), stream(sender, deflate)))
}

fn wanted() -> impl Strategy<Value = Wanted> {
    any::<[bool; 3]>().prop_map(|[text, binary, compressed]| Wanted { text, binary, compressed })
}

/// The same but for how much of an unwanted message had passed when it was found wrong.
fn same(whole: &Outcome, parts: &Outcome) -> bool {
    let (mut whole, mut parts) = (whole.clone(), parts.clone());
    if whole.violation.is_some() {
        for outcome in [&mut whole, &mut parts] {
            if let Some(Seen::Data(_)) = outcome.events.last() {
                outcome.events.pop();
            }
        }
    }
    whole == parts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_scanner_gives_the_same((sender, deflate, stream) in any_stream(), places in places()) {
        let extensions = deflate.map_or(Extensions::None, Extensions::Deflate);
        let whole = scan(&mut Scanner::new(sender, LIMITS, extensions), [&stream[..]]);
        let mut scanner = Scanner::new(sender, LIMITS, extensions);
        let parts = scan(&mut scanner, cut(&stream, &places));
        prop_assert_eq!(&whole, &parts);
        let stands = (scanner.between_frames(), scanner.between_messages());
        prop_assert_eq!(stands, ends_between(&parts.wire()));
        if stream.len() < 5000 {
            let bytes = scan(&mut Scanner::new(sender, LIMITS, extensions), stream.chunks(1));
            prop_assert_eq!(&whole, &bytes);
        }
    }

    #[test]
    fn the_reader_gives_the_same(
        (sender, deflate, stream) in any_stream(),
        places in places(),
        wanted in wanted(),
    ) {
        let reader = || {
            let mut reader =
                Reader::new(sender, LIMITS, deflate.map(|deflate| deflate.of(sender)));
            reader.want(wanted);
            reader
        };
        let whole = read(&mut reader(), [&stream[..]]);
        let mut in_parts = reader();
        let parts = read(&mut in_parts, cut(&stream, &places));
        prop_assert!(same(&whole, &parts), "{whole:?}\n{parts:?}");
        let stands = (in_parts.between_frames(), in_parts.between_messages());
        prop_assert_eq!(stands, ends_between(&parts.wire()));
        if stream.len() < 5000 {
            let bytes = read(&mut reader(), stream.chunks(1));
            prop_assert!(same(&whole, &bytes), "{whole:?}\n{bytes:?}");
        }
    }
}
