//! Values and counts that outlive an exchange: in this process's memory, or in a Redis that several nodes share.
//!
//! There is one [`Store`] in a process, made at its start; it outlives configurations. What plugins put into it through their
//! `store` interface is a [`Memory`] or goes to Redis; what their limits count goes to Redis or is none of the store's business
//! (see [`crate::limits`]). Redis is spoken to over one connection per worker ([`Link`]), connected aside and never by who asks:
//! while there is none, every call fails at once.
//!
//! Names in Redis. All begin with the configuration's `prefix` and a word for what they are. A plugin's name comes next; it has
//! no colon in it, so no plugin reaches another's, whatever its keys are:
//!
//! | key | type | what |
//! |---|---|---|
//! | `sluicegate:value:PLUGIN:KEY` | string | a value of the `store` interface, as the plugin names it |
//! | `sluicegate:rate:PLUGIN:HASH` | string | a token bucket: when it is full again, in microseconds of Redis' clock |
//! | `sluicegate:slots:PLUGIN:HASH` | hash | by node and worker: how many slots it holds, and until when it is believed |
//! | `sluicegate:probe` | string | written at connecting, to see whether that can be done |
//!
//! `HASH` is the half of a SHA-256 over the limit's name, the key and the rate, each with its length in front: clients may
//! choose keys, and can neither make them long nor have two of them meet.

mod memory;
mod redis;

use std::sync::Arc;
use std::time::Duration;

pub use self::memory::Memory;
pub use self::redis::{Link, SharedSlot};
use crate::config;

/// Bytes of a plugin's key and of a value, as `wit/store.wit` promises.
pub const KEY_BYTES_MAX: usize = 512;
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Where what plugins keep is kept.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
    config: config::Store,
}

#[derive(Debug)]
enum Backend {
    Memory(Memory),
    Redis(redis::Redis),
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("the shared store cannot be reached")]
    Unavailable,
    #[error("the key or the value is too large")]
    TooLarge,
    #[error("the value is no whole number of 64 bits, or would leave their range")]
    NotANumber,
}

/// The shared store cannot be reached, or did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shared store cannot be reached")]
pub struct Unavailable;

impl From<Unavailable> for StoreError {
    fn from(Unavailable: Unavailable) -> Self {
        Self::Unavailable
    }
}

// === impl Store ===

impl Store {
    /// Nothing is connected yet: each worker begins with [`Store::serve`].
    pub fn new(config: &config::Store, workers: usize) -> Self {
        let backend = match &config.url {
            None => Backend::Memory(Memory::new(config.entries_max, config.bytes_max)),
            Some(url) => Backend::Redis(redis::Redis::new(url, config, workers)),
        };
        Self { backend, config: config.clone() }
    }

    pub fn config(&self) -> &config::Store {
        &self.config
    }

    /// Keep `worker`'s connection to a shared store, for as long as the worker runs. To be spawned in its thread.
    pub async fn serve(self: Arc<Self>, worker: usize) {
        if let Some(link) = self.link(worker) {
            Arc::clone(link).run().await;
        }
    }

    /// The worker's way to the store, where it is shared.
    pub fn link(&self, worker: usize) -> Option<&Arc<Link>> {
        match &self.backend {
            Backend::Memory(_) => None,
            Backend::Redis(redis) => redis.link(worker),
        }
    }

    /// Wait until the shared store has been told of every slot that was given back, for at most the time of a call.
    pub async fn settle(&self) {
        if let Backend::Redis(redis) = &self.backend {
            drop(tokio::time::timeout(self.config.timeout, redis.settled()).await);
        }
    }

    /// The value of `owner`'s `key`.
    pub async fn get(&self, worker: usize, owner: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check_sizes(key, &[])?;
        match self.backend(worker)? {
            Reached::Memory(memory) => Ok(memory.get(owner, key)),
            Reached::Redis(link) => Ok(link.get(owner, key).await?),
        }
    }

    /// Replace the value of `owner`'s `key`.
    pub async fn set(
        &self,
        worker: usize,
        owner: &str,
        key: &str,
        value: Vec<u8>,
        expires: Option<Duration>,
    ) -> Result<(), StoreError> {
        check_sizes(key, &value)?;
        match self.backend(worker)? {
            Reached::Memory(memory) => memory.set(owner, key, value, expires),
            Reached::Redis(link) => Ok(link.set(owner, key, value, expires).await?),
        }
    }

    /// Remove `owner`'s `key`.
    pub async fn delete(&self, worker: usize, owner: &str, key: &str) -> Result<(), StoreError> {
        check_sizes(key, &[])?;
        match self.backend(worker)? {
            Reached::Memory(memory) => {
                memory.delete(owner, key);
                Ok(())
            }
            Reached::Redis(link) => Ok(link.delete(owner, key).await?),
        }
    }

    /// Add to the number `owner`'s `key` holds; one that begins with this call expires.
    pub async fn increment(
        &self,
        worker: usize,
        owner: &str,
        key: &str,
        by: i64,
        expires: Option<Duration>,
    ) -> Result<i64, StoreError> {
        check_sizes(key, &[])?;
        match self.backend(worker)? {
            Reached::Memory(memory) => memory.increment(owner, key, by, expires),
            Reached::Redis(link) => {
                link.increment(owner, key, by, expires).await?.ok_or(StoreError::NotANumber)
            }
        }
    }

    fn backend(&self, worker: usize) -> Result<Reached<'_>, Unavailable> {
        match &self.backend {
            Backend::Memory(memory) => Ok(Reached::Memory(memory)),
            Backend::Redis(redis) => redis.link(worker).map(Reached::Redis).ok_or(Unavailable),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new(&config::Store::default(), 1)
    }
}

enum Reached<'a> {
    Memory(&'a Memory),
    Redis(&'a Arc<Link>),
}

fn check_sizes(key: &str, value: &[u8]) -> Result<(), StoreError> {
    if key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
        return Err(StoreError::TooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_large_is_refused_and_what_just_fits_is_kept() {
        let store = Store::default();
        let (key, value) = ("k".repeat(KEY_BYTES_MAX), vec![7; VALUE_BYTES_MAX]);
        assert_eq!(store.set(0, "p", &key, value.clone(), None).await, Ok(()));
        assert_eq!(store.get(0, "p", &key).await, Ok(Some(value)));
        let (long_key, long_value) = ("k".repeat(KEY_BYTES_MAX + 1), vec![7; VALUE_BYTES_MAX + 1]);
        assert_eq!(store.set(0, "p", &long_key, Vec::new(), None).await, Err(StoreError::TooLarge));
        assert_eq!(store.set(0, "p", &key, long_value, None).await, Err(StoreError::TooLarge));
        assert_eq!(store.get(0, "p", &long_key).await, Err(StoreError::TooLarge));
        assert_eq!(store.delete(0, "p", &long_key).await, Err(StoreError::TooLarge));
        assert_eq!(store.increment(0, "p", &long_key, 1, None).await, Err(StoreError::TooLarge));
    }
}
