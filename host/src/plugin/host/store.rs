//! `store`

use crate::plugin::bindings::sluicegate::hooks::store::{Host, StoreError};
use crate::plugin::state::State;

type Answer<T> = wasmtime::Result<Result<T, StoreError>>;

impl State {
    /// No store is there to be asked.
    async fn ask<T: Send>(&mut self, function: &str) -> Answer<T> {
        self.not_in_configure(function)?;
        self.wait(async { Err(StoreError::Unavailable) }).await
    }
}

impl Host for State {
    async fn get(&mut self, _key: String) -> Answer<Option<Vec<u8>>> {
        self.ask("store.get").await
    }

    async fn set(&mut self, _key: String, _value: Vec<u8>, _expires_ms: Option<u64>) -> Answer<()> {
        self.ask("store.set").await
    }

    async fn delete(&mut self, _key: String) -> Answer<()> {
        self.ask("store.delete").await
    }

    async fn increment(&mut self, _key: String, _by: i64, _expires_ms: Option<u64>) -> Answer<i64> {
        self.ask("store.increment").await
    }
}
