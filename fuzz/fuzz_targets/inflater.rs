//! Compressed messages of any bytes: every message that is read is the one that miniz_oxide inflates, which
//! shares no code with zlib-rs. Nobody who inspects may see anything else than the receiver will.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use sluicegate_websocket::frame::{Header, Opcode, RSV1};
use sluicegate_websocket::{Compression, Event, Limits, Reader, Scratch, Side};

const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 8 };

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    context_takeover: bool,
    text: bool,
    cut: u16,
    /// Messages one after the other, each with its length before it.
    stream: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let Input { context_takeover, text, cut, stream } = input;
    let compression = Compression { context_takeover, window_bits: 15 };
    let mut reader = Reader::new(Side::Upstream, LIMITS, Some(compression));
    let mut scratch = Scratch::new();
    let mut theirs = Theirs::default();
    for payload in messages(stream) {
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        let header = Header { reserved: RSV1, ..Header::whole(opcode, None, payload.len()) };
        let frame = [&header.encode(), payload].concat();
        let (first, second) = frame.split_at(usize::from(cut).min(frame.len()));
        let mut ours = None;
        for mut part in [first, second] {
            loop {
                match reader.read(&mut part, &mut scratch) {
                    Ok(None) => break,
                    Ok(Some(Event::Message(message))) => {
                        ours = Some(message.payload.as_bytes().to_vec());
                    }
                    Ok(Some(event)) => panic!("{event:?}"),
                    Err(_) => return,
                }
            }
        }
        let ours = ours.expect("a whole message or a violation");
        match theirs.message(payload) {
            Some(theirs) => assert!(ours == theirs, "both inflate it to the same"),
            // A message that ends inside a block may be found wrong only when the rest of the block comes.
            None => return assert!(context_takeover, "refused by one, read by the other"),
        }
        if !context_takeover {
            theirs = Theirs::default();
        }
    }
});

fn messages(mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&len, rest) = stream.split_first()?;
        let (message, rest) = rest.split_at(usize::from(len).min(rest.len()));
        stream = rest;
        Some(message)
    })
}

/// RFC 7692 §7.2.2, word by word.
struct Theirs {
    state: Box<DecompressorOxide>,
    ring: Vec<u8>,
    at: usize,
}

impl Default for Theirs {
    fn default() -> Self {
        Self { state: Box::default(), ring: vec![0; 1 << 15], at: 0 }
    }
}

impl Theirs {
    fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let input = [payload, &[0x00, 0x00, 0xff, 0xff]].concat();
        let (mut input, mut message) = (&input[..], Vec::new());
        loop {
            let (status, read, written) =
                decompress(&mut self.state, input, &mut self.ring, self.at, TINFL_FLAG_HAS_MORE_INPUT);
            message.extend_from_slice(self.ring.get(self.at..self.at + written)?);
            self.at = (self.at + written) % self.ring.len();
            input = input.get(read..)?;
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return Some(message),
                // A final block; what follows is a stream of its own.
                TINFLStatus::Done => {
                    *self = Self::default();
                    if input.is_empty() {
                        return Some(message);
                    }
                }
                _ => return None,
            }
        }
    }
}
