//! One instance of a plugin: a store of its own, and its hooks ready to be called.

use std::mem;
use std::sync::Arc;

use wasmtime::component::{Resource, ResourceAny};
use wasmtime::{Store, Trap};

use super::bindings::exports::sluicegate::hooks::{lifecycle, request_hook, response_hook, session_hook};
use super::state::{Identity, Lent, LentConnection, LentRequest, LentResponse, OutOfTime, Phase, State};
use super::{CloseInfo, MessageRef, Plugin, Response, Side};
use crate::config::OnFailure;

pub use request_hook::RequestVerdict;
pub use session_hook::MessageVerdict;

/// wasmtime's own bound on what a guest hands over.
const HOSTCALL_BYTES_MIN: usize = 128 << 20;

/// A hook call that gave no answer. The instance is not to be used again.
#[derive(Debug, thiserror::Error)]
#[error("plugin `{plugin}` failed in {hook}: {reason}")]
pub struct Failure {
    pub plugin: Arc<str>,
    pub hook: &'static str,
    pub reason: FailureReason,
}

#[derive(Debug, thiserror::Error)]
pub enum FailureReason {
    /// The guest trapped: the text says where.
    #[error("{0}")]
    Trap(String),
    /// It used up its `call-time-max`.
    #[error("ran longer than its call-time-max")]
    OutOfTime,
    /// No instance could be made, as all there may be are in use.
    #[error("no instance is free: {0}")]
    PoolExhausted(String),
    /// The instance this session shared with others was lost to a trap of theirs.
    #[error("the shared instance was lost")]
    InstanceLost,
}

impl Failure {
    /// Whether `plugin`'s configuration lets things go on without it. That no instance was free is no failure of the plugin's,
    /// and under load is when a check must not be switched off.
    pub fn may_pass(&self, plugin: &Plugin) -> bool {
        plugin.config.on_failure == OnFailure::Pass && !matches!(self.reason, FailureReason::PoolExhausted(_))
    }

    /// Say that the chain goes on without the plugin: its configuration has `on-failure = "pass"`.
    pub fn passed_over(&self) {
        tracing::warn!(plugin = %self.plugin, hook = self.hook, reason = %self.reason, "plugin failed, passed over");
    }
}

/// A running plugin.
pub struct Instance {
    store: Store<State>,
    identity: Arc<Identity>,
    lifecycle: Option<lifecycle::Guest>,
    request: Option<request_hook::Guest>,
    response: Option<response_hook::Guest>,
    session: Option<session_hook::Guest>,
}

// === impl Instance ===

impl Instance {
    /// A new instance of `plugin` for this worker, configured.
    pub async fn new(plugin: &Arc<Plugin>, worker: usize) -> Result<Self, Failure> {
        let failed = |error| failure(&plugin.identity, "instantiate", error);
        let binding = |hook| move |error| failure(&plugin.identity, hook, error);
        let mut store = new_store(plugin, worker);
        store.data_mut().begin_call(plugin.identity.call_time_max);
        let instance = plugin.pre.instantiate_async(&mut store).await.map_err(failed)?;
        let hooks = &plugin.hooks;
        let mut this = Self {
            lifecycle: load(&hooks.lifecycle, |indices| indices.load(&mut store, &instance))
                .map_err(binding("lifecycle"))?,
            request: load(&hooks.request, |indices| indices.load(&mut store, &instance))
                .map_err(binding("request-hook"))?,
            response: load(&hooks.response, |indices| indices.load(&mut store, &instance))
                .map_err(binding("response-hook"))?,
            session: load(&hooks.session, |indices| indices.load(&mut store, &instance))
                .map_err(binding("session-hook"))?,
            identity: Arc::clone(&plugin.identity),
            store,
        };
        if let Some(settings) = &plugin.configure_each {
            this.configure(settings).await?;
        }
        Ok(this)
    }

    /// Only for components that allow no image: the others begin configured.
    async fn configure(&mut self, settings: &str) -> Result<(), Failure> {
        let Some(guest) = &self.lifecycle else { return Ok(()) };
        self.store.data_mut().begin_call(self.identity.configure_time_max);
        self.store.set_epoch_deadline(1);
        let refused = |text| wasmtime::format_err!("settings accepted at load were refused: {text}");
        let call = guest.call_configure(&mut self.store, settings);
        let result = call.await;
        let result = result.and_then(|configured| configured.map_err(refused));
        result.map_err(|error| failure(&self.identity, "configure", error))
    }

    /// `lent.request` is lent.
    pub async fn on_request(&mut self, lent: &mut Lent) -> Result<RequestVerdict, Failure> {
        let Some(guest) = &self.request else { return Ok(RequestVerdict::Pass) };
        begin(&mut self.store, &self.identity, lent);
        let request = Resource::<LentRequest>::new_borrow(0);
        let call = guest.call_on_request(&mut self.store, request);
        let result = call.await;
        end(&mut self.store, lent);
        result.map_err(|error| failure(&self.identity, "on-request", error))
    }

    /// `lent.request` and `lent.response` are lent.
    pub async fn on_response(&mut self, lent: &mut Lent) -> Result<(), Failure> {
        let Some(guest) = &self.response else { return Ok(()) };
        begin(&mut self.store, &self.identity, lent);
        let request = Resource::<LentRequest>::new_borrow(0);
        let response = Resource::<LentResponse>::new_borrow(0);
        let call = guest.call_on_response(&mut self.store, request, response);
        let result = call.await;
        end(&mut self.store, lent);
        result.map_err(|error| failure(&self.identity, "on-response", error))
    }

    /// `lent.request` and `lent.connection` are lent.
    pub async fn open(&mut self, lent: &mut Lent) -> Result<Result<ResourceAny, Response>, Failure> {
        let guest = session(&self.session, &self.identity)?;
        begin(&mut self.store, &self.identity, lent);
        let request = Resource::<LentRequest>::new_borrow(0);
        let connection = Resource::<LentConnection>::new_borrow(0);
        let hook = guest.session();
        let call = hook.call_open(&mut self.store, request, connection);
        let result = call.await;
        end(&mut self.store, lent);
        result.map_err(|error| failure(&self.identity, "open", error))
    }

    /// `lent.connection` is lent.
    pub async fn on_message(
        &mut self,
        lent: &mut Lent,
        session_state: ResourceAny,
        sender: Side,
        message: MessageRef<'_>,
    ) -> Result<MessageVerdict, Failure> {
        let guest = session(&self.session, &self.identity)?;
        begin(&mut self.store, &self.identity, lent);
        let connection = Resource::<LentConnection>::new_borrow(0);
        let hook = guest.session();
        let call = hook.call_on_message(&mut self.store, session_state, connection, sender, message);
        let result = call.await;
        end(&mut self.store, lent);
        result.map_err(|error| failure(&self.identity, "on-message", error))
    }

    /// `lent.connection` is lent.
    pub async fn on_timer(&mut self, lent: &mut Lent, session_state: ResourceAny) -> Result<(), Failure> {
        let guest = session(&self.session, &self.identity)?;
        begin(&mut self.store, &self.identity, lent);
        let connection = Resource::<LentConnection>::new_borrow(0);
        let hook = guest.session();
        let call = hook.call_on_timer(&mut self.store, session_state, connection);
        let result = call.await;
        end(&mut self.store, lent);
        result.map_err(|error| failure(&self.identity, "on-timer", error))
    }

    /// `lent.connection` is lent.
    pub async fn on_drain(&mut self, lent: &mut Lent, session_state: ResourceAny) -> Result<(), Failure> {
        let guest = session(&self.session, &self.identity)?;
        begin(&mut self.store, &self.identity, lent);
        let connection = Resource::<LentConnection>::new_borrow(0);
        let hook = guest.session();
        let call = hook.call_on_drain(&mut self.store, session_state, connection);
        let result = call.await;
        end(&mut self.store, lent);
        result.map_err(|error| failure(&self.identity, "on-drain", error))
    }

    /// `lent.connection` is lent.
    pub async fn on_close(
        &mut self,
        lent: &mut Lent,
        session_state: ResourceAny,
        closed: CloseInfo<'_>,
    ) -> Result<(), Failure> {
        let guest = session(&self.session, &self.identity)?;
        begin(&mut self.store, &self.identity, lent);
        let connection = Resource::<LentConnection>::new_borrow(0);
        let hook = guest.session();
        let call = hook.call_on_close(&mut self.store, session_state, connection, closed);
        let result = call.await;
        end(&mut self.store, lent);
        result.map_err(|error| failure(&self.identity, "on-close", error))
    }

    pub fn lost(&self) -> Failure {
        Failure {
            plugin: Arc::clone(&self.identity.name),
            hook: "session-hook",
            reason: FailureReason::InstanceLost,
        }
    }

    /// Drop a session of a shared instance; that of one's own goes with it.
    pub async fn drop_session(&mut self, session_state: ResourceAny) -> Result<(), Failure> {
        self.store.data_mut().begin_call(self.identity.call_time_max);
        self.store.set_epoch_deadline(1);
        let call = session_state.resource_drop_async(&mut self.store);
        let result = call.await;
        result.map_err(|error| failure(&self.identity, "drop", error))
    }
}

/// A store for an instance of `plugin`, its budget and limits in force.
fn new_store(plugin: &Plugin, worker: usize) -> Store<State> {
    let memory_bytes_max = plugin.config.memory_bytes_max;
    let state = State::new(Arc::clone(&plugin.identity), worker, memory_bytes_max, Phase::Serve);
    let mut store = Store::new(plugin.pre.engine(), state);
    prepare(&mut store);
    store
}

/// Limits and ticks, in every store there is.
pub(super) fn prepare(store: &mut Store<State>) {
    store.limiter(|state| &mut state.memory);
    // What a guest may hand over in one call: all it can hold.
    let memory_bytes_max = store.data().identity.memory_bytes_max;
    store.set_hostcall_fuel(memory_bytes_max.max(HOSTCALL_BYTES_MIN));
    store.epoch_deadline_callback(|mut context| context.data_mut().tick());
    store.set_epoch_deadline(1);
}

/// What wasmtime said of a call that failed, as an operator can use it.
pub(super) fn failure_reason(error: &wasmtime::Error) -> FailureReason {
    if error.is::<OutOfTime>() {
        return FailureReason::OutOfTime;
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
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

fn failure(plugin: &Identity, hook: &'static str, error: wasmtime::Error) -> Failure {
    tracing::debug!(plugin = %plugin.name, hook, "guest backtrace: {error:?}");
    Failure { plugin: Arc::clone(&plugin.name), hook, reason: failure_reason(&error) }
}

fn begin(store: &mut Store<State>, plugin: &Identity, lent: &mut Lent) {
    let state = store.data_mut();
    mem::swap(&mut state.lent, lent);
    state.begin_call(plugin.call_time_max);
    store.set_epoch_deadline(1);
}

fn end(store: &mut Store<State>, lent: &mut Lent) {
    mem::swap(&mut store.data_mut().lent, lent);
}

/// Chains are made of plugins that have the hook; one that lacks it must not pass for one that agreed.
fn session<'a>(
    guest: &'a Option<session_hook::Guest>,
    plugin: &Identity,
) -> Result<&'a session_hook::Guest, Failure> {
    guest.as_ref().ok_or_else(|| Failure {
        plugin: Arc::clone(&plugin.name),
        hook: "session-hook",
        reason: FailureReason::Trap("the plugin has no such hook".to_owned()),
    })
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
