//! `reload`

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::{Failed, ReloadArguments, serve};
use crate::pid_file;

/// Check the configuration, where it is given, and tell the process to take it.
pub(super) fn run(arguments: ReloadArguments) -> Result<(), Failed> {
    let ReloadArguments { config, pid_file, pid } = arguments;
    let config = match config {
        Some(file) => Some((serve::checked(file.clone())?, file)),
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

fn holder(file: &Path) -> Result<Pid, Failed> {
    pid_file::holder(file).map_err(|error| Failed::Other(error.to_string()))
}
