//! The thread that advances epochs, which is what guests are interrupted by.
//!
//! It is awake only while guests are called: a thousand wake-ups a second would cost a proxy that inspects nothing more than
//! a message in twenty. A thread that calls guests counts in a place of its own, where nobody else writes: the count is
//! odd while a guest runs. When no count has changed for a while and none is odd the ticker rests, and the next call wakes
//! it. And as most calls are over in a thousandth of a tick, it looks more seldom where it has not met one for a while: the
//! first long call among many short ones is met that much later.

use std::cell::OnceCell;
use std::io;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How often a running guest is looked at.
pub const TICK: Duration = Duration::from_millis(1);
/// How often it is where none was met running in the last [`MISSES_MAX`] looks.
pub const RARE_TICK: Duration = Duration::from_millis(4);
const MISSES_MAX: u32 = 32;
/// Looks without a call since the one before, until the ticker rests.
const QUIET_LOOKS_MAX: u32 = 16;

/// The one of this process.
static TICKER: Shared = Shared {
    thread: OnceLock::new(),
    resting: AtomicBool::new(false),
    was_rare: AtomicBool::new(false),
    engines: Mutex::new(Vec::new()),
    callers: Mutex::new(Vec::new()),
};

thread_local! {
    static CALLS: OnceCell<Arc<Calls>> = const { OnceCell::new() };
}

/// Says that the thread runs.
#[derive(Debug, Clone, Copy)]
pub struct Ticker(());

/// A guest runs on this thread as long as this lives.
pub struct Running<'c>(&'c Calls);

struct Shared {
    thread: OnceLock<Thread>,
    resting: AtomicBool,
    was_rare: AtomicBool,
    engines: Mutex<Vec<EngineWeak>>,
    callers: Mutex<Vec<Arc<Calls>>>,
}

/// What the callers' counts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Nothing was called since the last.
    Quiet,
    /// Calls came and went.
    Miss,
    /// A guest runs.
    Met,
}

/// Twice the calls of one thread, and one more while one runs. On cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Calls(AtomicU64);

// === impl Ticker ===

impl Ticker {
    /// Start the thread, if it is not there, with the priority of this one: it must not stand back where all processors are
    /// busy, and a thread may not raise its own again.
    pub fn start() -> io::Result<Self> {
        // Held meanwhile, so that only one is started.
        let _engines = lock(&TICKER.engines);
        if TICKER.thread.get().is_none() {
            let ticker = thread::Builder::new().name("epoch".to_owned()).spawn(|| TICKER.run())?;
            TICKER.thread.get_or_init(|| ticker.thread().clone());
        }
        Ok(Self(()))
    }

    /// How long the last tick was.
    pub fn period() -> Duration {
        if TICKER.was_rare.load(Relaxed) { RARE_TICK } else { TICK }
    }

    /// Advance the epoch of `engine` as long as it lives; it is held weakly.
    pub fn advance(self, engine: &Engine) {
        lock(&TICKER.engines).push(engine.weak());
    }
}

/// Poll a guest: it is looked at as long as that lasts.
pub fn watched<T>(poll: impl FnOnce() -> T) -> T {
    CALLS.with(|calls| {
        let _running = calls.get_or_init(|| TICKER.caller()).begin();
        poll()
    })
}

// === impl Calls ===

impl Calls {
    fn begin(&self) -> Running<'_> {
        // In one order with the ticker's rest: it sees this call, or this sees that it rests.
        self.0.store(self.0.load(Relaxed).wrapping_add(1), SeqCst);
        TICKER.wake();
        Running(self)
    }

    fn is_running(count: u64) -> bool {
        count % 2 == 1
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Self(Calls(count)) = self;
        count.store(count.load(Relaxed).wrapping_add(1), Release);
    }
}

// === impl Shared ===

impl Shared {
    fn caller(&self) -> Arc<Calls> {
        let calls = Arc::<Calls>::default();
        lock(&self.callers).push(Arc::clone(&calls));
        calls
    }

    fn wake(&self) {
        if self.resting.load(SeqCst)
            && self.resting.swap(false, SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn run(&self) {
        let mut seen = Vec::new();
        let (mut quiet_looks, mut misses) = (0, 0);
        loop {
            let looks_rarely = misses >= MISSES_MAX;
            thread::sleep(if looks_rarely { RARE_TICK } else { TICK });
            self.was_rare.store(looks_rarely, Relaxed);
            self.advance();
            let look = self.look(&mut seen);
            misses = if look == Look::Met { 0 } else { MISSES_MAX.min(misses + 1) };
            quiet_looks = if look == Look::Quiet { quiet_looks + 1 } else { 0 };
            if quiet_looks > QUIET_LOOKS_MAX {
                self.rest(&mut seen);
                quiet_looks = 0;
            }
        }
    }

    fn rest(&self, seen: &mut Vec<u64>) {
        self.resting.store(true, SeqCst);
        // A call that began before it could know.
        if self.look(seen) != Look::Quiet {
            self.resting.store(false, SeqCst);
        }
        while self.resting.load(SeqCst) {
            thread::park();
        }
    }

    fn advance(&self) {
        lock(&self.engines).retain(|engine| {
            let engine = engine.upgrade();
            engine.inspect(Engine::increment_epoch).is_some()
        });
    }

    /// `seen`: the counts at the last look, and then at this.
    fn look(&self, seen: &mut Vec<u64>) -> Look {
        let mut callers = lock(&self.callers);
        // Those of threads that have ended.
        callers.retain(|calls| Arc::strong_count(calls) > 1);
        let counts: Vec<_> = callers.iter().map(|calls| calls.0.load(SeqCst)).collect();
        drop(callers);
        let look = match () {
            () if counts.iter().copied().any(Calls::is_running) => Look::Met,
            () if counts == *seen => Look::Quiet,
            () => Look::Miss,
        };
        *seen = counts;
        look
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Other tests in this process call guests, too.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn wait_until_it(rests: bool) {
        let until = Instant::now() + PATIENCE;
        while TICKER.resting.load(SeqCst) != rests {
            assert!(Instant::now() < until, "it rests: {}", !rests);
            thread::sleep(TICK);
        }
    }

    #[test]
    fn it_rests_where_nothing_is_called_and_never_during_a_call() {
        Ticker::start().unwrap();
        for _ in 0..3 {
            wait_until_it(true);
            watched(|| {
                wait_until_it(false);
                thread::sleep(3 * QUIET_LOOKS_MAX * RARE_TICK);
                // It may be about to see that it must not.
                wait_until_it(false);
            });
        }
        wait_until_it(true);
    }

    #[test]
    fn a_call_that_fails_is_over() {
        Ticker::start().unwrap();
        let failing = thread::spawn(|| {
            let failed = std::panic::catch_unwind(|| watched(|| panic!("as a guest may make the host do")));
            assert!(failed.is_err());
            CALLS.with(|calls| calls.get().map(|calls| calls.0.load(SeqCst)))
        });
        assert_eq!(failing.join().unwrap(), Some(2));
    }
}
