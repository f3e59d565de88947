//! The processes that are measured, and those they are measured with.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::Outcome;

/// A process that ends when this is dropped.
pub struct Running {
    child: Child,
    /// What it listens on.
    pub port: u16,
}

// === impl Running ===

impl Running {
    /// The backend, in a process of its own: it has as many descriptors as the clients.
    pub fn backend() -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("backend").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, port: line.trim().parse()? })
    }

    /// The proxy, once it listens.
    pub fn proxy(binary: &Path, config: impl AsRef<OsStr>) -> Outcome<Self> {
        let mut command = Command::new(binary);
        command.args(["run", "--config"]).arg(config).env("NO_COLOR", "1").stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut log = BufReader::new(child.stderr.take().ok_or("no log")?);
        let mut said = String::new();
        while log.read_line(&mut said)? > 0 {
            let last = said.lines().last().unwrap_or_default();
            if let Some((_, address)) = last.split_once("listening address=") {
                let address = address.split_whitespace().next().unwrap_or_default();
                let port = address.rsplit(':').next().unwrap_or_default().parse()?;
                // It would wait for somebody to read on.
                thread::spawn(move || io::copy(&mut log, &mut io::sink()));
                return Ok(Self { child, port });
            }
        }
        Err(format!("the proxy did not start: {said}").into())
    }

    /// Its share of the memory it has mapped, in KiB. Not its resident set: plugins are images that all their instances
    /// map, and would be counted once for each.
    pub fn memory_kib(&self) -> Outcome<u64> {
        let id = self.child.id();
        let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Each session takes one here, and two in the proxy.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("cannot raise the limit on file descriptors: {error}");
    }
}
