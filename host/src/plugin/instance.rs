//! One instance of a plugin: a store of its own, and its hooks ready to be called.

use std::io;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use wasmtime::component::{self, Resource, ResourceAny};
use wasmtime::{Store, Trap};

use super::bindings::exports::sluicegate::hooks::{request_hook, session_hook};
use super::bounds;
use super::exports::{Exports, Function, Signature};
use super::hook::Hook;
use super::load::LoadErrorKind;
use super::meter::Meter;
use super::state::{Identity, Lent, LentConnection, LentRequest, OutOfTime, Phase, State};
use super::way::Way;
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
    /// The component in it.
    guest: component::Instance,
    exports: Arc<Exports>,
    /// The store's.
    meter: Arc<Meter>,
}

// === impl Instance ===

impl Instance {
    /// The first instance of a plugin, which shows whether it can be called at all.
    pub(super) async fn first(plugin: &Arc<Plugin>) -> Result<Self, LoadErrorKind> {
        let start = |failure: Failure| LoadErrorKind::Start(failure.reason.to_string());
        let mut this = Self::bare(plugin, 0).await.map_err(start)?;
        plugin.exports.verify(&mut this.store, &this.guest)?;
        this.configured(plugin).await.map_err(start)
    }

    /// A new instance of `plugin`, configured.
    pub async fn new(plugin: &Arc<Plugin>, worker: usize) -> Result<Self, Failure> {
        Self::bare(plugin, worker).await?.configured(plugin).await
    }

    async fn bare(plugin: &Arc<Plugin>, worker: usize) -> Result<Self, Failure> {
        let identity = Arc::clone(&plugin.identity);
        let mut store = new_store(plugin, worker);
        let meter = Arc::clone(&store.data().meter);
        let instantiate = async |store: &mut Store<State>, way| match way {
            Way::Fiber => plugin.pre.instantiate_async(store).await,
            Way::Direct => plugin.pre.instantiate(store),
        };
        let time_max = identity.call_time_max;
        let guest = guarded(&mut store, &identity, &meter, Hook::Instantiate, time_max, instantiate).await?;
        // Until it is dropped.
        identity.usage.instance_made();
        Ok(Self { store, guest, exports: Arc::clone(&plugin.exports), identity, meter })
    }

    /// Only components that allow no image are still to be configured: the others begin so.
    async fn configured(mut self, plugin: &Plugin) -> Result<Self, Failure> {
        let (Some(settings), Some(function)) = (&plugin.configure_each, &plugin.exports.configure) else {
            return Ok(self);
        };
        let refused = |text| wasmtime::format_err!("settings accepted at load were refused: {text}");
        let Self { store, guest, identity, meter, .. } = &mut self;
        let configure = async |store: &mut Store<State>, way| {
            let (configured,) = function.call(store, guest, way, (settings,)).await?;
            configured.map_err(refused)
        };
        let time_max = identity.configure_time_max;
        guarded(store, identity, meter, Hook::Configure, time_max, configure).await?;
        Ok(self)
    }

    /// `lent.request` is lent.
    pub async fn on_request(&mut self, lent: &mut Lent) -> Result<RequestVerdict, Failure> {
        let (verdict,) = self.call(lent, |exports| exports.on_request.as_ref(), (request(),)).await?;
        Ok(verdict)
    }

    /// `lent.request` and `lent.response` are lent.
    pub async fn on_response(&mut self, lent: &mut Lent) -> Result<(), Failure> {
        let response = Resource::new_borrow(0);
        self.call(lent, |exports| exports.on_response.as_ref(), (request(), response)).await
    }

    /// `lent.request` and `lent.connection` are lent.
    pub async fn open(&mut self, lent: &mut Lent) -> Result<Result<ResourceAny, Response>, Failure> {
        let (opened,) = self
            .call(lent, |exports| Some(&exports.session.as_ref()?.open), (request(), connection()))
            .await?;
        Ok(opened)
    }

    /// `lent.connection` is lent.
    pub async fn on_message(
        &mut self,
        lent: &mut Lent,
        session: ResourceAny,
        sender: Side,
        message: MessageRef<'_>,
    ) -> Result<MessageVerdict, Failure> {
        let parameters = (session, connection(), sender, message);
        let (verdict,) =
            self.call(lent, |exports| Some(&exports.session.as_ref()?.on_message), parameters).await?;
        Ok(verdict)
    }

    /// `lent.connection` is lent.
    pub async fn on_timer(&mut self, lent: &mut Lent, session: ResourceAny) -> Result<(), Failure> {
        let parameters = (session, connection());
        self.call(lent, |exports| Some(&exports.session.as_ref()?.on_timer), parameters).await
    }

    /// `lent.connection` is lent.
    pub async fn on_drain(&mut self, lent: &mut Lent, session: ResourceAny) -> Result<(), Failure> {
        let parameters = (session, connection());
        self.call(lent, |exports| Some(&exports.session.as_ref()?.on_drain), parameters).await
    }

    /// `lent.connection` is lent.
    pub async fn on_close(
        &mut self,
        lent: &mut Lent,
        session: ResourceAny,
        closed: CloseInfo<'_>,
    ) -> Result<(), Failure> {
        let parameters = (session, connection(), closed);
        self.call(lent, |exports| Some(&exports.session.as_ref()?.on_close), parameters).await
    }

    /// `lent.connection` is lent, though the guest is not given it: its log lines are about it.
    pub async fn export_state(
        &mut self,
        lent: &mut Lent,
        session: ResourceAny,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let (state,) =
            self.call(lent, |exports| Some(&exports.session.as_ref()?.export_state), (session,)).await?;
        Ok(state)
    }

    /// `lent.connection` is lent.
    pub async fn import_state(
        &mut self,
        lent: &mut Lent,
        state: &[u8],
    ) -> Result<Result<ResourceAny, String>, Failure> {
        let parameters = (connection(), state);
        let (imported,) =
            self.call(lent, |exports| Some(&exports.session.as_ref()?.import_state), parameters).await?;
        Ok(imported)
    }

    /// Drop a session of a shared instance; that of one's own goes with it.
    pub async fn drop_session(&mut self, session: ResourceAny) -> Result<(), Failure> {
        let Self { store, identity, meter, .. } = self;
        let destruct = async |store: &mut Store<State>, way| match way {
            Way::Fiber => session.resource_drop_async(store).await,
            Way::Direct => session.resource_drop(store),
        };
        guarded(store, identity, meter, Hook::Drop, identity.call_time_max, destruct).await
    }

    /// A hook that is lent what `lent` has, for as long as it runs. Chains are made of plugins that have the hook; one that
    /// lacks it must not pass for one that agreed.
    async fn call<S: Signature>(
        &mut self,
        lent: &mut Lent,
        function: impl FnOnce(&Exports) -> Option<&Function<S>>,
        parameters: S::Parameters<'_>,
    ) -> Result<S::Results, Failure> {
        let Self { store, guest, exports, identity, meter } = self;
        mem::swap(&mut store.data_mut().lent, lent);
        let call = async |store: &mut Store<State>, way| {
            let function = function(exports).ok_or_else(no_such_hook)?;
            function.call(store, guest, way, parameters).await
        };
        let result = guarded(store, identity, meter, S::HOOK, identity.call_time_max, call).await;
        mem::swap(&mut store.data_mut().lent, lent);
        result
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.identity.usage.instance_dropped();
    }
}

/// One call into a guest, within its budget and counted: every call there is comes through here.
async fn guarded<T>(
    store: &mut Store<State>,
    identity: &Identity,
    meter: &Meter,
    hook: Hook,
    time_max: Duration,
    call: impl AsyncFnOnce(&mut Store<State>, Way) -> wasmtime::Result<T>,
) -> Result<T, Failure> {
    let way = identity.ways.of_next_call();
    store.data_mut().begin_call(way, time_max);
    store.set_epoch_deadline(1);
    let worker = store.data().worker;
    let timed = identity.usage.begin(worker, hook);
    let result = {
        let call = pin!(call(store, way));
        meter.watch(timed, call).await
    };
    identity.usage.end(worker, hook, timed, meter.reading());
    result.map_err(|error| {
        let failure = failure(store.data(), hook, &error);
        identity.failed(worker, hook, &failure.reason);
        failure
    })
}

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

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("plugin", &self.identity.name).finish_non_exhaustive()
    }
}
