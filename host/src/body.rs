//! Bodies on their way through, streamed both ways and never gathered.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::files;
use crate::limits::Slot;

/// What went wrong with a body on its way.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("no data came for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    #[error("{0}")]
    Broken(hyper::Error),
    #[error("file cannot be read: {0}")]
    File(std::io::Error),
}

/// The body of an answer to a client.
pub struct ResponseBody {
    content: Content,
    /// Concurrency slots of the exchange, which ends when its body does.
    held: Vec<Slot>,
}

/// Where a body comes from.
pub enum Content {
    Full(Full<Bytes>),
    Upstream(Timed),
    File(files::FileBody),
}

/// A body that ends with an error when its peer sends nothing for `timeout`.
pub struct Timed {
    body: Incoming,
    timeout: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    progress: Rc<Progress>,
}

/// How far a body has come, seen from outside of it.
#[derive(Debug, Default)]
pub struct Progress {
    frames: Cell<u64>,
    /// It was asked for more, and its sender has none yet.
    waiting: Cell<bool>,
    ended: Cell<bool>,
    failed: Cell<Option<Failed>>,
}

/// How a body came to a bad end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// Its sender sent nothing for too long.
    Stalled,
    /// Its sender broke off.
    Broken,
}

// === impl Progress ===

impl Progress {
    /// Grows with each piece that passes.
    pub fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Its sender is what is waited for.
    pub fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// The last of it has passed.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    pub fn failed(&self) -> Option<Failed> {
        self.failed.get()
    }
}

// === impl Timed ===

impl Timed {
    pub fn new(body: Incoming, timeout: Duration) -> Self {
        let progress = Rc::new(Progress::default());
        progress.ended.set(body.is_end_stream());
        Self { body, timeout, sleep: None, progress }
    }

    pub fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
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
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(BodyError::Broken)),
            Poll::Pending => {
                this.progress.waiting.set(true);
                Some(Err(ready!(this.poll_stalled(cx))))
            }
        };
        this.progress.waiting.set(false);
        this.sleep = None;
        match &frame {
            Some(Ok(_)) => this.progress.frames.set(this.progress.frames.get() + 1),
            Some(Err(BodyError::Stalled(_))) => this.progress.failed.set(Some(Failed::Stalled)),
            Some(Err(_)) => this.progress.failed.set(Some(Failed::Broken)),
            None => {}
        }
        this.progress.ended.set(frame.is_none() || this.body.is_end_stream());
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

    /// Keep `slots` until the body has ended.
    pub fn hold(&mut self, slots: Vec<Slot>) {
        self.held = slots;
    }
}

impl From<Content> for ResponseBody {
    fn from(content: Content) -> Self {
        Self { content, held: Vec::new() }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.get_mut().content {
            Content::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Content::Upstream(body) => Pin::new(body).poll_frame(cx),
            Content::File(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::File),
        };
        if let Poll::Ready(Some(Err(error))) = &frame {
            // The head is out: all that can be done is to break off, too.
            tracing::warn!(%error, "answer broken off");
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
