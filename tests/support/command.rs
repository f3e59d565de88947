//! The binary under test as a command that ends.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::files::{binary, scratch, workspace};
use crate::soon;

/// What a command left behind.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Run `sluicegate` with these arguments in this folder, to its end.
pub async fn sluicegate(folder: &Path, arguments: &[&str]) -> Finished {
    let running = command(folder, arguments).output();
    finished(soon(format_args!("the end of {arguments:?}"), running).await.unwrap())
}

/// `sluicegate check` of a file, however long it takes: a plugin with an engine in it is not compiled soon. What was compiled
/// is kept, and no start has to wait for it again.
pub fn check(file: &Path) -> Finished {
    let arguments = ["check", "--config", file.to_str().unwrap()];
    finished(command(scratch().path(), &arguments).into_std().output().unwrap())
}

fn finished(output: Output) -> Finished {
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The binary with these arguments, in surroundings that are the same on every machine.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("SLUICEGATE_LOG")
        // Compiled plugins, kept from one test to the next.
        .env("CACHE_DIRECTORY", workspace().join("target/plugin-cache"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}
