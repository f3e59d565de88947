//! Configuring once: `configure` runs in an instrumented copy of the component, and the memory it leaves is the
//! image that every later instance begins with. (The instrumented copy exports its memories and globals, which
//! a component otherwise keeps to itself; `wasmtime-wizer` does both rewritings.)

use std::panic::catch_unwind;
use std::time::Duration;

use wasmtime::component::{Instance, Lift, WasmList};
use wasmtime::{Store, error::Context as _, format_err};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::state::State;
use super::way::Way;

/// A component made ready for taking its image.
pub struct Instrumented<'a> {
    wizer: Wizer,
    context: ComponentContext<'a>,
    /// The copy to run `configure` in.
    pub bytes: Vec<u8>,
}

/// An error where the component's shape does not allow an image, such as one that changes its tables.
pub fn instrument(component: &[u8]) -> wasmtime::Result<Instrumented<'_>> {
    let wizer = Wizer::new();
    // The rewriting asserts what it expects of a component; a plugin file is input like any other.
    let (context, bytes) = catch_unwind(|| Wizer::new().instrument_component(component))
        .map_err(|_| format_err!("the component could not be rewritten"))??;
    Ok(Instrumented { wizer, context, bytes })
}

impl Instrumented<'_> {
    /// The component with the state of `instance` in it.
    pub async fn snapshot(self, store: &mut Store<State>, instance: Instance) -> wasmtime::Result<Vec<u8>> {
        let mut accessors = Accessors { store, instance, failed: None };
        let component = self.wizer.snapshot_component(&self.context, &mut accessors).await?;
        match accessors.failed {
            Some(error) => Err(error),
            None => Ok(component),
        }
    }
}

/// Reads memories and globals through the functions that instrumenting has added.
struct Accessors<'a> {
    store: &'a mut Store<State>,
    instance: Instance,
    /// The first call that failed: the trait's functions cannot say so.
    failed: Option<wasmtime::Error>,
}

impl Accessors<'_> {
    async fn call<R: Lift + Send + Sync + 'static>(
        &mut self,
        interface: &str,
        function: &str,
    ) -> wasmtime::Result<R> {
        let missing = || format_err!("the instrumented component lacks `{function}`");
        let interface =
            self.instance.get_export_index(&mut *self.store, None, interface).ok_or_else(missing)?;
        let function = self
            .instance
            .get_export_index(&mut *self.store, Some(&interface), function)
            .ok_or_else(missing)?;
        let function = self.instance.get_typed_func::<(), (R,)>(&mut *self.store, function)?;
        self.store.data_mut().begin_call(Way::Fiber, Duration::MAX);
        self.store.set_epoch_deadline(1);
        Ok(function.call_async(&mut *self.store, ()).await?.0)
    }

    async fn value<R: Lift + Send + Sync + 'static>(&mut self, interface: &str, function: &str) -> Option<R> {
        let result = self.call(interface, function).await.context("reading the configured instance's memory");
        result.map_err(|error| self.failed.get_or_insert(error)).ok()
    }
}

impl ComponentInstanceState for Accessors<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        if let Some(list) = self.value::<WasmList<u8>>(instance, func).await {
            contents(list.as_le_slice(&*self.store));
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.value(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.value(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.value::<f32>(instance, func).await.unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.value::<f64>(instance, func).await.unwrap_or_default().to_bits()
    }
}
