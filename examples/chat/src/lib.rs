//! The backend of the examples: a chat whose rooms live in this process's memory.
//!
//! One address serves both kinds of exchange, as most applications behind a proxy do. A request with a WebSocket
//! handshake (RFC 6455 §4) joins a room, on any path: `?room=lobby&name=Ann`. Any other request is plain HTTP: `/`
//! is the page, `/health` says 200, `/headers` shows the request as it arrived, `/wait?ms=500` answers that late.
//!
//! A member sends plain text or `{"from": "Ann", "text": "hello"}`; what comes back is an [`Event`](message::Event).
//! Binary messages go back to their sender as they came. TLS, origins and rates are the proxy's business.

mod http1;
mod message;
mod room;
mod session;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::http1::{Head, HeadError};
use crate::room::Rooms;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4_096;
/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For a whole request head, then 408.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// For a peer to take what is sent to it. Then the connection is dropped.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What the connections share.
struct Chat {
    /// Of this server, so that clients see which of several they reached.
    name: String,
    rooms: Rooms,
}

/// Serves `listener` for as long as the future is kept; its connections end with it.
pub async fn serve(listener: TcpListener, name: &str) -> Infallible {
    let chat = Arc::new(Chat { name: name.to_owned(), rooms: Rooms::default() });
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: some come back when others leave.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let chat = Arc::clone(&chat);
        // A peer that went away is nothing to tell anybody.
        connections.spawn(async move { drop(serve_connection(&chat, stream).await) });
    }
}

/// One request: the server closes after each answer, as its page is the only thing a browser asks for.
async fn serve_connection(chat: &Chat, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match timeout(HEAD_TIMEOUT, http1::read_head(&mut stream)).await {
        Ok(Ok(head)) => serve_request(chat, stream, head).await,
        Ok(Err(HeadError::Io(error))) => Err(error),
        Ok(Err(HeadError::TooLarge)) => {
            refuse(chat, stream, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).await
        }
        Ok(Err(HeadError::Malformed)) => refuse(chat, stream, StatusCode::BAD_REQUEST).await,
        Err(_) => refuse(chat, stream, StatusCode::REQUEST_TIMEOUT).await,
    }
}

async fn serve_request(chat: &Chat, stream: TcpStream, head: Head) -> io::Result<()> {
    if !session::is_handshake(&head.request) {
        return http1::send(stream, &http1::answer(&head, &chat.name).await).await;
    }
    match session::accept(&head.request, &chat.name) {
        Ok(response) => session::run(chat, stream, head, response).await,
        Err(_) => refuse(chat, stream, StatusCode::BAD_REQUEST).await,
    }
}

async fn refuse(chat: &Chat, stream: TcpStream, status: StatusCode) -> io::Result<()> {
    http1::send(stream, &http1::status_only(status, &chat.name)).await
}
