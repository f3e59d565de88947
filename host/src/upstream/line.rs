//! The line in which requests wait while all servers of an upstream are full (nginx's `queue`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{self, Arc, PoisonError, Weak};

use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use crate::config;

/// Whoever is to be told of room with an upstream's servers. Shared by all workers, and by one snapshot with the next, as
/// those servers are.
#[derive(Debug, Default)]
pub struct Lines {
    /// In all of them.
    waiting: AtomicUsize,
    lines: sync::Mutex<Vec<Weak<Line>>>,
}

/// The line of one snapshot, shared by all workers. Those who stand in another may look for other servers, so nobody waits
/// behind them.
#[derive(Debug)]
pub struct Line {
    all: Arc<Lines>,
    waiting: AtomicUsize,
    /// Held by who is first; the others are woken in the order they came.
    first: Mutex<()>,
    room: Notify,
}

/// Why the wait was in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InVain {
    TooMany,
    TooLong,
}

/// Counts one that waits.
struct Place<'a>(&'a Line);

// === impl Lines ===

impl Lines {
    /// There may be room now, for the first of each line.
    pub fn tell(&self) {
        // In one order with what was released, as below.
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter().filter_map(Weak::upgrade).filter(|line| !line.is_empty()) {
            line.room.notify_one();
        }
    }
}

// === impl Line ===

impl Line {
    /// One more beside those that are there.
    pub fn beside(all: &Arc<Lines>) -> Arc<Self> {
        let line = Arc::new(Self {
            all: Arc::clone(all),
            waiting: AtomicUsize::new(0),
            first: Mutex::default(),
            room: Notify::new(),
        });
        let mut lines = all.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&line));
        line
    }

    pub fn is_empty(&self) -> bool {
        // In one order with what was released: a place is taken before its owner looks for room, and room is made
        // before the line is looked at.
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Wait until it is one's turn and `take` has something.
    pub async fn wait<T>(
        &self,
        queue: config::Queue,
        mut take: impl FnMut() -> Option<T>,
    ) -> Result<T, InVain> {
        let _place = Place::new(self, queue.length).ok_or(InVain::TooMany)?;
        let waiting = async {
            let _first = self.first.lock().await;
            loop {
                if let Some(taken) = take() {
                    return taken;
                }
                // A word that came since then is kept for this.
                self.room.notified().await;
            }
        };
        timeout(queue.timeout, waiting).await.map_err(|_| InVain::TooLong)
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    fn new(line: &'a Line, length: usize) -> Option<Self> {
        let place = Self(line);
        line.all.waiting.fetch_add(1, Ordering::SeqCst);
        let before = line.waiting.fetch_add(1, Ordering::SeqCst);
        (before < length).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        self.0.all.waiting.fetch_sub(1, Ordering::SeqCst);
        // Room that was meant for this one is the next one's.
        self.0.all.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    const QUEUE: config::Queue = config::Queue { length: 3, timeout: Duration::from_secs(5) };

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_served_in_order() {
        let (line, room, served) = (alone(), Cell::new(0), RefCell::new(Vec::new()));
        let take = || room.replace(0_u32).checked_sub(1);
        let wait = async |name: u32| {
            line.wait(QUEUE, take).await.unwrap();
            served.borrow_mut().push(name);
        };
        let free = async {
            for name in 0..3 {
                tokio::task::yield_now().await;
                assert_eq!(served.borrow().len(), name);
                room.set(1);
                line.all.tell();
                while served.borrow().len() == name {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::join!(wait(1), wait(2), wait(3), free);
        assert_eq!(*served.borrow(), [1, 2, 3]);
        assert!(line.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_and_the_patience_have_an_end() {
        let line = alone();
        let begin = Instant::now();
        let wait = || line.wait(QUEUE, || None::<()>);
        let (a, b, c, d) = tokio::join!(wait(), wait(), wait(), wait());
        assert_eq!([a, b, c], [Err(InVain::TooLong); 3]);
        assert_eq!(d, Err(InVain::TooMany));
        assert_eq!(begin.elapsed(), QUEUE.timeout);
        assert!(line.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_leaves_passes_its_room_on() {
        let (line, room) = (alone(), Cell::new(false));
        let mut first = Box::pin(line.wait(QUEUE, || room.get().then_some(1)));
        let mut second = Box::pin(line.wait(QUEUE, || room.get().then_some(2)));
        assert!(is_pending(&mut first).await);
        assert!(is_pending(&mut second).await);
        room.set(true);
        line.all.tell();
        drop(first);
        assert_eq!(second.await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_behind_those_who_look_elsewhere() {
        let before = alone();
        let after = Line::beside(&before.all);
        let room = Cell::new(false);
        let mut old = Box::pin(before.wait(QUEUE, || None::<u32>));
        let mut new = Box::pin(after.wait(QUEUE, || room.get().then_some(2)));
        assert!(is_pending(&mut old).await);
        assert!(is_pending(&mut new).await);
        room.set(true);
        before.all.tell();
        assert_eq!(new.await, Ok(2));
        assert!(after.is_empty() && !before.is_empty());
    }

    fn alone() -> Arc<Line> {
        Line::beside(&Arc::default())
    }

    async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
    }
}
