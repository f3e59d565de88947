//! Proxies that do nothing but forward bytes: what no other can be below, and what a simple one costs.

mod copy;
mod epoll;
mod uring;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::Outcome;

#[derive(Debug, Args)]
pub struct Arguments {
    #[arg(value_enum)]
    means: Means,
    /// Listened on
    port: u16,
    /// Listened on for TLS, where the means has it
    tls_port: u16,
    /// Forwarded to
    backend: u16,
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Means {
    /// tokio's `copy_bidirectional`, and tokio-rustls
    Copy,
    /// Non-blocking sockets, level-triggered, one buffer for all; no TLS
    Epoll,
    /// The same with io_uring; no TLS
    Uring,
}

pub fn run(arguments: &Arguments) -> Outcome<()> {
    match arguments.means {
        Means::Copy => copy::run(arguments),
        Means::Epoll => epoll::run(arguments.port, arguments.backend),
        Means::Uring => uring::run(arguments.port, arguments.backend),
    }
}
