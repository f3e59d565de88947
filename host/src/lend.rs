//! A request body that is lent to one attempt after another, as long as nothing of it is gone.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::body::{BodyError, Progress, Timed};

/// The owner of a body.
pub struct Lender {
    lent: Rc<Lent>,
    progress: Rc<Progress>,
}

struct Lent {
    body: RefCell<Timed>,
    /// Counts the loans; only the last one holds.
    loans: Cell<u32>,
}

/// A body as one attempt has it.
pub struct Loan {
    lent: Rc<Lent>,
    number: u32,
}

// === impl Lender ===

impl Lender {
    pub fn new(body: Timed) -> Self {
        let progress = body.progress();
        Self { lent: Rc::new(Lent { body: RefCell::new(body), loans: Cell::new(0) }), progress }
    }

    /// Lend it; an earlier loan is over.
    pub fn lend(&self) -> Loan {
        let number = self.lent.loans.get() + 1;
        self.lent.loans.set(number);
        Loan { lent: Rc::clone(&self.lent), number }
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Nothing of it is gone: it can be sent from its beginning.
    pub fn is_untouched(&self) -> bool {
        !self.progress.is_touched()
    }
}

// === impl Loan ===

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
        Pin::new(&mut *self.lent.body.borrow_mut()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lent.body.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lent.body.borrow().size_hint()
    }
}
