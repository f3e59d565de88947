//! From a configuration to a snapshot ready to be put in service: at the start, and again at each reload.
//!
//! All of it happens in a thread of its own. Compiling a plugin takes seconds of every core there is, and neither the
//! workers nor accepting may wait for that; so the thread, and those that compile for it, have a lower priority.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use tokio::runtime::LocalRuntime;
use tokio::sync::oneshot;

use crate::config::{Config, Errors, PluginCache, UpstreamTls};
use crate::file_stamp::{Stamp, stamp};
use crate::limits::Limits;
use crate::plugin::cache::Cache;
use crate::plugin::engine::PoolSize;
use crate::plugin::engines::{EngineError, Engines};
use crate::plugin::load::Loader;
use crate::plugin::ticker::Ticker;
use crate::snapshot::{LoadError, Snapshot};
use crate::tls;
use crate::unwind::{Panicked, caught};
use crate::upstream::Registry;

/// How far the thread stands back (nice(2)): a worker that has something to do gets ten times its share.
const NICENESS: i32 = 10;

/// Where the configuration is, each time it is read.
#[derive(Debug, Clone)]
pub enum Origin {
    File(PathBuf),
    /// What the command line says; the plugins are in files.
    Parts {
        listen: SocketAddr,
        upstream: Vec<String>,
        plugins: Vec<PathBuf>,
    },
}

/// The thread that makes snapshots, one after another.
#[derive(Debug)]
pub struct Preparer {
    orders: SyncSender<Order>,
}

/// What came of an order.
#[derive(Debug)]
pub struct Prepared {
    /// What it was made of, as it was just before it was read.
    pub files: Vec<(PathBuf, Stamp)>,
    pub snapshot: Result<Box<Snapshot>, Refused>,
}

/// Why a configuration cannot be put in service: all reasons, each one line of its text.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Config(Errors),
    #[error("{}", lines(.0))]
    Load(Vec<LoadError>),
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("the configuration cannot be prepared, which panicked: {0}")]
    Panicked(#[from] Panicked),
}

struct Order {
    /// What is in service.
    before: Option<Arc<Snapshot>>,
    prepared: oneshot::Sender<Prepared>,
}

/// What the thread has, from one snapshot to the next.
struct Maker {
    origin: Origin,
    descriptors: u64,
    limits: Arc<Limits>,
    servers: Registry,
    engines: Engines,
}

// === impl Origin ===

impl Origin {
    fn read(&self) -> Result<Config, Errors> {
        match self {
            Self::File(file) => Config::load(file),
            Self::Parts { listen, upstream, plugins } => Config::from_parts(*listen, upstream, plugins),
        }
    }
}

// === impl Preparer ===

impl Preparer {
    /// `descriptors`: as many as the process may have, which bounds its sessions.
    pub fn start(origin: Origin, descriptors: u64) -> io::Result<Self> {
        let servers = Registry::new().map_err(io::Error::other)?;
        let (orders, waiting) = sync_channel(1);
        let maker = Maker {
            origin,
            descriptors,
            limits: Arc::default(),
            servers,
            // Of this thread's priority, which is the workers', not of the one below.
            engines: Engines::new(Ticker::start()?),
        };
        let (started, starting) = sync_channel(1);
        thread::Builder::new().name("preparer".to_owned()).spawn(move || {
            // The threads that compile are this one's children, and inherit it. Where it is not allowed, so be it.
            let _ = rustix::process::nice(NICENESS);
            match LocalRuntime::new() {
                Ok(runtime) => {
                    drop(started.send(Ok(())));
                    runtime.block_on(maker.work(&waiting));
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        starting.recv().map_err(io::Error::other)??;
        Ok(Self { orders })
    }

    /// Read the configuration and make all of it ready; what is as it was `before`, which is in service, is kept.
    pub async fn prepare(&self, before: Option<Arc<Snapshot>>) -> Prepared {
        let (prepared, answer) = oneshot::channel();
        let ordered = self.orders.try_send(Order { before, prepared });
        let answer = match ordered {
            Ok(()) => answer.await.ok(),
            Err(_) => None,
        };
        let gone = || EngineError::Failed("its thread is gone or busy".to_owned());
        answer.unwrap_or_else(|| Prepared { files: Vec::new(), snapshot: Err(gone().into()) })
    }
}

// === impl Maker ===

impl Maker {
    /// One order after another, until nobody can give any more.
    async fn work(mut self, orders: &Receiver<Order>) {
        while let Ok(Order { before, prepared }) = orders.recv() {
            let mut files = Vec::new();
            // The thread must be there for the next order, whatever is in the files of this one.
            let made = caught(self.make(before.as_deref(), &mut files)).await;
            let snapshot = made.map_err(Refused::from).flatten().map(Box::new);
            drop(prepared.send(Prepared { files, snapshot }));
        }
    }

    /// `files`: what it is made of, as far as it was looked at.
    async fn make(
        &mut self,
        before: Option<&Snapshot>,
        files: &mut Vec<(PathBuf, Stamp)>,
    ) -> Result<Snapshot, Refused> {
        let mut look = |file: &PathBuf| files.push((file.clone(), stamp(file)));
        if let Origin::File(file) = &self.origin {
            look(file);
        }
        let config = self.origin.read().map_err(Refused::Config)?;
        config.plugins.iter().for_each(|plugin| look(&plugin.file));
        let certificates = certificates(&config);
        let loaded = self.load(config, before).await;
        if loaded.is_err() {
            files.extend(certificates);
        }
        loaded
    }

    async fn load(&mut self, config: Config, before: Option<&Snapshot>) -> Result<Snapshot, Refused> {
        let loader = self.loader(&config, before)?;
        let snapshot = Snapshot::load(config, &loader, &self.servers, before).await;
        let snapshot = snapshot.map_err(Refused::Load)?;
        if before.is_some_and(|before| !Arc::ptr_eq(&before.loader, &loader)) {
            let PoolSize { instances_max, memory_bytes_max } = loader.pool();
            tracing::info!(instances_max, memory_bytes_max, "a larger pool of plugin instances was made");
        }
        Ok(snapshot)
    }

    /// The one in service where its pool is large enough, or else a new one. It is for as many workers as there are, and has
    /// the cache that the process began with, whatever the configuration says now.
    fn loader(&mut self, config: &Config, before: Option<&Snapshot>) -> Result<Arc<Loader>, EngineError> {
        let pool = PoolSize::of(config, self.descriptors);
        let in_use = before.map(|before| &before.loader);
        if let Some(loader) = in_use.filter(|loader| loader.pool().holds(&pool)) {
            return Ok(Arc::clone(loader));
        }
        let engine = self.engines.make(pool)?;
        let loader = match in_use {
            Some(loader) => loader.successor(engine, pool),
            None => {
                let cache = open_cache(&config.server.plugin_cache).map(Arc::new);
                Loader::new(engine, pool, Arc::clone(&self.limits), config.server.workers, cache)
            }
        };
        loader.map(Arc::new).map_err(|error| EngineError::Failed(format!("{error:#}")))
    }
}

/// Certificates and keys: what is refused for one of them may be good when it is another. (Those of listeners that are in
/// service are looked after by themselves.)
fn certificates(config: &Config) -> Vec<(PathBuf, Stamp)> {
    let listeners = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let upstreams = config.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref());
    let of_upstream = |tls: &UpstreamTls| {
        let pair = tls.certificate.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        tls.ca.iter().chain(pair).cloned().collect::<Vec<_>>()
    };
    let of_listeners = listeners.flat_map(tls::reload::files).map(Path::to_owned);
    let files = of_listeners.chain(upstreams.flat_map(of_upstream));
    files.map(|file| (file.clone(), stamp(&file))).collect()
}

/// The cache the configuration asks for. A start without one is slow and nothing worse.
fn open_cache(wanted: &PluginCache) -> Option<Cache> {
    let folder = match wanted {
        PluginCache::Off => return None,
        PluginCache::Default => Cache::default_folder()?,
        PluginCache::Folder(folder) => folder.clone(),
    };
    let opened = Cache::open(&folder);
    opened
        .inspect_err(
            |error| tracing::warn!(folder = %folder.display(), %error, "compiled plugins are not kept"),
        )
        .ok()
}

fn lines(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
