//! What one worker thread owns: nothing of it is shared with other workers but what is read.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::callout::CallOuts;
use crate::drain::Draining;
use crate::snapshot::Snapshot;
use crate::swap::Swaps;
use crate::upstream::{Idle, Shared};

/// A worker's own view of the process.
pub struct Worker {
    /// Its number, from 0.
    pub index: usize,
    snapshot: Arc<ArcSwap<Snapshot>>,
    pub draining: Rc<Draining>,
    /// Tells sessions of plugins that were replaced.
    pub swaps: Rc<Swaps>,
    /// Connections to servers that wait for a request.
    pub idle: Rc<Idle>,
    /// Those that many requests share.
    pub shared: Rc<Shared>,
    call_outs: OnceCell<CallOuts>,
    sessions: Cell<u64>,
    workers: u64,
}

impl Worker {
    pub fn new(index: usize, workers: usize, snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self {
            index,
            snapshot,
            draining: Rc::default(),
            swaps: Rc::new(Swaps::new(index)),
            idle: Rc::default(),
            shared: Rc::default(),
            call_outs: OnceCell::new(),
            sessions: Cell::new(0),
            workers: workers as u64,
        }
    }

    /// The configuration that new exchanges are served by.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Where plugins' own requests are handed over; opened at first use.
    pub fn call_outs(self: &Rc<Self>) -> CallOuts {
        self.call_outs.get_or_init(|| CallOuts::open(self)).clone()
    }

    /// A number no other session of this process has had.
    pub fn next_session_id(&self) -> u64 {
        let session = self.sessions.get();
        self.sessions.set(session + 1);
        session * self.workers + self.index as u64
    }
}
