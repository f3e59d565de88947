//! wasmtime, narrowed to what a proxy needs of it.
//!
//! - Instances come from a pool reserved at start, with memory images mapped copy-on-write: making one is
//!   some page-table work.
//! - The engine's epoch advances every [`TICK`] while guests run (the [`Ticker`] sees to that), and a guest is looked at then:
//!   a long call yields its worker where it runs on a fiber, and is ended when its budget is used up ([`super::way`]).
//! - The component model's own concurrency is off: hooks are plain functions, and calls cost half without it.

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bounds::TABLE_ELEMENTS_MAX;
#[cfg(doc)]
use super::ticker::{TICK, Ticker};

/// Guard behind each memory: less than wasmtime's 32 MiB, since bounds are checked explicitly here.
const GUARD_BYTES: u64 = 64 * 1024;
/// A guest's own stack, and the fiber that holds it.
const WASM_STACK_BYTES: usize = 256 * 1024;
const FIBER_STACK_BYTES: usize = 512 * 1024;
/// Bounds on one component: a Rust plugin has one core module and two small adapters.
const CORE_INSTANCES_PER_PLUGIN: u32 = 20;
const MEMORIES_PER_PLUGIN: u32 = 2;
const TABLES_PER_PLUGIN: u32 = 20;

/// How many instances there can be, and how large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// Instances that live at once, of all plugins together.
    pub instances_max: u32,
    /// The largest `memory-max` among the plugins.
    pub memory_bytes_max: usize,
}

/// Make an engine, to be given to the [`Ticker`].
pub fn new(pool: PoolSize) -> wasmtime::Result<Engine> {
    Engine::new(&config(pool))
}

/// What engines are made with.
pub fn config(pool: PoolSize) -> Config {
    let mut config = Config::new();
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(FIBER_STACK_BYTES);
    config.memory_reservation(pool.memory_bytes_max as u64);
    config.memory_guard_size(GUARD_BYTES);
    config.guard_before_linear_memory(false);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(pool)));
    config
}

fn pooling(pool: PoolSize) -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::default();
    pooling
        .total_component_instances(pool.instances_max)
        .total_core_instances(pool.instances_max.saturating_mul(4))
        .total_memories(pool.instances_max)
        .total_tables(pool.instances_max.saturating_mul(2))
        // A store keeps the stack of its last call for the next one: an instance that was ever called has one.
        .total_stacks(pool.instances_max)
        .max_core_instances_per_component(CORE_INSTANCES_PER_PLUGIN)
        .max_memories_per_component(MEMORIES_PER_PLUGIN)
        .max_tables_per_component(TABLES_PER_PLUGIN)
        .max_memory_size(pool.memory_bytes_max)
        .table_elements(TABLE_ELEMENTS_MAX);
    pooling
}
