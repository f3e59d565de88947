//! As much of HTTP and WebSocket as the measuring needs. It shares no code with what is measured.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Any that is not zero, so that whoever must unmask does.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// FIN and the opcode of text (RFC 6455 §5.2).
pub const TEXT: u8 = 0x81;
/// The same of a compressed message (RFC 7692 §6).
pub const COMPRESSED_TEXT: u8 = 0xc1;

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// FIN, RSV1 to RSV3 and the opcode.
    pub first: u8,
    pub mask: Option<[u8; 4]>,
    pub header_bytes: usize,
    pub payload_bytes: usize,
}

/// Ready to be sent by a client.
pub fn upgrade_request(deflate: bool) -> String {
    let extensions = if deflate { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    request(&format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extensions}"
    ))
}

/// The clients', which plugins that look at it have to let in.
pub const ORIGIN: &str = "https://app.example.com";

/// With what a browser would send and a request hook looks at.
pub fn request(fields: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: sluicegate-bench\r\nAccept: */*\r\n\
         Origin: {ORIGIN}\r\nX-Tenant: b\r\n{fields}\r\n"
    )
}

/// Whether `head` accepts [`upgrade_request`].
pub fn is_upgraded(head: &str, deflate: bool) -> bool {
    head.starts_with("HTTP/1.1 101 ")
        && field(head, "sec-websocket-accept") == Some(&accept(KEY))
        && field(head, "sec-websocket-extensions").is_some() == deflate
}

/// How long the head is that `input` begins with, its empty line included.
pub fn head_bytes(input: &[u8]) -> Option<usize> {
    input.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// `Sec-WebSocket-Accept` (RFC 6455 §4.2.2).
pub fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// A whole frame as a client sends it.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    put_header(&mut frame, first, payload.len(), 0x80);
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A whole frame as a server sends it: `payload` without its mask.
pub fn put_server_frame(output: &mut Vec<u8>, first: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    put_header(output, first, payload.len(), 0);
    let begin = output.len();
    output.extend_from_slice(payload);
    let Some(mask) = mask else { return };
    let wide = u64::from_ne_bytes(std::array::from_fn(|index| mask[index % 4]));
    let mut chunks = output[begin..].chunks_exact_mut(8);
    for chunk in &mut chunks {
        let bytes = std::array::from_fn(|index| chunk[index]);
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The header that `input` begins with, once it is whole.
pub fn header(input: &[u8]) -> Option<Header> {
    let (&[first, second], rest) = input.split_first_chunk::<2>()?;
    let (payload_bytes, length_bytes) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 8),
        length => (usize::from(length), 0),
    };
    let masked = second & 0x80 != 0;
    let mask = if masked { Some(*rest.get(length_bytes..)?.first_chunk()?) } else { None };
    let header_bytes = 2 + length_bytes + if masked { 4 } else { 0 };
    Some(Header { first, mask, header_bytes, payload_bytes })
}

fn put_header(output: &mut Vec<u8>, first: u8, payload_bytes: usize, masked: u8) {
    output.push(first);
    match (u8::try_from(payload_bytes), u16::try_from(payload_bytes)) {
        (Ok(length @ ..126), _) => output.push(masked | length),
        (_, Ok(length)) => {
            output.push(masked | 126);
            output.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            output.push(masked | 127);
            output.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_comes_back_without_its_mask() {
        for length in [0, 1, 4, 5, 7, 8, 13, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let sent = client_frame(TEXT, &payload);
            let header = header(&sent).unwrap();
            assert_eq!((header.first, header.payload_bytes), (TEXT, length));
            let mut echo = Vec::new();
            put_server_frame(&mut echo, header.first, &sent[header.header_bytes..], header.mask);
            let header = self::header(&echo).unwrap();
            assert_eq!((header.mask, header.payload_bytes), (None, length));
            assert_eq!(echo[header.header_bytes..], payload, "{length} bytes");
        }
    }

    #[test]
    fn a_header_that_is_not_whole_is_waited_for() {
        let frame = client_frame(TEXT, &[0; 70_000]);
        for end in 0..14 {
            assert_eq!(header(&frame[..end]), None);
        }
        assert!(header(&frame[..14]).is_some());
    }
}
