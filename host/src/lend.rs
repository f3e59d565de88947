//! A request body that is lent to one attempt after another, as long as nothing of it is gone.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::body::{BodyError, Received, Timed};

/// The owner of a body.
pub struct Lender(Rc<Lent>);

struct Lent {
    body: RefCell<Timed>,
    /// Counts the loans; only the last one holds.
    loans: Cell<u32>,
    progress: Cell<Progress>,
}

/// A body as one attempt has it.
pub struct Loan {
    lent: Rc<Lent>,
    number: u32,
}

/// How far a body has come, seen from outside of it.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// When a piece of it last passed, or its end; before that, when it began.
    pub last: Instant,
    /// It was asked for more, and its sender, who is waited for, has none yet.
    pub is_waiting: bool,
    /// A piece of it has passed, or should have.
    pub is_touched: bool,
    pub failed: Option<Failed>,
}

/// How a body came to a bad end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// Its sender sent nothing for too long.
    Stalled,
    /// Its sender broke off.
    Broken,
}

// === impl Lender ===

impl Lender {
    pub fn new(body: Timed) -> Self {
        let progress = Progress { last: Instant::now(), is_waiting: false, is_touched: false, failed: None };
        Self(Rc::new(Lent { body: RefCell::new(body), loans: Cell::new(0), progress: Cell::new(progress) }))
    }

    /// Lend it; an earlier loan is over.
    pub fn lend(&self) -> Loan {
        let number = self.0.loans.get() + 1;
        self.0.loans.set(number);
        Loan { lent: Rc::clone(&self.0), number }
    }

    pub fn progress(&self) -> Progress {
        self.0.progress.get()
    }

    /// Nothing of it is gone: it can be sent from its beginning.
    pub fn is_untouched(&self) -> bool {
        !self.progress().is_touched
    }
}

// === impl Lent ===

impl Lent {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut progress = self.progress.get();
        let polled = Pin::new(&mut *self.body.borrow_mut()).poll_frame(cx);
        progress.is_waiting = polled.is_pending();
        if let Poll::Ready(frame) = &polled {
            progress.last = Instant::now();
            progress.is_touched |= frame.is_some();
            progress.failed = match frame {
                Some(Err(BodyError::Stalled(_))) => Some(Failed::Stalled),
                Some(Err(_)) => Some(Failed::Broken),
                Some(Ok(_)) | None => progress.failed,
            };
        }
        self.progress.set(progress);
        polled
    }
}

// === impl Loan ===

impl Loan {
    /// No body: of a request that never has one.
    pub fn none() -> Self {
        Lender::new(Timed::new(Received::Nothing, Duration::MAX)).lend()
    }
}

impl Body for Loan {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.lent.loans.get() != self.number {
            return Poll::Ready(Some(Err(BodyError::Withdrawn)));
        }
        self.lent.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lent.body.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lent.body.borrow().size_hint()
    }
}
