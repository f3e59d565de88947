//! HTTP/1.1 with servers (RFC 9112), one request after another over one connection.
//!
//! Whoever wants an answer moves the connection's bytes, so there is neither a task nor a channel between the two: a request
//! goes out and its answer comes in under the same waker. Only a request that is still being sent when its answer begins goes
//! on in a task of its own, as a client that does not read the one must not hold up the other. A connection that waits for
//! its next request is looked at when it is taken, and now and then: see [`super::Idle`].

mod answer;
mod content;
mod request;
#[cfg(test)]
mod tests;
mod wire;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use self::answer::{Head, Search};
use self::content::{Content, Piece};
use self::request::Upload;
use self::wire::Wire;
use crate::guard::Deadline;
use crate::leg::Leg;
use crate::lend::Loan;
use crate::stall::Stall;

pub use self::request::Outgoing;

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("connection error: {0}")]
    Io(#[from] io::Error),
    #[error("connection closed before the answer was complete")]
    Closed,
    #[error("answer is not well formed: {0}")]
    Malformed(#[from] Malformed),
    #[error("body of the request broke off")]
    Request,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("{0}")]
    Head(httparse::Error),
    #[error("head too large")]
    HeadTooLarge,
    #[error("no status")]
    Status,
    #[error("invalid field")]
    Field,
    #[error("invalid content-length")]
    ContentLength,
    #[error("transfer-encoding in HTTP/1.0")]
    TransferEncoding,
    #[error("invalid size of a chunk")]
    ChunkSize,
    #[error("chunk longer than its size")]
    ChunkEnd,
    #[error("invalid trailers")]
    Trailers,
}

/// One connection to a server.
pub struct Channel {
    wire: Rc<RefCell<Wire>>,
    /// How long the server may take nothing: the route's `send`.
    send_timeout: Rc<Cell<Duration>>,
    /// How many requests were sent over it, the one in flight among them.
    pub requests: u32,
    /// For the head of an answer. A timer that stays from one request to the next is hardly ever set anew.
    pub deadline: Deadline,
}

/// A request on its way, and what has come of its answer.
pub struct Asked {
    wire: Rc<RefCell<Wire>>,
    upload: Upload,
    is_sent: bool,
    to_head: bool,
    search: Search,
}

/// An answer whose head has come.
pub struct Arrived {
    pub response: Response<AnswerBody>,
    /// What of its request is still to be sent.
    pub sending: Option<Sending>,
    /// Whether another request may follow when both have ended.
    pub persists: bool,
}

/// A request that is still being sent; given up where this is dropped.
pub struct Sending(JoinHandle<bool>);

/// The body of an answer.
pub struct AnswerBody {
    wire: Rc<RefCell<Wire>>,
    content: Content,
}

// === impl Channel ===

impl Channel {
    /// Speak HTTP/1.1 over `leg`.
    pub fn new(leg: Leg) -> Self {
        let send_timeout = Rc::new(Cell::new(Duration::MAX));
        let wire = Wire::new(Stall::new(leg, Rc::clone(&send_timeout)));
        Self { wire: Rc::new(RefCell::new(wire)), send_timeout, requests: 0, deadline: Deadline::default() }
    }

    /// Begin with one more request.
    pub fn ask(&mut self, outgoing: &Outgoing<'_>, body: Loan, send_timeout: Duration) -> Asked {
        self.send_timeout.set(send_timeout);
        self.requests = self.requests.saturating_add(1);
        let upload = Upload::new(outgoing, body, &mut self.wire.borrow_mut().out);
        Asked {
            wire: Rc::clone(&self.wire),
            upload,
            is_sent: false,
            to_head: *outgoing.method == Method::HEAD,
            search: Search::default(),
        }
    }

    /// Whether its server has neither ended it nor said anything unasked, as far as can be seen.
    pub fn is_quiet(&self) -> bool {
        self.wire.borrow_mut().is_quiet()
    }

    /// The stream and what has been received behind an answer that ended HTTP on it; nothing while somebody holds on to one.
    pub fn into_parts(self) -> Option<(Leg, Bytes)> {
        Some(Rc::into_inner(self.wire)?.into_inner().into_parts())
    }

    /// Give back what only one request in a while needs.
    pub fn rest(&self) {
        self.wire.borrow_mut().rest();
    }
}

// === impl Asked ===

impl Asked {
    /// Whether the server cannot have seen anything of the request.
    pub fn is_unseen(&self) -> bool {
        self.upload.is_unseen()
    }

    /// Send the request and wait for the head of its answer.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        let mut unsent = None;
        if !self.is_sent {
            match self.upload.poll(&self.wire, cx) {
                Poll::Ready(Ok(())) => self.is_sent = true,
                Poll::Ready(Err(Failure::Request)) => return Poll::Ready(Err(Failure::Request)),
                Poll::Ready(Err(failure)) => unsent = Some(failure),
                Poll::Pending => {}
            }
        }
        let head = self.wire.borrow_mut().poll_head(cx, &mut self.search, self.to_head);
        match (head, unsent) {
            // It may say why it did not want the rest of the request.
            (Poll::Ready(Ok(mut head)), Some(_)) => {
                (head.persists, self.is_sent) = (false, true);
                Poll::Ready(Ok(head))
            }
            (Poll::Ready(_) | Poll::Pending, Some(failure)) => Poll::Ready(Err(failure)),
            (head, None) => head,
        }
    }

    /// Its head has come.
    pub fn answered(self, head: Head) -> Arrived {
        let Self { wire, upload, is_sent, .. } = self;
        let sending = (!is_sent).then(|| Sending::begin(upload, Rc::clone(&wire)));
        let mut response = Response::new(AnswerBody { wire, content: head.content });
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Arrived { response, sending, persists: head.persists }
    }
}

// === impl Sending ===

impl Sending {
    fn begin(mut upload: Upload, wire: Rc<RefCell<Wire>>) -> Self {
        wire.borrow_mut().is_sending = true;
        Self(tokio::task::spawn_local(async move {
            let sent = poll_fn(|cx| upload.poll(&wire, cx)).await;
            let mut wire = wire.borrow_mut();
            wire.is_sending = false;
            wire.is_broken = matches!(sent, Err(Failure::Request));
            if let Some(reader) = wire.reader.take() {
                reader.wake();
            }
            sent.is_ok()
        }))
    }

    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// Whether all of it was sent.
    pub async fn ended(mut self) -> bool {
        (&mut self.0).await.unwrap_or(false)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl AnswerBody ===

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = self.get_mut();
        // From then on the wire is another request's.
        if this.content.has_ended() {
            return Poll::Ready(None);
        }
        let mut wire = this.wire.borrow_mut();
        if wire.is_broken {
            return Poll::Ready(Some(Err(Failure::Request)));
        }
        let Poll::Ready(piece) = wire.poll_piece(cx, &mut this.content) else {
            if wire.is_sending {
                wire.reader = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        Poll::Ready(match piece {
            Ok(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Piece::End | Piece::Nothing) => None,
            Err(failure) => Some(Err(failure)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.content.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match self.content {
            Content::Length(left) => SizeHint::with_exact(left),
            Content::Chunked(_) | Content::UntilClose => SizeHint::default(),
        }
    }
}
