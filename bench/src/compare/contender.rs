//! Who is compared. Their configurations are in bench/peers.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lab::{Lab, Ports};
use super::{by_name, instructions};
use crate::Outcome;

pub struct Contender {
    pub name: String,
    pub family: Family,
    program: Program,
    /// Its instructions are counted.
    pub is_under_callgrind: bool,
}

/// What one does, and so what it can be measured at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Forwards bytes, and knows no HTTP.
    Floor,
    /// Relays what is said on a WebSocket, without a look at it.
    Relay,
    /// Looks at every message.
    Messages,
    /// Asks a program about every request.
    Requests,
}

enum Program {
    /// A means of `sluicegate-bench forward`.
    Forward(&'static str),
    Nginx,
    Haproxy,
    Envoy,
    /// Node's.
    WsPair,
    Sluicegate(Build, Vec<Plugin>),
}

/// How Sluicegate is built.
#[derive(Debug, Clone, Copy)]
pub enum Build {
    /// `make release`
    Release,
    /// `make release-pgo`
    ReleasePgo,
}

#[derive(Clone)]
pub struct Plugin {
    file: &'static str,
    settings: &'static str,
    isolation: &'static str,
}

/// Lets every message pass.
const NO_OP: Plugin = Plugin { file: "test-forward.wasm", settings: "{}", isolation: "session" };
const NO_OP_SHARED: Plugin = Plugin { isolation: "shared", ..NO_OP };
const ORIGIN_CHECK: Plugin = Plugin {
    file: "origin-check.wasm",
    settings: r#"{ allow = ["@ORIGIN@", "https://*.example.org"] }"#,
    isolation: "session",
};
const ROUTER: Plugin = Plugin {
    file: "router.wasm",
    settings: r#"{ rules = [{ header = { name = "x-tenant", value = "a" }, upstream = "backend" }, { header = { name = "x-tenant", value = "b" }, upstream = "b" }] }"#,
    isolation: "session",
};

pub fn all() -> Vec<Contender> {
    use Build::{Release, ReleasePgo};
    let new = |name: &str, family, program| Contender {
        name: name.to_owned(),
        family,
        program,
        is_under_callgrind: false,
    };
    vec![
        new("epoll", Family::Floor, Program::Forward("epoll")),
        new("uring", Family::Floor, Program::Forward("uring")),
        new("copy", Family::Floor, Program::Forward("copy")),
        new("nginx", Family::Relay, Program::Nginx),
        new("haproxy", Family::Relay, Program::Haproxy),
        new("envoy", Family::Relay, Program::Envoy),
        new("ws-pair", Family::Messages, Program::WsPair),
        new("sluicegate", Family::Relay, Program::Sluicegate(Release, Vec::new())),
        new("sluicegate-no-op", Family::Messages, Program::Sluicegate(Release, vec![NO_OP])),
        new("sluicegate-no-op-shared", Family::Messages, Program::Sluicegate(Release, vec![NO_OP_SHARED])),
        new("sluicegate-no-op-3", Family::Messages, Program::Sluicegate(Release, vec![NO_OP; 3])),
        new("sluicegate-hooks", Family::Requests, Program::Sluicegate(Release, vec![ORIGIN_CHECK, ROUTER])),
        new("sluicegate-pgo", Family::Relay, Program::Sluicegate(ReleasePgo, Vec::new())),
        new("sluicegate-pgo-no-op", Family::Messages, Program::Sluicegate(ReleasePgo, vec![NO_OP])),
        new(
            "sluicegate-pgo-hooks",
            Family::Requests,
            Program::Sluicegate(ReleasePgo, vec![ORIGIN_CHECK, ROUTER]),
        ),
    ]
}

pub fn find(name: &str) -> Outcome<Contender> {
    by_name(all(), name, |contender| &contender.name)
}

// === impl Contender ===

impl Contender {
    /// Sluicegate with so many plugins that let every message pass.
    pub fn with_no_ops(count: usize) -> Self {
        let program = Program::Sluicegate(Build::Release, vec![NO_OP; count]);
        let name = format!("sluicegate with {count} plugins");
        Self { name, family: Family::Messages, program, is_under_callgrind: false }
    }

    pub fn under_callgrind(self) -> Self {
        Self { is_under_callgrind: true, ..self }
    }

    pub fn has_tls(&self) -> bool {
        !matches!(self.program, Program::Forward("epoll" | "uring"))
    }

    /// Which a session has of its own, at most; a worker has room for about ten thousand.
    pub fn instances_per_session(&self) -> usize {
        if let Program::Sluicegate(_, plugins) = &self.program { plugins.len() } else { 0 }
    }

    /// Whether it is Sluicegate with something in it, whose binary and version are Sluicegate's.
    pub fn is_variant(&self) -> bool {
        self.instances_per_session() > 0
    }

    /// What is to be started to listen on `ports`; its files are in `folder`.
    pub fn command(&self, lab: &Lab, folder: &Path, ports: Ports, workers: usize) -> Outcome<Command> {
        let file = |name: &str, more: &str| lab.fill(name, more, folder, ports, workers);
        let mut command = Command::new(self.binary(lab)?);
        match &self.program {
            Program::Forward(means) => {
                command.args(["forward", means]).args(lab.words(ports));
            }
            Program::Nginx => {
                command.arg("-e").arg("/dev/null").arg("-p").arg(folder);
                command.arg("-c").arg(file("nginx.conf", "")?);
                if self.is_under_callgrind {
                    // Whose answers from children do not come.
                    command.args(["-g", "master_process off;"]);
                }
            }
            Program::Haproxy => {
                command.arg("-db").arg("-f").arg(file("haproxy.cfg", "")?);
            }
            Program::Envoy => {
                command.args(["--disable-hot-restart", "--log-level", "off"]);
                command.args(["--concurrency", &workers.to_string()]).arg("-c").arg(file("envoy.yaml", "")?);
            }
            Program::WsPair => {
                command.env("NODE_PATH", lab.peers().join("node_modules"));
                command.arg(lab.templates().join("ws-pair.js")).args(lab.words(ports));
            }
            Program::Sluicegate(_, plugins) => {
                let (names, tables) = tables(plugins, lab)?;
                let config = file("sluicegate.toml", &tables)?;
                fs::write(&config, fs::read_to_string(&config)?.replace("@PLUGINS@", &names))?;
                command.env("SLUICEGATE_LOG", "error").args(["run", "--config"]).arg(config);
            }
        }
        Ok(if self.is_under_callgrind { instructions::wrap(&command) } else { command })
    }

    /// The file that is run.
    pub fn binary(&self, lab: &Lab) -> Outcome<PathBuf> {
        match &self.program {
            Program::Forward(_) => Ok(std::env::current_exe()?),
            Program::Nginx => installed("nginx"),
            Program::Haproxy => installed("haproxy"),
            Program::Envoy => Ok(lab.peers().join("envoy/envoy").canonicalize()?),
            Program::WsPair => installed("node"),
            Program::Sluicegate(build, _) => lab.sluicegate(*build),
        }
    }

    pub fn version(&self, lab: &Lab) -> String {
        let option = match self.program {
            Program::Forward(means) => return format!("`sluicegate-bench forward {means}`"),
            Program::Nginx | Program::Haproxy => "-v",
            _ => "--version",
        };
        let output = self.binary(lab).map(|binary| Command::new(binary).arg(option).output());
        let Ok(Ok(output)) = output else { return "unknown".to_owned() };
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        // Some say where they are, too.
        let line = line.rsplit_once("version: ").map_or(line, |(_, version)| version);
        let plugins = match &self.program {
            Program::Sluicegate(_, plugins) => plugins.iter().map(|plugin| plugin.file).collect(),
            _ => Vec::new(),
        };
        if plugins.is_empty() { line.to_owned() } else { format!("{line} with {}", plugins.join(", ")) }
    }
}

/// The names of `plugins` as a list in TOML, and their tables.
fn tables(plugins: &[Plugin], lab: &Lab) -> Outcome<(String, String)> {
    let (mut names, mut tables) = (Vec::new(), String::new());
    for (number, Plugin { file, settings, isolation }) in plugins.iter().enumerate() {
        let path = lab.plugin(file)?;
        write!(
            tables,
            "\n[[plugin]]\nname = \"plugin-{number}\"\nfile = {path:?}\nisolation = \"{isolation}\"\nsettings = {settings}\n"
        )?;
        names.push(format!("\"plugin-{number}\""));
    }
    Ok((names.join(", "), tables))
}

/// A program on the path, or where Debian has those for administrators.
fn installed(name: &str) -> Outcome<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("{name} is not installed").into())
}
