//! Slots that several nodes share.
//!
//! Each worker of each node is a holder. Redis has, by key and holder, how many slots it holds and until when that is believed: a lease, which
//! the link's task renews for all keys together. A holder that is gone loses its slots with its lease, and one that finds Redis without memory of
//! it (a restart) says again what it has.
//!
//! Counting is exact while a connection lasts, since what a holder says arrives in order. When one is lost it is not known what was still
//! done; so the next begins with the holder's own account, for every key it may be known by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

use super::link::{Link, Loss};
use crate::store::Unavailable;

/// Keys in one command of the link's task: one that takes Redis a fraction of a millisecond.
const KEYS_PER_COMMAND: usize = 128;

/// What one worker holds, by key.
#[derive(Debug, Default)]
pub(super) struct Slots {
    held: Mutex<HashMap<Arc<str>, Held>>,
    released: Notify,
}

/// Of one key.
#[derive(Debug, Default, Clone, Copy)]
struct Held {
    /// Slots that somebody has.
    taken: u32,
    /// Slots that were given back, and Redis does not know it.
    released: u32,
    /// Commands to take one that are not answered.
    asked: u32,
    /// Whether Redis may have an account of this holder.
    known: bool,
}

/// A slot. Dropping it gives it back, by way of the link's task.
#[derive(Debug)]
pub struct SharedSlot {
    link: Arc<Link>,
    key: Arc<str>,
}

impl Drop for SharedSlot {
    fn drop(&mut self) {
        self.link.slots.give_back(&self.key);
    }
}

impl Link {
    /// Take one of the `max` slots of `key`; none when all are taken. One that is granted when nobody waits for it any more is given back.
    pub(super) async fn acquire_slot(
        self: &Arc<Self>,
        key: Arc<str>,
        max: u32,
    ) -> Result<Option<SharedSlot>, Unavailable> {
        let _waiting = self.watch();
        let connection = self.connection().await?;
        let link = Arc::clone(self);
        let asking = tokio::spawn(async move { link.ask_for_slot(connection, key, max).await });
        asking.await.map_err(|_| Unavailable)?
    }

    async fn ask_for_slot(
        self: Arc<Self>,
        mut connection: MultiplexedConnection,
        key: Arc<str>,
        max: u32,
    ) -> Result<Option<SharedSlot>, Unavailable> {
        let taken = self.slots.ask(&key);
        let mut script = self.shared.scripts.acquire.key(&*key);
        script.arg(&self.holder).arg(taken).arg(max).arg(self.lease_ms());
        let answer = self.judge(script.invoke_async::<u32>(&mut connection).await);
        self.slots.answered(&key, answer.map(|granted| granted > 0));
        Ok((answer? > 0).then(|| SharedSlot { link: self, key }))
    }

    /// A slot that Redis will hear of when it can be reached.
    pub(super) fn slot_unasked(self: &Arc<Self>, key: Arc<str>) -> SharedSlot {
        self.slots.take_unasked(&key);
        SharedSlot { link: Arc::clone(self), key }
    }

    /// Tell Redis which slots were given back.
    pub(super) async fn release_slots(&self, connection: &mut MultiplexedConnection) -> Result<(), Loss> {
        for chunk in self.slots.take_released().chunks(KEYS_PER_COMMAND) {
            let mut script = self.shared.scripts.release.prepare_invoke();
            script.arg(&self.holder);
            for (key, released) in chunk {
                script.key(&**key).arg(*released);
            }
            self.ask::<u32>(connection, &script).await?;
            self.slots.forget_unused(chunk.iter().map(|(key, _)| key));
        }
        Ok(())
    }

    /// Tell Redis which slots there are. `exactly`: on a new connection, when none is being asked for.
    pub(super) async fn renew_slots(
        &self,
        connection: &mut MultiplexedConnection,
        exactly: bool,
    ) -> Result<(), Loss> {
        let held = if exactly { self.slots.take_account() } else { self.slots.account() };
        // Also where there is nothing to renew: a Redis that is gone is found before it is needed.
        let chunks = held.chunks(KEYS_PER_COMMAND).chain(held.is_empty().then_some(&[][..]));
        for chunk in chunks {
            let mut script = self.shared.scripts.renew.prepare_invoke();
            script.arg(&self.holder).arg(self.lease_ms());
            script.arg(if exactly { "exactly" } else { "at least" });
            for (key, taken) in chunk {
                script.key(&**key).arg(*taken);
            }
            self.ask::<u32>(connection, &script).await?;
            if exactly {
                self.slots.forget_unused(chunk.iter().map(|(key, _)| key));
            }
        }
        Ok(())
    }

    fn lease_ms(&self) -> u64 {
        u64::try_from(self.shared.lease.as_millis()).unwrap_or(u64::MAX)
    }
}

// === impl Slots ===

impl Slots {
    /// Something was given back.
    pub async fn released(&self) {
        self.released.notified().await;
    }

    pub fn any_released(&self) -> bool {
        self.held().values().any(|held| held.released > 0 || held.known && held.taken == 0)
    }

    /// A command is about to be sent: how many are taken already.
    fn ask(&self, key: &Arc<str>) -> u32 {
        let mut all = self.held();
        let held = all.entry(Arc::clone(key)).or_default();
        held.asked += 1;
        held.known = true;
        held.taken
    }

    /// The answer to it has come, or will not.
    fn answered(&self, key: &Arc<str>, answer: Result<bool, Unavailable>) {
        let mut all = self.held();
        let Some(held) = all.get_mut(key) else { return };
        held.asked = held.asked.saturating_sub(1);
        match answer {
            Ok(true) => held.taken += 1,
            Ok(false) if held.is_unused() => drop(all.remove(key)),
            // It may have been granted.
            Err(Unavailable) if held.is_unused() => {
                held.released = u32::MAX;
                self.released.notify_one();
            }
            Ok(false) | Err(Unavailable) => {}
        }
    }

    fn take_unasked(&self, key: &Arc<str>) {
        self.held().entry(Arc::clone(key)).or_default().taken += 1;
    }

    fn give_back(&self, key: &Arc<str>) {
        let mut all = self.held();
        let Some(held) = all.get_mut(key) else { return };
        held.taken = held.taken.saturating_sub(1);
        if held.known {
            held.released = held.released.saturating_add(1);
            self.released.notify_one();
        } else if held.is_unused() {
            all.remove(key);
        }
    }

    /// What was given back since the last time.
    fn take_released(&self) -> Vec<(Arc<str>, u32)> {
        let mut all = self.held();
        let released = all.iter_mut().filter(|(_, held)| held.released > 0);
        released.map(|(key, held)| (Arc::clone(key), std::mem::take(&mut held.released))).collect()
    }

    /// What somebody has.
    fn account(&self) -> Vec<(Arc<str>, u32)> {
        let mut all = self.held();
        let taken = all.iter_mut().filter(|(_, held)| held.taken > 0);
        let account = taken.map(|(key, held)| {
            held.known = true;
            (Arc::clone(key), held.taken)
        });
        account.collect()
    }

    /// The same with what nobody has any more, which makes up for all that was not told.
    fn take_account(&self) -> Vec<(Arc<str>, u32)> {
        let mut all = self.held();
        let account = all.iter_mut().map(|(key, held)| {
            held.released = 0;
            held.known = true;
            (Arc::clone(key), held.taken)
        });
        account.collect()
    }

    /// Redis has been told of these.
    fn forget_unused<'a>(&self, keys: impl Iterator<Item = &'a Arc<str>>) {
        let mut all = self.held();
        for key in keys {
            if all.get(key).is_some_and(Held::is_unused) {
                all.remove(key);
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_unused(&self) -> bool {
        self.taken == 0 && self.released == 0 && self.asked == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Arc<str> {
        "slots".into()
    }

    #[test]
    fn what_was_refused_leaves_nothing_behind() {
        let slots = Slots::default();
        assert_eq!(slots.ask(&key()), 0);
        slots.answered(&key(), Ok(false));
        assert!(slots.held().is_empty());
    }

    #[test]
    fn what_was_granted_is_accounted_for_until_redis_knows_that_it_is_given_back() {
        let slots = Slots::default();
        for taken in 0..3 {
            assert_eq!(slots.ask(&key()), taken);
            slots.answered(&key(), Ok(true));
        }
        slots.give_back(&key());
        assert_eq!(slots.take_released(), [(key(), 1)]);
        assert_eq!(slots.take_released(), []);
        assert_eq!(slots.account(), [(key(), 2)]);
        slots.give_back(&key());
        slots.give_back(&key());
        assert!(slots.any_released());
        assert_eq!(slots.take_released(), [(key(), 2)]);
        slots.forget_unused([key()].iter());
        assert!(slots.held().is_empty() && !slots.any_released());
    }

    #[test]
    fn one_that_is_asked_for_again_meanwhile_is_not_forgotten() {
        let slots = Slots::default();
        slots.ask(&key());
        slots.answered(&key(), Ok(true));
        slots.give_back(&key());
        let released = slots.take_released();
        assert_eq!(slots.ask(&key()), 0);
        slots.forget_unused(released.iter().map(|(key, _)| key));
        slots.answered(&key(), Ok(true));
        assert_eq!(slots.account(), [(key(), 1)]);
    }

    #[test]
    fn what_redis_never_heard_of_is_not_given_back_to_it() {
        let slots = Slots::default();
        slots.take_unasked(&key());
        slots.give_back(&key());
        assert!(slots.held().is_empty());
        // Once it was in an account, Redis has heard of it.
        slots.take_unasked(&key());
        assert_eq!(slots.take_account(), [(key(), 1)]);
        slots.give_back(&key());
        assert_eq!(slots.take_released(), [(key(), 1)]);
    }

    /// It may have been granted: whatever Redis believes this worker to hold is taken back.
    #[test]
    fn what_was_not_answered_is_given_back_whole() {
        let slots = Slots::default();
        slots.ask(&key());
        slots.answered(&key(), Err(Unavailable));
        assert_eq!(slots.take_released(), [(key(), u32::MAX)]);
        // Or is told as it is, on a new connection.
        slots.ask(&key());
        slots.answered(&key(), Err(Unavailable));
        assert_eq!(slots.take_account(), [(key(), 0)]);
        assert_eq!(slots.take_released(), []);
        slots.forget_unused([key()].iter());
        assert!(slots.held().is_empty());
    }
}
