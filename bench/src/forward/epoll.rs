//! The least that moves bytes from one socket to another and back.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::net::listen;

use crate::Outcome;
use crate::poll::{Interest, Poll};

const BACKLOG: i32 = 4096;
const READ_BYTES: usize = 256 * 1024;
const LISTENER: usize = 0;

/// One of two sockets; the other's token differs in the lowest bit.
struct End {
    stream: TcpStream,
    /// Read from the other and not taken by this one; the other is not read until it is.
    unsent: Vec<u8>,
}

pub fn run(port: u16, backend: u16) -> Outcome<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, Interest::READ)?;

    let mut ends = HashMap::new();
    let mut next = 2;
    let (mut ready, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
    loop {
        poll.wait(&mut ready, None)?;
        for event in &ready {
            if event.token == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    // On this machine a connection is there at once.
                    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, backend))?;
                    for (stream, token) in [(client, next), (server, next + 1)] {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        poll.add(&stream, token, Interest::READ)?;
                        ends.insert(token, End { stream, unsent: Vec::new() });
                    }
                    next += 2;
                }
                continue;
            }
            let flushed = !event.writable || flush(&mut ends, &poll, event.token).is_ok();
            let read = !event.readable || forward(&mut ends, &poll, event.token, &mut buffer).is_ok();
            if !(flushed && read) {
                ends.remove(&event.token);
                ends.remove(&(event.token ^ 1));
            }
        }
    }
}

/// What one end says, to the other. An error is the end of both.
fn forward(ends: &mut HashMap<usize, End>, poll: &Poll, token: usize, buffer: &mut [u8]) -> io::Result<()> {
    let Some(from) = ends.get_mut(&token) else { return Ok(()) };
    let count = match from.stream.read(buffer) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        read => read?,
    };
    let Some(to) = ends.get_mut(&(token ^ 1)) else { return Ok(()) };
    let sent = to.send(&buffer[..count])?;
    if sent < count {
        to.unsent.extend_from_slice(&buffer[sent..count]);
        wait(ends, poll, token ^ 1)?;
    }
    Ok(())
}

fn flush(ends: &mut HashMap<usize, End>, poll: &Poll, token: usize) -> io::Result<()> {
    let Some(end) = ends.get_mut(&token) else { return Ok(()) };
    if end.unsent.is_empty() {
        return Ok(());
    }
    let unsent = std::mem::take(&mut end.unsent);
    let sent = end.send(&unsent)?;
    end.unsent.extend_from_slice(&unsent[sent..]);
    wait(ends, poll, token)
}

/// Lets the other end be read as long as nothing of it waits to be sent to this one.
fn wait(ends: &HashMap<usize, End>, poll: &Poll, token: usize) -> io::Result<()> {
    let (Some(to), Some(from)) = (ends.get(&token), ends.get(&(token ^ 1))) else { return Ok(()) };
    for (token, this, other) in [(token, to, from), (token ^ 1, from, to)] {
        let interest = Interest { reading: other.unsent.is_empty(), writing: !this.unsent.is_empty() };
        poll.change(&this.stream, token, interest)?;
    }
    Ok(())
}

// === impl End ===

impl End {
    /// How much of `bytes` was taken.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
