//! An instance that many sessions of one worker share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use slab::Slab;

use super::instance::{Failure, FailureReason, Instance};

/// One call at a time; the first that fails is its last, and ends every session in it.
pub struct Shared {
    plugin: Arc<str>,
    /// None once it is lost: its memory is given back then, and not when the last session has noticed.
    instance: tokio::sync::Mutex<Option<Instance>>,
    lost: AtomicBool,
    /// The tasks of its sessions. Only their own worker locks it.
    sessions: Mutex<Slab<Waker>>,
}

/// One session's place in it.
pub struct Seat {
    pub shared: Arc<Shared>,
    /// Where its waker is kept, from its first look on.
    at: Option<usize>,
}

// === impl Shared ===

impl Shared {
    pub fn new(plugin: Arc<str>, instance: Instance) -> Self {
        Self {
            plugin,
            instance: tokio::sync::Mutex::new(Some(instance)),
            lost: AtomicBool::new(false),
            sessions: Mutex::default(),
        }
    }

    pub fn seat(self: Arc<Self>) -> Seat {
        Seat { shared: self, at: None }
    }

    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    pub async fn call<T>(
        &self,
        call: impl AsyncFnOnce(&mut Instance) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut slot = self.instance.lock().await;
        let Some(instance) = slot.as_mut() else { return Err(self.failure()) };
        let result = call(instance).await;
        if let Err(Failure { reason, .. }) = &result
            && reason.is_guests_own()
        {
            *slot = None;
            self.lost.store(true, Ordering::Relaxed);
            self.wake_sessions();
        }
        result
    }

    /// What its loss is to those who did not cause it.
    pub fn failure(&self) -> Failure {
        let plugin = Arc::clone(&self.plugin);
        Failure { plugin, hook: "session-hook", reason: FailureReason::InstanceLost }
    }

    fn wake_sessions(&self) {
        let wakers = std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        for (_, waker) in wakers {
            waker.wake();
        }
    }
}

// === impl Seat ===

impl Seat {
    /// Whether the instance is lost. A task that asks is woken for it, so it must go on asking from the same task.
    pub fn is_lost(&mut self, cx: &Context<'_>) -> bool {
        if self.shared.is_lost() {
            return true;
        }
        let sessions = &self.shared.sessions;
        self.at.get_or_insert_with(|| {
            sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(cx.waker().clone())
        });
        false
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            let mut sessions = self.shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            // Not there any more once the instance is lost.
            drop(sessions.try_remove(at));
        }
    }
}
