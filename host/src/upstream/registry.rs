//! What is known of servers, whatever snapshot has them: counts and health go on when the configuration is replaced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::line::Lines;
use super::server::State;
use crate::config::UpstreamServer;

/// The servers and queues of a process, for as long as any snapshot, request or session has them.
#[derive(Debug)]
pub struct Registry {
    /// By upstream and address, with TLS and without: one may be well where the other is not.
    states: Mutex<HashMap<(String, String, bool), Weak<State>>>,
    /// By upstream.
    lines: Mutex<HashMap<String, Weak<Lines>>>,
    /// What sticky cookies are made with where the configuration has no secret.
    secret: [u8; 32],
}

// === impl Registry ===

impl Registry {
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self { states: Mutex::default(), lines: Mutex::default(), secret })
    }

    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    pub fn lines(&self, upstream: &str) -> Arc<Lines> {
        known(&self.lines, upstream.to_owned(), Lines::default)
    }

    pub fn state(&self, upstream: &str, server: &UpstreamServer, lines: &Arc<Lines>) -> Arc<State> {
        let key = (upstream.to_owned(), server.address.clone(), server.https);
        known(&self.states, key, || State::new(Arc::clone(lines)))
    }
}

/// The one that is there, or a new one.
fn known<K: std::hash::Hash + Eq, V>(
    all: &Mutex<HashMap<K, Weak<V>>>,
    key: K,
    new: impl FnOnce() -> V,
) -> Arc<V> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, known| known.strong_count() > 0);
    if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
        return known;
    }
    let new = Arc::new(new());
    all.insert(key, Arc::downgrade(&new));
    new
}
