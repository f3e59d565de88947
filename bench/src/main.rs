//! Measures the proxy binary from outside, with clients and a backend of its own. What is printed is what was measured on
//! this machine in this run.

mod backend;
mod idle;
mod process;
mod wire;

use std::error::Error;

use clap::{Parser, Subcommand};
use tokio::runtime::LocalRuntime;

/// Measures the proxy binary
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What an idle session costs in memory, relayed and inspected, with and without permessage-deflate
    Idle(idle::Arguments),
    /// The WebSocket server behind the proxy: says its port, echoes, ends with its input
    #[command(hide = true)]
    Backend,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    process::raise_descriptor_limit();
    LocalRuntime::new()?.block_on(async {
        match Arguments::parse().command {
            Command::Idle(arguments) => idle::run(arguments).await,
            Command::Backend => backend::run().await,
        }
    })
}
