//! A client's connection through the proxy, over TCP or TLS. Its set-up blocks; load is put on it without blocking.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::wire::{client_frame, head_bytes, header, is_upgraded, upgrade_request};
use crate::{Outcome, SOCKET_BUFFER_BYTES};

/// For anything that blocks.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Read at once during set-up.
const READ_BYTES: usize = 16 * 1024;

/// Where sessions are opened.
#[derive(Debug, Clone)]
pub struct Target {
    pub port: u16,
    /// Over TLS, with this.
    pub tls: Option<Arc<ClientConfig>>,
}

pub struct Session {
    pub stream: TcpStream,
    /// What was read and not yet taken.
    pub input: Vec<u8>,
    tls: Option<Box<ClientConnection>>,
    unsent: Vec<u8>,
}

// === impl Session ===

impl Session {
    /// A connection, over TLS where the target says so.
    pub fn connect(target: &Target) -> Outcome<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", target.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        set_socket_send_buffer_size(&stream, SOCKET_BUFFER_BYTES)?;
        let tls = target.tls.as_ref().map(|config| -> Outcome<_> {
            let mut tls = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
            tls.set_buffer_limit(None);
            tls.complete_io(&mut stream)?;
            Ok(Box::new(tls))
        });
        Ok(Self { stream, input: Vec::new(), tls: tls.transpose()?, unsent: Vec::new() })
    }

    /// A WebSocket.
    pub fn open(target: &Target, deflate: bool) -> Outcome<Self> {
        let mut session = Self::connect(target)?;
        session.send(upgrade_request(deflate).as_bytes())?;
        let mut buffer = [0; READ_BYTES];
        let end = loop {
            if let Some(end) = head_bytes(&session.input) {
                break end;
            }
            session.receive(&mut buffer)?;
        };
        let head = String::from_utf8_lossy(&session.input[..end]);
        if !is_upgraded(&head, deflate) {
            return Err(format!("unexpected answer: {head}").into());
        }
        session.input.drain(..end);
        Ok(session)
    }

    /// Says something, and hears a frame.
    pub fn exchange(&mut self, first: u8, payload: &[u8]) -> Outcome<()> {
        self.send(&client_frame(first, payload))?;
        let mut buffer = [0; READ_BYTES];
        loop {
            if let Some(header) = header(&self.input) {
                let end = header.header_bytes + header.payload_bytes;
                if self.input.len() >= end {
                    self.input = self.input.split_off(end);
                    return Ok(());
                }
            }
            self.receive(&mut buffer)?;
        }
    }

    /// As much as the peer takes now; the rest waits for [`flush`](Self::flush).
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None if self.unsent.is_empty() => {
                let count = match self.stream.write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    written => written?,
                };
                if count == bytes.len() {
                    return Ok(());
                }
                self.unsent.extend_from_slice(&bytes[count..]);
            }
            None => self.unsent.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Sends what waits, as far as the peer takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.is_blocked() {
            let sent = match &mut self.tls {
                Some(tls) => tls.write_tls(&mut self.stream).map(drop),
                None => self.stream.write(&self.unsent).map(|count| drop(self.unsent.drain(..count))),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                sent => sent?,
            }
        }
        Ok(())
    }

    /// Whether something waits to be sent.
    pub fn is_blocked(&self) -> bool {
        self.tls.as_ref().map_or(!self.unsent.is_empty(), |tls| tls.wants_write())
    }

    /// Adds what one read brings to `input`; `WouldBlock` is an error here.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            let count = self.stream.read(buffer)?;
            self.input.extend_from_slice(&buffer[..count]);
            return if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        };
        if tls.read_tls(&mut self.stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = tls.process_new_packets().map_err(io::Error::other)?.plaintext_bytes_to_read();
        let begin = self.input.len();
        self.input.resize(begin + count, 0);
        tls.reader().read_exact(&mut self.input[begin..])
    }

    /// As programs leave that have nothing more to say.
    pub fn close(mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.flush()?;
        }
        self.stream.shutdown(Shutdown::Write)
    }
}
