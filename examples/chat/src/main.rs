//! `sluicegate-chat`: the chat server of the examples.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A chat backend: WebSocket rooms on any path, their page on /.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Address to serve; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// Name shown to clients, to tell several servers apart.
    #[arg(long, default_value = "one")]
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluicegate-chat: {}: {error}", arguments.listen);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> io::Result<()> {
    let listener = TcpListener::bind(arguments.listen).await?;
    println!("chat server {:?} listens on {}", arguments.name, listener.local_addr()?);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        never = sluicegate_chat::serve(listener, &arguments.name) => match never {},
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
