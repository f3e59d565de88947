//! What stands behind a guest: the data of its wasmtime store.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use wasmtime::component::ResourceTable;
use wasmtime::{UpdateDeadline, bail};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bounds::Memory;
use super::connection_view::ConnectionView;
use super::grants::{Environment, Reach};
use super::hook::Hook;
use super::instance::FailureReason;
use super::meter::Meter;
use super::quarantine::Quarantine;
use super::usage::Usage;
use super::way::{Way, Ways};
use crate::callout::CallOuts;
use crate::config::{Isolation, OnFailure};
use crate::limits::Limits;
use crate::request::{RequestHead, ResponseHead};
use crate::store::{Link, Unavailable};

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
    /// What its limits do while the store cannot be reached, by their names, where that is not what all do.
    pub store_on_failure: BTreeMap<String, OnFailure>,
    pub log: super::host::log::Allowance,
    pub usage: Usage,
    pub quarantine: Quarantine,
    pub isolation: Isolation,
    pub ways: Ways,
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
    /// Whose usage this is, and whose connection to the store its calls take.
    pub worker: usize,
    /// Resources a guest owns: slots.
    pub table: ResourceTable,
    pub(super) memory: Memory,
    pub phase: Phase,
    /// Whether the guest has asked for a variable of the environment, so that its memory may hold one.
    pub read_environment: bool,
    /// Requests of its own in the call in progress.
    pub calls_made: u32,
    /// How long it may still wait for their answers in the call in progress.
    pub answer_time_left: Duration,
    /// Of requests and answers that it has in its hands.
    pub held_bytes: usize,
    /// How long it may still wait for WASI's clocks in the call in progress. What else it can wait for has deadlines of its own.
    pub poll_time_left: Duration,
    /// How long the call in progress has waited for the store.
    waited_for_store: Duration,
    /// How the call in progress goes, and what its guest may run in it.
    way: Way,
    time_max: Duration,
    pub(super) meter: Arc<Meter>,
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

/// The guest used up its `call-time-max`.
#[derive(Debug, thiserror::Error)]
#[error("ran longer than its budget")]
pub struct OutOfTime;

/// How long the requests of one call may take together: its session stands still meanwhile.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How much longer than it may run a guest may wait for WASI's clocks in one call, and the least of it.
const POLL_FACTOR: u32 = 10;
const POLL_TIME_MIN: Duration = Duration::from_secs(1);

impl Identity {
    /// A call of `hook` failed for `reason`: count it, and see whether that is once too often.
    pub fn failed(&self, worker: usize, hook: Hook, reason: &FailureReason) {
        self.usage.failed(worker, hook, reason);
        let nobodys_loss = hook.comes_after_the_end() && self.isolation == Isolation::Session;
        if !reason.is_guests_own() || nobodys_loss {
            return;
        }
        if let Some(begun) = self.quarantine.failed(hook, |hook| self.usage.calls(hook)) {
            tracing::error!(
                plugin = %self.name,
                failures = begun.failures,
                last_hook = hook.name(),
                last_reason = %reason,
                lasts_ms = begun.lasts.as_millis(),
                "plugin is in quarantine: it is not called, and its on-failure is applied at once"
            );
        }
    }
}

// === impl Lent ===

impl Lent {
    /// The exchange's request. A store gives back what it was lent, so it is always there between calls.
    pub fn request(&mut self) -> &mut RequestHead {
        self.request.get_or_insert_default()
    }
}

// === impl State ===

impl State {
    pub fn new(identity: Arc<Identity>, worker: usize, phase: Phase) -> Self {
        Self {
            lent: Lent::default(),
            identity,
            worker,
            table: ResourceTable::new(),
            memory: Memory::default(),
            phase,
            read_environment: false,
            calls_made: 0,
            answer_time_left: Duration::ZERO,
            held_bytes: 0,
            poll_time_left: Duration::ZERO,
            waited_for_store: Duration::ZERO,
            way: Way::Fiber,
            time_max: Duration::ZERO,
            meter: Arc::default(),
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

    /// The store that limits are common to all nodes by; none in a call that is not about an exchange, as nothing of a running
    /// session waits for a network, and none in `configure`, which is no part of serving.
    pub(super) fn shared_limits(&self) -> Option<Arc<Link>> {
        let of_exchange = self.lent.request.is_some() && self.phase == Phase::Serve;
        of_exchange.then(|| self.identity.limits.store().link(self.worker).map(Arc::clone)).flatten()
    }

    /// A new call begins, with this long to run.
    pub(super) fn begin_call(&mut self, way: Way, time_max: Duration) {
        self.calls_made = 0;
        self.answer_time_left = ANSWER_TIME_MAX;
        self.poll_time_left = time_max.saturating_mul(POLL_FACTOR).max(POLL_TIME_MIN);
        self.waited_for_store = Duration::ZERO;
        self.way = way;
        self.time_max = time_max;
        self.memory.refused = false;
        self.meter.reset();
    }

    /// The epoch has advanced while the guest ran: let others run, or end it.
    pub(super) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let goes_on = self.way == Way::Direct;
        self.meter.tick(goes_on);
        self.charge()?;
        if goes_on {
            self.identity.ways.ran(&self.identity.name, self.meter.ran());
            return Ok(UpdateDeadline::Continue(1));
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }

    /// Wait for what the host does for the guest. Its time stands still meanwhile, as the [`Meter`] has it.
    pub(super) async fn wait<T>(&mut self, work: impl Future<Output = T> + Send) -> wasmtime::Result<T> {
        self.charge()?;
        Ok(work.await)
    }

    /// Wait for the store: all that one call asks of it may take its `timeout` together. What is there at once costs neither a
    /// clock nor a timer.
    pub(super) async fn wait_for_store<T, E: From<Unavailable>>(
        &mut self,
        asked: impl Future<Output = Result<T, E>> + Send,
    ) -> wasmtime::Result<Result<T, E>> {
        let mut asked = pin!(asked);
        if let Poll::Ready(answer) = poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await {
            return Ok(answer);
        }
        let left = self.identity.limits.store().config().timeout.saturating_sub(self.waited_for_store);
        let began = Instant::now();
        let answer = self.wait(timeout(left, asked)).await?;
        self.waited_for_store = self.waited_for_store.saturating_add(began.elapsed());
        Ok(answer.unwrap_or_else(|_| Err(Unavailable.into())))
    }

    fn charge(&self) -> Result<(), OutOfTime> {
        if self.meter.ran() > self.time_max { Err(OutOfTime) } else { Ok(()) }
    }
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
