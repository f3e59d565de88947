//! Measures the proxy binary from outside, with clients and a backend of its own, and compares it with other proxies. What is
//! printed is what was measured on this machine in this run.

mod backend;
mod compare;
mod crowd;
mod forward;
mod idle;
mod load;
mod poll;
mod process;
mod script;
mod session;
mod tls;
mod wire;

use std::error::Error;

use clap::{Parser, Subcommand};

/// Measures the proxy binary
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What messages, handshakes, requests and sessions cost, compared with other proxies
    Compare(compare::Arguments),
    /// Where a proxy spends its time under one of these loads, by `perf`
    Profile(compare::profile::Arguments),
    /// How many instructions a proxy needs under one of these loads, by callgrind
    Instructions(compare::instructions::Arguments),
    /// What an idle session costs in memory, relayed and inspected, with and without permessage-deflate
    Idle(idle::Arguments),
    /// The server behind the proxy: says its port, echoes, ends with its input
    #[command(hide = true)]
    Backend,
    /// A proxy that only forwards
    #[command(hide = true)]
    Forward(forward::Arguments),
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Of what clients and the backend send: a large message goes at once.
const SOCKET_BUFFER_BYTES: usize = 512 * 1024;

fn main() -> Outcome<()> {
    process::raise_descriptor_limit();
    match Arguments::parse().command {
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Profile(arguments) => compare::profile::run(&arguments),
        Command::Instructions(arguments) => compare::instructions::run(&arguments),
        Command::Idle(arguments) => idle::run(&arguments),
        Command::Backend => backend::run(),
        Command::Forward(arguments) => forward::run(&arguments),
    }
}
