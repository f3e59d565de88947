//! WebSocket endpoints written out by hand, so that a test decides on every byte of handshake and frames.

use std::net::SocketAddr;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::frame::Frame;
use crate::message::{Head, Response};
use crate::proxy::Proxy;
use crate::upstream::RawUpstream;
use crate::wire::Wire;

/// The key of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A client's handshake; `more` are further lines, each with its CRLF.
pub fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: chat.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// The server's answer to it.
pub fn switching_protocols(request: &Head, more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{more}\r\n",
        accept_key(request)
    )
}

/// What `Sec-WebSocket-Accept` has to be (RFC 6455 §4.2.2).
pub fn accept_key(request: &Head) -> String {
    derive_accept_key(request.field("sec-websocket-key").expect("a handshake").as_bytes())
}

/// One endpoint of an open WebSocket.
pub struct WebSocket {
    pub wire: Wire,
    /// What the other end sent in the handshake.
    pub head: Head,
    pub(crate) is_client: bool,
}

/// A session through the proxy, both ends in the hands of the test.
pub struct Session {
    pub client: WebSocket,
    pub upstream: WebSocket,
}

// === impl WebSocket ===

impl WebSocket {
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        Self::connect_with(address, path, "").await
    }

    /// With further lines in the handshake.
    pub async fn connect_with(address: SocketAddr, path: &str, more: &str) -> Self {
        Self::upgraded(Wire::send_to(address, handshake(path, more)).await).await
    }

    /// Where it may be refused: the status then.
    pub async fn try_connect(address: SocketAddr, path: &str) -> Result<Self, u16> {
        let mut wire = Wire::send_to(address, handshake(path, "")).await;
        let head = wire.head().await;
        if head.status() == 101 { Ok(Self { wire, head, is_client: true }) } else { Err(head.status()) }
    }

    /// After the handshake was sent.
    pub async fn upgraded(mut wire: Wire) -> Self {
        let head = wire.head().await;
        assert_eq!(head.status(), 101, "{head}");
        Self { wire, head, is_client: true }
    }

    /// The same where it should not open: what the client is told.
    pub async fn refused(address: SocketAddr, path: &str, more: &str) -> Response {
        let response = Wire::send_to(address, handshake(path, more)).await.response().await;
        assert_ne!(response.status(), 101, "{}", response.head);
        response
    }

    pub async fn accept(wire: Wire) -> Self {
        Self::accept_with(wire, "").await
    }

    /// With further lines in the answer.
    pub async fn accept_with(mut wire: Wire, more: &str) -> Self {
        let head = wire.head().await;
        wire.send(switching_protocols(&head, more)).await;
        Self { wire, head, is_client: false }
    }

    /// Send a frame, masked if this is the client (RFC 6455 §5.1).
    pub async fn send(&mut self, frame: Frame) {
        let bytes = self.encode(frame);
        self.wire.send(bytes).await;
    }

    /// Send frames in one write.
    pub async fn send_all(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| self.encode(frame)).collect();
        self.wire.send(bytes).await;
    }

    pub async fn say(&mut self, text: &str) {
        self.send(Frame::text(text)).await;
    }

    /// The next frame; it must be masked if and only if a client sent it.
    pub async fn frame(&mut self) -> Frame {
        let frame = Frame::read(&mut self.wire).await;
        assert_eq!(frame.masked, !self.is_client, "{frame:?}");
        Frame { masked: false, ..frame }
    }

    /// The next frame, which must be a whole text message.
    pub async fn hear(&mut self) -> String {
        self.frame().await.as_text().to_owned()
    }

    /// Say this, and hear it again from an upstream that echoes.
    pub async fn assert_echo(&mut self, text: &str) {
        self.say(text).await;
        assert_eq!(self.hear().await, text);
    }

    /// The next frame must be a close: its code and reason.
    pub async fn closed(&mut self) -> (Option<u16>, String) {
        let frame = self.frame().await;
        let reason = frame.payload.get(2..).unwrap_or_default();
        (frame.close_code(), String::from_utf8(reason.to_vec()).unwrap())
    }

    pub fn encode(&self, frame: Frame) -> Vec<u8> {
        if self.is_client { frame.masked().bytes() } else { frame.bytes() }
    }
}

// === impl Session ===

impl Session {
    /// Ask until the place that is free soon is free: as long as it is not, the answer is 429.
    pub async fn eventually_open(proxy: &Proxy, upstream: &RawUpstream) -> Self {
        loop {
            let mut wire = Wire::send_to(proxy.address(), handshake("/", "")).await;
            tokio::select! {
                head = wire.head() => assert_eq!(head.status(), 429),
                server = upstream.next() => {
                    let upstream = WebSocket::accept(server).await;
                    return Self { client: WebSocket::upgraded(wire).await, upstream };
                }
            }
        }
    }

    pub async fn open(proxy: &Proxy, upstream: &RawUpstream) -> Self {
        Self::open_at(proxy, upstream, "/").await
    }

    pub async fn open_at(proxy: &Proxy, upstream: &RawUpstream, path: &str) -> Self {
        Self::open_with(proxy, upstream, path, "", "").await
    }

    /// With further lines in the client's handshake and in the upstream's answer.
    pub async fn open_with(
        proxy: &Proxy,
        upstream: &RawUpstream,
        path: &str,
        asked: &str,
        answered: &str,
    ) -> Self {
        let (client, upstream) = tokio::join!(WebSocket::connect_with(proxy.address(), path, asked), async {
            WebSocket::accept_with(upstream.next().await, answered).await
        });
        Self { client, upstream }
    }
}
