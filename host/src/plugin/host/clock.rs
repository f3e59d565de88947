//! `clock`

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::plugin::bindings::sluicegate::hooks::clock::Host;
use crate::plugin::state::State;

/// "Some moment before": far enough back that a guest may subtract.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
const HEAD_START: Duration = Duration::from_secs(24 * 3600);

impl Host for State {
    fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        let since = BEGINNING.elapsed().saturating_add(HEAD_START);
        Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
