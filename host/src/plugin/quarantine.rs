//! A plugin that fails again and again is not called for a while: its `on-failure` is applied at once.
//!
//! It begins with `max-traps` traps and time-outs within the window, where at least half of the calls of the hooks that
//! failed did so: a plugin that is broken fails everybody, and one that a few clients make fail on purpose goes on serving
//! the others, who would else pay for it. It lasts 1 s at first. Then calls are let through again; the
//! first that goes well ends it, a few that fail (again, most of them) begin the next, twice as long, up to 1 min. After
//! a healthy time as long as the window, or as the last one, it begins with 1 s again.
//!
//! It is new exchanges and sessions that are kept away. Sessions that are open in the plugin go on: their instances have
//! not failed.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::hook::Hook;
use crate::config::Rate;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Failures that begin the next quarantine, where nothing has gone well since the last.
const FAILURES_ON_PROBATION: u32 = 3;

/// Whether one plugin is called, on this process.
#[derive(Debug)]
pub struct Quarantine {
    /// `max-traps`; none: never.
    max: Option<Rate>,
    made: Instant,
    /// In milliseconds since `made`; 0 while the plugin is trusted, so that the usual look at it needs no clock.
    until_ms: AtomicU64,
    ledger: Mutex<Ledger>,
}

/// What is known of failures.
#[derive(Debug, Default)]
struct Ledger {
    /// Since the first failure that counts.
    since: Option<Instant>,
    failures: u32,
    /// By hook: failures since then, and its calls before the first of them.
    hooks: [OfHook; Hook::COUNT],
    backoff: Duration,
    /// When the last quarantine ended, or will.
    ended: Option<Instant>,
}

#[derive(Debug, Default, Clone, Copy)]
struct OfHook {
    failures: u64,
    calls_before: u64,
}

/// That a plugin may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Admitted {
    Freely,
    /// The time is over: how this call goes decides.
    OnProbation,
}

/// A quarantine has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Those that led to it.
    pub failures: u32,
    pub lasts: Duration,
}

// === impl Quarantine ===

impl Quarantine {
    pub fn new(max: Option<Rate>) -> Self {
        Self { max, made: Instant::now(), until_ms: AtomicU64::new(0), ledger: Mutex::default() }
    }

    pub fn is_on(&self) -> bool {
        self.admit().is_none()
    }

    /// None while in quarantine.
    pub fn admit(&self) -> Option<Admitted> {
        match self.until_ms.load(Relaxed) {
            0 => Some(Admitted::Freely),
            until => self.is_over(until, Instant::now()).then_some(Admitted::OnProbation),
        }
    }

    /// A call on probation went well. Whether it is the one that ends the quarantine.
    pub fn passed(&self) -> bool {
        self.passed_at(Instant::now())
    }

    /// A call of `hook` failed; `calls`: how often each was called so far. Whether that begins a quarantine.
    pub fn failed(&self, hook: Hook, calls: impl Fn(Hook) -> u64) -> Option<Begun> {
        self.failed_at(hook, calls, Instant::now())
    }

    fn passed_at(&self, now: Instant) -> bool {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let until = self.until_ms.load(Relaxed);
        if until == 0 || !self.is_over(until, now) {
            return false;
        }
        ledger.forget_failures();
        ledger.ended = Some(now);
        self.until_ms.store(0, Relaxed);
        true
    }

    fn failed_at(&self, hook: Hook, calls: impl Fn(Hook) -> u64, now: Instant) -> Option<Begun> {
        let max = self.max?;
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let until = self.until_ms.load(Relaxed);
        let on_probation = until != 0;
        if on_probation && !self.is_over(until, now) {
            // A session that went on, or a call that was under way.
            return None;
        }
        let most_failed = ledger.count(hook, calls, max.period, now);
        let enough = if on_probation { max.count.min(FAILURES_ON_PROBATION) } else { max.count };
        let failures = ledger.failures;
        if failures < enough || !most_failed {
            return None;
        }
        let lasts = ledger.next_backoff(max.period, now);
        ledger.forget_failures();
        ledger.ended = now.checked_add(lasts);
        self.until_ms.store(self.since_made_ms(now + lasts).max(1), Relaxed);
        Some(Begun { failures, lasts })
    }

    fn is_over(&self, until_ms: u64, now: Instant) -> bool {
        self.since_made_ms(now) >= until_ms
    }

    fn since_made_ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.made).as_millis()).unwrap_or(u64::MAX)
    }
}

// === impl Ledger ===

impl Ledger {
    /// Count a failure; whether at least half the calls of the hooks that failed did so, each since its first failure.
    fn count(&mut self, hook: Hook, calls: impl Fn(Hook) -> u64, period: Duration, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) > period) {
            self.forget_failures();
            self.since = Some(now);
        }
        self.failures = self.failures.saturating_add(1);
        if let Some(of_hook) = self.hooks.get_mut(hook as usize) {
            if of_hook.failures == 0 {
                of_hook.calls_before = calls(hook).saturating_sub(1);
            }
            of_hook.failures += 1;
        }
        let failed = Hook::ALL.into_iter().zip(&self.hooks).filter(|(_, of_hook)| of_hook.failures > 0);
        let since = failed.map(|(hook, of_hook)| calls(hook).saturating_sub(of_hook.calls_before));
        u64::from(self.failures).saturating_mul(2) >= since.sum()
    }

    fn next_backoff(&mut self, period: Duration, now: Instant) -> Duration {
        let healthy = period.max(self.backoff);
        let relapsed = self.ended.is_some_and(|ended| now.saturating_duration_since(ended) < healthy);
        self.backoff = if relapsed { (self.backoff * 2).min(BACKOFF_MAX) } else { BACKOFF_MIN };
        self.backoff
    }

    fn forget_failures(&mut self) {
        self.since = None;
        self.failures = 0;
        self.hooks = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn quarantine() -> (Quarantine, Instant) {
        let quarantine = Quarantine::new(Some(Rate { count: 5, period: 60 * SECOND }));
        let begin = quarantine.made + SECOND;
        (quarantine, begin)
    }

    /// Fail in each of these calls of `on-request`, which are all there are.
    fn fail(
        quarantine: &Quarantine,
        calls: std::ops::RangeInclusive<u64>,
        now: Instant,
    ) -> Vec<Option<Begun>> {
        calls.map(|call| quarantine.failed_at(Hook::OnRequest, |_| call, now)).collect()
    }

    fn lasts(seconds: u32, failures: u32) -> Option<Begun> {
        Some(Begun { failures, lasts: SECOND * seconds })
    }

    #[test]
    fn so_many_failures_in_the_window_begin_it() {
        let (quarantine, now) = quarantine();
        assert_eq!(quarantine.admit(), Some(Admitted::Freely));
        assert_eq!(fail(&quarantine, 1..=5, now), [None, None, None, None, lasts(1, 5)]);
        assert!(!quarantine.is_over(quarantine.until_ms.load(Relaxed), now + SECOND / 2));
        assert!(quarantine.is_over(quarantine.until_ms.load(Relaxed), now + SECOND));
    }

    #[test]
    fn failures_far_apart_do_not() {
        let (quarantine, mut now) = quarantine();
        for call in 1..100 {
            assert_eq!(quarantine.failed_at(Hook::OnRequest, |_| call, now), None);
            now += 16 * SECOND;
        }
    }

    #[test]
    fn failures_among_many_calls_that_go_well_do_not() {
        let (quarantine, now) = quarantine();
        for call in 1..100 {
            assert_eq!(quarantine.failed_at(Hook::OnRequest, |_| 3 * call, now), None);
        }
        // Nor does one of another hook.
        let calls = |hook| if hook == Hook::Open { 1 } else { 300 };
        assert_eq!(quarantine.failed_at(Hook::Open, calls, now), None);
    }

    #[test]
    fn failures_of_several_hooks_are_added_up() {
        let (quarantine, now) = quarantine();
        for call in 1..=2 {
            assert_eq!(quarantine.failed_at(Hook::OnRequest, |_| call, now), None);
            assert_eq!(quarantine.failed_at(Hook::Open, |_| call, now), None);
        }
        assert_eq!(quarantine.failed_at(Hook::OnResponse, |_| 2, now), lasts(1, 5));
    }

    #[test]
    fn without_max_traps_there_is_none() {
        let quarantine = Quarantine::new(None);
        assert!(fail(&quarantine, 1..=1_000, quarantine.made).iter().all(Option::is_none));
    }

    #[test]
    fn a_call_that_goes_well_ends_it_once() {
        let (quarantine, now) = quarantine();
        fail(&quarantine, 1..=5, now);
        assert!(!quarantine.passed_at(now), "of a call that was under way");
        assert!(quarantine.passed_at(now + SECOND));
        assert!(!quarantine.passed_at(now + SECOND));
        assert_eq!(quarantine.admit(), Some(Admitted::Freely));
    }

    #[test]
    fn it_is_doubled_up_to_a_minute_and_begins_anew_after_a_healthy_time() {
        let (quarantine, mut now) = quarantine();
        fail(&quarantine, 1..=5, now);
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            // What fails within it does not count.
            assert_eq!(fail(&quarantine, 6..=10, now), [None; 5]);
            now += 60 * SECOND;
            assert_eq!(fail(&quarantine, 11..=13, now), [None, None, lasts(seconds, 3)]);
        }
        now += 60 * SECOND;
        assert!(quarantine.passed_at(now));
        now += 61 * SECOND;
        assert_eq!(fail(&quarantine, 20..=24, now).pop(), Some(lasts(1, 5)));
    }

    #[test]
    fn one_failure_on_probation_among_calls_that_go_well_does_not_begin_the_next() {
        let (quarantine, now) = quarantine();
        fail(&quarantine, 1..=5, now);
        let now = now + SECOND;
        assert_eq!(fail(&quarantine, 6..=6, now), [None]);
        assert!(quarantine.passed_at(now));
        assert_eq!(fail(&quarantine, 8..=8, now), [None]);
    }
}
