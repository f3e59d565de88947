//! `sluicegate-talk`: says things over a WebSocket and prints what comes back, for the examples' commands.
//!
//! Lines begin with `>` for what is sent, `<` for what is received, `-` for what becomes of the connection. Close codes
//! that tungstenite does not know, 1014 (bad gateway) among them, show as 1002 "Protocol violation".

use std::fmt;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use http::header::{HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// For the peer's close frame after ours.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Sink = SplitSink<Socket, Message>;

/// Says each TEXT over a WebSocket and prints what comes back.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Such as ws://127.0.0.1:8080/ws?room=lobby
    url: String,
    /// Sent as text messages, one after the other.
    text: Vec<String>,
    /// The page this claims to be from (RFC 6454), as browsers say it.
    #[arg(long)]
    origin: Option<HeaderValue>,
    /// Subprotocols to offer, separated by commas.
    #[arg(long)]
    protocol: Option<HeaderValue>,
    /// Say all of it this many times.
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Send a binary message of this size as well.
    #[arg(long, value_name = "BYTES")]
    binary: Option<usize>,
    /// Open this many connections, and talk over the last.
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Leave when nothing has come for so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    wait: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut sockets = Vec::new();
    for number in 1..=arguments.connections {
        match connect(&arguments).await {
            Ok(socket) => sockets.push(socket),
            Err(error) => tell(format_args!("- connection {number} refused: {}", reason(&error))),
        }
    }
    if arguments.connections > 1 {
        tell(format_args!("- {} of {} connections open", sockets.len(), arguments.connections));
    }
    // The others stay open meanwhile.
    let Some(socket) = sockets.pop() else {
        return ExitCode::FAILURE;
    };
    let outcome = talk(socket, &arguments).await;
    for other in sockets {
        // Only not to be gone without a word.
        let _ = close(other, |_| ()).await;
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("- lost: {}", reason(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn connect(arguments: &Arguments) -> Result<Socket, Error> {
    let mut request = arguments.url.as_str().into_client_request()?;
    let lines = [(ORIGIN, &arguments.origin), (SEC_WEBSOCKET_PROTOCOL, &arguments.protocol)];
    for (name, value) in lines {
        if let Some(value) = value {
            request.headers_mut().insert(name, value.clone());
        }
    }
    let (socket, _) = connect_async(request).await?;
    Ok(socket)
}

/// Listens while it sends everything and until it has been quiet for a while, then closes.
async fn talk(socket: Socket, arguments: &Arguments) -> Result<(), Error> {
    let quiet = Duration::from_secs(arguments.wait);
    let (sink, mut stream) = socket.split();
    let mut saying = pin!(say(sink, arguments));
    let mut silent = None;
    loop {
        tokio::select! {
            sink = &mut saying, if silent.is_none() => silent = Some(sink),
            message = stream.next() => match message {
                Some(message) => print(&message?),
                None => return Ok(()),
            },
            () = sleep(quiet), if silent.is_some() => break,
        }
    }
    tell(format_args!("> close"));
    match silent.and_then(|sink| sink.reunite(stream).ok()) {
        Some(socket) => close(socket, print).await,
        None => Ok(()),
    }
}

/// Where this fails, what the other side says before it hangs up explains more.
async fn say(mut sink: Sink, arguments: &Arguments) -> Sink {
    for _ in 0..arguments.repeat {
        for text in &arguments.text {
            tell(format_args!("> {text}"));
            let _ = sink.feed(Message::text(text)).await;
        }
    }
    if let Some(bytes) = arguments.binary {
        tell(format_args!("> binary, {bytes} bytes"));
        let _ = sink.feed(Message::Binary(Bytes::from(vec![0; bytes]))).await;
    }
    let _ = sink.flush().await;
    sink
}

async fn close(mut socket: Socket, heard: fn(&Message)) -> Result<(), Error> {
    socket.close(None).await?;
    while let Ok(Some(message)) = timeout(CLOSE_TIMEOUT, socket.next()).await {
        heard(&message?);
    }
    Ok(())
}

fn print(message: &Message) {
    match message {
        Message::Text(text) => tell(format_args!("< {text}")),
        Message::Binary(bytes) => tell(format_args!("< binary, {} bytes", bytes.len())),
        Message::Ping(_) => tell(format_args!("< ping")),
        Message::Pong(_) => tell(format_args!("< pong")),
        Message::Close(Some(frame)) => {
            tell(format_args!("< close {} {}", u16::from(frame.code), frame.reason))
        }
        Message::Close(None) => tell(format_args!("< close without code")),
        Message::Frame(_) => {}
    }
}

/// Whoever reads this may have read enough, as `head` does: no reason to break off.
fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// What the other side says, or else what went wrong here.
fn reason(error: &Error) -> String {
    let Error::Http(response) = error else {
        return error.to_string();
    };
    let body = response.body().as_deref().unwrap_or_default();
    format!("{} {}", response.status(), String::from_utf8_lossy(body).trim())
}
