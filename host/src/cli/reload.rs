//! `reload`

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::{Failed, ReloadArguments, serve};
use crate::config::Config;
use crate::pid_file;
use crate::plugin::load::LoadErrorKind;
use crate::prepare::Refused;
use crate::snapshot::LoadError;

/// Check the configuration, where it is given, and tell the process to take it.
pub(super) fn run(arguments: ReloadArguments) -> Result<(), Failed> {
    let ReloadArguments { config, pid_file, pid } = arguments;
    let config = match config {
        Some(file) => Some((checked(&file)?, file)),
        None => None,
    };
    let process = match (pid, pid_file, &config) {
        (Some(pid), ..) => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            pid.ok_or_else(|| Failed::Usage("--pid: expected the number of a process".to_owned()))?
        }
        (None, Some(file), _) => holder(&file)?,
        (None, None, Some((config, file))) => match &config.server.pid_file {
            Some(pid_file) => holder(pid_file)?,
            None => {
                let file = file.display();
                return Err(Failed::Usage(format!(
                    "{file} does not say where the process is: expected [server] pid-file in it, or --pid-file or --pid"
                )));
            }
        },
        (None, None, None) => {
            return Err(Failed::Usage("either --config, --pid-file or --pid is needed".to_owned()));
        }
    };
    kill_process(process, Signal::HUP)
        .map_err(|error| Failed::Other(format!("process {process} cannot be told: {error}")))?;
    println!("process {process} is told to reload; its log says what came of it");
    Ok(())
}

/// The configuration in `file`, when all of it can be put in service as far as that can be said here: the process has an
/// environment of its own.
fn checked(file: &Path) -> Result<Config, Failed> {
    let refused = match serve::tried(file.to_owned())? {
        Ok(config) => return Ok(config),
        Err(refused) => refused,
    };
    let config = match &refused {
        Refused::Load(errors) => Config::load(file)
            .ok()
            .filter(|config| errors.iter().all(|error| depends_on_environment(error, config))),
        _ => None,
    };
    let Some(config) = config else { return Err(refused.into()) };
    eprintln!("{refused}");
    eprintln!(
        "this may be due to variables of the environment here, which the plugin is granted: the process is told, and decides by its own"
    );
    Ok(config)
}

/// What a plugin does in `configure` may be up to the variables it reads.
fn depends_on_environment(error: &LoadError, config: &Config) -> bool {
    use LoadErrorKind::{Configure, ConfigureTime, Settings, Start};
    let LoadError::Plugin(error) = error else { return false };
    let reads =
        config.plugins.iter().any(|plugin| plugin.name == error.plugin && !plugin.grants.env.is_empty());
    reads && matches!(error.kind, Settings(_) | Configure(_) | ConfigureTime | Start(_))
}

fn holder(file: &Path) -> Result<Pid, Failed> {
    pid_file::holder(file).map_err(|error| Failed::Other(error.to_string()))
}
