//! `run` and `check`.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::LocalRuntime;

use super::{Failed, RunArguments};
use crate::config::Config;
use crate::prepare::{Origin, Preparer, Refused};
use crate::server::{self, ServerError};

/// As many descriptors as are counted on where there is no limit.
const DESCRIPTORS_MAX: u64 = 1 << 20;

pub(super) fn run(arguments: RunArguments) -> Result<(), Failed> {
    let RunArguments { config, listen, upstream, plugin: plugins } = arguments;
    let origin = match (config, listen) {
        (Some(file), _) => Origin::File(file),
        (None, Some(listen)) => Origin::Parts { listen, upstream, plugins },
        (None, None) => return Err(Failed::Usage("either --config or --listen is needed".to_owned())),
    };
    let preparer = prepare(origin, raise_descriptor_limit())?;
    server::run(preparer).map_err(|error| match error {
        ServerError::Refused(refused) => refused.into(),
        error => Failed::Other(error.to_string()),
    })
}

pub(super) fn check(file: &Path) -> Result<(), Failed> {
    let config = checked(file.to_owned())?;
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

/// The configuration in `file`, when all of it could be put in service.
pub(super) fn checked(file: PathBuf) -> Result<Config, Failed> {
    Ok(tried(file)??)
}

/// The same, or why it could not.
pub(super) fn tried(file: PathBuf) -> Result<Result<Config, Refused>, Failed> {
    let preparer = prepare(Origin::File(file), 0)?;
    let runtime =
        LocalRuntime::new().map_err(|error| Failed::Other(format!("cannot start a runtime: {error}")))?;
    let prepared = runtime.block_on(preparer.prepare(None));
    Ok(prepared.snapshot.map(|snapshot| snapshot.config))
}

fn prepare(origin: Origin, descriptors: u64) -> Result<Preparer, Failed> {
    let preparer = Preparer::start(origin, descriptors);
    preparer.map_err(|error| Failed::Other(format!("cannot start the plugin engine: {error}")))
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Config(_) | Refused::Load(_) | Refused::Panicked(_) => Self::Usage(refused.to_string()),
            Refused::Engine(_) => Self::Other(refused.to_string()),
        }
    }
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
