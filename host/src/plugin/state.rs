//! What stands behind a guest: the data of its wasmtime store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{StoreLimits, StoreLimitsBuilder, UpdateDeadline, bail};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::connection_view::ConnectionView;
use super::grants::{Environment, Reach};
use crate::callout::CallOuts;
use crate::limits::Limits;
use crate::request::{RequestHead, ResponseHead};

/// Marks a guest's handle to [`Lent::request`].
#[derive(Debug)]
pub struct LentRequest;
/// Marks a guest's handle to [`Lent::response`].
#[derive(Debug)]
pub struct LentResponse;
/// Marks a guest's handle to [`Lent::connection`].
#[derive(Debug)]
pub struct LentConnection;

/// What the call in progress was lent. Moved in before a call and out after it, so that nothing is shared,
/// counted or locked; boxed, so that moving is a word.
#[derive(Debug, Default)]
pub struct Lent {
    pub request: Option<Box<RequestHead>>,
    pub response: Option<Box<ResponseHead>>,
    pub connection: Option<Box<ConnectionView>>,
    /// The way to upstreams.
    pub call_outs: Option<CallOuts>,
}

/// What all instances of one plugin have in common.
#[derive(Debug)]
pub struct Identity {
    pub name: Arc<str>,
    pub limits: Arc<Limits>,
    pub log: super::host::log::Allowance,
    pub call_time_max: Duration,
    pub memory_bytes_max: usize,
    pub configure_time_max: Duration,
    pub environment: Environment,
    pub call_outs: Reach,
}

/// The data of one instance's store.
pub struct State {
    pub lent: Lent,
    pub identity: Arc<Identity>,
    /// Resources a guest owns: slots.
    pub table: ResourceTable,
    pub memory: StoreLimits,
    pub phase: Phase,
    /// Whether the guest has asked for a variable of the environment, so that its memory may hold one.
    pub read_environment: bool,
    /// Requests of its own in the call in progress.
    pub calls_made: u32,
    /// Of requests and answers that it has in its hands.
    pub held_bytes: usize,
    /// How long it may still wait for WASI's clocks in the call in progress. What else it can wait for has deadlines of its own.
    pub poll_time_left: Duration,
    pub(super) budget: Budget,
    /// Made when a guest first asks: Rust plugins never do.
    wasi: Option<Box<WasiCtx>>,
}

/// What a guest may do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// In `configure`: its memory becomes an image, so it may hold nothing of the host's.
    Configure,
    Serve,
}

/// A guest's running time in one call. It is the worker's processor time that counts, not the time of day: a guest is not
/// to be blamed for a busy machine. No clock is read in a call that is over before the first tick.
#[derive(Debug, Default)]
pub(super) struct Budget {
    left: Duration,
    /// The worker's processor time when the guest last went on, from the first tick.
    resumed: Arc<AtomicU64>,
    ticked: bool,
}

/// The guest used up its `call-time-max`.
#[derive(Debug, thiserror::Error)]
#[error("ran longer than its budget")]
pub struct OutOfTime;

/// How much longer than it may run a guest may wait for WASI's clocks in one call, and the least of it.
const POLL_FACTOR: u32 = 10;
const POLL_TIME_MIN: Duration = Duration::from_secs(1);

// === impl Lent ===

impl Lent {
    /// The exchange's request. A store gives back what it was lent, so it is always there between calls.
    pub fn request(&mut self) -> &mut RequestHead {
        self.request.get_or_insert_default()
    }
}

// === impl State ===

impl State {
    pub fn new(identity: Arc<Identity>, memory_bytes_max: usize, phase: Phase) -> Self {
        let memory = StoreLimitsBuilder::new().memory_size(memory_bytes_max).build();
        Self {
            lent: Lent::default(),
            identity,
            table: ResourceTable::new(),
            memory,
            phase,
            read_environment: false,
            calls_made: 0,
            held_bytes: 0,
            poll_time_left: Duration::ZERO,
            budget: Budget::default(),
            wasi: None,
        }
    }

    /// Trap a guest that calls `function` in `configure`: what it would get or change there is not the plugin's in service.
    pub(super) fn not_in_configure(&self, function: &str) -> wasmtime::Result<()> {
        match self.phase {
            Phase::Configure => bail!("{function} was called in configure, where it may not be"),
            Phase::Serve => Ok(()),
        }
    }

    /// A new call begins, with this long to run.
    pub(super) fn begin_call(&mut self, time_max: Duration) {
        self.budget.left = time_max;
        self.budget.ticked = false;
        self.calls_made = 0;
        self.poll_time_left = time_max.saturating_mul(POLL_FACTOR).max(POLL_TIME_MIN);
    }

    /// The epoch has advanced while the guest ran: let others run, or end it.
    pub(super) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.budget.charge()?;
        self.budget.ticked = true;
        let resumed = Arc::clone(&self.budget.resumed);
        let others_turn = async move {
            tokio::task::yield_now().await;
            resumed.store(worker_time_ns(), Ordering::Relaxed);
        };
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(others_turn)))
    }

    /// Wait for what the host does for the guest. The worker's time goes to others meanwhile, and is not the guest's.
    pub(super) async fn wait<T>(&mut self, work: impl Future<Output = T> + Send) -> wasmtime::Result<T> {
        self.budget.charge()?;
        let done = work.await;
        if self.budget.ticked {
            self.budget.resumed.store(worker_time_ns(), Ordering::Relaxed);
        }
        Ok(done)
    }
}

// === impl Budget ===

impl Budget {
    /// Take off what the guest ran since it last went on. Until the first tick there is nothing to measure from; it was less
    /// than a tick.
    fn charge(&mut self) -> Result<(), OutOfTime> {
        if self.ticked {
            let ran = worker_time_ns().saturating_sub(self.resumed.load(Ordering::Relaxed));
            self.left = self.left.checked_sub(Duration::from_nanos(ran)).ok_or(OutOfTime)?;
        }
        Ok(())
    }
}

/// Processor time of this thread.
fn worker_time_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or_default())
}

/// Nothing in it: no files, no sockets, no environment, no arguments.
impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| {
            let mut builder = WasiCtx::builder();
            builder.allow_tcp(false).allow_udp(false);
            Box::new(builder.build())
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("plugin", &self.identity.name)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
