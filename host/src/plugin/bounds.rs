//! What an instance may hold: memory, tables, and things of the host's.

use std::mem;

use wasmtime::{ResourceLimiter, Store};

use super::state::State;
use crate::config::Isolation;

/// Elements of one table: a Rust plugin has one for each function it takes the address of.
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Slots and other things of the host's that one session's instance may hold, and handles of its own to resources.
const HANDLES_MAX: usize = 1_000;
/// The same in an instance that [`super::load::SHARED_BY_MAX`] sessions share.
const HANDLES_SHARED_MAX: usize = 100_000;
/// wasmtime's own bound on what a guest hands over in one call.
const HOSTCALL_BYTES_MIN: usize = 128 << 20;

/// The linear memories of one instance, together.
#[derive(Debug, Default)]
pub struct Memory {
    bytes: usize,
    /// The last growth, in case nothing comes of it.
    growth: usize,
    /// Whether the guest was refused more in the call in progress.
    pub refused: bool,
}

/// Put the bounds of its plugin on a new store.
pub fn set(store: &mut Store<State>) {
    store.limiter(|state| state);
    let identity = &store.data().identity;
    let handles_max = match identity.isolation {
        Isolation::Session => HANDLES_MAX,
        Isolation::Shared => HANDLES_SHARED_MAX,
    };
    // What a guest may hand over in one call: all it can hold.
    let hostcall_bytes_max = identity.memory_bytes_max.max(HOSTCALL_BYTES_MIN);
    store.set_hostcall_fuel(hostcall_bytes_max);
    store.set_max_component_handles(handles_max);
    store.data_mut().table.set_max_capacity(handles_max);
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let bytes = self.memory.bytes.saturating_add(growth);
        if bytes > self.identity.memory_bytes_max {
            self.memory.refused = true;
            return Ok(false);
        }
        (self.memory.bytes, self.memory.growth) = (bytes, growth);
        self.identity.usage.memory(self.worker, bytes);
        Ok(true)
    }

    /// Where a memory's own maximum is less, or the system has none left: the guest is told so, and goes on.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.bytes = self.memory.bytes.saturating_sub(mem::take(&mut self.memory.growth));
        tracing::debug!(plugin = %self.identity.name, "memory did not grow: {error:#}");
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}
