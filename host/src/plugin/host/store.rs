//! `store`

use std::sync::Arc;
use std::time::Duration;

use crate::plugin::bindings::sluicegate::hooks::store::{Host, StoreError};
use crate::plugin::state::State;
use crate::store::{self, Store};

type Answer<T> = wasmtime::Result<Result<T, StoreError>>;

impl Host for State {
    async fn get(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        self.not_in_configure("store.get")?;
        let (store, plugin) = self.values();
        let asked = store.get(self.worker, &plugin, &key);
        self.answer(asked).await
    }

    async fn set(&mut self, key: String, value: Vec<u8>, expires_ms: Option<u64>) -> Answer<()> {
        self.not_in_configure("store.set")?;
        let (store, plugin) = self.values();
        let asked = store.set(self.worker, &plugin, &key, value, expires_ms.map(Duration::from_millis));
        self.answer(asked).await
    }

    async fn delete(&mut self, key: String) -> Answer<()> {
        self.not_in_configure("store.delete")?;
        let (store, plugin) = self.values();
        let asked = store.delete(self.worker, &plugin, &key);
        self.answer(asked).await
    }

    async fn increment(&mut self, key: String, by: i64, expires_ms: Option<u64>) -> Answer<i64> {
        self.not_in_configure("store.increment")?;
        let (store, plugin) = self.values();
        let asked = store.increment(self.worker, &plugin, &key, by, expires_ms.map(Duration::from_millis));
        self.answer(asked).await
    }
}

impl State {
    /// The store, and whose keys are asked for.
    fn values(&self) -> (Arc<Store>, Arc<str>) {
        (Arc::clone(self.identity.limits.store()), Arc::clone(&self.identity.name))
    }

    async fn answer<T: Send>(
        &mut self,
        asked: impl Future<Output = Result<T, store::StoreError>> + Send,
    ) -> Answer<T> {
        let answer = self.wait_for_store(asked).await?;
        Ok(answer.map_err(|error| match error {
            store::StoreError::Unavailable => StoreError::Unavailable,
            store::StoreError::TooLarge => StoreError::TooLarge,
            store::StoreError::NotANumber => StoreError::NotANumber,
        }))
    }
}
