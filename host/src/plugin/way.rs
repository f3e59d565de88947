//! The two ways to call a guest.
//!
//! *On a fiber* a call has a stack of its own, so it can be put aside at a tick, or while the host makes it wait.
//! *Directly* it runs on its worker's stack: that costs less, and an instance that is only ever called so needs no stack
//! beside it; but it cannot be put aside. So this is for plugins that wait for nothing and whose calls are short: the first
//! that is not moves its plugin to fibers, having held its worker for as long as `call-time-max` at most.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::types::{Component, ComponentItem};

use super::ticker::TICK;

/// What begins the names of interfaces whose functions are bound so that they can wait.
const WAITING: [&str; 4] =
    ["wasi:", "sluicegate:hooks/limits@", "sluicegate:hooks/store@", "sluicegate:hooks/http@"];

/// The longest `call-time-max` of a plugin that is called directly.
const DIRECT_TIME_MAX: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Fiber,
    Direct,
}

/// How the calls of one plugin go: on fibers, until it is known that they need none.
#[derive(Debug, Default)]
pub struct Ways {
    direct: AtomicBool,
}

/// Whether a component imports any function that can wait. Of some interfaces a plugin may have the types only.
pub fn may_wait(component: &Component, engine: &Engine) -> bool {
    component.imports(engine).any(|(name, import)| {
        WAITING.iter().any(|interface| name.starts_with(interface))
            && match import.ty {
                ComponentItem::ComponentInstance(instance) => instance
                    .exports(engine)
                    .any(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_))),
                _ => true,
            }
    })
}

// === impl Ways ===

impl Ways {
    /// The plugin waits for nothing, neither in the host nor in WASI.
    pub fn wait_for_nothing(&self, call_time_max: Duration) {
        self.direct.store(call_time_max <= DIRECT_TIME_MAX, Ordering::Relaxed);
    }

    pub fn of_next_call(&self) -> Way {
        if self.direct.load(Ordering::Relaxed) { Way::Direct } else { Way::Fiber }
    }

    /// A direct call of `plugin` has run so long, and goes on.
    pub fn ran(&self, plugin: &str, ran: Duration) {
        if ran >= TICK && self.direct.swap(false, Ordering::Relaxed) {
            tracing::info!(plugin, "plugin runs for longer than a tick: called on fibers from now on");
        }
    }
}
