//! The store in this process's memory: sharded, bounded, with expiry.
//!
//! Each shard has its part of the bounds. Where something new does not fit, what has expired goes first, then what is nearest
//! its expiry, then what never expires, the longest unwritten first. Nothing runs aside: what has expired and is not asked for stays until its place is needed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::StoreError;

/// A power of two; so many locks, each held for a look-up.
const SHARDS: usize = 16;

/// What an entry takes beside its key and its value: its places in the map and in the order.
const ENTRY_BYTES: usize = 256;

/// Values by owner and key.
#[derive(Debug)]
pub struct Memory {
    seed: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    entries: HashMap<Arc<Name>, Entry>,
    /// All entries, the first to go first.
    order: BTreeMap<Rank, Arc<Name>>,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
    writes: u64,
}

/// Owner and key are two fields, so that no key can be taken for another owner's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Name {
    owner: String,
    key: String,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    rank: Rank,
}

/// Which of two entries goes first: the one that expires, or expires sooner; then the one that was written first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    expiry: Expiry,
    written: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Expiry {
    At(Instant),
    Never,
}

// === impl Memory ===

impl Memory {
    /// At most `entries_max` entries and `bytes_max` bytes of keys, values and what keeps them.
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        let shard = |_| {
            Mutex::new(Shard {
                entries: HashMap::new(),
                order: BTreeMap::new(),
                bytes: 0,
                entries_max: entries_max.div_ceil(SHARDS),
                bytes_max: bytes_max / SHARDS,
                writes: 0,
            })
        };
        Self { seed: RandomState::new(), shards: (0..SHARDS).map(shard).collect() }
    }

    pub fn get(&self, owner: &str, key: &str) -> Option<Vec<u8>> {
        let name = Name::new(owner, key);
        let mut shard = self.shard(&name)?;
        shard.live(&name).map(|entry| entry.value.clone())
    }

    pub fn set(
        &self,
        owner: &str,
        key: &str,
        value: Vec<u8>,
        expires: Option<Duration>,
    ) -> Result<(), StoreError> {
        let name = Name::new(owner, key);
        let mut shard = self.shard(&name).ok_or(StoreError::Unavailable)?;
        shard.put(name, value, Expiry::after(expires))
    }

    pub fn delete(&self, owner: &str, key: &str) {
        let name = Name::new(owner, key);
        if let Some(mut shard) = self.shard(&name) {
            shard.remove(&name);
        }
    }

    pub fn increment(
        &self,
        owner: &str,
        key: &str,
        by: i64,
        expires: Option<Duration>,
    ) -> Result<i64, StoreError> {
        let name = Name::new(owner, key);
        let mut shard = self.shard(&name).ok_or(StoreError::Unavailable)?;
        let (held, expiry) = match shard.live(&name) {
            Some(entry) => (number(&entry.value).ok_or(StoreError::NotANumber)?, entry.rank.expiry),
            None => (0, Expiry::after(expires)),
        };
        let sum = held.checked_add(by).ok_or(StoreError::NotANumber)?;
        shard.put(name, sum.to_string().into_bytes(), expiry)?;
        Ok(sum)
    }

    fn shard(&self, name: &Name) -> Option<MutexGuard<'_, Shard>> {
        let hash = usize::try_from(self.seed.hash_one(name) % SHARDS as u64).unwrap_or_default();
        Some(self.shards.get(hash)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Shard ===

impl Shard {
    /// An entry that has not expired; one that has is gone.
    fn live(&mut self, name: &Name) -> Option<&Entry> {
        if self.entries.get(name)?.rank.expiry <= Expiry::At(Instant::now()) {
            self.remove(name);
        }
        self.entries.get(name)
    }

    fn put(&mut self, name: Name, value: Vec<u8>, expiry: Expiry) -> Result<(), StoreError> {
        let bytes = name.bytes() + value.len();
        if bytes > self.bytes_max {
            return Err(StoreError::TooLarge);
        }
        self.remove(&name);
        while self.entries.len() >= self.entries_max || self.bytes + bytes > self.bytes_max {
            let Some((_, first)) = self.order.first_key_value() else { break };
            let first = Arc::clone(first);
            self.remove(&first);
        }
        self.writes += 1;
        let (name, rank) = (Arc::new(name), Rank { expiry, written: self.writes });
        self.order.insert(rank, Arc::clone(&name));
        self.entries.insert(name, Entry { value, rank });
        self.bytes += bytes;
        Ok(())
    }

    fn remove(&mut self, name: &Name) {
        if let Some(entry) = self.entries.remove(name) {
            self.order.remove(&entry.rank);
            self.bytes -= name.bytes() + entry.value.len();
        }
    }
}

impl Name {
    fn new(owner: &str, key: &str) -> Self {
        Self { owner: owner.to_owned(), key: key.to_owned() }
    }

    fn bytes(&self) -> usize {
        self.owner.len() + self.key.len() + ENTRY_BYTES
    }
}

impl Expiry {
    /// A time past the end of the clock is never.
    fn after(expires: Option<Duration>) -> Self {
        expires.and_then(|expires| Instant::now().checked_add(expires)).map_or(Self::Never, Self::At)
    }
}

/// As Redis takes it: decimal digits with or without a minus, and nothing else.
fn number(value: &[u8]) -> Option<i64> {
    let number = str::from_utf8(value).ok()?.parse::<i64>().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn entries(memory: &Memory) -> (usize, usize) {
        let shards = memory.shards.iter().map(|shard| shard.lock().unwrap());
        shards.fold((0, 0), |(entries, bytes), shard| {
            assert_eq!(shard.entries.len(), shard.order.len());
            let counted = shard.entries.iter().map(|(name, entry)| name.bytes() + entry.value.len());
            assert_eq!(counted.sum::<usize>(), shard.bytes);
            (entries + shard.entries.len(), bytes + shard.bytes)
        })
    }

    #[test]
    fn values_are_replaced_and_removed_and_owners_do_not_meet() {
        let memory = Memory::new(1000, 1 << 20);
        assert_eq!(memory.get("p", "k"), None);
        for value in ["one", "two"] {
            memory.set("p", "k", value.into(), None).unwrap();
            assert_eq!(memory.get("p", "k"), Some(value.into()));
        }
        assert_eq!(memory.get("q", "k"), None);
        assert_eq!(memory.get("", "pk"), None);
        memory.delete("q", "k");
        assert_eq!(memory.get("p", "k"), Some("two".into()));
        memory.delete("p", "k");
        assert_eq!((memory.get("p", "k"), entries(&memory)), (None, (0, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn values_expire() {
        let memory = Memory::new(1000, 1 << 20);
        memory.set("p", "short", "a".into(), Some(SECOND)).unwrap();
        memory.set("p", "long", "b".into(), Some(Duration::MAX)).unwrap();
        memory.set("p", "at once", "c".into(), Some(Duration::ZERO)).unwrap();
        assert_eq!(memory.get("p", "at once"), None);
        advance(SECOND - Duration::from_millis(1)).await;
        assert_eq!(memory.get("p", "short"), Some("a".into()));
        advance(Duration::from_millis(1)).await;
        assert_eq!(memory.get("p", "short"), None);
        advance(SECOND * 3600 * 24 * 365).await;
        assert_eq!(memory.get("p", "long"), Some("b".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_expires_after_the_window_it_began_in() {
        let memory = Memory::new(1000, 1 << 20);
        for expected in 1..=3 {
            assert_eq!(memory.increment("p", "k", 1, Some(SECOND)), Ok(expected));
            advance(SECOND / 3).await;
        }
        advance(SECOND / 3).await;
        assert_eq!(memory.increment("p", "k", -5, Some(SECOND)), Ok(-5));
        assert_eq!(memory.get("p", "k"), Some("-5".into()));
    }

    #[test]
    fn what_is_no_number_is_not_added_to() {
        let memory = Memory::new(1000, 1 << 20);
        for value in ["", "one", "1.5", " 1", "+1", "01", "9223372036854775808"] {
            memory.set("p", "k", value.into(), None).unwrap();
            assert_eq!(memory.increment("p", "k", 1, None), Err(StoreError::NotANumber), "{value:?}");
            assert_eq!(memory.get("p", "k"), Some(value.into()));
        }
        memory.set("p", "k", i64::MAX.to_string().into(), None).unwrap();
        assert_eq!(memory.increment("p", "k", 1, None), Err(StoreError::NotANumber));
        assert_eq!(memory.increment("p", "k", i64::MIN, None), Ok(-1));
    }

    #[test]
    fn neither_entries_nor_bytes_pass_their_bounds() {
        let memory = Memory::new(160, 1 << 20);
        for number in 0..10_000 {
            memory.set("p", &number.to_string(), vec![0; 10], None).unwrap();
        }
        let (count, _) = entries(&memory);
        assert!((100..=160).contains(&count), "{count}");
        let memory = Memory::new(1_000_000, 1 << 20);
        for number in 0..10_000 {
            memory.set("p", &number.to_string(), vec![0; 1000], None).unwrap();
        }
        let (count, bytes) = entries(&memory);
        assert!(count > 500 && bytes <= 1 << 20, "{count} {bytes}");
        assert_eq!(memory.set("p", "k", vec![0; 1 << 17], None), Err(StoreError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn what_expires_first_goes_first_and_then_what_was_written_first() {
        let mut shard = Memory::new(3 * SHARDS, 1 << 20).shards.into_vec().remove(0).into_inner().unwrap();
        let name = |key: &str| Name::new("p", key);
        shard.put(name("old"), vec![], Expiry::Never).unwrap();
        shard.put(name("new"), vec![], Expiry::Never).unwrap();
        shard.put(name("soon"), vec![], Expiry::after(Some(SECOND))).unwrap();
        let has = |shard: &Shard, key| shard.entries.contains_key(&name(key));
        shard.put(name("later"), vec![], Expiry::after(Some(SECOND * 2))).unwrap();
        assert!(!has(&shard, "soon") && has(&shard, "old"));
        shard.put(name("third"), vec![], Expiry::Never).unwrap();
        assert!(!has(&shard, "later") && has(&shard, "old"));
        // Written once more, it is the newest.
        shard.put(name("old"), vec![], Expiry::Never).unwrap();
        shard.put(name("fourth"), vec![], Expiry::Never).unwrap();
        assert!(!has(&shard, "new") && has(&shard, "old") && has(&shard, "third"));
    }
}
