//! `run` and `check`.

use std::path::Path;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::LocalRuntime;

use super::{Failed, RunArguments};
use crate::config::{Config, PluginCache};
use crate::limits::Limits;
use crate::plugin::cache::Cache;
use crate::plugin::engine::{self, PoolSize};
use crate::plugin::load::Loader;
use crate::server;
use crate::snapshot::Snapshot;
use crate::upstream::Registry;

/// Descriptors of a process that its connections cannot have.
const OTHER_DESCRIPTORS: u64 = 100;
/// Instances of plugins between requests, and those that a reload makes before the old ones are gone.
const SPARE_INSTANCES: u64 = 1_000;
/// As many descriptors as are counted on where there is no limit.
const DESCRIPTORS_MAX: u64 = 1 << 20;
/// Linux's default for `vm.max_map_count`.
const MAPPINGS_MAX_USUAL: u64 = 65_530;
/// Mappings of a process that its plugin instances cannot have.
const OTHER_MAPPINGS: u64 = 5_000;
/// A plugin instance takes three, and its stack two.
const MAPPINGS_PER_INSTANCE: u64 = 5;
/// Address space to reserve for instances at most, of the 128 TiB a process has.
const RESERVED_BYTES_MAX: u64 = 1 << 45;

pub(super) fn run(arguments: RunArguments) -> Result<(), Failed> {
    let config = match (&arguments.config, arguments.listen) {
        (Some(file), _) => Config::load(file),
        (None, Some(listen)) => Config::from_parts(listen, &arguments.upstream, &arguments.plugin),
        (None, None) => return Err(Failed::Usage("either --config or --listen is needed".to_owned())),
    };
    let config = config.map_err(|errors| Failed::Usage(errors.to_string()))?;
    let descriptors = raise_descriptor_limit();
    let snapshot = load(config, descriptors)?;
    server::run(snapshot).map_err(|error| Failed::Other(error.to_string()))
}

pub(super) fn check(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file).map_err(|errors| Failed::Usage(errors.to_string()))?;
    let snapshot = load(config, 0)?;
    let config = &snapshot.config;
    println!(
        "{}: fine ({} listeners, {} routes, {} upstreams, {} plugins)",
        file.display(),
        config.listeners.len(),
        config.routes.len(),
        config.upstreams.len(),
        config.plugins.len(),
    );
    Ok(())
}

fn load(config: Config, descriptors: u64) -> Result<Snapshot, Failed> {
    let failed =
        |error: &dyn std::fmt::Display| Failed::Other(format!("cannot start the plugin engine: {error}"));
    let engine =
        engine::new(pool_size(&config, descriptors)).map_err(|error| failed(&format!("{error:#}")))?;
    let cache = open_cache(&config.server.plugin_cache);
    let loader = Loader::new(engine, Arc::new(Limits::default()), config.server.workers, cache);
    let loader = loader.map_err(|error| failed(&format!("{error:#}")))?;
    let servers = Registry::new().map_err(|error| failed(&error))?;
    let runtime = LocalRuntime::new().map_err(|error| failed(&error))?;
    runtime.block_on(Snapshot::load(config, &loader, &servers)).map_err(|errors| {
        Failed::Usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// Mappings the kernel lets a process have.
fn mappings_max() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(MAPPINGS_MAX_USUAL)
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

/// As many instances as the process can have sessions (two descriptors each), for each plugin of the longest list.
fn pool_size(config: &Config, descriptors: u64) -> PoolSize {
    let memory_bytes_max =
        config.plugins.iter().map(|plugin| plugin.memory_bytes_max).max().unwrap_or(1 << 16);
    let plugins = config.routes.iter().map(|route| route.plugins.len()).max().unwrap_or(0) as u64;
    let sessions = descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2;
    let wanted = sessions * plugins + SPARE_INSTANCES;
    let possible = RESERVED_BYTES_MAX / (memory_bytes_max as u64).max(1 << 16);
    let mappable = mappings_max().saturating_sub(OTHER_MAPPINGS) / MAPPINGS_PER_INSTANCE;
    if mappable < wanted && sessions * plugins > 0 {
        tracing::info!(
            instances_max = mappable,
            "vm.max_map_count bounds how many plugin instances there can be"
        );
    }
    let instances_max = u32::try_from(wanted.min(possible).min(mappable)).unwrap_or(u32::MAX);
    PoolSize { instances_max, memory_bytes_max }
}

/// A proxy needs two descriptors per session, and the usual soft limit of 1,024 is there for programs that use
/// `select`. The limit that is in force then.
fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit on file descriptors");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(DESCRIPTORS_MAX).min(DESCRIPTORS_MAX)
}
