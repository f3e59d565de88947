//! What an idle session costs in memory.
//!
//! Each session says one message and hears it back, so that whatever a session makes at first need is there; then all are
//! silent. The proxy's memory is compared with what it was with a few sessions open.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::Outcome;
use crate::process::Running;
use crate::session::{Session, Target};
use crate::wire::{COMPRESSED_TEXT, TEXT};
use clap::Args;

/// Opened first, so that what is made once is not counted.
pub const WARM_UP_SESSIONS: usize = 50;
/// For memory that is given back late.
pub const SETTLE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Sessions held open; each takes two of the proxy's file descriptors
    #[arg(long, default_value_t = 9_000)]
    sessions: usize,
    /// The proxy
    #[arg(long, default_value = "target/release/sluicegate")]
    proxy: PathBuf,
    /// Measure only cases whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// Where `make plugins` and `sluicegate plugin build tests/plugins/*` leave their components
    #[arg(long, default_value = "target/plugins")]
    plugins: PathBuf,
}

/// A route that sessions are opened on.
struct Case {
    name: &'static str,
    plugin: Option<Plugin>,
}

struct Plugin {
    file: &'static str,
    settings: &'static str,
    isolation: &'static str,
}

const FORWARD: (&str, &str) = ("test-forward.wasm", "{}");
const REPLACE: (&str, &str) = ("test-stamp.wasm", r#"{ mark = "" }"#);

pub fn run(arguments: &Arguments) -> Outcome<()> {
    println!("| {} idle sessions | KiB each | with permessage-deflate |\n|---|---|---|", arguments.sessions);
    for case in cases().into_iter().filter(|case| case.name.contains(&arguments.only)) {
        let plain = measure(arguments, &case, false)?;
        let compressed = measure(arguments, &case, true)?;
        println!("| {} | {plain:.1} | {compressed:.1} |", case.name);
    }
    Ok(())
}

fn cases() -> [Case; 5] {
    let plugin = |(file, settings), isolation| Some(Plugin { file, settings, isolation });
    [
        Case { name: "relayed", plugin: None },
        Case {
            name: "inspected, each message forwarded, isolation = \"session\"",
            plugin: plugin(FORWARD, "session"),
        },
        Case {
            name: "inspected, each message forwarded, isolation = \"shared\"",
            plugin: plugin(FORWARD, "shared"),
        },
        Case {
            name: "inspected, each message replaced, isolation = \"session\"",
            plugin: plugin(REPLACE, "session"),
        },
        Case {
            name: "inspected, each message replaced, isolation = \"shared\"",
            plugin: plugin(REPLACE, "shared"),
        },
    ]
}

/// KiB of the proxy's memory for each idle session.
fn measure(arguments: &Arguments, case: &Case, deflate: bool) -> Outcome<f64> {
    let backend = Running::backend()?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("sluicegate.toml");
    fs::write(&config, case.config(&arguments.plugins, backend.port)?)?;
    let proxy = Running::proxy(&arguments.proxy, &config)?;

    let target = Target { port: proxy.port, tls: None };
    let warm_up = open(&target, WARM_UP_SESSIONS, deflate)?;
    sleep(SETTLE);
    let before = proxy.memory_kib()?;
    let sessions = open(&target, arguments.sessions, deflate)?;
    sleep(SETTLE);
    let after = proxy.memory_kib()?;
    drop((warm_up, sessions));
    Ok((after as f64 - before as f64) / arguments.sessions as f64)
}

/// Sessions in which one message was said and heard.
pub fn open(target: &Target, count: usize, deflate: bool) -> Outcome<Vec<Session>> {
    // "Hello", and as RFC 7692 §7.2.3.1 compresses it.
    let (first, payload): (_, &[u8]) =
        if deflate { (COMPRESSED_TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00") } else { (TEXT, b"Hello") };
    let session = || {
        let mut session = Session::open(target, deflate)?;
        session.exchange(first, payload)?;
        Ok(session)
    };
    (0..count).map(|_| session()).collect()
}

impl Case {
    fn config(&self, plugins: &Path, backend: u16) -> Outcome<String> {
        let mut config = String::from("[[listener]]\naddress = \"127.0.0.1:0\"\n");
        if let Some(Plugin { file, settings, isolation }) = &self.plugin {
            let file = plugins.join(file).canonicalize().map_err(|error| format!("{file}: {error}"))?;
            write!(
                config,
                "[[plugin]]\nname = \"plugin\"\nfile = {file:?}\nsettings = {settings}\nisolation = \"{isolation}\"\n"
            )?;
        }
        write!(config, "[[upstream]]\nname = \"backend\"\nservers = [\"127.0.0.1:{backend}\"]\n")?;
        let plugins = if self.plugin.is_some() { "[\"plugin\"]" } else { "[]" };
        write!(config, "[[route]]\nupstream = \"backend\"\nplugins = {plugins}\n")?;
        Ok(config)
    }
}
