//! What the codec holds and how often it allocates.

use sluicegate_websocket::negotiation::{Deflate, Extensions};
use sluicegate_websocket::{
    Compression, Control, Event, Limits, Outbound, Payload, Piece, Reader, Scanner, Scratch, Side, Violation,
};

use crate::peers::{BINARY, CONTINUATION, Frame, KEY, LIMITS, Received, Sender, TEXT};
use crate::support::{allocations, peak_bytes};

const TAKEOVER: Compression = Compression { context_takeover: true, window_bits: 15 };
const NO_TAKEOVER: Compression = Compression { context_takeover: false, window_bits: 15 };
const MIB: usize = 1 << 20;

#[test]
fn idle_states_are_small() {
    assert_eq!(size_of::<Scanner>(), 120);
    assert_eq!(size_of::<Reader>(), 176);
    assert_eq!(size_of::<Outbound>(), 20);
    // Handed around by value, so worth a look as well.
    assert_eq!(size_of::<Control>(), 259);
    assert_eq!(size_of::<Violation>(), 16);
}

#[test]
fn an_idle_direction_holds_nothing_on_the_heap() {
    let extensions = Extensions::Deflate(Deflate {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    });
    let mut sender = Sender::new(Side::Client, Some(NO_TAKEOVER));
    let large = Received::Text("words and words ".repeat(10_000));
    let stream = [
        sender.frames(&large, false, 3).concat(),
        sender.frames(&large, true, 3).concat(),
        sender.ping(b"one more"),
    ]
    .concat();
    let mut scratch = Scratch::new();
    let (peak, (scanner, reader)) = peak_bytes(|| {
        let mut scanner = Scanner::new(Side::Client, LIMITS, extensions);
        for mut part in stream.chunks(1000) {
            while scanner.next(&mut part).unwrap().is_some() {}
        }
        let mut reader = Reader::new(Side::Client, LIMITS, Some(NO_TAKEOVER));
        read_all(&mut reader, &mut scratch, &stream, 1000);
        (scanner, reader)
    });
    assert!(peak > 2 * 160_000, "a message and its original were gathered");
    assert!(scanner.between_messages());
    assert_eq!(reader.heap_bytes(), 0);
    // What is left of all that is the scratch's, and goes with it.
    let held = peak_bytes(|| drop(scratch)).0;
    assert_eq!(held, 0);
    let (left, ()) = peak_bytes(|| drop((scanner, reader)));
    assert_eq!(left, 0);
}

fn read_all(reader: &mut Reader, scratch: &mut Scratch, stream: &[u8], part_bytes: usize) -> usize {
    let mut messages = 0;
    for mut part in stream.chunks(part_bytes) {
        while let Some(event) = reader.read(&mut part, scratch).expect("well-formed") {
            messages += usize::from(matches!(event, Event::Message(_)));
        }
    }
    messages
}

/// Messages of all sizes up to 64 KiB, some in fragments, with pings among them.
fn traffic(sender: &mut Sender, compressed: bool) -> Vec<u8> {
    let message = |size: usize| Received::Text("0123456789abcdef".repeat(size / 16));
    let mut stream = Vec::new();
    for (size, fragments) in [(16usize, 1), (4096, 1), (4096, 3), (65536, 1), (16, 2), (0, 1)] {
        stream.extend(sender.frames(&message(size), compressed, fragments).concat());
        stream.extend(sender.ping(b"are you there?"));
    }
    stream
}

#[test]
fn reading_allocates_nothing_in_the_long_run() {
    for side in [Side::Client, Side::Upstream] {
        for compression in [None, Some(TAKEOVER), Some(NO_TAKEOVER)] {
            let mut sender = Sender::new(side, compression);
            let mut reader = Reader::new(side, LIMITS, compression);
            let mut scratch = Scratch::new();
            let compressed = compression.is_some();
            let mut streams = (0..4).map(|_| traffic(&mut sender, compressed)).collect::<Vec<_>>();
            let measured = streams.split_off(2);
            for stream in &streams {
                read_all(&mut reader, &mut scratch, stream, usize::MAX);
                read_all(&mut reader, &mut scratch, &[], 1);
            }
            // Whole, and then in parts. A control frame that is cut is kept on the heap, so the parts
            // are as large as to cut messages only.
            let (count, messages) = allocations(|| {
                read_all(&mut reader, &mut scratch, &measured[0], usize::MAX)
                    + read_all(&mut reader, &mut scratch, &measured[1], usize::MAX)
            });
            assert_eq!((count, messages), (0, 12), "{side:?}, {compression:?}");
        }
    }
}

#[test]
fn gathering_allocates_nothing_in_the_long_run() {
    for compression in [None, Some(TAKEOVER), Some(NO_TAKEOVER)] {
        let mut sender = Sender::new(Side::Client, compression);
        let mut reader = Reader::new(Side::Client, LIMITS, compression);
        let mut scratch = Scratch::new();
        let message = Received::Binary((0..60_000u32).flat_map(u32::to_le_bytes).collect());
        let mut frames = (0..4).map(|_| sender.frames(&message, compression.is_some(), 1).concat());
        let (first, second) = (frames.next().unwrap(), frames.next().unwrap());
        read_all(&mut reader, &mut scratch, &first, 10_000);
        let (count, messages) = allocations(|| read_all(&mut reader, &mut scratch, &second, 10_000));
        assert_eq!((count, messages), (0, 1), "{compression:?}");
    }
}

#[test]
fn scanning_allocates_only_for_a_control_frame_that_is_cut() {
    let stream = traffic(&mut Sender::new(Side::Client, None), false);
    let mut scanner = Scanner::new(Side::Client, LIMITS, Extensions::None);
    let scan = |scanner: &mut Scanner, mut part: &[u8]| {
        let mut pings = 0;
        while let Some(piece) = scanner.next(&mut part).unwrap() {
            pings += usize::from(matches!(piece, Piece::Control(_)));
        }
        pings
    };
    assert_eq!(allocations(|| scan(&mut scanner, &stream)), (0, 6));
    let bytes = || stream.chunks(1).map(|byte| scan(&mut scanner, byte)).sum::<usize>();
    assert_eq!(allocations(bytes), (6, 6));
}

#[test]
fn writing_allocates_nothing_in_the_long_run() {
    let words = "0123456789abcdef".repeat(1000);
    let message = |original| sluicegate_websocket::Message {
        payload: Payload::Text(&words),
        original,
        compressed: true,
    };
    let mut outbound = Outbound::new(Side::Upstream, Some(TAKEOVER), Some(TAKEOVER));
    let mut out = Vec::with_capacity(MIB);
    let mut send = || {
        outbound.inject(Payload::Text(&words), &mut out, &mut || KEY);
        outbound.replace(&message(b""), Payload::Text(&words), &mut out, &mut || KEY);
        outbound.forward(&message(b""), &mut out, &mut || KEY);
        outbound.ping(b"are you there?", &mut out, &mut || KEY);
    };
    send();
    assert_eq!(allocations(send), (0, ()));
    assert!(outbound.holds_compressor(), "it did compress");
}

#[test]
fn however_many_receivers_there_are_few_compressors_live() {
    let message = sluicegate_websocket::Message {
        payload: Payload::Text("much the same words for everybody, much the same words"),
        original: b"",
        compressed: true,
    };
    let sent = Compression { window_bits: 14, ..TAKEOVER };
    let mut receivers: Vec<Outbound> =
        (0..1000).map(|_| Outbound::new(Side::Client, Some(TAKEOVER), Some(sent))).collect();
    let mut out = Vec::with_capacity(MIB);
    let (peak, ()) = peak_bytes(|| {
        for outbound in &mut receivers {
            outbound.forward(&message, &mut out, &mut || KEY);
        }
    });
    assert!(peak < 64 * 400 * 1024, "{peak} bytes");
    // The last ones remember what they said: the same again is shorter. The first do not, and are no worse off.
    let mut length = |outbound: &mut Outbound| {
        out.clear();
        outbound.forward(&message, &mut out, &mut || KEY);
        out.len()
    };
    let (remembering, forgotten) = (length(&mut receivers[999]), length(&mut receivers[0]));
    assert!(remembering < forgotten, "{remembering}, {forgotten}");
}

#[test]
fn a_sender_that_said_little_is_remembered_in_little() {
    let mut sender = Sender::new(Side::Client, Some(TAKEOVER));
    let mut reader = Reader::new(Side::Client, LIMITS, Some(TAKEOVER));
    let mut scratch = Scratch::new();
    for (size, held) in [(100, 128), (300, 512), (100_000, 32 << 10), (100_000, 32 << 10)] {
        let words = Received::Text("0123456789".repeat(size / 10));
        let frames = sender.frames(&words, true, 1).concat();
        assert_eq!(read_all(&mut reader, &mut scratch, &frames, 1000), 1);
        assert_eq!(reader.heap_bytes(), held);
    }
}

#[test]
fn a_zip_bomb_costs_what_a_message_may_cost() {
    let limits = Limits { message_bytes_max: MIB as u64, ..LIMITS };
    // 1,000 to 1.
    let bomb = {
        let mut sender = Sender::new(Side::Client, Some(NO_TAKEOVER));
        sender.frames(&Received::Binary(vec![0; 256 * MIB]), true, 1).concat()
    };
    assert!(bomb.len() < 300_000);
    for part_bytes in [bomb.len(), 1000] {
        for compression in [NO_TAKEOVER, TAKEOVER] {
            let mut reader = Reader::new(Side::Client, limits, Some(compression));
            let mut scratch = Scratch::new();
            let (peak, violation) = peak_bytes(|| {
                let mut parts = bomb.chunks(part_bytes);
                parts.find_map(|mut part| match reader.read(&mut part, &mut scratch) {
                    Ok(event) => event.map(|event| panic!("{event:?}")),
                    Err(violation) => Some(violation),
                })
            });
            assert_eq!(violation, Some(Violation::MessageTooLarge(MIB as u64)));
            // The message, the half-sized buffer it grew out of, the frames so far, the inflater.
            assert!(peak < 2 * MIB, "{peak} bytes");
            assert_eq!(reader.heap_bytes(), 0, "all is freed");
        }
    }
}

#[test]
fn an_announced_size_costs_nothing_before_it_comes() {
    let limits = Limits { frame_bytes_max: 1 << 40, message_bytes_max: 1 << 40, fragments_max: 1 };
    let header = [&[0x82, 0xff][..], &(1u64 << 39).to_be_bytes(), &KEY, b"x"].concat();
    let mut reader = Reader::new(Side::Client, limits, None);
    let mut scratch = Scratch::new();
    let (peak, messages) = peak_bytes(|| read_all(&mut reader, &mut scratch, &header, 64));
    assert_eq!(messages, 0);
    assert!(peak < 200_000, "{peak} bytes");
}

#[test]
fn what_needs_no_unmasking_is_gathered_once() {
    let size = 60_000;
    for (sender, copies) in [(Side::Upstream, 1), (Side::Client, 2)] {
        let frame = Frame::new(sender, BINARY, vec![7; size]).bytes();
        let mut reader = Reader::new(sender, LIMITS, None);
        let mut scratch = Scratch::new();
        let (peak, messages) = peak_bytes(|| read_all(&mut reader, &mut scratch, &frame, 10_000));
        assert_eq!((messages, peak / size), (1, copies), "{peak} bytes");
    }
}

#[test]
fn a_million_empty_fragments_end_at_the_limit() {
    let first = Frame::new(Side::Client, TEXT, "").fragment().bytes();
    let empty = Frame::new(Side::Client, CONTINUATION, "").fragment().bytes();
    let stream = [first, empty.repeat(1_000_000)].concat();
    let mut reader = Reader::new(Side::Client, LIMITS, None);
    let mut scratch = Scratch::new();
    let (peak, violation) = peak_bytes(|| {
        let mut input = &stream[..];
        reader.read(&mut input, &mut scratch).err()
    });
    assert_eq!(violation, Some(Violation::TooManyFragments(LIMITS.fragments_max)));
    assert!(peak < 10_000, "{peak} bytes");
    let mut scanner = Scanner::new(Side::Client, LIMITS, Extensions::None);
    let mut input = &stream[..];
    assert!(matches!(scanner.next(&mut input), Ok(Some(Piece::Data(run))) if run.len() == 6 * 64));
    let violation = scanner.next(&mut input).err();
    assert_eq!(violation, Some(Violation::TooManyFragments(LIMITS.fragments_max)));
}

#[test]
fn a_large_message_does_not_leave_a_large_scratch() {
    let limits = Limits { frame_bytes_max: 64 * MIB as u64, message_bytes_max: 64 * MIB as u64, ..LIMITS };
    let frame = Frame::new(Side::Client, BINARY, vec![7; 32 * MIB]).bytes();
    for part_bytes in [frame.len(), MIB] {
        let mut scratch = Scratch::new();
        let mut reader = Reader::new(Side::Client, limits, None);
        assert_eq!(read_all(&mut reader, &mut scratch, &frame, part_bytes), 1);
        // The second time all of it has to be made again, so none of it was kept.
        let (peak, _) = peak_bytes(|| read_all(&mut reader, &mut scratch, &frame, part_bytes));
        assert!(peak >= 32 * MIB, "{peak} bytes");
    }
}
