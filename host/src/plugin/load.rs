//! From a file to a plugin ready to be called.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::cache::{Cache, Key};
use super::component::{self, HOOKS, Interfaces};
use super::engine::PoolSize;
use super::exports::{Configure, Exports, Function, Mismatch};
use super::grants::{self, Environment, Reach};
use super::host;
use super::image::{self, Instrumented};
use super::instance::{Failure, FailureReason, Instance, failure_reason, prepare};
use super::quarantine::{Admitted, Quarantine};
use super::shared::Shared;
use super::state::{Identity, Phase, State};
use super::usage::Usage;
use super::version::Version;
use super::way::{Way, Ways, may_wait};
use crate::limits::{Limits, StoreChanged};
use crate::unwind::{Panicked, caught};
use crate::{config, store};

/// Sessions that share one instance at most: a trap ends them all.
pub(super) const SHARED_BY_MAX: usize = 1_000;

/// Instances a worker keeps for requests between calls.
const POOLED_PER_WORKER_MAX: usize = 64;

/// A loaded, configured plugin: immutable and shared by all workers.
pub struct Plugin {
    pub config: config::Plugin,
    pub(super) identity: Arc<Identity>,
    pub(super) pre: InstancePre<State>,
    pub(super) exports: Arc<Exports>,
    /// Settings to give to each new instance, where no image could be taken.
    pub(super) configure_each: Option<String>,
    pub(super) version: Version,
    /// By worker: instances between requests. Only its own worker takes from it, so the lock is never waited for.
    idle: Box<[Mutex<Vec<Instance>>]>,
    /// By worker: the instance that takes new sessions, where sessions share; kept alive by them.
    shared: Box<[Mutex<Weak<Shared>>]>,
}

/// A component with its settings in it.
struct Image {
    component: Component,
    /// Whether there may be values of the environment in it, too.
    holds_environment: bool,
}

/// Why a plugin cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("plugin `{plugin}` ({}): {kind}", file.display())]
pub struct LoadError {
    pub plugin: String,
    pub file: PathBuf,
    pub kind: LoadErrorKind,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadErrorKind {
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("its digest is sha256:{found}, the configuration asks for sha256:{expected}")]
    Digest { found: String, expected: String },
    #[error("is no WebAssembly: a component or a core module built for wasm32-unknown-unknown was expected")]
    NotWasm,
    #[error("no component could be made of this core module: {0}; was it built with sluicegate-sdk?")]
    NoComponent(String),
    #[error("does not compile: {0}")]
    Compile(String),
    #[error("exports `{export}`, which this proxy does not know; it knows {}", list(&HOOKS))]
    UnknownHook { export: String },
    #[error("exports none of the hooks of this proxy, so it is a component for something else; expected one of {}", list(&HOOKS))]
    NoHook,
    #[error("imports `{import}`, which this proxy does not have; it has {} and WASI 0.2", list(&host::INTERFACES))]
    UnknownImport { import: String },
    #[error("imports {imports}, which it was not granted: {advice}")]
    NotGranted { imports: String, advice: String },
    #[error("its imports do not fit this proxy's: {0}")]
    Imports(String),
    #[error("its `{hook}` does not have the functions this proxy calls: {text}")]
    Hook { hook: &'static str, text: String },
    #[error("is given settings, but takes none (it does not export lifecycle)")]
    NoSettings,
    #[error("refuses its settings: {0}")]
    Settings(String),
    #[error("fails in configure: {0}")]
    Configure(String),
    #[error("ran longer than its configure-time-max")]
    ConfigureTime,
    #[error("fails to start: {0}")]
    Start(String),
    #[error("cannot be taken apart and compiled, which panicked: {0}")]
    Panicked(#[from] Panicked),
}

/// Loads plugins for one engine.
pub struct Loader {
    engine: Engine,
    pool: PoolSize,
    linker: Linker<State>,
    limits: Arc<Limits>,
    workers: usize,
    cache: Option<Arc<Cache>>,
}

// === impl Loader ===

impl Loader {
    /// `pool`: the engine's.
    pub fn new(
        engine: Engine,
        pool: PoolSize,
        limits: Arc<Limits>,
        workers: usize,
        cache: Option<Arc<Cache>>,
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&engine);
        host::link(&mut linker)?;
        Ok(Self { engine, pool, linker, limits, workers, cache })
    }

    /// The same for another engine.
    pub fn successor(&self, engine: Engine, pool: PoolSize) -> wasmtime::Result<Self> {
        Self::new(engine, pool, Arc::clone(&self.limits), self.workers, self.cache.clone())
    }

    pub fn pool(&self) -> PoolSize {
        self.pool
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The store that plugins share, if this configuration wants it as it is.
    pub fn store(&self, config: &config::Store) -> Result<Arc<store::Store>, StoreChanged> {
        self.limits.store_of(config, self.workers)
    }

    /// Read, check, compile, configure and try `config`'s plugin. `upstreams`: the names of those there are.
    pub async fn load(
        &self,
        config: &config::Plugin,
        upstreams: &[String],
    ) -> Result<Arc<Plugin>, LoadError> {
        let fail = |kind| LoadError { plugin: config.name.clone(), file: config.file.clone(), kind };
        // Neither engine nor linker is changed by it, so both are as good as before where it panics.
        caught(self.load_and_try(config, upstreams))
            .await
            .map_err(LoadErrorKind::from)
            .flatten()
            .map_err(fail)
    }

    async fn load_and_try(
        &self,
        config: &config::Plugin,
        upstreams: &[String],
    ) -> Result<Arc<Plugin>, LoadErrorKind> {
        let plugin = self.load_parts(config, upstreams).await?;
        // What only shows at run time shows now, not at the first request.
        let first = Instance::first(&plugin).await?;
        plugin.put_back(0, first);
        Ok(plugin)
    }

    async fn load_parts(
        &self,
        config: &config::Plugin,
        upstreams: &[String],
    ) -> Result<Arc<Plugin>, LoadErrorKind> {
        let file = fs::read(&config.file).map_err(LoadErrorKind::Read)?;
        component::check_digest(&file, config.digest)?;
        let version = Version::of(&file);
        let identity = Arc::new(Identity {
            name: config.name.as_str().into(),
            limits: Arc::clone(&self.limits),
            store_on_failure: config.store_on_failure.clone(),
            log: host::log::Allowance::new(config.log_lines_max),
            usage: Usage::new(self.workers),
            quarantine: Quarantine::new(config.max_traps),
            isolation: config.isolation,
            ways: Ways::default(),
            call_time_max: config.call_time_max,
            memory_bytes_max: config.memory_bytes_max,
            configure_time_max: config.configure_time_max,
            environment: Environment::load(config),
            call_outs: Reach::of(config),
        });
        let (component, configure_each) = self.configured(config, &identity, file, upstreams).await?;
        let description = component.component_type();
        let imports: Vec<_> = description.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        // Once more for those from the cache, which were checked against the grants of another day.
        grants::check(config, &imports, upstreams)?;
        grants::warn(config, &imports);
        if configure_each.is_none() && !may_wait(&description, &self.engine) {
            identity.ways.wait_for_nothing(identity.call_time_max);
        }
        let pre = self.link(&component)?;
        Ok(Arc::new(Plugin {
            exports: Arc::new(Exports::find(&pre)?),
            config: config.clone(),
            identity,
            pre,
            configure_each,
            version,
            idle: (0..self.workers.max(1)).map(|_| Mutex::default()).collect(),
            shared: (0..self.workers.max(1)).map(|_| Mutex::default()).collect(),
        }))
    }

    /// The compiled component with its settings in it, or beside it where it allows no image.
    async fn configured(
        &self,
        config: &config::Plugin,
        identity: &Arc<Identity>,
        file: Vec<u8>,
        upstreams: &[String],
    ) -> Result<(Component, Option<String>), LoadErrorKind> {
        let [image, plain] =
            ["image", "plain"].map(|kind| Key::new(&self.engine, kind, &file, config.settings.as_deref()));
        let settings = config.settings.as_deref().unwrap_or("{}");
        if let Some(cache) = &self.cache {
            if let Some(component) = cache.get(&self.engine, &image) {
                return Ok((component, None));
            }
            if let Some(component) = cache.get(&self.engine, &plain) {
                return Ok((component, Some(settings.to_owned())));
            }
        }
        let bytes = component::to_component(file)?;
        let Interfaces { exports, imports } = component::interfaces(&bytes)?;
        let has_lifecycle = component::check(&exports, &imports)?;
        grants::check(config, &imports, upstreams)?;
        if !has_lifecycle && config.settings.is_some() {
            return Err(LoadErrorKind::NoSettings);
        }
        let configured =
            if has_lifecycle { self.image(config, identity, &bytes, settings).await? } else { None };
        let (key, component, configure_each) = match configured {
            // Neither a secret nor yesterday's value goes to the disk.
            Some(Image { component, holds_environment: true }) => return Ok((component, None)),
            Some(Image { component, .. }) => (image, component, None),
            None => {
                let component = self.compile(&bytes)?;
                if has_lifecycle {
                    self.configure(identity, &component, settings).await?;
                }
                (plain, component, Some(settings.to_owned()))
            }
        };
        if let Some(cache) = &self.cache {
            cache.put(&key, &component);
        }
        Ok((component, configure_each))
    }

    fn compile(&self, bytes: &[u8]) -> Result<Component, LoadErrorKind> {
        Component::new(&self.engine, bytes).map_err(|error| LoadErrorKind::Compile(format!("{error:#}")))
    }

    fn link(&self, component: &Component) -> Result<InstancePre<State>, LoadErrorKind> {
        let linked = self.linker.instantiate_pre(component);
        linked.map_err(|error| LoadErrorKind::Imports(format!("{error:#}")))
    }

    /// The component configured and compiled, or none where its shape allows no image.
    async fn image(
        &self,
        config: &config::Plugin,
        identity: &Arc<Identity>,
        bytes: &[u8],
        settings: &str,
    ) -> Result<Option<Image>, LoadErrorKind> {
        let instrumented = match image::instrument(bytes) {
            Ok(instrumented) => instrumented,
            Err(error) => {
                tracing::info!(
                    plugin = config.name,
                    "configured in each instance, as no image can be taken: {error:#}"
                );
                return Ok(None);
            }
        };
        let copy = self.compile(&instrumented.bytes)?;
        let (store, instance) = self.configure(identity, &copy, settings).await?;
        let holds_environment = store.data().read_environment;
        let snapshot = take(instrumented, store, instance).await.map_err(LoadErrorKind::Configure)?;
        Ok(Some(Image { component: self.compile(&snapshot)?, holds_environment }))
    }

    /// Run `configure` in a new instance of `component`.
    async fn configure(
        &self,
        identity: &Arc<Identity>,
        component: &Component,
        settings: &str,
    ) -> Result<(Store<State>, wasmtime::component::Instance), LoadErrorKind> {
        let pre = self.link(component)?;
        let state = State::new(Arc::clone(identity), 0, Phase::Configure);
        let mut store = Store::new(&self.engine, state);
        prepare(&mut store);
        store.data_mut().begin_call(Way::Fiber, identity.configure_time_max);
        let failed = |error: wasmtime::Error| match failure_reason(&error) {
            FailureReason::OutOfTime => LoadErrorKind::ConfigureTime,
            reason => LoadErrorKind::Configure(reason.to_string()),
        };
        let meter = Arc::clone(&store.data().meter);
        let instance = {
            let call = pin!(pre.instantiate_async(&mut store));
            meter.watch(true, call).await.map_err(failed)?
        };
        let function: Function<Configure> = Function::find(&pre)?;
        function.verify(&mut store, &instance)?;
        store.data_mut().begin_call(Way::Fiber, identity.configure_time_max);
        store.set_epoch_deadline(1);
        let (configured,) = {
            let call = pin!(function.call(&mut store, &instance, Way::Fiber, (settings,)));
            meter.watch(true, call).await.map_err(failed)?
        };
        configured.map_err(|text| LoadErrorKind::Settings(text.to_string()))?;
        Ok((store, instance))
    }
}

impl From<Mismatch> for LoadErrorKind {
    fn from(Mismatch { hook, text }: Mismatch) -> Self {
        Self::Hook { hook, text }
    }
}

async fn take(
    instrumented: Instrumented<'_>,
    mut store: Store<State>,
    instance: wasmtime::component::Instance,
) -> Result<Vec<u8>, String> {
    instrumented.snapshot(&mut store, instance).await.map_err(|error| format!("{error:#}"))
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("workers", &self.workers).finish_non_exhaustive()
    }
}

// === impl Plugin ===

impl Plugin {
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.identity.name)
    }

    pub fn has_request_hook(&self) -> bool {
        self.exports.on_request.is_some()
    }

    pub fn has_response_hook(&self) -> bool {
        self.exports.on_response.is_some()
    }

    pub fn has_session_hook(&self) -> bool {
        self.exports.session.is_some()
    }

    /// Whether it may be called for a new exchange: not while in quarantine.
    pub(super) fn admit(&self, hook: &'static str) -> Result<Admitted, Failure> {
        let refused = || Failure { plugin: self.name(), hook, reason: FailureReason::Quarantined };
        self.identity.quarantine.admit().ok_or_else(refused)
    }

    /// A call it was admitted for went well.
    pub(super) fn passed(&self, admitted: Admitted) {
        if admitted == Admitted::OnProbation && self.identity.quarantine.passed() {
            tracing::warn!(plugin = %self.identity.name, "plugin is out of quarantine: a call went well");
        }
    }

    /// An instance for one request hook; [`Plugin::put_back`] it when the call went well.
    pub async fn take(self: &Arc<Self>, worker: usize) -> Result<Instance, Failure> {
        let idle = self.idle.get(worker).and_then(|idle| lock(idle).pop());
        match idle {
            Some(instance) => Ok(instance),
            None => Instance::new(self, worker).await,
        }
    }

    /// The instance of this worker that new sessions share: a new one when the last is lost or holds enough.
    pub(super) async fn shared(self: &Arc<Self>, worker: usize) -> Result<Arc<Shared>, Failure> {
        let slot = self.shared.get(worker);
        let current = slot.and_then(|slot| lock(slot).upgrade());
        if let Some(shared) =
            current.filter(|shared| !shared.is_lost() && Arc::strong_count(shared) <= SHARED_BY_MAX)
        {
            return Ok(shared);
        }
        let shared = Arc::new(Shared::new(self.name(), Instance::new(self, worker).await?));
        if let Some(slot) = slot {
            *lock(slot) = Arc::downgrade(&shared);
        }
        Ok(shared)
    }

    pub fn put_back(&self, worker: usize, instance: Instance) {
        if let Some(idle) = self.idle.get(worker) {
            let mut idle = lock(idle);
            // Asked under the lock: whoever retires a plugin drops what is idle after it has said so.
            if idle.len() < POOLED_PER_WORKER_MAX && self.replaced_at().is_none() {
                idle.push(instance);
            }
        }
    }

    pub(super) fn drop_idle(&self) {
        for idle in &self.idle {
            let instances = std::mem::take(&mut *lock(idle));
            drop(instances);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.config.name).finish_non_exhaustive()
    }
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}
