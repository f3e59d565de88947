//! One end of a TCP connection, read and written byte by byte.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::CommonState;

use crate::message::{Head, Request, Response};
use crate::soon;
use crate::transport::Transport;

/// All bytes that came in on one connection, to be looked at while it goes on.
pub type Recording = Rc<RefCell<Vec<u8>>>;

pub struct Wire {
    stream: Transport,
    /// Read and not yet asked for.
    unread: Vec<u8>,
    recording: Recording,
}

// === impl Wire: bytes ===

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(soon("connect", TcpStream::connect(address)).await.unwrap(), Recording::default())
    }

    /// Connect, send, and leave the write side open.
    pub async fn send_to(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Self {
        let mut wire = Self::connect(address).await;
        wire.send(bytes).await;
        wire
    }

    /// One end of a connection that a test made itself.
    pub fn over(stream: TcpStream) -> Self {
        Self::new(stream, Recording::default())
    }

    pub(crate) fn new(stream: TcpStream, recording: Recording) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream: Transport::Tcp(stream), unread: Vec::new(), recording }
    }

    pub(crate) fn over_tls(stream: impl Into<TlsStream<TcpStream>>) -> Self {
        let stream = Transport::Tls(Box::new(stream.into()));
        Self { stream, unread: Vec::new(), recording: Recording::default() }
    }

    /// The bytes that are written and read here; of a connection without TLS, those on the wire.
    pub fn transport(&mut self) -> &mut Transport {
        &mut self.stream
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.socket()
    }

    /// What the handshake of TLS settled.
    pub fn tls(&self) -> &CommonState {
        self.stream.tls()
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes).await, "send");
    }

    /// The same where the other end may have closed by now.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let send = async {
            self.stream.write_all(bytes.as_ref()).await.is_ok() && self.stream.flush().await.is_ok()
        };
        soon("send", send).await
    }

    /// End of what this end sends.
    pub async fn finish(&mut self) {
        soon("shut down", self.stream.shutdown()).await.unwrap();
    }

    /// Close with a reset instead of an end.
    pub fn reset(self) {
        let mut stream = self.stream;
        stream.socket().set_zero_linger().unwrap();
    }

    /// Exactly this many bytes.
    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            let more = self.read_more().await;
            assert!(more, "{count} bytes before the end, found {:?}", String::from_utf8_lossy(&self.unread));
        }
        self.unread.drain(..count).collect()
    }

    /// Up to and without this.
    pub async fn take_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|found| found == end) {
                let taken = self.unread.drain(..at).collect();
                self.unread.drain(..end.len());
                return taken;
            }
            let end = String::from_utf8_lossy(end);
            assert!(self.read_more().await, "{end:?} in {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Everything up to the end; a reset is an end, too.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.unread)
    }

    /// The other end has closed, and sent nothing more.
    pub async fn assert_closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "the end, found {:?}", String::from_utf8_lossy(&rest));
    }

    /// Whether there are unread bytes now, without waiting for any; not over TLS.
    pub fn has_more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.stream.socket().try_read(&mut buffer) {
            self.keep(&buffer[..count]);
        }
        !self.unread.is_empty()
    }

    async fn read_more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        match soon("read", self.stream.read(&mut buffer)).await {
            Ok(count @ 1..) => {
                self.keep(&buffer[..count]);
                true
            }
            _ => false,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.recording.borrow_mut().extend_from_slice(bytes);
    }
}

// === impl Wire: HTTP ===

impl Wire {
    pub async fn head(&mut self) -> Head {
        Head::parse(&self.take_until(b"\r\n\r\n").await)
    }

    /// Send a request and read its answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(&request).await;
        let head = self.head().await;
        let bodiless =
            request.as_ref().starts_with(b"HEAD ") || matches!(head.status(), 100..200 | 204 | 304);
        let body = if bodiless { Vec::new() } else { self.response_body(&head).await };
        Response { head, body }
    }

    /// The answer to anything but HEAD.
    pub async fn response(&mut self) -> Response {
        self.ask("").await
    }

    /// None at the end of the connection.
    pub async fn request(&mut self) -> Option<Request> {
        if self.unread.is_empty() && !self.read_more().await {
            return None;
        }
        let head = self.head().await;
        let body = self.framed_body(&head).await.unwrap_or_default();
        Some(Request { head, body })
    }

    pub async fn response_body(&mut self, head: &Head) -> Vec<u8> {
        match self.framed_body(head).await {
            Some(body) => body,
            None => self.rest().await,
        }
    }

    /// One chunk of a chunked body; empty for the last, which must have no trailers.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let size = self.take_until(b"\r\n").await;
        let size = usize::from_str_radix(str::from_utf8(&size).unwrap(), 16).unwrap();
        let chunk = self.take(size).await;
        assert_eq!(self.take(2).await, b"\r\n");
        chunk
    }

    /// None where the end of the connection is that of the body.
    async fn framed_body(&mut self, head: &Head) -> Option<Vec<u8>> {
        if head.field("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            let mut body = Vec::new();
            loop {
                match self.chunk().await {
                    chunk if chunk.is_empty() => return Some(body),
                    chunk => body.extend(chunk),
                }
            }
        }
        let length = head.field("content-length")?;
        Some(self.take(length.parse().unwrap()).await)
    }
}
