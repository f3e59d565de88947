//! A peer that receives: the plain way, a byte at a time, panicking at anything that is not right.

use std::fmt;

use sluicegate_websocket::{Compression, Side};

use super::WindowInflater;
use super::sender::{BINARY, CONTINUATION, TEXT};

#[derive(Clone, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

/// Only the beginning of what is long, so that a failed comparison can be read.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, bytes) = match self {
            Self::Text(text) => ("Text", text.as_bytes()),
            Self::Binary(bytes) => ("Binary", &bytes[..]),
            Self::Ping(bytes) => ("Ping", &bytes[..]),
            Self::Pong(bytes) => ("Pong", &bytes[..]),
            Self::Close(bytes) => ("Close", &bytes[..]),
        };
        let beginning = &bytes[..bytes.len().min(32)];
        write!(f, "{kind}({} bytes: {})", bytes.len(), beginning.escape_ascii())
    }
}

pub struct Receiver {
    side: Side,
    compression: Option<Compression>,
    inflater: Option<WindowInflater>,
}

impl Receiver {
    pub fn new(side: Side, compression: Option<Compression>) -> Self {
        Self { side, compression, inflater: None }
    }

    /// All messages and control frames of a stream of whole frames.
    pub fn receive(&mut self, stream: &[u8]) -> Vec<Received> {
        let mut bytes = stream.iter().copied();
        let mut received = Vec::new();
        // Opcode, compressed, payload.
        let mut message: Option<(u8, bool, Vec<u8>)> = None;
        while let Some(first) = bytes.next() {
            let (fin, reserved, opcode) = (first & 0x80 != 0, first >> 4 & 0b111, first & 0xf);
            let payload = self.payload(&mut bytes);
            if opcode >= 8 {
                assert!(fin && reserved == 0 && payload.len() <= 125, "a right control frame");
                received.push(match opcode {
                    8 => Received::Close(payload),
                    9 => Received::Ping(payload),
                    10 => Received::Pong(payload),
                    _ => panic!("opcode {opcode}"),
                });
                continue;
            }
            let (opcode, compressed, whole) = match (message.take(), opcode) {
                (Some((opcode, compressed, mut so_far)), CONTINUATION) => {
                    assert_eq!(reserved, 0, "RSV1 on the first frame only");
                    so_far.extend(payload);
                    (opcode, compressed, so_far)
                }
                (None, TEXT | BINARY) => {
                    assert_eq!(reserved & 0b011, 0, "RSV2 and RSV3 are never used");
                    (opcode, reserved == 0b100, payload)
                }
                (_, opcode) => panic!("opcode {opcode} out of sequence"),
            };
            if fin {
                received.push(self.message(opcode, compressed, whole));
            } else {
                message = Some((opcode, compressed, whole));
            }
        }
        assert!(message.is_none(), "the stream ends between messages");
        received
    }

    fn payload(&self, bytes: &mut impl Iterator<Item = u8>) -> Vec<u8> {
        let mut take = |count: usize| {
            let taken: Vec<u8> = bytes.take(count).collect();
            assert_eq!(taken.len(), count, "the stream ends between frames");
            taken
        };
        let second = take(1)[0];
        assert_eq!(second & 0x80 != 0, self.side == Side::Upstream, "only an upstream gets masks");
        let number = |bytes: Vec<u8>| bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let len = match second & 0x7f {
            126 => number(take(2)),
            127 => number(take(8)),
            len => len.into(),
        };
        let key = if second & 0x80 != 0 { take(4) } else { vec![0; 4] };
        take(len).iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect()
    }

    fn message(&mut self, opcode: u8, compressed: bool, mut payload: Vec<u8>) -> Received {
        if compressed {
            let compression = self.compression.expect("compression was agreed");
            let inflater = self.inflater.get_or_insert_with(|| WindowInflater::new(compression.window_bits));
            payload = inflater.message(&payload);
            if !compression.context_takeover {
                self.inflater = None;
            }
        }
        match opcode {
            TEXT => Received::Text(String::from_utf8(payload).expect("text is UTF-8")),
            _ => Received::Binary(payload),
        }
    }
}
