//! Where a proxy's time goes under a column's load.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::lab::{self, Lab};
use super::{column, contender};
use crate::Outcome;
use crate::process::Place;

/// Samples in a second: a prime number, so that nothing periodic hides.
const FREQUENCY: &str = "1999";
/// For perf to attach.
const SETTLE: Duration = Duration::from_millis(300);
/// Symbols with less of the time are left out.
const PERCENT_MIN: &str = "0.5";

#[derive(Debug, Args)]
pub struct Arguments {
    /// A column of `compare`
    #[arg(default_value = "message-128")]
    column: String,
    /// One of its contenders
    #[arg(default_value = "sluicegate")]
    contender: String,
    #[command(flatten)]
    lab: lab::Arguments,
}

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let column = column::find(&arguments.column)?;
    let contender = contender::find(&arguments.contender)?;

    let lab = Lab::new(&arguments.lab)?;
    fs::create_dir_all(&arguments.lab.output)?;
    let file = arguments.lab.output.join(format!("{}-{}.perf", column.name, contender.name));
    let proxy = lab.start(&contender, 1, Place::Own)?;
    let perf = record(proxy.id(), &file)?;
    let reading = column.measure(&lab, &contender, &proxy)?;
    end(perf)?;
    for (metric, value) in &reading.values {
        println!("{metric}: {value:.2}");
    }
    report(&file)
}

/// With call chains, which `perf report -i FILE` can be asked for. Where the processor has no counters, perf takes a clock.
fn record(id: u32, file: &Path) -> Outcome<Child> {
    let mut command = Command::new("perf");
    command.args(["record", "-q", "-g", "-F", FREQUENCY, "-p", &id.to_string(), "-o"]).arg(file);
    let perf =
        command.stdout(Stdio::null()).spawn().map_err(|error| format!("perf (linux-perf): {error}"))?;
    sleep(SETTLE);
    Ok(perf)
}

/// An interrupt lets it write what it has.
fn end(mut perf: Child) -> Outcome<()> {
    let id = Pid::from_raw(i32::try_from(perf.id())?).ok_or("perf has no identifier")?;
    kill_process(id, Signal::INT)?;
    perf.wait()?;
    Ok(())
}

fn report(file: &Path) -> Outcome<()> {
    let mut command = Command::new("perf");
    command.args(["report", "--stdio", "--no-children", "-g", "none", "--percent-limit", PERCENT_MIN]);
    let output =
        command.args(["-F", "overhead,dso,symbol", "-i"]).arg(file).stderr(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    for line in said.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        println!("{}", line.trim_end());
    }
    println!("\n{}", file.display());
    Ok(())
}
