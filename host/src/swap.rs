//! Plugins that were replaced while sessions were open, as those sessions hear of it.
//!
//! A swap reaches the sessions of a worker a few at a time, with everybody else's turn between: handing thousands over at
//! once would stall the worker. A session that has not been reached yet goes on as before.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::plugin::Plugin;
use crate::plugin::migration::Followed;

/// Sessions reached in one turn: a millisecond's work, about.
const BATCH: usize = 16;

/// What was put in service, for one worker.
#[derive(Debug, Clone)]
pub struct Swap {
    /// The snapshot's.
    pub generation: u64,
    /// The plugins in service from now on.
    pub plugins: Arc<[Arc<Plugin>]>,
    pub tally: Arc<Tally>,
}

/// What became of the sessions that had plugins which were replaced. Told in the log when the last of them knows.
#[derive(Debug, Default)]
pub struct Tally {
    migrated: AtomicUsize,
    kept: AtomicUsize,
    refused: AtomicUsize,
    failed: AtomicUsize,
    /// The first: thousands of sessions may have the same.
    refusal: OnceLock<String>,
    failure: OnceLock<String>,
}

/// One worker's word to its sessions.
#[derive(Debug)]
pub struct Swaps {
    /// Whose word it is.
    worker: usize,
    /// Of the plugins in service.
    generation: Cell<u64>,
    /// Sessions below this place may follow.
    reached: Cell<usize>,
    /// How many are still to follow.
    behind: Cell<usize>,
    plugins: RefCell<Arc<[Arc<Plugin>]>>,
    /// As long as sessions are to follow.
    tally: RefCell<Option<Arc<Tally>>>,
    sessions: RefCell<Slab<Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// Of the plugins that the session has, or has followed to.
    generation: u64,
    waker: Option<Waker>,
}

/// One session's view of it.
#[derive(Debug)]
pub struct SwapWatch {
    swaps: Rc<Swaps>,
    at: usize,
    /// Whether its waker is known.
    waits: bool,
    generation: u64,
}

/// A session's turn to follow.
#[derive(Debug)]
pub struct Turn {
    pub worker: usize,
    pub plugins: Arc<[Arc<Plugin>]>,
    /// None for a session that began during the swap.
    tally: Option<Arc<Tally>>,
}

// === impl Swaps ===

impl Swaps {
    pub fn new(worker: usize) -> Self {
        Self {
            worker,
            generation: Cell::new(0),
            reached: Cell::new(usize::MAX),
            behind: Cell::new(0),
            plugins: RefCell::new(Arc::new([])),
            tally: RefCell::default(),
            sessions: RefCell::default(),
        }
    }

    /// For a session whose plugins are those of this generation.
    pub fn watch(self: &Rc<Self>, generation: u64) -> SwapWatch {
        let is_behind = generation < self.generation.get();
        self.behind.set(self.behind.get() + usize::from(is_behind));
        let at = self.sessions.borrow_mut().insert(Entry { generation, waker: None });
        SwapWatch { swaps: Rc::clone(self), at, waits: false, generation }
    }

    /// Have all sessions follow, each in its turn. Ends early where another swap comes first.
    pub async fn spread(self: Rc<Self>, swap: Swap) {
        self.begin(swap);
        let generation = self.generation.get();
        let mut from = 0;
        while from < self.sessions.borrow().capacity() {
            self.reach(from..from + BATCH);
            from += BATCH;
            tokio::task::yield_now().await;
            if self.generation.get() != generation {
                return;
            }
        }
        self.reached.set(usize::MAX);
    }

    fn begin(&self, swap: Swap) {
        let Swap { generation, plugins, tally } = swap;
        self.generation.set(generation);
        self.reached.set(0);
        self.plugins.replace(plugins);
        let sessions = self.sessions.borrow();
        let behind = sessions.iter().filter(|(_, entry)| entry.generation < generation).count();
        self.behind.set(behind);
        self.tally.replace(Some(tally).filter(|_| behind > 0));
    }

    fn reach(&self, places: std::ops::Range<usize>) {
        self.reached.set(places.end);
        let generation = self.generation.get();
        let mut sessions = self.sessions.borrow_mut();
        for at in places {
            if let Some(entry) = sessions.get_mut(at).filter(|entry| entry.generation < generation)
                && let Some(waker) = &entry.waker
            {
                waker.wake_by_ref();
            }
        }
    }

    /// One session less has to follow.
    fn followed(&self) {
        self.behind.set(self.behind.get().saturating_sub(1));
        if self.behind.get() == 0 {
            self.tally.take();
        }
    }
}

// === impl SwapWatch ===

impl SwapWatch {
    /// Ready when it is this session's turn, once for each swap or for several. A task that asks is woken for it, so it must
    /// go on asking from the same task.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let current = self.swaps.generation.get();
        if self.generation < current && self.at < self.swaps.reached.get() {
            return Poll::Ready(self.take_turn(current));
        }
        if !self.waits {
            self.waits = true;
            if let Some(entry) = self.swaps.sessions.borrow_mut().get_mut(self.at) {
                entry.waker = Some(cx.waker().clone());
            }
        }
        Poll::Pending
    }

    fn take_turn(&mut self, current: u64) -> Turn {
        self.generation = current;
        if let Some(entry) = self.swaps.sessions.borrow_mut().get_mut(self.at) {
            entry.generation = current;
        }
        let tally = self.swaps.tally.borrow().clone();
        self.swaps.followed();
        Turn { worker: self.swaps.worker, plugins: Arc::clone(&self.swaps.plugins.borrow()), tally }
    }
}

impl Drop for SwapWatch {
    fn drop(&mut self) {
        drop(self.swaps.sessions.borrow_mut().try_remove(self.at));
        if self.generation < self.swaps.generation.get() {
            self.swaps.followed();
        }
    }
}

// === impl Turn ===

impl Turn {
    /// What became of one of the session's plugins.
    pub fn count(&self, followed: Followed) {
        let Some(tally) = &self.tally else { return };
        let counter = match followed {
            Followed::Migrated => &tally.migrated,
            Followed::Kept => &tally.kept,
            Followed::Refused(reason) => {
                let _ = tally.refusal.set(reason);
                &tally.refused
            }
            Followed::Failed(failure) => {
                let _ = tally.failure.set(failure.to_string());
                &tally.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Tally ===

impl Drop for Tally {
    fn drop(&mut self) {
        let [migrated, kept, refused, failed] =
            [*self.migrated.get_mut(), *self.kept.get_mut(), *self.refused.get_mut(), *self.failed.get_mut()];
        if let Some(failure) = self.failure.get() {
            tracing::warn!(
                failed,
                first = failure,
                "a replaced plugin, or the new one, failed to hand sessions over"
            );
        }
        if migrated + kept + refused + failed > 0 {
            let refusal = self.refusal.get();
            tracing::info!(
                migrated,
                kept,
                refused,
                failed,
                refusal,
                "open sessions know of the replaced plugins"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    fn swap(generation: u64) -> Swap {
        Swap { generation, plugins: Arc::new([]), tally: Arc::default() }
    }

    /// A session that counts its turns.
    fn session(swaps: &Rc<Swaps>, generation: u64, turns: &Rc<Cell<usize>>) -> tokio::task::JoinHandle<()> {
        let (mut watch, turns) = (swaps.watch(generation), Rc::clone(turns));
        spawn_local(async move {
            loop {
                let _turn = poll_fn(|cx| watch.poll(cx)).await;
                turns.set(turns.get() + 1);
            }
        })
    }

    async fn settle() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn sessions_follow_a_few_at_a_time_and_each_once() {
        let test = async {
            let swaps = Rc::new(Swaps::new(0));
            let turns = Rc::<Cell<usize>>::default();
            let _sessions: Vec<_> = (0..5 * BATCH).map(|_| session(&swaps, 0, &turns)).collect();
            settle().await;
            assert_eq!(turns.get(), 0);
            let spreading = spawn_local(Rc::clone(&swaps).spread(swap(1)));
            while turns.get() == 0 {
                yield_now().await;
            }
            assert!(turns.get() <= 2 * BATCH, "{}", turns.get());
            spreading.await.unwrap();
            settle().await;
            assert_eq!((turns.get(), swaps.behind.get()), (5 * BATCH, 0));
            assert!(swaps.tally.borrow().is_none());
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_swap_that_comes_meanwhile_is_the_one_to_follow() {
        let test = async {
            let swaps = Rc::new(Swaps::new(0));
            let turns = Rc::<Cell<usize>>::default();
            let _sessions: Vec<_> = (0..5 * BATCH).map(|_| session(&swaps, 0, &turns)).collect();
            settle().await;
            let first = spawn_local(Rc::clone(&swaps).spread(swap(1)));
            while turns.get() == 0 {
                yield_now().await;
            }
            let early = turns.get();
            Rc::clone(&swaps).spread(swap(2)).await;
            first.await.unwrap();
            settle().await;
            // Those that had followed the first follow once more; the others only now.
            assert!(turns.get() >= 5 * BATCH && turns.get() <= 5 * BATCH + early + BATCH, "{}", turns.get());
            assert_eq!((swaps.behind.get(), swaps.reached.get()), (0, usize::MAX));
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_session_that_began_with_a_replaced_plugin_follows_at_once_and_one_that_ends_is_not_waited_for()
    {
        let test = async {
            let swaps = Rc::new(Swaps::new(0));
            let turns = Rc::<Cell<usize>>::default();
            let never_polled = swaps.watch(0);
            Rc::clone(&swaps).spread(swap(1)).await;
            assert_eq!(swaps.behind.get(), 1);
            drop(never_polled);
            assert_eq!(swaps.behind.get(), 0);
            let _late = session(&swaps, 0, &turns);
            let _new = session(&swaps, 1, &turns);
            settle().await;
            assert_eq!((turns.get(), swaps.behind.get()), (1, 0));
        };
        LocalSet::new().run_until(test).await;
    }
}
