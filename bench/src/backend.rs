//! The server behind every proxy that is measured: echoes WebSocket frames as they came, compressed or not, and answers any
//! other request with a few bytes. One thread, which shares its processor with the clients.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _, stdin};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::net::listen;
use rustix::net::sockopt::set_socket_send_buffer_size;

use crate::poll::{Interest, Poll, Ready};
use crate::wire::{accept, field, head_bytes, header, put_server_frame};
use crate::{Outcome, SOCKET_BUFFER_BYTES};

const BACKLOG: i32 = 4096;
const READ_BYTES: usize = 256 * 1024;
const LISTENER: usize = 0;
const INPUT: usize = 1;
const FIRST_CONNECTION: usize = 2;

/// What a request gets that is not for a WebSocket.
pub const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n";

struct Connection {
    stream: TcpStream,
    upgraded: bool,
    /// The beginning of a head or a frame.
    input: Vec<u8>,
    /// While there is any, nothing more is read.
    unsent: Vec<u8>,
}

/// Says its port, and serves until its input ends, which is when whoever started it does.
pub fn run() -> Outcome<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, Interest::READ)?;
    poll.add(stdin(), INPUT, Interest::READ)?;
    println!("{}", listener.local_addr()?.port());

    let mut connections = HashMap::new();
    let mut next = FIRST_CONNECTION;
    let (mut ready, mut buffer, mut output) = (Vec::new(), vec![0; READ_BYTES], Vec::new());
    loop {
        poll.wait(&mut ready, None)?;
        for event in &ready {
            match event.token {
                INPUT => return Ok(()),
                LISTENER => {
                    while let Ok((stream, _)) = listener.accept() {
                        connections.insert(next, Connection::new(stream, &poll, next)?);
                        next += 1;
                    }
                }
                token => {
                    let Some(connection) = connections.get_mut(&token) else { continue };
                    if connection.turn(*event, &poll, &mut buffer, &mut output).is_err() {
                        // The client left.
                        connections.remove(&token);
                    }
                }
            }
        }
    }
}

// === impl Connection ===

impl Connection {
    fn new(stream: TcpStream, poll: &Poll, token: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        set_socket_send_buffer_size(&stream, SOCKET_BUFFER_BYTES)?;
        poll.add(&stream, token, Interest::READ)?;
        Ok(Self { stream, upgraded: false, input: Vec::new(), unsent: Vec::new() })
    }

    fn turn(&mut self, event: Ready, poll: &Poll, buffer: &mut [u8], output: &mut Vec<u8>) -> io::Result<()> {
        output.clear();
        let waited = !self.unsent.is_empty();
        if waited {
            output.append(&mut self.unsent);
        } else if event.readable {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                read => read?,
            };
            self.answer(&buffer[..count], output)?;
        }
        if self.send(output)? != waited {
            poll.change(&self.stream, event.token, Interest { reading: waited, writing: !waited })?;
        }
        Ok(())
    }

    /// Answers what is whole of `read`, and keeps the rest.
    fn answer(&mut self, read: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        if self.input.is_empty() {
            let used = self.answer_whole(read, output)?;
            self.input.extend_from_slice(&read[used..]);
            return Ok(());
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(read);
        let used = self.answer_whole(&input, output)?;
        // An idle connection holds nothing.
        self.input = if used == input.len() { Vec::new() } else { input.split_off(used) };
        Ok(())
    }

    fn answer_whole(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if self.upgraded {
                let Some(header) = header(rest) else { return Ok(used) };
                let end = header.header_bytes + header.payload_bytes;
                let Some(payload) = rest.get(header.header_bytes..end) else { return Ok(used) };
                put_server_frame(output, header.first, payload, header.mask);
                used += end;
            } else {
                let Some(end) = head_bytes(rest) else { return Ok(used) };
                let head = std::str::from_utf8(&rest[..end]).map_err(io::Error::other)?;
                self.answer_head(head, output);
                used += end;
            }
        }
    }

    fn answer_head(&mut self, head: &str, output: &mut Vec<u8>) {
        let Some(key) = field(head, "sec-websocket-key") else {
            return output.extend_from_slice(ANSWER.as_bytes());
        };
        let deflate =
            field(head, "sec-websocket-extensions").is_some_and(|offer| offer.contains("permessage-deflate"));
        let extensions = if deflate { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
        let accept = accept(key);
        self.upgraded = true;
        output.extend_from_slice(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
            )
            .as_bytes(),
        );
    }

    /// Whether the rest has to wait.
    fn send(&mut self, output: &[u8]) -> io::Result<bool> {
        let mut rest = output;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unsent.extend_from_slice(rest);
        Ok(!rest.is_empty())
    }
}
