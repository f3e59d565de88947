//! As much of WebSocket as the measuring needs: frames of up to 125 bytes, and handshakes without questions. It shares no
//! code with what is measured.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Outcome;

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HEAD_BYTES_MAX: usize = 4096;

/// The head of a request or an answer.
pub async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte, as what follows is not the head's.
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
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

/// A client's session, open.
pub async fn open(port: u16, path: &str, deflate: bool) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let extensions = if deflate { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let head = read_head(&mut stream).await?;
    if !head.starts_with("HTTP/1.1 101 ") || field(&head, "sec-websocket-extensions").is_some() != deflate {
        return Err(format!("unexpected answer: {head}").into());
    }
    Ok(stream)
}

/// Says something, and hears it back.
pub async fn exchange(stream: &mut TcpStream, first: u8, payload: &[u8]) -> Outcome<()> {
    // With the key 0, which masks nothing.
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len())?, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    stream.write_all(&frame).await?;
    let length = {
        stream.read_u8().await?;
        stream.read_u8().await? & 0x7f
    };
    stream.read_exact(&mut vec![0; usize::from(length)]).await?;
    Ok(())
}
