//! `limits`

use std::time::Duration;

use wasmtime::component::Resource;

use crate::limits::{self, Slot};
use crate::plugin::bindings::sluicegate::hooks::limits::{Host, HostSlot, Rate};
use crate::plugin::state::State;

impl Host for State {
    fn take(
        &mut self,
        name: String,
        key: String,
        rate: Rate,
        cost: u32,
    ) -> wasmtime::Result<Result<(), u64>> {
        let rate = limits::Rate {
            tokens: rate.tokens,
            period: Duration::from_millis(u64::from(rate.period_ms)),
            burst: rate.burst,
        };
        let taken = self.identity.limits.take(&self.identity.name, &name, &key, rate, cost);
        Ok(taken.map_err(|limits::Exhausted(wait)| wait.map_or(u64::MAX, whole_ms)))
    }

    fn acquire(&mut self, name: String, key: String, max: u32) -> wasmtime::Result<Option<Resource<Slot>>> {
        self.not_in_configure("limits.acquire")?;
        let slot = self.identity.limits.acquire(&self.identity.name, &name, &key, max);
        Ok(slot.map(|slot| self.table.push(slot)).transpose()?)
    }
}

impl HostSlot for State {
    fn drop(&mut self, slot: Resource<Slot>) -> wasmtime::Result<()> {
        self.table.delete(slot)?;
        Ok(())
    }
}

/// Rounded up, so that waiting as long as told is enough.
fn whole_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
