//! The shared store: a Redis. All that knows the `redis` crate is in here, but for the check of its URL at
//! configuring.

mod calls;
mod link;
mod slots;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::{ConnectionAddr, ConnectionInfo, Script};

pub use self::link::Link;
pub use self::slots::SharedSlot;
use crate::config;

/// How often [`Redis::settled`] looks.
const SETTLE_INTERVAL: Duration = Duration::from_millis(2);

/// One Redis, and each worker's way to it.
#[derive(Debug)]
pub struct Redis {
    links: Box<[Arc<Link>]>,
}

/// What all links have in common.
#[derive(Debug)]
struct Shared {
    info: ConnectionInfo,
    prefix: String,
    timeout: Duration,
    lease: Duration,
    scripts: Scripts,
    /// How many links are down: the log tells of the first that is lost and of the last that is back.
    down: AtomicUsize,
}

#[derive(Debug)]
struct Scripts {
    take: Script,
    acquire: Script,
    release: Script,
    renew: Script,
    increment: Script,
}

// === impl Redis ===

impl Redis {
    pub fn new(url: &config::StoreUrl, config: &config::Store, workers: usize) -> Self {
        let shared = Arc::new(Shared {
            info: url.connection_info().clone(),
            prefix: config.prefix.clone(),
            timeout: config.timeout,
            lease: config.slot_lease,
            scripts: Scripts::default(),
            down: AtomicUsize::new(0),
        });
        // What no other process has, nor this one after a restart.
        let mut node = [0; 16];
        if getrandom::fill(&mut node).is_err() {
            tracing::error!("no random numbers: slots of several nodes may be taken for one's");
        }
        let node = hex(&node);
        let link = |worker| Arc::new(Link::new(Arc::clone(&shared), format!("{node}:{worker}")));
        Self { links: (0..workers.max(1)).map(link).collect() }
    }

    pub fn link(&self, worker: usize) -> Option<&Arc<Link>> {
        self.links.get(worker)
    }

    /// Wait until Redis knows of no slot that nobody has, if it can be reached.
    pub async fn settled(&self) {
        while self.links.iter().any(|link| link.is_unsettled()) {
            tokio::time::sleep(SETTLE_INTERVAL).await;
        }
    }
}

// === impl Shared ===

impl Shared {
    fn lost(&self, reason: &dyn std::fmt::Display) {
        if self.down.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(address = %Address(&self.info), %reason, "store lost");
        }
    }

    fn back(&self) {
        if self.down.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::info!(address = %Address(&self.info), "store back");
        }
    }
}

/// Where Redis is, without what is secret.
struct Address<'a>(&'a ConnectionInfo);

impl std::fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.addr() {
            ConnectionAddr::Unix(path) => write!(f, "unix:{}", path.display()),
            address => write!(f, "{address}"),
        }
    }
}

// === impl Scripts ===

impl Default for Scripts {
    fn default() -> Self {
        Self {
            take: Script::new(include_str!("take.lua")),
            acquire: Script::new(include_str!("acquire.lua")),
            release: Script::new(include_str!("release.lua")),
            renew: Script::new(include_str!("renew.lua")),
            increment: Script::new(include_str!("increment.lua")),
        }
    }
}

impl Scripts {
    fn all(&self) -> [&Script; 5] {
        [&self.take, &self.acquire, &self.release, &self.renew, &self.increment]
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
