//! The host's functions, as far as a test needs them. Same names and signatures as the contract's.

pub(crate) use super::connection::Connection;
pub(crate) use super::http;
pub(crate) use super::request::Request;
pub(crate) use super::response::ResponseHead;

pub(crate) mod log {
    use std::cell::RefCell;

    use crate::log::Level;

    thread_local! {
        static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn enabled(_level: Level) -> bool {
        true
    }

    pub(crate) fn log(level: Level, message: &str) {
        LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
    }

    pub(crate) fn lines() -> Vec<(Level, String)> {
        LINES.with_borrow(Clone::clone)
    }

    pub(crate) fn reset() {
        LINES.with_borrow_mut(Vec::clear);
    }
}

pub(crate) mod clock {
    use std::cell::Cell;
    use std::time::Duration;

    /// 2025-01-01T00:00:00Z.
    const START_UNIX: Duration = Duration::from_secs(1_735_689_600);

    thread_local! {
        static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    pub(crate) fn monotonic_ns() -> u64 {
        u64::try_from(PASSED.get().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn unix_ms() -> u64 {
        u64::try_from((START_UNIX + PASSED.get()).as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn advance(duration: Duration) {
        PASSED.set(PASSED.get() + duration);
    }

    pub(crate) fn reset() {
        PASSED.set(Duration::ZERO);
    }
}

pub(crate) mod random {
    use std::cell::Cell;

    const LENGTH_MAX: u32 = 4096;

    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }

    /// SplitMix64: repeatable, and good enough to tell numbers apart.
    pub(crate) fn get_u64() -> u64 {
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn get_bytes(length: u32) -> Vec<u8> {
        let length = length.min(LENGTH_MAX) as usize;
        let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend(get_u64().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    pub(crate) fn reset() {
        STATE.set(0);
    }
}

pub(crate) mod env {
    use std::cell::RefCell;
    use std::collections::HashMap;

    thread_local! {
        static VARIABLES: RefCell<HashMap<String, String>> = RefCell::default();
    }

    pub(crate) fn get(name: &str) -> Option<String> {
        VARIABLES.with_borrow(|variables| variables.get(name).cloned())
    }

    pub(crate) fn set(name: &str, value: &str) {
        VARIABLES.with_borrow_mut(|variables| variables.insert(name.to_owned(), value.to_owned()));
    }

    pub(crate) fn reset() {
        VARIABLES.with_borrow_mut(HashMap::clear);
    }
}

pub(crate) mod limits {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::clock;
    use crate::limits::Rate;

    type Key = (String, String);

    thread_local! {
        static BUCKETS: RefCell<HashMap<Key, Bucket>> = RefCell::default();
        static TAKEN: RefCell<HashMap<Key, u32>> = RefCell::default();
    }

    /// Tokens are counted in shares of the period in milliseconds, so that nothing is lost to rounding.
    struct Bucket {
        shares: u128,
        filled_ms: u64,
    }

    pub(crate) fn take(name: &str, key: &str, rate: Rate, cost: u32) -> Result<(), u64> {
        let Rate { tokens, period_ms, burst } = rate;
        if tokens == 0 || period_ms == 0 || cost > burst {
            return Err(u64::MAX);
        }
        let now_ms = clock::monotonic_ns() / 1_000_000;
        let full = u128::from(burst) * u128::from(period_ms);
        let wanted = u128::from(cost) * u128::from(period_ms);
        BUCKETS.with_borrow_mut(|buckets| {
            let bucket = buckets
                .entry((name.to_owned(), key.to_owned()))
                .or_insert(Bucket { shares: full, filled_ms: now_ms });
            let gained = u128::from(now_ms - bucket.filled_ms) * u128::from(tokens);
            bucket.shares = full.min(bucket.shares + gained);
            bucket.filled_ms = now_ms;
            match bucket.shares.checked_sub(wanted) {
                Some(left) => {
                    bucket.shares = left;
                    Ok(())
                }
                None => {
                    let wait_ms = (wanted - bucket.shares).div_ceil(u128::from(tokens));
                    Err(u64::try_from(wait_ms).unwrap_or(u64::MAX))
                }
            }
        })
    }

    /// Gives its place back when dropped.
    #[derive(Debug)]
    pub(crate) struct Slot {
        place: Key,
    }

    pub(crate) fn acquire(name: &str, key: &str, max: u32) -> Option<Slot> {
        let place = (name.to_owned(), key.to_owned());
        TAKEN.with_borrow_mut(|taken| {
            let taken = taken.entry(place.clone()).or_default();
            (*taken < max).then(|| {
                *taken += 1;
                Slot { place }
            })
        })
    }

    impl Drop for Slot {
        fn drop(&mut self) {
            // The thread may be ending, and its slots have gone before this one.
            let _ = TAKEN.try_with(|taken| {
                if let Some(taken) = taken.borrow_mut().get_mut(&self.place) {
                    *taken = taken.saturating_sub(1);
                }
            });
        }
    }

    pub(crate) fn reset() {
        BUCKETS.with_borrow_mut(HashMap::clear);
        TAKEN.with_borrow_mut(HashMap::clear);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::Rate;

    #[test]
    fn a_bucket_fills_by_the_clock_and_no_higher_than_its_burst() {
        let rate = Rate::new(3, 1000).with_burst(2);
        assert_eq!(limits::take("a", "k", rate, 2), Ok(()));
        assert_eq!(limits::take("a", "k", rate, 1), Err(334));
        clock::advance(Duration::from_millis(333));
        assert_eq!(limits::take("a", "k", rate, 1), Err(1));
        clock::advance(Duration::from_millis(1));
        assert_eq!(limits::take("a", "k", rate, 1), Ok(()));
        clock::advance(Duration::from_secs(60));
        assert_eq!(limits::take("a", "k", rate, 2), Ok(()));
        assert!(limits::take("a", "k", rate, 1).is_err());
    }

    #[test]
    fn what_a_bucket_never_holds_is_never_given() {
        assert_eq!(limits::take("a", "k", Rate::new(0, 1000), 1), Err(u64::MAX));
        assert_eq!(limits::take("a", "k", Rate::new(1, 0), 1), Err(u64::MAX));
        assert_eq!(limits::take("a", "k", Rate::new(5, 1000), 6), Err(u64::MAX));
    }

    #[test]
    fn names_and_keys_are_counted_apart() {
        let rate = Rate::new(1, 1000);
        for (name, key) in [("a", "k"), ("a", "l"), ("b", "k")] {
            assert_eq!(limits::take(name, key, rate, 1), Ok(()));
            assert!(limits::take(name, key, rate, 1).is_err());
        }
    }

    #[test]
    fn a_dropped_slot_is_free_again() {
        let first = limits::acquire("a", "k", 2);
        let second = limits::acquire("a", "k", 2);
        assert!(first.is_some() && second.is_some());
        assert!(limits::acquire("a", "k", 2).is_none());
        drop(first);
        assert!(limits::acquire("a", "k", 2).is_some());
    }

    #[test]
    fn random_numbers_differ_and_repeat() {
        let first = (random::get_u64(), random::get_bytes(5));
        assert_ne!(random::get_u64(), first.0);
        random::reset();
        assert_eq!((random::get_u64(), random::get_bytes(5)), first);
    }
}
