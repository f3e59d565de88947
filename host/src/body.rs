//! Bodies on their way through, streamed both ways and never gathered.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::files;
use crate::limits::Slot;
use crate::upstream::{AnswerBody, Failure, Served};

/// What went wrong with a body on its way.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("no data came for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    #[error("{0}")]
    Broken(hyper::Error),
    #[error("{0}")]
    BrokenOff(Failure),
    #[error("body is sent to another server")]
    Withdrawn,
    #[error("{0}")]
    Reset(h2::Error),
    #[error("file cannot be read: {0}")]
    File(std::io::Error),
}

/// The body of an answer to a client.
pub struct ResponseBody {
    content: Content,
    /// Concurrency slots of the exchange, which ends when its body does.
    held: Vec<Slot>,
    /// So does its server's part in it.
    served: Option<Served>,
}

/// Where a body comes from.
pub enum Content {
    Full(Full<Bytes>),
    Upstream(Timed),
    File(files::FileBody),
}

/// A body as it is received.
pub enum Received {
    Nothing,
    /// Of a request made here.
    Whole(Full<Bytes>),
    Http1(Incoming),
    /// Of an answer.
    Answer(AnswerBody),
    Http2(ReceivedStream),
}

/// A body on a stream of HTTP/2, of a request or an answer, with its trailers.
pub struct ReceivedStream {
    stream: RecvStream,
    /// What Content-Length says is still to come; the `h2` crate holds the peer to it.
    left: Option<u64>,
    /// All but the trailers has come.
    is_data_over: bool,
}

/// A body that ends with an error when its peer sends nothing for `timeout`.
pub struct Timed {
    body: Received,
    timeout: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
}

// === impl Received, ReceivedStream ===

impl ReceivedStream {
    /// `has_body`: otherwise a length is not its own, as of an answer to HEAD.
    pub fn new(stream: RecvStream, headers: &HeaderMap, has_body: bool) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let has_body = has_body && !stream.is_end_stream();
        let left = if has_body { length.and_then(|length| length.parse().ok()) } else { Some(0) };
        Self { stream, left, is_data_over: false }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.is_data_over {
            if let Some(data) = ready!(self.stream.poll_data(cx)) {
                return Poll::Ready(Some(data.map(|data| Frame::data(self.take(data)))));
            }
            self.is_data_over = true;
        }
        self.stream
            .poll_trailers(cx)
            .map(|trailers| trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn take(&mut self, data: Bytes) -> Bytes {
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        // Whoever has it writes it before it asks for more. Fails only for more than was received.
        drop(self.stream.flow_control().release_capacity(data.len()));
        data
    }
}

impl From<Bytes> for Received {
    fn from(body: Bytes) -> Self {
        Self::Whole(Full::new(body))
    }
}

impl From<Incoming> for Received {
    fn from(body: Incoming) -> Self {
        Self::Http1(body)
    }
}

impl From<AnswerBody> for Received {
    fn from(body: AnswerBody) -> Self {
        Self::Answer(body)
    }
}

impl From<ReceivedStream> for Received {
    fn from(body: ReceivedStream) -> Self {
        Self::Http2(body)
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Nothing => Poll::Ready(None),
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Broken),
            Self::Answer(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::BrokenOff),
            Self::Http2(body) => body.poll_frame(cx).map_err(BodyError::Reset),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Whole(body) => body.is_end_stream(),
            Self::Http1(body) => body.is_end_stream(),
            Self::Answer(body) => body.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Whole(body) => body.size_hint(),
            Self::Http1(body) => body.size_hint(),
            Self::Answer(body) => body.size_hint(),
            Self::Http2(body) => body.left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

// === impl Timed ===

impl Timed {
    pub fn new(body: impl Into<Received>, timeout: Duration) -> Self {
        let body = body.into();
        let has_ended = body.is_end_stream();
        Self { body, timeout, sleep: None, has_ended }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let timeout = self.timeout;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + timeout)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(BodyError::Stalled(timeout))
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => Some(Err(ready!(this.poll_stalled(cx)))),
        };
        this.sleep = None;
        this.has_ended = frame.is_none() || this.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    pub fn empty() -> Self {
        Content::Full(Full::default()).into()
    }

    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Content::Full(Full::new(bytes.into())).into()
    }

    /// The body of an answer by a server, which is in use for as long.
    pub fn served(body: Timed, served: Served) -> Self {
        let mut body = Self { served: Some(served), ..Content::Upstream(body).into() };
        body.end_if_ended();
        body
    }

    /// Keep `slots` until the body has ended.
    pub fn hold(&mut self, slots: Vec<Slot>) {
        self.held = slots;
    }

    fn end_if_ended(&mut self) {
        let Content::Upstream(body) = &self.content else { return };
        let has_ended = body.is_end_stream() || body.has_ended;
        // Whoever writes a body of known length asks for no more behind it.
        let is_complete = body.size_hint().exact() == Some(0);
        match self.served.take_if(|_| has_ended || is_complete) {
            Some(served) if has_ended => served.ended(),
            Some(served) => served.complete(),
            None => {}
        }
    }
}

impl From<Content> for ResponseBody {
    fn from(content: Content) -> Self {
        Self { content, held: Vec::new(), served: None }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = match &mut this.content {
            Content::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Content::Upstream(body) => Pin::new(body).poll_frame(cx),
            Content::File(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::File),
        };
        if let Poll::Ready(Some(Err(error))) = &frame {
            if let (BodyError::Stalled(_), Some(served)) = (error, &this.served) {
                served.is_silent();
            }
            // The head is out: all that can be done is to break off, too.
            tracing::warn!(%error, "answer broken off");
        } else if frame.is_ready() {
            this.end_if_ended();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(body) => body.is_end_stream(),
            Content::Upstream(body) => body.is_end_stream(),
            Content::File(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(body) => body.size_hint(),
            Content::Upstream(body) => body.size_hint(),
            Content::File(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
pub mod testing {
    use std::convert::Infallible;

    use http_body_util::Empty;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::mpsc;
    use tokio::task::spawn_local;

    use super::*;

    /// A request's body of so many bytes, and the client that is still to send it.
    pub async fn incoming(length: usize) -> (DuplexStream, Incoming) {
        incoming_framed(&format!("content-length: {length}")).await
    }

    /// The same of one that is framed in this way.
    pub async fn incoming_framed(field: &str) -> (DuplexStream, Incoming) {
        let (mut client, server) = duplex(1024);
        let (bodies, mut taken) = mpsc::channel(1);
        let service = service_fn(move |request: Request<Incoming>| {
            let bodies = bodies.clone();
            async move {
                bodies.send(request.into_body()).await.unwrap();
                std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>().await
            }
        });
        spawn_local(http1::Builder::new().serve_connection(TokioIo::new(server), service));
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        (client, taken.recv().await.unwrap())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::task::LocalSet;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_piece_gives_the_sender_its_time_anew() {
        let test = async {
            let (mut client, body) = testing::incoming(100).await;
            let start = Instant::now();
            let mut body = Timed::new(body, Duration::from_secs(10));
            for _ in 0..3 {
                let piece = async {
                    sleep(Duration::from_secs(9)).await;
                    client.write_all(b"piece").await.unwrap();
                };
                let (frame, ()) = tokio::join!(body.frame(), piece);
                assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "piece");
            }
            let stalled = body.frame().await.unwrap().unwrap_err();
            assert!(matches!(stalled, BodyError::Stalled(_)), "{stalled}");
            assert_eq!(start.elapsed().as_secs(), 3 * 9 + 10);
        };
        LocalSet::new().run_until(test).await;
    }
}
