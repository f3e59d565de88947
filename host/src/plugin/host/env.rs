//! `env`

use crate::plugin::bindings::sluicegate::hooks::env::Host;
use crate::plugin::state::State;

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        // Also where the answer is none: with another grant it would be another.
        self.read_environment = true;
        Ok(self.identity.environment.get(&self.identity.name, &name))
    }
}
