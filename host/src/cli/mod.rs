//! The command line: arguments, logging, exit codes.

mod build;
mod inspect;
mod reload;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// The environment variable that says what is logged, in tracing's words: `info`, `debug`, `sluicegate=debug`, …
const LOG_VARIABLE: &str = "SLUICEGATE_LOG";

/// A reverse proxy for WebSocket and HTTP applications, programmed with WebAssembly
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: from a configuration file, or with --listen and --upstream
    Run(RunArguments),
    /// Check a configuration: read it, and compile, instantiate and configure every plugin
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Have a running proxy read its configuration again; SIGHUP does the same
    Reload(ReloadArguments),
    /// Build and look at plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "upstream", "plugin"])]
    config: Option<PathBuf>,
    /// The address to accept clients on, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDR", required_unless_present = "config")]
    listen: Option<SocketAddr>,
    /// The servers to forward to, such as 127.0.0.1:9001,127.0.0.1:9002
    #[arg(long, value_name = "ADDR[,ADDR…]", value_delimiter = ',', required_unless_present = "config")]
    upstream: Vec<String>,
    /// A plugin without settings; may be repeated, and runs in this order
    #[arg(long, value_name = "FILE")]
    plugin: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct ReloadArguments {
    /// Check this configuration file first, and tell the process that its [server] pid-file names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell the process that holds this file
    #[arg(long, value_name = "FILE", conflicts_with = "pid")]
    pid_file: Option<PathBuf>,
    /// Tell the process with this number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Compile plugin crates to WebAssembly components in target/plugins
    Build {
        /// Folders of plugin crates [default: the current one]
        #[arg(value_name = "DIR")]
        folders: Vec<PathBuf>,
    },
    /// Tell a plugin's hooks, imports, size and digest
    Inspect {
        /// A component, or a core module that carries one
        file: PathBuf,
    },
}

/// How a command ends other than well.
#[derive(Debug)]
enum Failed {
    /// Exit code 2: the arguments or the configuration are to be changed.
    Usage(String),
    /// Exit code 1: anything else.
    Other(String),
}

/// Run the command that the process's arguments ask for.
pub fn main() -> ExitCode {
    // Prints what is wrong with the arguments, and exits with 2.
    let arguments = Arguments::parse();
    start_logging();
    let result = match arguments.command {
        Command::Run(arguments) => serve::run(arguments),
        Command::Check { config } => serve::check(&config),
        Command::Reload(arguments) => reload::run(arguments),
        Command::Plugin(PluginCommand::Build { folders }) => build::run(folders),
        Command::Plugin(PluginCommand::Inspect { file }) => inspect::run(&file),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Usage(text)) => fail(&text, 2),
        Err(Failed::Other(text)) => fail(&text, 1),
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    eprintln!("{}", text.trim_end());
    ExitCode::from(code)
}

fn start_logging() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
}
