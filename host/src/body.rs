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
pub enum ResponseBody {
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
            Poll::Pending => Some(Err(ready!(this.poll_stalled(cx)))),
        };
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
        Self::Full(Full::default())
    }
}

impl<T: Into<Bytes>> From<T> for ResponseBody {
    fn from(bytes: T) -> Self {
        Self::Full(Full::new(bytes.into()))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Upstream(body) => Pin::new(body).poll_frame(cx),
            Self::File(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::File),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_end_stream(),
            Self::Upstream(body) => body.is_end_stream(),
            Self::File(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Upstream(body) => body.size_hint(),
            Self::File(body) => body.size_hint(),
        }
    }
}
