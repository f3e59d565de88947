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
use crate::wire::{COMPRESSED_TEXT, ORIGIN, TEXT};
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
    plugins: &'static [Plugin],
    isolation: &'static str,
}

struct Plugin {
    name: &'static str,
    settings: &'static str,
}

const FORWARD: [Plugin; 1] = [Plugin { name: "test-forward", settings: "{}" }];
const REPLACE: [Plugin; 1] = [Plugin { name: "test-stamp", settings: r#"{ mark = "" }"# }];
/// The reference plugins, two of which look at messages, with limits that this load does not reach.
const FOUR: [Plugin; 4] = [
    Plugin { name: "origin-check", settings: r#"{ allow = ["@ORIGIN@"], missing = "pass" }"# },
    Plugin {
        name: "rate-limit",
        settings: r#"{ requests = { rate = "100000/s", burst = 100000 }, connections = { max = 100000 }, messages = { rate = "100000/s", burst = 100000 } }"#,
    },
    Plugin { name: "router", settings: r#"{ affinity = "query:room" }"# },
    Plugin {
        name: "message-filter",
        settings: r#"{ deny = ["(?i)\\bheck\\b", "(?i)\\bdarn[a-z]*\\b"], action = "drop" }"#,
    },
];

const CASES: [Case; 7] = [
    Case { name: "relayed", plugins: &[], isolation: "session" },
    Case {
        name: "inspected, each message forwarded, isolation = \"session\"",
        plugins: &FORWARD,
        isolation: "session",
    },
    Case {
        name: "inspected, each message forwarded, isolation = \"shared\"",
        plugins: &FORWARD,
        isolation: "shared",
    },
    Case {
        name: "inspected, each message replaced, isolation = \"session\"",
        plugins: &REPLACE,
        isolation: "session",
    },
    Case {
        name: "inspected, each message replaced, isolation = \"shared\"",
        plugins: &REPLACE,
        isolation: "shared",
    },
    Case {
        name: "the four reference plugins, isolation = \"session\"",
        plugins: &FOUR,
        isolation: "session",
    },
    Case { name: "the four reference plugins, isolation = \"shared\"", plugins: &FOUR, isolation: "shared" },
];

pub fn run(arguments: &Arguments) -> Outcome<()> {
    println!("| {} idle sessions | KiB each | with permessage-deflate |\n|---|---|---|", arguments.sessions);
    let mut failed = 0;
    for case in CASES.iter().filter(|case| case.name.contains(&arguments.only)) {
        let cells = [false, true].map(|deflate| match measure(arguments, case, deflate) {
            Ok(kib) => format!("{kib:.1}"),
            // So many instances may be more than `vm.max_map_count` allows; the other cases are worth having.
            Err(error) => {
                failed += 1;
                eprintln!("!! {}: {error}", case.name);
                "not measured".to_owned()
            }
        });
        println!("| {} | {} |", case.name, cells.join(" | "));
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of these could not be measured").into()) }
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
    fn config(&self, folder: &Path, backend: u16) -> Outcome<String> {
        let mut config = String::from("[[listener]]\naddress = \"127.0.0.1:0\"\n");
        let isolation = self.isolation;
        for Plugin { name, settings } in self.plugins {
            let file = folder.join(format!("{name}.wasm"));
            let path = file.canonicalize().map_err(|error| format!("{}: {error}", file.display()))?;
            write!(
                config,
                "[[plugin]]\nname = \"{name}\"\nfile = {path:?}\nsettings = {settings}\nisolation = \"{isolation}\"\n"
            )?;
        }
        let names: Vec<_> = self.plugins.iter().map(|plugin| plugin.name).collect();
        write!(config, "[[upstream]]\nname = \"backend\"\nservers = [\"127.0.0.1:{backend}\"]\n")?;
        write!(config, "[[route]]\nupstream = \"backend\"\nplugins = {names:?}\n")?;
        Ok(config.replace("@ORIGIN@", ORIGIN))
    }
}
