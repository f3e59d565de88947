//! How many instructions a proxy needs for an operation, by callgrind. The kernel's are not among them; what is left hardly
//! differs from run to run, on a machine that others use, too.

use std::process::Command;
use std::time::Duration;

use clap::Args;

use super::column::{CPU_US, Column};
use super::contender::Contender;
use super::lab::{self, Lab};
use super::{column, contender};
use crate::Outcome;
use crate::process::Place;

/// So much slower than in the comparison is the load, as the proxy is.
const SLOWER: u32 = 25;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Columns of `compare`
    #[arg(default_values = ["message-128", "message-128-tls", "handshake", "request"])]
    columns: Vec<String>,
    /// Of their contenders; plugins do not run under callgrind
    #[arg(long, value_delimiter = ',', default_values = ["nginx", "sluicegate"])]
    contenders: Vec<String>,
    #[command(flatten)]
    lab: lab::Arguments,
}

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let mut lab = Lab::new(&arguments.lab)?;
    lab.slower = SLOWER;
    println!("| column | contender | instructions |\n|---|---|---|");
    for column in &arguments.columns {
        let column = column::find(column)?;
        for contender in &arguments.contenders {
            let contender = contender::find(contender)?.under_callgrind();
            let count = measure(&lab, &column, &contender)?;
            println!("| {} | {} | {count:.0} |", column.name, contender.name);
        }
    }
    Ok(())
}

/// For each operation.
fn measure(lab: &Lab, column: &Column, contender: &Contender) -> Outcome<f64> {
    let proxy = lab.start(contender, 1, Place::Own)?;
    let reading = column.measure(lab, contender, &proxy)?;
    let used = reading.values.iter().find(|(metric, _)| *metric == CPU_US);
    let (_, used) = used.ok_or_else(|| format!("{} measures no time", column.name))?;
    Ok(used * 1e3)
}

/// `command` under callgrind.
pub fn wrap(command: &Command) -> Command {
    let mut wrapped = Command::new("valgrind");
    wrapped.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(command.get_program());
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    wrapped
}

/// What processes under callgrind have needed until now; a nanosecond stands for each instruction.
pub fn used(processes: &[u32]) -> Outcome<Duration> {
    let ids = processes.iter().map(u32::to_string);
    let output = Command::new("callgrind_control").arg("-e").args(ids).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let threads = said.lines().filter_map(|line| line.trim().strip_prefix("Th "));
    let counts =
        threads.filter_map(|line| line.split_whitespace().nth(1)?.replace(',', "").parse::<u64>().ok());
    match counts.sum() {
        0 => Err(format!("callgrind_control (valgrind) has counted nothing: {said}").into()),
        count => Ok(Duration::from_nanos(count)),
    }
}
