//! Servers behind the proxy that speak HTTP/2 with prior knowledge: by the `h2` crate, or frame by frame.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, Response};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::http2::{RawFrame, RawHttp2};
use crate::soon;
use crate::upstream::RawUpstream;

/// A server whose connections the test takes one by one.
pub struct Http2Upstream {
    listener: TcpListener,
    settings: Builder,
}

/// A connection whose requests the test answers.
pub struct Http2Wire {
    requests: mpsc::UnboundedReceiver<Asked>,
    serving: JoinHandle<()>,
}

/// A request that waits for its answer.
pub struct Asked {
    pub head: Parts,
    pub body: RecvStream,
    respond: SendResponse<Bytes>,
}

// === impl Http2Upstream ===

impl Http2Upstream {
    pub async fn start() -> Self {
        Self::with(Builder::new()).await
    }

    pub async fn with(settings: Builder) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), settings }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection.
    pub async fn next(&self) -> Http2Wire {
        let (stream, _) = soon("a connection to the upstream", self.listener.accept()).await.unwrap();
        let mut connection = soon("a handshake", self.settings.handshake(stream)).await.unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let serving = tokio::task::spawn_local(async move {
            while let Some(Ok((request, respond))) = connection.accept().await {
                let (head, body) = request.into_parts();
                if sender.send(Asked { head, body, respond }).is_err() {
                    return;
                }
            }
        });
        Http2Wire { requests, serving }
    }

    /// No further connection was opened so far.
    pub fn assert_no_more(&self) {
        assert!(self.listener.accept().now_or_never().is_none(), "another connection");
    }
}

// === impl Http2Wire ===

impl Http2Wire {
    pub async fn request(&mut self) -> Asked {
        soon("a request", self.requests.recv()).await.expect("a request before the end of the connection")
    }

    pub fn has_more(&mut self) -> bool {
        !self.requests.is_empty()
    }

    /// The proxy has closed it, and sent no request before.
    pub async fn assert_closed(mut self) {
        assert!(soon("the end of the connection", self.requests.recv()).await.is_none());
    }

    /// Cut it off.
    pub fn cut(self) {
        self.serving.abort();
    }
}

// === impl Asked ===

impl Asked {
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    pub fn answer(mut self, body: &'static str) {
        let mut stream = self.begin(Response::new(()));
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }

    /// The answer's head; the test sends its body.
    pub fn begin(&mut self, head: Response<()>) -> SendStream<Bytes> {
        self.respond.send_response(head, false).unwrap()
    }

    pub fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// The proxy gives it up.
    pub async fn given_up(&mut self) -> Reason {
        soon("a reset", std::future::poll_fn(|cx| self.respond.poll_reset(cx))).await.unwrap()
    }

    /// The request's body and trailers.
    pub async fn body(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut body = Vec::new();
        while let Some(data) = soon("the request's body", self.body.data()).await {
            let data = data.unwrap();
            self.body.flow_control().release_capacity(data.len()).unwrap();
            body.extend(data);
        }
        (body, soon("its trailers", self.body.trailers()).await.unwrap())
    }
}

// === impl RawHttp2 ===

impl RawHttp2 {
    /// A server's side of the next connection, which has said its preface and heard empty settings.
    pub async fn accept(upstream: &RawUpstream) -> Self {
        let mut server = Self::accept_silent(upstream).await;
        server.begin([]).await;
        server
    }

    /// The same before anything was read or said.
    pub async fn accept_silent(upstream: &RawUpstream) -> Self {
        Self { wire: upstream.next().await }
    }

    /// Read the preface, and say these settings.
    pub async fn begin(&mut self, settings: impl Into<Vec<u8>>) {
        assert_eq!(self.wire.take(Self::PREFACE.len()).await, Self::PREFACE);
        self.send(&[RawFrame::new(Self::SETTINGS, 0, 0, settings)]).await;
    }

    pub async fn send(&mut self, frames: &[RawFrame]) {
        assert!(self.try_send(frames).await);
    }

    /// The stream of the next request.
    pub async fn request(&mut self) -> u32 {
        self.frame_of(Self::HEADERS).await.stream
    }

    /// Answer the next request by 204.
    pub async fn answer_next(&mut self) {
        let stream = self.request().await;
        self.send(&[RawFrame::no_content(stream)]).await;
    }

    /// Return when what was sent so far has been read: a PING behind it is answered.
    pub async fn until_read(&mut self) {
        self.send(&[RawFrame::new(Self::PING, 0, 0, *b"12345678")]).await;
        while self.frame_of(Self::PING).await.flags != Self::ACK {}
    }
}

// === impl RawFrame ===

impl RawFrame {
    /// A whole answer.
    pub fn no_content(stream: u32) -> Self {
        let flags = RawHttp2::END_HEADERS | RawHttp2::END_STREAM;
        Self::new(RawHttp2::HEADERS, flags, stream, Self::block(&[(":status", "204")]))
    }

    pub fn goaway(last: u32, reason: Reason) -> Self {
        let payload = [last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
        Self::new(RawHttp2::GOAWAY, 0, 0, payload)
    }

    /// The payload of settings that allow so many streams at once (RFC 9113 §6.5.2).
    pub fn max_concurrent_streams(count: u32) -> Vec<u8> {
        [&[0, 3][..], &count.to_be_bytes()].concat()
    }
}
