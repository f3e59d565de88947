//! HTTP/2 clients with prior knowledge (RFC 9113 §3.3): one by the `h2` crate, one whose every frame is the test's.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::message::{Head, Response};
use crate::session::WebSocket;
use crate::wire::{Recording, Wire};
use crate::{eventually, soon};

/// A connection that may have many requests and WebSockets at a time.
pub struct Http2 {
    sender: SendRequest<Bytes>,
    ended: Rc<RefCell<Option<Result<(), h2::Error>>>>,
}

/// A connection whose frames the test writes and reads.
pub struct RawHttp2 {
    pub wire: Wire,
}

/// A frame (RFC 9113 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

// === impl Http2 ===

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &Builder::new()).await
    }

    /// With settings of its own.
    pub async fn connect_with(address: SocketAddr, builder: &Builder) -> Self {
        let stream = soon("connect", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = soon("the handshake", builder.handshake(stream)).await.unwrap();
        let ended = Rc::new(RefCell::new(None));
        let end = Rc::clone(&ended);
        tokio::task::spawn_local(async move {
            let result = connection.await;
            end.borrow_mut().replace(result);
        });
        Self { sender, ended }
    }

    /// A request for this path of `a.example`, to be given its fields.
    pub fn request(method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://a.example{path}"))
    }

    pub async fn get(&mut self, path: &str) -> Response {
        self.ask(Self::request("GET", path), b"").await
    }

    /// Send a request and read its answer.
    pub async fn ask(&mut self, request: http::request::Builder, body: &[u8]) -> Response {
        self.try_ask(request, body).await.unwrap()
    }

    /// The same where the stream may be reset.
    pub async fn try_ask(
        &mut self,
        request: http::request::Builder,
        body: &[u8],
    ) -> Result<Response, h2::Error> {
        let (answer, mut outgoing) = self.send(request, body.is_empty()).await;
        if !body.is_empty() {
            let body = Bytes::copy_from_slice(body);
            tokio::task::spawn_local(async move { drop(send_all(&mut outgoing, body, true).await) });
        }
        read_answer(answer).await
    }

    /// Begin a request whose body and answer are the test's.
    pub async fn send(
        &mut self,
        request: http::request::Builder,
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = soon("room for a stream", self.sender.clone().ready()).await.unwrap();
        sender.send_request(request.body(()).unwrap(), is_whole).unwrap()
    }

    /// Open a WebSocket (RFC 8441 §4), with further fields.
    pub async fn websocket(&mut self, path: &str, fields: &[(&str, &str)]) -> WebSocket {
        let (answer, outgoing) = self.send(self.connect_request(path, fields).await, false).await;
        let (head, incoming) = soon("the answer", answer).await.unwrap().into_parts();
        let head = head_of(&head);
        assert_eq!(head.status(), 200, "{head}");
        let wire = pumped(outgoing, incoming).await;
        WebSocket { wire, head, is_client: true }
    }

    /// The same where it should not open: what the client is told.
    pub async fn refused(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let (answer, _outgoing) = self.send(self.connect_request(path, fields).await, false).await;
        let response = read_answer(answer).await.unwrap();
        assert_ne!(response.status(), 200, "{}", response.head);
        response
    }

    /// An extended CONNECT, once the server has said that it knows of it.
    async fn connect_request(&self, path: &str, fields: &[(&str, &str)]) -> http::request::Builder {
        let offered = || self.sender.is_extended_connect_protocol_enabled().then_some(());
        eventually("SETTINGS_ENABLE_CONNECT_PROTOCOL", offered).await;
        let request = Self::request("CONNECT", path).extension(h2::ext::Protocol::from("websocket"));
        let request = request.header("sec-websocket-version", "13");
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    /// How the connection ended, once it has.
    pub async fn ended(&self) -> Result<(), h2::Error> {
        eventually("the end of the connection", || self.ended.borrow_mut().take()).await
    }
}

/// The whole answer.
pub(crate) async fn read_answer(answer: ResponseFuture) -> Result<Response, h2::Error> {
    let (head, mut incoming) = soon("the answer", answer).await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = soon("the body", incoming.data()).await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len()).unwrap();
        body.extend(data);
    }
    Ok(Response { head: head_of(&head), body })
}

fn head_of(head: &http::response::Parts) -> Head {
    let text = |value: &http::HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
    let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    Head { first_line: format!("HTTP/2 {}", head.status.as_u16()), fields: fields.collect() }
}

async fn send_all(stream: &mut SendStream<Bytes>, mut data: Bytes, ends: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        while stream.capacity() == 0 {
            match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(grown) => drop(grown?),
                None => return Err(Reason::STREAM_CLOSED.into()),
            }
        }
        let piece = data.split_to(stream.capacity().min(data.len()));
        stream.send_data(piece, ends && data.is_empty())?;
    }
    Ok(())
}

/// A stream as one end of a TCP connection, so that tests read and write it as any other. An end is an end, a reset a
/// reset.
async fn pumped(mut outgoing: SendStream<Bytes>, mut incoming: RecvStream) -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let (mut read, mut write) = far.into_split();
    tokio::task::spawn_local(async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match read.read(&mut buffer).await {
                Ok(0) => return outgoing.send_data(Bytes::new(), true),
                Ok(length) => {
                    send_all(&mut outgoing, Bytes::copy_from_slice(&buffer[..length]), false).await?;
                }
                Err(_) => {
                    outgoing.send_reset(Reason::CANCEL);
                    return Ok(());
                }
            }
        }
    });
    tokio::task::spawn_local(async move {
        while let Some(data) = incoming.data().await {
            let Ok(data) = data else { return write.as_ref().set_zero_linger().unwrap() };
            if write.write_all(&data).await.is_err() {
                return;
            }
            incoming.flow_control().release_capacity(data.len()).unwrap();
        }
        drop(write.shutdown().await);
    });
    Wire::new(near, Recording::default())
}

// === impl RawHttp2 ===

impl RawHttp2 {
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;

    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;

    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// A connection on which the preface and empty settings are sent.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut wire = Wire::connect(address).await;
        wire.send([Self::PREFACE, &RawFrame::new(Self::SETTINGS, 0, 0, []).bytes()].concat()).await;
        Self { wire }
    }

    /// Whether it could be sent: the proxy may have closed.
    pub async fn try_send(&mut self, frames: &[RawFrame]) -> bool {
        let bytes: Vec<u8> = frames.iter().flat_map(RawFrame::bytes).collect();
        self.wire.try_send(bytes).await
    }

    pub async fn frame(&mut self) -> RawFrame {
        let header = self.wire.take(9).await;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        RawFrame { kind: header[3], flags: header[4], stream, payload: self.wire.take(length).await }
    }

    /// The next frame of this kind.
    pub async fn frame_of(&mut self, kind: u8) -> RawFrame {
        loop {
            let frame = self.frame().await;
            if frame.kind == kind {
                return frame;
            }
            assert_ne!(frame.kind, Self::GOAWAY, "{frame:?} before a frame of kind {kind}");
        }
    }

    /// The error code of the GOAWAY that ends the connection (RFC 9113 §6.8), and then its end.
    pub async fn goaway(&mut self) -> u32 {
        let frame = self.frame_of(Self::GOAWAY).await;
        u32::from_be_bytes(frame.payload[4..8].try_into().unwrap())
    }
}

// === impl RawFrame ===

impl RawFrame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A whole request head.
    pub fn request(stream: u32, fields: &[(&str, &str)]) -> Self {
        let flags = RawHttp2::END_HEADERS | RawHttp2::END_STREAM;
        Self::new(RawHttp2::HEADERS, flags, stream, Self::block(fields))
    }

    pub fn get(stream: u32) -> Self {
        Self::request(stream, &Self::GET)
    }

    pub const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")];

    /// A header block: each field literal, never indexed, without Huffman coding (RFC 7541 §6.2.3).
    pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let text = |text: &str| {
            assert!(text.len() < 127);
            [&[text.len() as u8], text.as_bytes()].concat()
        };
        fields.iter().flat_map(|(name, value)| [vec![0x10], text(name), text(value)].concat()).collect()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = (self.payload.len() as u32).to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), self.payload.as_slice()].concat()
    }
}
