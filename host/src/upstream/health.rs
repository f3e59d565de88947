//! Asking servers for their health.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Channel, ConnectError, NoAnswer, Origin, Outgoing, Server, http2};
use crate::config::{self, Health, HttpVersion, Probe};
use crate::leg::Leg;
use crate::lend::Loan;
use crate::proxy_protocol;

const CHECKER: HeaderValue = HeaderValue::from_static("sluicegate-health-check");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// What a server must send back.
const PING: Bytes = Bytes::from_static(b"sluicegate");
/// Messages that a server sends by itself; no more of them than this is held.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What was wrong with a server.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("no answer within the check's timeout")]
    TimedOut,
    #[error("{0}")]
    NoHttp2(#[from] std::io::Error),
    #[error("no answer: {0}")]
    Http(#[from] NoAnswer),
    #[error("answered with status {found} instead of {expected}")]
    Status { found: StatusCode, expected: StatusCode },
    #[error("no address to ask: {0}")]
    Address(#[from] http::Error),
    #[error("websocket: {0}")]
    WebSocket(Box<tungstenite::Error>),
    #[error("websocket ended before its ping was answered")]
    NoPong,
    #[error("websocket ended without answering its close")]
    NoClose,
}

/// How often in a row checks have found the opposite of what is believed.
#[derive(Debug, Default)]
struct Streak(u32);

/// Ask `server` again and again, and let the pool know what comes of it.
pub async fn check(server: &Server, upstream: &config::Upstream, health: &Health) {
    // Nobody's but the proxy's own.
    let preamble = upstream.proxy_protocol.map(proxy_protocol::local).unwrap_or_default();
    let mut ticks = interval(health.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::default();
    loop {
        ticks.tick().await;
        let found = timeout(health.timeout, probe(server, preamble, upstream.http_version, health)).await;
        let found = found.unwrap_or(Err(CheckError::TimedOut));
        if !streak.turns(server.is_up(), found.is_ok(), health) {
            continue;
        }
        server.set_up(found.is_ok());
        match found {
            Ok(()) => tracing::info!(upstream = %upstream.name, server = %server.address, "server is up"),
            Err(error) => {
                tracing::warn!(upstream = %upstream.name, server = %server.address, %error, "server is down")
            }
        }
    }
}

async fn probe(
    server: &Server,
    preamble: &[u8],
    version: HttpVersion,
    health: &Health,
) -> Result<(), CheckError> {
    let host = health.host.as_ref().unwrap_or(&server.host);
    let version = match &health.probe {
        Probe::Http { .. } => version,
        Probe::WebSocket { .. } => HttpVersion::Http1,
    };
    let leg = server.connect(preamble, version, Instant::now() + health.timeout).await?;
    match &health.probe {
        Probe::Http { path, status } => {
            let headers = [(USER_AGENT, CHECKER), (CONNECTION, CLOSE)].into_iter().collect();
            let request = Outgoing {
                method: &Method::GET,
                path_and_query: path,
                host: host.clone(),
                headers: &headers,
                instead: &[],
            };
            let found = match version {
                HttpVersion::Http1 => ask_http1(leg, &request, health.timeout).await?,
                HttpVersion::Http2 => ask_http2(leg, &request, server.origin()).await?,
            };
            if found == *status { Ok(()) } else { Err(CheckError::Status { found, expected: *status }) }
        }
        Probe::WebSocket { path } => ask_websocket(leg, host, path).await,
    }
}

async fn ask_http1(leg: Leg, request: &Outgoing<'_>, timeout: Duration) -> Result<StatusCode, CheckError> {
    let mut asked = Channel::new(leg).ask(request, Loan::none(), timeout);
    Ok(poll_fn(|cx| asked.poll_head(cx)).await.map_err(NoAnswer::from)?.status)
}

async fn ask_http2(leg: Leg, request: &Outgoing<'_>, origin: Origin) -> Result<StatusCode, CheckError> {
    let (connection, driver) = http2::open(leg).await?;
    // Ends when its request does, or is given up.
    tokio::task::spawn_local(driver.run(|| {}));
    Ok(connection.ask(request.to_request(), origin).await?)
}

/// RFC 6455: a handshake, a ping with its pong, and a close with its answer.
async fn ask_websocket(leg: Leg, host: &HeaderValue, path: &PathAndQuery) -> Result<(), CheckError> {
    let uri = Uri::builder().scheme("ws").authority(host.as_bytes()).path_and_query(path.clone()).build()?;
    let mut request = uri.into_client_request()?;
    request.headers_mut().insert(USER_AGENT, CHECKER);
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let (mut socket, _) = client_async_with_config(request, leg, Some(config)).await?;
    socket.send(Message::Ping(PING)).await?;
    loop {
        match socket.next().await.ok_or(CheckError::NoPong)?? {
            Message::Pong(answer) if answer == PING => break,
            Message::Close(_) => return Err(CheckError::NoPong),
            // It may speak first.
            _ => {}
        }
    }
    socket.close(None).await?;
    while let Some(message) = socket.next().await {
        if message?.is_close() {
            return Ok(());
        }
    }
    Err(CheckError::NoClose)
}

// === impl CheckError ===

impl From<tungstenite::Error> for CheckError {
    fn from(error: tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

// === impl Streak ===

impl Streak {
    /// Count one check; whether what is believed turns into its opposite.
    fn turns(&mut self, believed_up: bool, found_up: bool, health: &Health) -> bool {
        if found_up == believed_up {
            self.0 = 0;
            return false;
        }
        self.0 += 1;
        let enough = self.0 >= if found_up { health.rise } else { health.fall };
        if enough {
            self.0 = 0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_several_checks_in_a_row() {
        let health = Health::new(Probe::WebSocket { path: PathAndQuery::from_static("/") });
        let mut streak = Streak::default();
        let mut up = true;
        let found = "1001 000 0 1 0 11 1 0 1 00 0";
        let mut believed = String::new();
        for found in found.chars() {
            if found != ' ' && streak.turns(up, found == '1', &health) {
                up = !up;
            }
            believed.push(if found == ' ' { ' ' } else { char::from(b'0' + u8::from(up)) });
        }
        assert_eq!(believed, "1111 110 0 0 0 01 1 1 1 11 0");
    }
}
