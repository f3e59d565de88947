//! Whether the process is being drained, as its connections and sessions watch it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::time::Instant;

/// What connections are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Go on.
    No,
    /// End by this time, not all at once.
    Until(Instant),
    /// End at the next message boundary.
    Now,
}

/// One worker's word to its own connections: looking at it is reading a cell, which they do at each wake-up.
#[derive(Debug)]
pub struct Draining {
    state: Cell<Drain>,
    wakers: RefCell<Slab<Waker>>,
}

/// One connection's view of it.
#[derive(Debug)]
pub struct DrainWatch {
    draining: Rc<Draining>,
    /// Where its waker is kept, from its first look on.
    at: Option<usize>,
}

// === impl Draining ===

impl Default for Draining {
    fn default() -> Self {
        Self { state: Cell::new(Drain::No), wakers: RefCell::default() }
    }
}

impl Draining {
    pub fn watch(self: &Rc<Self>) -> DrainWatch {
        DrainWatch { draining: Rc::clone(self), at: None }
    }

    /// Tell all connections.
    pub fn begin(&self, drain: Drain) {
        self.state.set(drain);
        for (_, waker) in self.wakers.take() {
            waker.wake();
        }
    }
}

// === impl DrainWatch ===

impl DrainWatch {
    /// Ready once the worker drains. A task that asks is woken for it, so it must go on asking from the same task.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Drain> {
        match self.draining.state.get() {
            Drain::No => {
                self.at.get_or_insert_with(|| self.draining.wakers.borrow_mut().insert(cx.waker().clone()));
                Poll::Pending
            }
            drain => Poll::Ready(drain),
        }
    }
}

impl Drop for DrainWatch {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            // Not there any more once draining has begun.
            drop(self.draining.wakers.borrow_mut().try_remove(at));
        }
    }
}
