//! Any bytes, cut anywhere: the scanner and the reader come to the same as with the whole, and keep to their
//! limits.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sluicegate_websocket::negotiation::{Deflate, Extensions};
use sluicegate_websocket::{
    Event, Limits, Payload, Piece, Reader, Scanner, Scratch, Side, Violation, Wanted,
};

const LIMITS: Limits = Limits { frame_bytes_max: 4096, message_bytes_max: 8192, fragments_max: 8 };
/// A message, its frames while it may be compressed, and what growing buffers take beyond that.
const HEAP_BYTES_MAX: usize = 100_000;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    from_client: bool,
    /// Whether compression was agreed, and with context takeover.
    compressed: Option<bool>,
    wanted: [bool; 3],
    cuts: [u8; 6],
    stream: &'a [u8],
}

/// What a stream came to. Runs of data are one, as where they end depends on the cuts.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    events: Vec<Vec<u8>>,
    data: Vec<u8>,
    violation: Option<Violation>,
}

fuzz_target!(|input: Input<'_>| {
    let sender = if input.from_client { Side::Client } else { Side::Upstream };
    let deflate = input.compressed.map(|takeover| Deflate {
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    });

    let extensions = deflate.map_or(Extensions::None, Extensions::Deflate);
    let scan = |parts: &[&[u8]]| scan(Scanner::new(sender, LIMITS, extensions), parts);
    let whole = scan(&[input.stream]);
    assert!(whole.data.len() <= input.stream.len());
    assert_eq!(whole, scan(&parts(input.stream, &input.cuts)));

    let [text, binary, compressed] = input.wanted;
    let read = |parts: &[&[u8]]| {
        let mut reader = Reader::new(sender, LIMITS, deflate.map(|deflate| deflate.of(sender)));
        reader.want(Wanted { text, binary, compressed });
        read(reader, parts)
    };
    let (mut whole, mut cut) = (read(&[input.stream]), read(&parts(input.stream, &input.cuts)));
    if whole.violation.is_some() {
        // How much of an unwanted message had passed when it was found wrong depends on the cuts.
        let common = whole.data.len().min(cut.data.len());
        whole.data.truncate(common);
        cut.data.truncate(common);
    }
    assert_eq!(whole, cut);
});

fn parts<'a>(stream: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut rest) = (Vec::new(), stream);
    for &cut in cuts {
        let (part, after) = rest.split_at(usize::from(cut).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

fn scan(mut scanner: Scanner, parts: &[&[u8]]) -> Outcome {
    let mut outcome = Outcome::default();
    for part in parts {
        let mut input = *part;
        loop {
            match scanner.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Data(bytes))) => outcome.data.extend_from_slice(bytes),
                Ok(Some(Piece::Control(control))) => outcome.events.push(control.raw().to_vec()),
                Err(violation) => {
                    outcome.violation = Some(violation);
                    return outcome;
                }
            }
        }
        assert!(input.is_empty());
    }
    outcome
}

fn read(mut reader: Reader, parts: &[&[u8]]) -> Outcome {
    let (mut outcome, mut scratch) = (Outcome::default(), Scratch::new());
    for part in parts {
        let mut input = *part;
        loop {
            match reader.read(&mut input, &mut scratch) {
                Ok(None) => break,
                Ok(Some(Event::Data(bytes))) => outcome.data.extend_from_slice(bytes),
                Ok(Some(Event::Control(control))) => outcome.events.push(control.raw().to_vec()),
                Ok(Some(Event::Message(message))) => {
                    let kind = matches!(message.payload, Payload::Text(_));
                    assert!(message.payload.as_bytes().len() as u64 <= LIMITS.message_bytes_max);
                    outcome.events.push(vec![kind.into(), message.compressed.into()]);
                    outcome.events.push(message.payload.as_bytes().to_vec());
                    outcome.events.push(message.original.to_vec());
                }
                Err(violation) => {
                    outcome.violation = Some(violation);
                    return outcome;
                }
            }
            assert!(reader.heap_bytes() < HEAP_BYTES_MAX, "{} bytes", reader.heap_bytes());
        }
        assert!(input.is_empty());
    }
    outcome
}
