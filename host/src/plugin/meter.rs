//! How long a guest runs in one call: its worker's processor time, since a guest is not to be blamed for a busy machine.
//!
//! A call is polled in slices: it is put aside at each tick of the epoch, and while the host makes it wait. Nearly every
//! call is one slice that is over before a tick, and reads no clock, unless its caller asks for it. Every later slice is
//! timed, so that what others do between them is never the guest's.

use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;

use super::ticker;

/// Told by the polls around a call and the ticks inside it, which are never at once: its atomics cost what cells would.
#[derive(Debug, Default)]
pub struct Meter {
    /// The processor time when the slice that runs began; 0 where it is not timed.
    resumed_ns: AtomicU64,
    /// The first slice, if it was timed.
    first_ns: AtomicU64,
    /// All slices after it.
    later_ns: AtomicU64,
    /// Whether the first slice was cut short by a tick.
    first_ticked: AtomicBool,
    first_over: AtomicBool,
}

/// What a call has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub first_ns: u64,
    pub later_ns: u64,
    pub first_ticked: bool,
}

/// A call whose slices are metered.
pub struct Metered<'a, F> {
    meter: &'a Meter,
    /// Whether the next slice is timed.
    timed: bool,
    call: Pin<&'a mut F>,
}

// === impl Meter ===

impl Meter {
    /// A new call begins.
    pub fn reset(&self) {
        self.resumed_ns.store(0, Relaxed);
        self.first_ns.store(0, Relaxed);
        self.later_ns.store(0, Relaxed);
        self.first_ticked.store(false, Relaxed);
        self.first_over.store(false, Relaxed);
    }

    /// `call`, metered; its first slice only where `first_timed`.
    pub fn watch<'a, F: Future>(&'a self, first_timed: bool, call: Pin<&'a mut F>) -> Metered<'a, F> {
        Metered { meter: self, timed: first_timed, call }
    }

    /// The epoch has advanced while the guest ran. A slice that it `goes_on` in is timed from here on, if it was not before.
    pub fn tick(&self, goes_on: bool) {
        if goes_on && !self.is_timing() {
            self.begin_slice();
        }
        if !self.first_over.load(Relaxed) {
            self.first_ticked.store(true, Relaxed);
        }
    }

    /// How long the call has run so far, as far as it was timed.
    pub fn ran(&self) -> Duration {
        let resumed = self.resumed_ns.load(Relaxed);
        let running = if resumed == 0 { 0 } else { worker_time_ns().saturating_sub(resumed) };
        Duration::from_nanos(self.first_ns.load(Relaxed) + self.later_ns.load(Relaxed) + running)
    }

    pub fn reading(&self) -> Reading {
        Reading {
            first_ns: self.first_ns.load(Relaxed),
            later_ns: self.later_ns.load(Relaxed),
            first_ticked: self.first_ticked.load(Relaxed),
        }
    }

    fn is_timing(&self) -> bool {
        self.resumed_ns.load(Relaxed) != 0
    }

    fn begin_slice(&self) {
        self.resumed_ns.store(worker_time_ns(), Relaxed);
    }

    fn end_slice(&self) {
        let resumed = self.resumed_ns.swap(0, Relaxed);
        let ran = worker_time_ns().saturating_sub(resumed);
        let total = if self.first_over.load(Relaxed) { &self.later_ns } else { &self.first_ns };
        total.store(total.load(Relaxed) + ran, Relaxed);
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let timed = self.timed;
        if timed {
            self.meter.begin_slice();
        }
        let polled = ticker::watched(|| self.call.as_mut().poll(cx));
        if timed || self.meter.is_timing() {
            self.meter.end_slice();
        }
        if polled.is_pending() {
            self.timed = true;
            self.meter.first_over.store(true, Relaxed);
        }
        polled
    }
}

/// Processor time of this thread.
fn worker_time_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::hint::black_box;
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    /// Keep the processor for so long.
    fn burn(time: Duration) {
        let begin = worker_time_ns();
        while u128::from(worker_time_ns() - begin) < time.as_nanos() {
            black_box(begin);
        }
    }

    /// A call of `slices` slices, each of 2 ms, with 2 ms of others between them.
    fn metered(meter: &Meter, first_timed: bool, slices: u32) -> Reading {
        const SLICE: Duration = Duration::from_millis(2);
        let mut left = slices;
        let call = pin!(poll_fn(|_| {
            burn(SLICE);
            left -= 1;
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let mut cx = Context::from_waker(Waker::noop());
        let mut call = pin!(meter.watch(first_timed, call));
        while call.as_mut().poll(&mut cx).is_pending() {
            burn(SLICE);
        }
        meter.reading()
    }

    #[test]
    fn a_call_in_one_slice_is_timed_only_where_asked() {
        let meter = Meter::default();
        assert_eq!(metered(&meter, false, 1), Reading { first_ns: 0, later_ns: 0, first_ticked: false });
        let Reading { first_ns, later_ns, .. } = metered(&meter, true, 1);
        assert!(first_ns >= 2_000_000 && later_ns == 0, "{first_ns} {later_ns}");
    }

    #[test]
    fn later_slices_are_always_timed_and_what_is_between_them_never() {
        let meter = Meter::default();
        let Reading { first_ns, later_ns, .. } = metered(&meter, false, 4);
        assert_eq!(first_ns, 0);
        assert!((6_000_000..8_000_000).contains(&later_ns), "{later_ns}");
    }

    #[test]
    fn what_has_run_is_known_while_it_runs() {
        let meter = Meter::default();
        meter.tick(false);
        assert_eq!((meter.ran(), meter.reading().first_ticked), (Duration::ZERO, true));
        meter.reset();
        assert!(!meter.reading().first_ticked);
        meter.begin_slice();
        burn(Duration::from_millis(1));
        assert!(meter.ran() >= Duration::from_millis(1));
    }
}
