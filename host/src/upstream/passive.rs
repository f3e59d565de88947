//! Health as it shows in passing: nginx's `max_fails` and `fail_timeout`.
//!
//! So many failures within the time, and the server is passed over for as long; then one request is let through, and
//! its success brings the server back. Times are in milliseconds of one clock, never 0.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What requests found out about a server.
#[derive(Debug, Default)]
pub struct Passive {
    /// Passed over until then; 0: not at all.
    until_ms: AtomicU64,
    fails: Mutex<Fails>,
}

#[derive(Debug, Default)]
struct Fails {
    count: u32,
    /// The first of them.
    since_ms: u64,
}

/// After how many failures in which time; 0: never.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    pub max_fails: u32,
    pub fail_timeout_ms: u64,
}

impl Passive {
    pub fn is_passed_over(&self, now_ms: u64) -> bool {
        self.until_ms.load(Ordering::Relaxed) > now_ms
    }

    /// A request goes to the server. The first one after the time is the test; others are held off meanwhile.
    pub fn begin(&self, now_ms: u64, tolerance: Tolerance) {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        if until_ms != 0 && until_ms <= now_ms {
            let next_ms = now_ms.saturating_add(tolerance.fail_timeout_ms);
            // Where another was first, it is that one's.
            let _ = self.until_ms.compare_exchange(until_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether this makes it passed over.
    pub fn fail(&self, now_ms: u64, tolerance: Tolerance) -> bool {
        if tolerance.max_fails == 0 {
            return false;
        }
        let mut fails = self.fails.lock().unwrap_or_else(PoisonError::into_inner);
        let was_passed_over = self.until_ms.load(Ordering::Relaxed) != 0;
        if !was_passed_over && now_ms.saturating_sub(fails.since_ms) > tolerance.fail_timeout_ms {
            *fails = Fails { count: 0, since_ms: now_ms };
        }
        fails.count = fails.count.saturating_add(1);
        if fails.count < tolerance.max_fails {
            return false;
        }
        self.until_ms.store(now_ms.saturating_add(tolerance.fail_timeout_ms), Ordering::Relaxed);
        !was_passed_over
    }

    /// Whether this brings it back.
    pub fn succeed(&self) -> bool {
        self.until_ms.load(Ordering::Relaxed) != 0 && self.forget()
    }

    /// Begin anew; whether it was passed over.
    pub fn forget(&self) -> bool {
        let mut fails = self.fails.lock().unwrap_or_else(PoisonError::into_inner);
        *fails = Fails::default();
        self.until_ms.swap(0, Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE_IN_10_S: Tolerance = Tolerance { max_fails: 3, fail_timeout_ms: 10_000 };

    #[test]
    fn so_many_failures_within_the_time() {
        let passive = Passive::default();
        assert!(!passive.fail(1_000, THREE_IN_10_S));
        assert!(!passive.fail(2_000, THREE_IN_10_S));
        // A success in between does not undo them.
        assert!(!passive.succeed());
        assert!(passive.fail(3_000, THREE_IN_10_S));
        assert!(passive.is_passed_over(12_999));
        assert!(!passive.is_passed_over(13_000));
    }

    #[test]
    fn failures_of_long_ago_do_not_count() {
        let passive = Passive::default();
        for at_ms in [1_000, 2_000, 12_000, 13_000] {
            assert!(!passive.fail(at_ms, THREE_IN_10_S), "{at_ms}");
        }
        assert!(passive.fail(14_000, THREE_IN_10_S));
    }

    #[test]
    fn one_request_is_the_test() {
        let passive = Passive::default();
        let one = Tolerance { max_fails: 1, ..THREE_IN_10_S };
        assert!(passive.fail(1_000, one));
        assert!(!passive.is_passed_over(11_000));
        passive.begin(11_000, one);
        assert!(passive.is_passed_over(11_000));
        // It failed: again as long, and no news.
        assert!(!passive.fail(12_000, one));
        assert!(passive.is_passed_over(21_999));
        passive.begin(22_000, one);
        assert!(passive.succeed());
        assert!(!passive.is_passed_over(22_000));
        assert!(!passive.succeed());
    }

    #[test]
    fn none_is_passed_over_where_no_number_is_too_many() {
        let passive = Passive::default();
        for at_ms in 1..100 {
            assert!(!passive.fail(at_ms, Tolerance { max_fails: 0, fail_timeout_ms: 10_000 }));
        }
        assert!(!passive.is_passed_over(100));
    }
}
