//! The reader against tungstenite's, which shares no code with it, on uncompressed streams.

use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use sluicegate_websocket::{Limits, Reader, Side, Violation};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use crate::peers::{Frame, Received, cut};
use crate::support::{places, read};

const LIMITS: Limits = Limits { frame_bytes_max: 70_000, message_bytes_max: 100_000, fragments_max: 1000 };

/// A socket that reads what it is given and does not care what is written.
struct Socket(Cursor<Vec<u8>>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of the stream, and whether it found something wrong before its end.
fn tungstenite_reads(sender: Side, stream: Vec<u8>) -> (Vec<Received>, bool) {
    use tungstenite::Error::{ConnectionClosed, Protocol};
    use tungstenite::error::ProtocolError::{ReceivedAfterClosing, ResetWithoutClosingHandshake};

    let role = match sender {
        Side::Client => Role::Server,
        Side::Upstream => Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_frame_size(Some(LIMITS.frame_bytes_max as usize))
        .max_message_size(Some(LIMITS.message_bytes_max as usize));
    let mut socket = WebSocket::from_raw_socket(Socket(Cursor::new(stream)), role, Some(config));
    let mut messages = Vec::new();
    loop {
        messages.push(match socket.read() {
            Ok(Message::Text(text)) => Received::Text(text.to_string()),
            Ok(Message::Binary(bytes)) => Received::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Received::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Received::Pong(bytes.to_vec()),
            Ok(Message::Close(None)) => Received::Close(vec![]),
            Ok(Message::Close(Some(close))) => {
                let code = u16::from(close.code).to_be_bytes();
                Received::Close([&code, close.reason.as_bytes()].concat())
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(ConnectionClosed) => return (messages, false),
            Err(Protocol(ReceivedAfterClosing | ResetWithoutClosingHandshake)) => {
                return (messages, false);
            }
            Err(_) => return (messages, true),
        });
    }
}

fn frame(sender: Side) -> impl Strategy<Value = Frame> {
    let opcode = prop_oneof![
        20 => Just(0x1u8), 20 => Just(0x2u8), 20 => Just(0x0u8),
        10 => Just(0x9u8), 10 => Just(0xau8), 1 => Just(0x8u8), 1 => 0..16u8,
    ];
    let payload = prop_oneof![
        20 => "[a-zé€𝄞]{0,40}".prop_map(String::into_bytes),
        4 => prop::collection::vec(any::<u8>(), 0..3),
        1 => (0..80_000usize).prop_map(|len| vec![b'x'; len]),
    ];
    let reserved = prop_oneof![40 => Just(0u8), 1 => 0..8u8];
    (prop::bool::weighted(0.7), reserved, opcode, payload, prop::bool::weighted(0.02)).prop_map(
        move |(fin, reserved, opcode, payload, wrong_mask)| {
            let sender = if wrong_mask { sender.other() } else { sender };
            Frame { fin, reserved, ..Frame::new(sender, opcode, payload) }
        },
    )
}

/// Nothing after a close frame, where the two differ in what they ignore.
fn up_to_close(mut frames: Vec<Frame>) -> Vec<Frame> {
    if let Some(close) = frames.iter().position(|frame| frame.opcode == 8) {
        frames.truncate(close + 1);
    }
    frames
}

/// Only frames that fit to those before them, so that most streams are right to their end.
fn in_order(frames: Vec<Frame>) -> Vec<Frame> {
    let mut inside = false;
    let fits = |frame: &Frame| {
        if frame.opcode >= 8 {
            return frame.fin && frame.payload.len() <= 125;
        }
        let fits = inside == (frame.opcode == 0);
        inside = if fits { !frame.fin } else { inside };
        fits
    };
    frames.into_iter().filter(fits).collect()
}

fn frames() -> impl Strategy<Value = (Side, Vec<Frame>)> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Upstream)];
    side.prop_flat_map(|sender| {
        let frames = prop::collection::vec(frame(sender), 0..40);
        let frames = (frames, prop::bool::weighted(0.8))
            .prop_map(|(frames, ordered)| if ordered { in_order(frames) } else { frames })
            .prop_map(up_to_close);
        (Just(sender), frames)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn reads_what_tungstenite_reads((sender, frames) in frames(), places in places()) {
        let stream: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        let ours = read(&mut Reader::new(sender, LIMITS, None), cut(&stream, &places));
        let (mut theirs, wrong) = tungstenite_reads(sender, stream);
        if let Some(Violation::CloseCode(_)) = ours.violation {
            // tungstenite shows a close of its own making in place of it, unless its reason is wrong, too.
            prop_assert!(wrong || matches!(theirs.pop(), Some(Received::Close(_))));
        } else {
            prop_assert_eq!(ours.violation.is_some(), wrong);
        }
        prop_assert_eq!(ours.messages(), theirs);
    }
}
