//! What clients say, made beforehand, and what they should hear.

use std::fmt::Write as _;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::Outcome;
use crate::backend::ANSWER;
use crate::wire::{self, COMPRESSED_TEXT, TEXT, client_frame, head_bytes, header};

/// Said in turn, then again from the first.
const MESSAGES: usize = 16;
const JSON_BYTES: usize = 1024;
/// What a sender leaves away of a message, and a receiver puts there again (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Said by every connection in turn, again and again.
pub struct Script {
    pub lines: Vec<Line>,
    pub deflate: bool,
}

pub struct Line {
    /// On the wire.
    pub sent: Vec<u8>,
    answer: Answer,
}

enum Answer {
    /// A frame with this in it.
    Message(Vec<u8>),
    /// A compressed frame with this in it; how it is compressed is the proxy's affair.
    Compressed(Vec<u8>),
    /// What [`backend`](crate::backend) answers to a request.
    Response,
}

/// What one connection heard. Compressed messages are inflated where they are looked into, which one connection's being does for all.
pub struct Listener {
    inflater: Option<Decompress>,
}

// === impl Script ===

impl Script {
    pub fn messages(bytes: usize) -> Self {
        let lines = (0..MESSAGES).map(|number| {
            let payload: Vec<u8> = (b'a'..=b'z').cycle().skip(number).take(bytes).collect();
            Line { sent: client_frame(TEXT, &payload), answer: Answer::Message(payload) }
        });
        Self { lines: lines.collect(), deflate: false }
    }

    /// JSON, compressed with context takeover: each message refers to those before it. The first refers to none, and what
    /// stands before any other is the same each time, so they can be said again and again.
    pub fn compressed() -> Outcome<Self> {
        let mut deflater = Compress::new(Compression::default(), false);
        let lines = (0..MESSAGES).map(|number| -> Outcome<_> {
            let text = json(number)?;
            let mut payload = Vec::with_capacity(2 * JSON_BYTES);
            deflater.compress_vec(text.as_bytes(), &mut payload, FlushCompress::Sync)?;
            payload.truncate(payload.len() - TAIL.len());
            let answer = Answer::Compressed(text.into_bytes());
            Ok(Line { sent: client_frame(COMPRESSED_TEXT, &payload), answer })
        });
        Ok(Self { lines: lines.collect::<Outcome<_>>()?, deflate: true })
    }

    pub fn requests() -> Self {
        let line = Line { sent: wire::request("").into_bytes(), answer: Answer::Response };
        Self { lines: vec![line], deflate: false }
    }
}

// === impl Line ===

impl Line {
    /// How much of `input` is the answer; none while it is not whole. Wrong answers are errors.
    pub fn heard(&self, input: &[u8], listener: &mut Listener) -> Outcome<Option<usize>> {
        if let Answer::Response = self.answer {
            return response(input);
        }
        let Some(header) = header(input) else { return Ok(None) };
        let end = header.header_bytes + header.payload_bytes;
        let Some(payload) = input.get(header.header_bytes..end) else { return Ok(None) };
        let right = match &self.answer {
            Answer::Compressed(text) => header.first == COMPRESSED_TEXT && listener.hears(payload, text)?,
            Answer::Message(message) => header.first == TEXT && payload == message,
            Answer::Response => false,
        };
        if !right {
            return Err(format!("wrong answer: frame {:#x} of {} bytes", header.first, payload.len()).into());
        }
        Ok(Some(end))
    }
}

/// Fields may be added and their letters' case changed; the body is what it was.
fn response(input: &[u8]) -> Outcome<Option<usize>> {
    let Some(end) = head_bytes(input) else { return Ok(None) };
    let body = &ANSWER[ANSWER.find("\r\n\r\n").map_or(0, |at| at + 4)..];
    let Some(found) = input.get(end..end + body.len()) else { return Ok(None) };
    if !input.starts_with(b"HTTP/1.1 200 ") || found != body.as_bytes() {
        return Err(format!("wrong answer: {}", String::from_utf8_lossy(input)).into());
    }
    Ok(Some(end + body.len()))
}

// === impl Listener ===

impl Listener {
    pub fn new(looks_inside: bool) -> Self {
        Self { inflater: looks_inside.then(|| Decompress::new(false)) }
    }

    fn hears(&mut self, payload: &[u8], text: &[u8]) -> Outcome<bool> {
        let Some(inflater) = &mut self.inflater else { return Ok(true) };
        let compressed = [payload, &TAIL].concat();
        let mut inflated = Vec::with_capacity(2 * JSON_BYTES);
        inflater.decompress_vec(&compressed, &mut inflated, FlushDecompress::Sync)?;
        Ok(inflated == text)
    }
}

/// As chats and tickers send it: keys that repeat, values that do not.
fn json(number: usize) -> Result<String, std::fmt::Error> {
    let mut text = format!("{{\"type\":\"update\",\"room\":\"lobby\",\"sequence\":{number},\"orders\":[");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
    while text.len() < JSON_BYTES - 100 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (id, price, quantity) = (random >> 32, (random >> 20) % 100_000, (random >> 40) % 500);
        write!(text, "{{\"id\":{id},\"side\":\"buy\",\"price\":{price},\"quantity\":{quantity}}},")?;
    }
    text.pop();
    let rest = JSON_BYTES - text.len() - "],\"pad\":\"\"}".len();
    write!(text, "],\"pad\":\"{}\"}}", "x".repeat(rest))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_messages_can_be_said_again_and_again() {
        let script = Script::compressed().unwrap();
        let mut listener = Listener::new(true);
        for line in script.lines.iter().cycle().take(3 * MESSAGES) {
            let sent = header(&line.sent).unwrap();
            let mut echo = Vec::new();
            wire::put_server_frame(&mut echo, sent.first, &line.sent[sent.header_bytes..], sent.mask);
            assert_eq!(line.heard(&echo, &mut listener).unwrap(), Some(echo.len()));
            assert!(sent.payload_bytes < JSON_BYTES / 2);
        }
    }

    #[test]
    fn another_message_is_not_taken_for_the_right_one() {
        let script = Script::messages(128);
        let mut echo = Vec::new();
        wire::put_server_frame(&mut echo, TEXT, &[b'a'; 128], None);
        assert!(script.lines[0].heard(&echo, &mut Listener::new(true)).is_err());
        assert_eq!(script.lines[0].heard(&echo[..60], &mut Listener::new(true)).unwrap(), None);
    }
}
