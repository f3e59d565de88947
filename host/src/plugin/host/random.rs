//! `random`

use wasmtime::format_err;

use crate::plugin::bindings::sluicegate::hooks::random::Host;
use crate::plugin::state::State;

const BYTES_MAX: usize = 4_096;

impl Host for State {
    fn get_u64(&mut self) -> wasmtime::Result<u64> {
        getrandom::u64().map_err(no_randomness)
    }

    fn get_bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        let length = usize::try_from(length).unwrap_or(BYTES_MAX).min(BYTES_MAX);
        let mut bytes = vec![0; length];
        getrandom::fill(&mut bytes).map_err(no_randomness)?;
        Ok(bytes)
    }
}

/// A guest that asked for secrets must not go on without.
fn no_randomness(error: getrandom::Error) -> wasmtime::Error {
    format_err!("the operating system gave no random numbers: {error}")
}
