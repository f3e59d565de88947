//! Rates and concurrency: token buckets and slots, counted for all workers of this process, or, for exchanges, in a store that
//! several nodes share ([`crate::store::Link`]).
//!
//! Of this process, keys are kept as 64-bit hashes under a seed of this process's own, so a count costs no allocation and a
//! client that chooses its key can neither grow it nor aim at another's.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config;
use crate::store::{SharedSlot, Store};

/// Buckets are swept once so many tokens have been asked for.
const SWEEP_EVERY: u32 = 4_096;
/// Below this many buckets a sweep is not worth its time.
const SWEEP_ABOVE: usize = 10_000;
/// Rates one process may know; a plugin that makes up a new rate per call gets no further.
const RATES_MAX: usize = 10_000;

/// A token bucket's measure: it holds `burst` at most and gains `tokens` every `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    pub tokens: u32,
    pub period: Duration,
    pub burst: u32,
}

/// How long to wait until the tokens asked for would be there; `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted(pub Option<Duration>);

/// A configuration has another `[store]` than the one the process began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("[store] has changed, which takes a restart: expected it as it was when the process began")]
pub struct StoreChanged;

/// All buckets and slots of a process, and the store that others are in.
pub struct Limits {
    /// Made with the first configuration, and kept.
    store: OnceLock<Arc<Store>>,
    seed: RandomState,
    /// By hash of owner and name, and by rate; in each, by hash of the key.
    buckets: RwLock<HashMap<(u64, Rate), Buckets>>,
    taken: AtomicU32,
    clock: DefaultClock,
    slots: Arc<Mutex<HashMap<u64, u32>>>,
}

type Buckets = Arc<DefaultKeyedRateLimiter<u64>>;

/// A place among those that may go on at once. Dropping it gives the place back.
#[derive(Debug)]
pub enum Slot {
    Local(LocalSlot),
    Shared(SharedSlot),
}

/// A slot that this process counts.
pub struct LocalSlot {
    slots: Arc<Mutex<HashMap<u64, u32>>>,
    key: u64,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            store: OnceLock::new(),
            seed: RandomState::new(),
            buckets: RwLock::default(),
            taken: AtomicU32::new(0),
            clock: DefaultClock::default(),
            slots: Arc::default(),
        }
    }
}

impl Limits {
    /// The store; it is made by the first configuration, and another of a later one is refused: what it holds would be lost.
    pub fn store_of(&self, config: &config::Store, workers: usize) -> Result<Arc<Store>, StoreChanged> {
        let store = self.store.get_or_init(|| Arc::new(Store::new(config, workers)));
        if store.config() == config { Ok(Arc::clone(store)) } else { Err(StoreChanged) }
    }

    /// The store; memory at its defaults where no configuration has said otherwise.
    pub fn store(&self) -> &Arc<Store> {
        self.store.get_or_init(Arc::default)
    }

    /// Take `cost` tokens from the bucket of `key` among those of `owner` and `name`.
    pub fn take(&self, owner: &str, name: &str, key: &str, rate: Rate, cost: u32) -> Result<(), Exhausted> {
        let Some(cost) = NonZeroU32::new(cost) else { return Ok(()) };
        let Some(limiter) = self.limiter(self.seed.hash_one((owner, name)), rate) else {
            return Err(Exhausted(None));
        };
        self.sweep_now_and_then(&limiter);
        match limiter.check_key_n(&self.seed.hash_one(key), cost) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(Exhausted(Some(not_until.wait_time_from(self.clock.now())))),
            Err(_more_than_the_burst) => Err(Exhausted(None)),
        }
    }

    /// Take a place among the `max` of `key` in the group `name` of `owner`; none when all are taken.
    pub fn acquire(&self, owner: &str, name: &str, key: &str, max: u32) -> Option<Slot> {
        let key = self.seed.hash_one((owner, name, key));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = slots.get(&key).copied().unwrap_or(0);
        if taken >= max {
            return None;
        }
        slots.insert(key, taken + 1);
        Some(Slot::Local(LocalSlot { slots: Arc::clone(&self.slots), key }))
    }

    /// None for a rate that never gives anything.
    fn limiter(&self, name: u64, rate: Rate) -> Option<Buckets> {
        let known = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = known.get(&(name, rate)) {
            return Some(Arc::clone(limiter));
        }
        if known.len() >= RATES_MAX {
            return None;
        }
        drop(known);
        let each = rate.period.checked_div(rate.tokens)?;
        // governor counts the time of a whole burst in 64 bits of nanoseconds.
        let fits = each.as_nanos().checked_mul(u128::from(rate.burst)).is_some_and(|time| time < 1 << 62);
        let quota = Quota::with_period(each).filter(|_| fits)?.allow_burst(NonZeroU32::new(rate.burst)?);
        let mut known = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let limiter = known.entry((name, rate)).or_insert_with(|| Arc::new(RateLimiter::keyed(quota)));
        Some(Arc::clone(limiter))
    }

    /// A bucket that is full again says nothing that a new one would not: forget those, so that memory
    /// follows the clients of the last period and not those of all time.
    fn sweep_now_and_then(&self, limiter: &DefaultKeyedRateLimiter<u64>) {
        if self.taken.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY)
            && limiter.len() > SWEEP_ABOVE
        {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

// === impl LocalSlot ===

impl Drop for LocalSlot {
    fn drop(&mut self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get_mut(&self.key) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => drop(slots.remove(&self.key)),
        }
    }
}

impl fmt::Debug for LocalSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSlot").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_HOUR: Rate = Rate { tokens: 1, period: Duration::from_secs(3600), burst: 3 };

    #[test]
    fn a_bucket_gives_its_burst_and_then_tells_how_long_to_wait() {
        let limits = Limits::default();
        for _ in 0..3 {
            assert_eq!(limits.take("p", "requests", "192.0.2.1", PER_HOUR, 1), Ok(()));
        }
        let Err(Exhausted(Some(wait))) = limits.take("p", "requests", "192.0.2.1", PER_HOUR, 1) else {
            panic!("a fourth token was given");
        };
        assert!(wait > Duration::from_secs(3500) && wait <= Duration::from_secs(3600), "{wait:?}");
    }

    #[test]
    fn buckets_of_other_keys_names_and_owners_are_their_own() {
        let limits = Limits::default();
        let rate = Rate { burst: 1, ..PER_HOUR };
        assert_eq!(limits.take("p", "a", "x", rate, 1), Ok(()));
        assert!(limits.take("p", "a", "x", rate, 1).is_err());
        assert_eq!(limits.take("p", "a", "y", rate, 1), Ok(()));
        assert_eq!(limits.take("p", "b", "x", rate, 1), Ok(()));
        assert_eq!(limits.take("q", "a", "x", rate, 1), Ok(()));
    }

    #[test]
    fn what_can_never_be_given_is_never() {
        let limits = Limits::default();
        assert_eq!(limits.take("p", "a", "x", PER_HOUR, 4), Err(Exhausted(None)));
        let nothing = Rate { tokens: 0, ..PER_HOUR };
        assert_eq!(limits.take("p", "a", "x", nothing, 1), Err(Exhausted(None)));
        let no_burst = Rate { burst: 0, ..PER_HOUR };
        assert_eq!(limits.take("p", "a", "x", no_burst, 1), Err(Exhausted(None)));
        assert_eq!(limits.take("p", "a", "x", PER_HOUR, 0), Ok(()));
    }

    #[test]
    fn a_dropped_slot_is_free_again_and_leaves_nothing_behind() {
        let limits = Limits::default();
        let first = limits.acquire("p", "open", "x", 2).unwrap();
        let second = limits.acquire("p", "open", "x", 2).unwrap();
        assert!(limits.acquire("p", "open", "x", 2).is_none());
        assert!(limits.acquire("p", "open", "y", 2).is_some());
        drop(first);
        assert!(limits.acquire("p", "open", "x", 2).is_some());
        drop(second);
        assert!(limits.slots.lock().unwrap().is_empty());
    }
}
