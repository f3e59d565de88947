//! One member's WebSocket, from the handshake to the close frame.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::{HeaderName, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, Request, Response};
use tokio::io::{AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::http1::{Head, X_BACKEND, head_text, query};
use crate::message::{Command, Event, Said, to_name};
use crate::room::{Inbox, Seat};
use crate::{Chat, SEND_TIMEOUT};

/// The one subprotocol (RFC 6455 §1.9) there is; a client need not offer any.
const SUBPROTOCOL: &str = "chat.v1";
const ROOM: &str = "lobby";
/// A message that goes back to its sender only. Then close code 1009.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A text, as it waits for each member of the room. Then close code 1009.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// For the peer's close frame after ours.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a session ends.
enum End {
    /// The peer closed, or is gone.
    Peer,
    /// The server closes, with this code and reason.
    Server(CloseCode, &'static str),
}

pub(crate) fn is_handshake(request: &Request<()>) -> bool {
    has_token(request, &UPGRADE, |protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// The 101 for this handshake, or what is wrong with it (RFC 6455 §4.2).
pub(crate) fn accept(request: &Request<()>, server: &str) -> Result<Response<()>, Error> {
    let mut response = create_response(request)?;
    if has_token(request, &SEC_WEBSOCKET_PROTOCOL, |protocol| protocol == SUBPROTOCOL) {
        insert(&mut response, SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    }
    insert(&mut response, X_BACKEND, server);
    Ok(response)
}

pub(crate) async fn run(
    chat: &Chat,
    mut stream: TcpStream,
    head: Head,
    response: Response<()>,
) -> io::Result<()> {
    stream.write_all(format!("{}\r\n", head_text(&response)).as_bytes()).await?;
    let limits = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut socket =
        WebSocketStream::from_partially_read(stream, head.rest, Role::Server, Some(limits)).await;

    let room = query(&head.request, "room").and_then(|room| to_name(&room));
    let name = query(&head.request, "name").and_then(|name| to_name(&name));
    let (mut seat, mut inbox) = chat.rooms.join(room.unwrap_or_else(|| ROOM.to_owned()), name);
    let end = talk(chat, &mut socket, &mut seat, &mut inbox).await;
    drop(seat);
    if let End::Server(code, reason) = end {
        close(socket, CloseFrame { code, reason: reason.into() }).await;
    }
    Ok(())
}

async fn talk(
    chat: &Chat,
    socket: &mut WebSocketStream<TcpStream>,
    seat: &mut Seat<'_>,
    inbox: &mut Inbox,
) -> End {
    let welcome = Event::Welcome { server: &chat.name, room: seat.room(), from: seat.name() };
    if send(socket, Message::Text(welcome.to_text())).await.is_err() {
        return End::Peer;
    }
    seat.say(&Event::Joined { from: seat.name() });
    loop {
        let outcome = tokio::select! {
            // What waits goes out before more is heard: who speaks faster than it reads is slowed down by itself.
            biased;
            text = inbox.recv() => match text {
                Some(text) => send(socket, Message::Text(text)).await,
                None => Err(End::Server(CloseCode::Policy, "reads too slowly")),
            },
            message = socket.next() => match message {
                Some(Ok(message)) => hear(chat, socket, seat, message).await,
                Some(Err(error)) => Err(end_of(&error)),
                None => Err(End::Peer),
            },
        };
        if let Err(end) = outcome {
            return end;
        }
    }
}

async fn hear(
    chat: &Chat,
    socket: &mut WebSocketStream<TcpStream>,
    seat: &mut Seat<'_>,
    message: Message,
) -> Result<(), End> {
    let text = match message {
        Message::Text(text) if text.len() > TEXT_BYTES_MAX => {
            return Err(End::Server(CloseCode::Size, "a text has at most 64 KiB"));
        }
        Message::Text(text) => text,
        Message::Binary(_) => return send(socket, message).await,
        // tungstenite answers pings and close frames by itself.
        _ => return Ok(()),
    };
    let said = Said::parse(&text);
    if let Some(name) = said.from.and_then(|name| to_name(&name)) {
        seat.rename(name);
    }
    match Command::parse(&said.text) {
        None => seat.say(&Event::Message { from: seat.name(), text: &said.text }),
        Some(Command::Who) => {
            let who = Event::Who { server: &chat.name, members: seat.members() };
            send(socket, Message::Text(who.to_text())).await?;
        }
        Some(Command::Close(code)) => return Err(End::Server(code.into(), "as you asked")),
    }
    Ok(())
}

async fn send(socket: &mut WebSocketStream<TcpStream>, message: Message) -> Result<(), End> {
    match timeout(SEND_TIMEOUT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(End::Peer),
    }
}

/// Our close frame, then the peer's (RFC 6455 §7.1.2). What it still says in between goes unheard but not unread: that
/// would reset the connection, and the reset can overtake the close frame (RFC 6455 §7.1.1).
async fn close(mut socket: WebSocketStream<TcpStream>, frame: CloseFrame) {
    let _ = timeout(CLOSE_TIMEOUT, async {
        socket.close(Some(frame)).await.map_err(io::Error::other)?;
        while let Some(Ok(_)) = socket.next().await {}
        let mut stream = socket.into_inner();
        stream.shutdown().await?;
        copy(&mut stream, &mut sink()).await
    })
    .await;
}

fn end_of(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::Server(CloseCode::Size, "a message has at most 16 MiB"),
        Error::Protocol(_) => End::Server(CloseCode::Protocol, ""),
        Error::Utf8(_) => End::Server(CloseCode::Invalid, ""),
        _ => End::Peer,
    }
}

/// Whether any member of a list-valued field (RFC 9110 §5.6.1) is meant.
fn has_token(request: &Request<()>, name: &HeaderName, is_meant: fn(&str) -> bool) -> bool {
    let lines = request.headers().get_all(name).iter();
    let mut tokens = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    tokens.any(|token| is_meant(token.trim()))
}

fn insert(response: &mut Response<()>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
