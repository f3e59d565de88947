//! `limits`

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;

use crate::config::OnFailure;
use crate::limits::{self, Slot};
use crate::plugin::bindings::sluicegate::hooks::limits::{Host, HostSlot, Rate};
use crate::plugin::state::{Identity, State};
use crate::store::Unavailable;

/// What a plugin is told to wait where the store cannot be asked how long.
const UNAVAILABLE_WAIT_MS: u64 = 1_000;

impl Host for State {
    async fn take(
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
        let identity = Arc::clone(&self.identity);
        let taken = match self.shared_limits() {
            None => identity.limits.take(&identity.name, &name, &key, rate, cost),
            Some(link) => {
                let asked = link.take(&identity.name, &name, &key, rate, cost);
                match self.wait_for_store(asked).await? {
                    Ok(taken) => taken,
                    Err(Unavailable) if passes(&identity, &name) => Ok(()),
                    Err(Unavailable) => return Ok(Err(UNAVAILABLE_WAIT_MS)),
                }
            }
        };
        Ok(taken.map_err(|limits::Exhausted(wait)| wait.map_or(u64::MAX, whole_ms)))
    }

    async fn acquire(
        &mut self,
        name: String,
        key: String,
        max: u32,
    ) -> wasmtime::Result<Option<Resource<Slot>>> {
        self.not_in_configure("limits.acquire")?;
        let identity = Arc::clone(&self.identity);
        let slot = match self.shared_limits() {
            None => identity.limits.acquire(&identity.name, &name, &key, max),
            Some(link) => {
                let asked = link.acquire(&identity.name, &name, &key, max);
                let slot = match self.wait_for_store(asked).await? {
                    Ok(slot) => slot,
                    Err(Unavailable) => {
                        passes(&identity, &name).then(|| link.acquire_unasked(&identity.name, &name, &key))
                    }
                };
                slot.map(Slot::Shared)
            }
        };
        Ok(slot.map(|slot| self.table.push(slot)).transpose()?)
    }
}

impl HostSlot for State {
    fn drop(&mut self, slot: Resource<Slot>) -> wasmtime::Result<()> {
        self.table.delete(slot)?;
        Ok(())
    }
}

/// Whether the limit `name` lets everybody in while the store cannot be reached.
fn passes(plugin: &Identity, name: &str) -> bool {
    let on_failure = plugin.store_on_failure.get(name).copied();
    on_failure.unwrap_or(plugin.limits.store().config().on_failure) == OnFailure::Pass
}

/// Rounded up, so that waiting as long as told is enough.
fn whole_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
