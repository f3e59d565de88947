//! One instance of a plugin: a store of its own, and its hooks ready to be called.

use std::io;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use wasmtime::component::{Resource, ResourceAny};
use wasmtime::{Store, Trap};

use super::bindings::exports::sluicegate::hooks::{lifecycle, request_hook, response_hook, session_hook};
use super::bounds;
use super::hook::Hook;
use super::meter::Meter;
use super::state::{Identity, Lent, LentConnection, LentRequest, LentResponse, OutOfTime, Phase, State};
use super::{CloseInfo, MessageRef, Plugin, Response, Side};
use crate::config::OnFailure;

pub use request_hook::RequestVerdict;
pub use session_hook::MessageVerdict;

/// A hook call that gave no answer. The instance is not to be used again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("plugin `{plugin}` failed in {hook}: {reason}")]
pub struct Failure {
    pub plugin: Arc<str>,
    pub hook: &'static str,
    pub reason: FailureReason,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum FailureReason {
    /// The guest trapped: the text says where.
    #[error("{0}")]
    Trap(String),
    /// The guest trapped after it was refused memory.
    #[error("wanted more than its memory-max of {bytes_max} bytes: {trap}")]
    MemoryMax { bytes_max: usize, trap: String },
    /// It used up its `call-time-max`.
    #[error("ran longer than its call-time-max")]
    OutOfTime,
    /// No instance could be made, as all there may be are in use.
    #[error("no instance is free: {0}")]
    PoolExhausted(String),
    /// The instance this session shared with others was lost to a trap of theirs.
    #[error("the shared instance was lost")]
    InstanceLost,
    /// It was not called, as it failed too often.
    #[error("it is in quarantine")]
    Quarantined,
}

impl Failure {
    /// Whether `policy` lets things go on without the plugin. That no instance was free is no failure of the plugin's, and
    /// under load is when a check must not be switched off.
    pub fn may_pass(&self, policy: OnFailure) -> bool {
        policy == OnFailure::Pass && !matches!(self.reason, FailureReason::PoolExhausted(_))
    }

    /// Say that the chain goes on without the plugin: its configuration has `on-failure = "pass"`. Of a quarantine the log
    /// has its beginning and its end.
    pub fn passed_over(&self) {
        if !matches!(self.reason, FailureReason::Quarantined) {
            tracing::warn!(plugin = %self.plugin, hook = self.hook, reason = %self.reason, "plugin failed, passed over");
        }
    }
}

impl FailureReason {
    /// Whether it is what the guest did, and not what became of others or of the machine.
    pub fn is_guests_own(&self) -> bool {
        match self {
            Self::Trap(_) | Self::MemoryMax { .. } | Self::OutOfTime => true,
            Self::PoolExhausted(_) | Self::InstanceLost | Self::Quarantined => false,
        }
    }
}

/// A running plugin.
pub struct Instance {
    store: Store<State>,
    identity: Arc<Identity>,
    /// The store's.
    meter: Arc<Meter>,
    guests: Guests,
}

/// Its hooks; none where the plugin does not have it.
#[derive(Default)]
struct Guests {
    lifecycle: Option<lifecycle::Guest>,
    request: Option<request_hook::Guest>,
    response: Option<response_hook::Guest>,
    session: Option<session_hook::Guest>,
}

// === impl Instance ===

impl Instance {
    /// A new instance of `plugin`, configured.
    pub async fn new(plugin: &Arc<Plugin>, worker: usize) -> Result<Self, Failure> {
        let identity = Arc::clone(&plugin.identity);
        let store = new_store(plugin, worker);
        let meter = Arc::clone(&store.data().meter);
        // Counted until it is dropped.
        identity.usage.instance_made();
        let mut this = Self { store, identity, meter, guests: Guests::default() };
        let time_max = this.identity.call_time_max;
        let instance = this
            .guarded(Hook::Instantiate, time_max, async |_, store| plugin.pre.instantiate_async(store).await);
        let instance = instance.await?;
        this.guests = Guests::load(plugin, &mut this.store, &instance)?;
        if let Some(settings) = &plugin.configure_each {
            this.configure(settings).await?;
        }
        Ok(this)
    }

    /// Only for components that allow no image: the others begin configured.
    async fn configure(&mut self, settings: &str) -> Result<(), Failure> {
        let refused = |text| wasmtime::format_err!("settings accepted at load were refused: {text}");
        let configure = async |guests: &Guests, store: &mut Store<State>| {
            let Some(guest) = &guests.lifecycle else { return Ok(()) };
            guest.call_configure(store, settings).await?.map_err(refused)
        };
        self.guarded(Hook::Configure, self.identity.configure_time_max, configure).await
    }

    /// `lent.request` is lent.
    pub async fn on_request(&mut self, lent: &mut Lent) -> Result<RequestVerdict, Failure> {
        self.call(Hook::OnRequest, lent, async |guests, store| {
            guests.request()?.call_on_request(store, request()).await
        })
        .await
    }

    /// `lent.request` and `lent.response` are lent.
    pub async fn on_response(&mut self, lent: &mut Lent) -> Result<(), Failure> {
        self.call(Hook::OnResponse, lent, async |guests, store| {
            let response = Resource::<LentResponse>::new_borrow(0);
            guests.response()?.call_on_response(store, request(), response).await
        })
        .await
    }

    /// `lent.request` and `lent.connection` are lent.
    pub async fn open(&mut self, lent: &mut Lent) -> Result<Result<ResourceAny, Response>, Failure> {
        self.call(Hook::Open, lent, async |guests, store| {
            guests.session()?.session().call_open(store, request(), connection()).await
        })
        .await
    }

    /// `lent.connection` is lent.
    pub async fn on_message(
        &mut self,
        lent: &mut Lent,
        session: ResourceAny,
        sender: Side,
        message: MessageRef<'_>,
    ) -> Result<MessageVerdict, Failure> {
        self.call(Hook::OnMessage, lent, async |guests, store| {
            guests.session()?.session().call_on_message(store, session, connection(), sender, message).await
        })
        .await
    }

    /// `lent.connection` is lent.
    pub async fn on_timer(&mut self, lent: &mut Lent, session: ResourceAny) -> Result<(), Failure> {
        self.call(Hook::OnTimer, lent, async |guests, store| {
            guests.session()?.session().call_on_timer(store, session, connection()).await
        })
        .await
    }

    /// `lent.connection` is lent.
    pub async fn on_drain(&mut self, lent: &mut Lent, session: ResourceAny) -> Result<(), Failure> {
        self.call(Hook::OnDrain, lent, async |guests, store| {
            guests.session()?.session().call_on_drain(store, session, connection()).await
        })
        .await
    }

    /// `lent.connection` is lent.
    pub async fn on_close(
        &mut self,
        lent: &mut Lent,
        session: ResourceAny,
        closed: CloseInfo<'_>,
    ) -> Result<(), Failure> {
        self.call(Hook::OnClose, lent, async |guests, store| {
            guests.session()?.session().call_on_close(store, session, connection(), closed).await
        })
        .await
    }

    /// `lent.connection` is lent, though the guest is not given it: its log lines are about it.
    pub async fn export_state(
        &mut self,
        lent: &mut Lent,
        session: ResourceAny,
    ) -> Result<Option<Vec<u8>>, Failure> {
        self.call(Hook::ExportState, lent, async |guests, store| {
            guests.session()?.session().call_export_state(store, session).await
        })
        .await
    }

    /// `lent.connection` is lent.
    pub async fn import_state(
        &mut self,
        lent: &mut Lent,
        state: &[u8],
    ) -> Result<Result<ResourceAny, String>, Failure> {
        self.call(Hook::ImportState, lent, async |guests, store| {
            guests.session()?.session().call_import_state(store, connection(), state).await
        })
        .await
    }

    /// Drop a session of a shared instance; that of one's own goes with it.
    pub async fn drop_session(&mut self, session: ResourceAny) -> Result<(), Failure> {
        let time_max = self.identity.call_time_max;
        self.guarded(Hook::Drop, time_max, async |_, store| session.resource_drop_async(store).await).await
    }

    /// A hook that is lent what `lent` has, for as long as it runs.
    async fn call<T>(
        &mut self,
        hook: Hook,
        lent: &mut Lent,
        call: impl AsyncFnOnce(&Guests, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        mem::swap(&mut self.store.data_mut().lent, lent);
        let result = self.guarded(hook, self.identity.call_time_max, call).await;
        mem::swap(&mut self.store.data_mut().lent, lent);
        result
    }

    /// One call into the guest, within its budget and counted: every call there is comes through here.
    async fn guarded<T>(
        &mut self,
        hook: Hook,
        time_max: Duration,
        call: impl AsyncFnOnce(&Guests, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let Self { store, identity, meter, guests } = self;
        store.data_mut().begin_call(time_max);
        store.set_epoch_deadline(1);
        let worker = store.data().worker;
        let timed = identity.usage.begin(worker, hook);
        let result = {
            let call = pin!(call(guests, store));
            meter.watch(timed, call).await
        };
        identity.usage.end(worker, hook, timed, meter.reading());
        result.map_err(|error| {
            let failure = failure(store.data(), hook, &error);
            identity.failed(worker, hook, &failure.reason);
            failure
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.identity.usage.instance_dropped();
    }
}

// === impl Guests ===

impl Guests {
    fn load(
        plugin: &Plugin,
        store: &mut Store<State>,
        instance: &wasmtime::component::Instance,
    ) -> Result<Self, Failure> {
        let binding = |hook| {
            let plugin = plugin.name();
            move |error| Failure { plugin, hook, reason: failure_reason(&error) }
        };
        let hooks = &plugin.hooks;
        Ok(Self {
            lifecycle: load(&hooks.lifecycle, |indices| indices.load(&mut *store, instance))
                .map_err(binding("lifecycle"))?,
            request: load(&hooks.request, |indices| indices.load(&mut *store, instance))
                .map_err(binding("request-hook"))?,
            response: load(&hooks.response, |indices| indices.load(&mut *store, instance))
                .map_err(binding("response-hook"))?,
            session: load(&hooks.session, |indices| indices.load(&mut *store, instance))
                .map_err(binding("session-hook"))?,
        })
    }

    fn request(&self) -> wasmtime::Result<&request_hook::Guest> {
        self.request.as_ref().ok_or_else(no_such_hook)
    }

    fn response(&self) -> wasmtime::Result<&response_hook::Guest> {
        self.response.as_ref().ok_or_else(no_such_hook)
    }

    fn session(&self) -> wasmtime::Result<&session_hook::Guest> {
        self.session.as_ref().ok_or_else(no_such_hook)
    }
}

/// Chains are made of plugins that have the hook; one that lacks it must not pass for one that agreed.
fn no_such_hook() -> wasmtime::Error {
    wasmtime::format_err!("the plugin has no such hook")
}

fn request() -> Resource<LentRequest> {
    Resource::new_borrow(0)
}

fn connection() -> Resource<LentConnection> {
    Resource::new_borrow(0)
}

/// A store for an instance of `plugin`, its budget and limits in force.
fn new_store(plugin: &Plugin, worker: usize) -> Store<State> {
    let state = State::new(Arc::clone(&plugin.identity), worker, Phase::Serve);
    let mut store = Store::new(plugin.pre.engine(), state);
    prepare(&mut store);
    store
}

/// Limits and ticks, in every store there is.
pub(super) fn prepare(store: &mut Store<State>) {
    bounds::set(store);
    store.epoch_deadline_callback(|mut context| context.data_mut().tick());
    store.set_epoch_deadline(1);
}

/// What wasmtime said of a call that failed, as an operator can use it.
pub(super) fn failure_reason(error: &wasmtime::Error) -> FailureReason {
    if error.is::<OutOfTime>() {
        return FailureReason::OutOfTime;
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() || is_out_of_memory(error) {
        return FailureReason::PoolExhausted(error.root_cause().to_string());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => FailureReason::Trap(
            "it panicked or reached unreachable code (its own log lines may tell why)".to_owned(),
        ),
        Some(trap) => FailureReason::Trap(trap.to_string()),
        None => FailureReason::Trap(error.root_cause().to_string()),
    }
}

/// The system has no memory for one more instance, or lets the process have no more mappings.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    let of_io =
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory);
    of_io || error.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
}

fn failure(state: &State, hook: Hook, error: &wasmtime::Error) -> Failure {
    let Identity { name, memory_bytes_max: bytes_max, .. } = &*state.identity;
    tracing::debug!(plugin = %name, hook = hook.name(), "guest backtrace: {error:?}");
    let reason = match failure_reason(error) {
        FailureReason::Trap(trap) if state.memory.refused => {
            FailureReason::MemoryMax { bytes_max: *bytes_max, trap }
        }
        reason => reason,
    };
    Failure { plugin: Arc::clone(name), hook: hook.name(), reason }
}

fn load<I, G>(
    indices: &Option<I>,
    load: impl FnOnce(&I) -> wasmtime::Result<G>,
) -> wasmtime::Result<Option<G>> {
    indices.as_ref().map(load).transpose()
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("plugin", &self.identity.name).finish_non_exhaustive()
    }
}
