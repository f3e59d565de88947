//! What tests share: streams come to outcomes, messages come from nowhere, allocations are counted.

mod allocations;

pub use allocations::{allocations, peak_bytes};

use proptest::prelude::*;
use sluicegate_websocket::{
    Control, ControlKind, Event, Payload, Piece, Reader, Scanner, Scratch, Violation,
};

use crate::peers::Received;

/// What a whole stream came to: the events, and the violation it ended with, if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub events: Vec<Seen>,
    pub violation: Option<Violation>,
}

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Message {
        payload: Received,
        original: Vec<u8>,
        compressed: bool,
    },
    Control {
        payload: Received,
        raw: Vec<u8>,
    },
    /// Adjacent runs are one.
    Data(Vec<u8>),
}

impl Seen {
    pub fn wire(&self) -> &[u8] {
        match self {
            Self::Message { original, .. } => original,
            Self::Control { raw, .. } => raw,
            Self::Data(bytes) => bytes,
        }
    }
}

impl Outcome {
    pub fn wire(&self) -> Vec<u8> {
        self.events.iter().flat_map(Seen::wire).copied().collect()
    }

    pub fn messages(&self) -> Vec<Received> {
        let payload = |seen: &Seen| match seen {
            Seen::Message { payload, .. } | Seen::Control { payload, .. } => Some(payload.clone()),
            Seen::Data(_) => None,
        };
        self.events.iter().filter_map(payload).collect()
    }
}

pub fn received(payload: Payload<'_>) -> Received {
    match payload {
        Payload::Text(text) => Received::Text(text.to_owned()),
        Payload::Binary(bytes) => Received::Binary(bytes.to_owned()),
    }
}

fn received_control(control: &Control) -> Received {
    match control.kind() {
        ControlKind::Ping => Received::Ping(control.payload().to_owned()),
        ControlKind::Pong => Received::Pong(control.payload().to_owned()),
        ControlKind::Close => Received::Close(control.payload().to_owned()),
    }
}

fn push_data(events: &mut Vec<Seen>, bytes: &[u8]) {
    match events.last_mut() {
        Some(Seen::Data(run)) => run.extend_from_slice(bytes),
        _ => events.push(Seen::Data(bytes.to_owned())),
    }
}

/// Reads a stream that comes in these parts.
pub fn read<'a>(reader: &mut Reader, parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut scratch, mut events) = (Scratch::new(), Vec::new());
    for mut input in parts {
        loop {
            match reader.read(&mut input, &mut scratch) {
                Ok(None) => break,
                Ok(Some(Event::Data(bytes))) => push_data(&mut events, bytes),
                Ok(Some(Event::Message(message))) => events.push(Seen::Message {
                    payload: received(message.payload),
                    original: message.original.to_owned(),
                    compressed: message.compressed,
                }),
                Ok(Some(Event::Control(control))) => events.push(Seen::Control {
                    payload: received_control(&control),
                    raw: control.raw().to_owned(),
                }),
                Err(violation) => return Outcome { events, violation: Some(violation) },
            }
        }
        assert!(input.is_empty(), "read leaves nothing");
    }
    Outcome { events, violation: None }
}

/// Scans a stream that comes in these parts.
pub fn scan<'a>(scanner: &mut Scanner, parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut events = Vec::new();
    for mut input in parts {
        loop {
            match scanner.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Data(bytes))) => push_data(&mut events, bytes),
                Ok(Some(Piece::Control(control))) => events.push(Seen::Control {
                    payload: received_control(&control),
                    raw: control.raw().to_owned(),
                }),
                Err(violation) => return Outcome { events, violation: Some(violation) },
            }
        }
        assert!(input.is_empty(), "scan leaves nothing");
    }
    Outcome { events, violation: None }
}

/// Whether a stream ends between frames, and between messages.
pub fn ends_between(stream: &[u8]) -> (bool, bool) {
    let (mut rest, mut inside) = (stream, false);
    while let [first, second, ..] = rest {
        let (len_bytes, mut len) = match second & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            len => (0, usize::from(len)),
        };
        let len_end = 2 + len_bytes;
        len += rest[2..len_end].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let frame = len_end + if second & 0x80 == 0 { 0 } else { 4 } + len;
        if frame > rest.len() {
            return (false, false);
        }
        inside = if first & 0x8 == 0 { first & 0x80 == 0 } else { inside };
        rest = &rest[frame..];
    }
    assert!(rest.is_empty(), "no part of a header is let through");
    (true, !inside)
}

/// Places for [`cut`].
pub fn places() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..=1000usize, 0..12)
}

/// Text of a small vocabulary, so that messages repeat what others said, now and then a large one.
pub fn text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["foo", "bar ", "κόσμε", "{\"id\":", "𝄞", "0123456789abcdef", ",\n"]);
    let small = prop::collection::vec(word.clone(), 0..20);
    let large = prop::collection::vec(word, 1000..2000);
    prop_oneof![9 => small, 1 => large].prop_map(|words| words.concat())
}

/// Bytes that sometimes repeat and sometimes do not.
pub fn binary() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..70_000usize).prop_map(|(byte, len)| vec![byte; len]),
        text().prop_map(String::into_bytes),
    ]
}

/// A message: text or binary.
pub fn message() -> impl Strategy<Value = Received> {
    prop_oneof![text().prop_map(Received::Text), binary().prop_map(Received::Binary)]
}
