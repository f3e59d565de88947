//! One HTTP/2 connection to a server (RFC 9113), and one request on a stream of it.
//!
//! By the `h2` crate alone, as with clients: see [`crate::http2`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{FlowControl, Ping, PingPong, Reason, RecvStream};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TE};
use http::request::Parts;
use http::uri::Authority;
use http::{Request, StatusCode, Uri, Version};
use http_body::Body as _;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::multiplex::Group;
use super::{Origin, Serving, http1};
use crate::config::Timeouts;
use crate::guard::Deadline;
use crate::headers::{has_token, remove_hop_by_hop};
use crate::http2::{Unsent, send_body};
use crate::leg::Leg;
use crate::lend::Loan;
use crate::stall::Stall;

/// Requests that one connection has at a time, where its server allows as many. All of them wait for each lost packet.
const STREAMS_MAX: usize = 128;
/// What a server may send of one answer before a client has read it: enough for a gigabit per second at a millisecond's
/// distance, which servers behind a proxy seldom exceed; and all that a client that reads nothing costs in memory.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// So much for each stream, so that answers nobody reads hold up no other on the same connection.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * (STREAMS_MAX as u32 + 1);
/// What waits in memory to be written, by stream.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// The head of an answer, as HPACK counts it: as much as a client's request may have.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// Streams that clients gave up, and for how long it is known that what still comes for them is no error: each frame for one
/// that is forgotten counts as one. They share the connection with others, whose it is as well.
const RESETS_MAX: usize = 4_096;
const RESET_TIME: Duration = Duration::from_secs(30);
/// Errors of a server in one connection's life, for what is forgotten nevertheless.
const ERRORS_MAX: usize = 65_536;
/// How long the end of an answer may come after the last of it.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection has to answer a PING once a server's silence has made it suspect.
const PONG_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("{0}")]
    Http1(#[from] http1::Failure),
    #[error("HTTP/2: {0}")]
    Http2(#[from] h2::Error),
    #[error("it took nothing of the request for longer than the send timeout")]
    Stalled,
}

/// A connection as those have it who use it; it ends when nobody does, and nothing is in flight.
pub struct Connection {
    sender: SendRequest<Bytes>,
    state: Rc<State>,
    /// Requests in flight.
    streams: Cell<usize>,
    /// How many were ever begun.
    requests: Cell<u32>,
    /// Since when nothing is in flight.
    idle_since: Cell<Instant>,
    /// Answers that are all there but for the word that this is all, so that they are not given up before it comes: to
    /// their server each would be a reset, of which it may take only so many.
    ending: RefCell<VecDeque<(Instant, FlowControl)>>,
}

/// What a connection's users and its driver have in common.
#[derive(Default)]
struct State {
    has_ended: Cell<bool>,
    /// A server was silent on it; it takes no new requests until it has answered a PING.
    is_suspect: Cell<bool>,
    driver: AtomicWaker,
}

/// What moves a connection's bytes, for as long as it lives.
pub struct Driver {
    connection: h2::client::Connection<Stall<Leg>, Bytes>,
    state: Rc<State>,
    pings: Option<PingPong>,
    /// A PING is under way.
    is_pinged: bool,
    deadline: Deadline,
}

/// The right to one stream of a connection.
pub struct Lane {
    connection: Rc<Connection>,
    group: Rc<Group>,
    /// Nothing was in flight, and something had been: its server may just have closed it.
    pub was_idle: bool,
    /// The answer is there, and the rest of the request is still to go.
    serving: Cell<Option<Serving>>,
}

/// A request that was sent, for as long as its answer lasts. Dropped before it has ended, it is given up.
pub struct Streaming {
    lane: Rc<Lane>,
    /// What sends the body; none: there is none.
    sending: Option<AbortHandle>,
    /// Holds the stream, once there is an answer.
    held: Option<FlowControl>,
    unsent: Rc<Cell<Option<Unsent>>>,
}

/// Open a connection over `leg`. Its server has spoken HTTP/2 by then: it is known how many streams it takes, and no
/// request goes to one that does not.
pub async fn open(leg: Leg) -> io::Result<(Connection, Driver)> {
    let io = Stall::new(leg, Rc::new(Cell::new(Timeouts::default().send)));
    let (sender, mut connection) = settings().handshake(io).await.map_err(no_http2)?;
    let spoken = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(ended.and(Err(Reason::NO_ERROR.into())).map_err(no_http2)),
        // None, until its SETTINGS say how many.
        Poll::Pending if sender.current_max_send_streams() == 0 => Poll::Pending,
        Poll::Pending => Poll::Ready(Ok(())),
    });
    spoken.await?;
    let pings = connection.ping_pong();
    let state = Rc::new(State::default());
    let (driver_state, deadline) = (Rc::clone(&state), Deadline::default());
    let driver = Driver { connection, state: driver_state, pings, is_pinged: false, deadline };
    let connection = Connection {
        sender,
        state,
        streams: Cell::new(0),
        requests: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        ending: RefCell::default(),
    };
    Ok((connection, driver))
}

fn settings() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_concurrent_reset_streams(RESETS_MAX)
        .reset_stream_duration(RESET_TIME)
        .max_local_error_reset_streams(Some(ERRORS_MAX))
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX);
    builder
}

fn no_http2(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("server does not speak HTTP/2: {error}"))
}

// === impl NoAnswer ===

impl NoAnswer {
    /// Whether the connection was lost, which can happen to any, or the request was, for no fault of what was said.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Http1(failure) => matches!(failure, http1::Failure::Io(_) | http1::Failure::Closed),
            Self::Http2(error) => error.is_remote() || error.is_io() || error.is_go_away(),
            Self::Stalled => false,
        }
    }

    /// Whether the server says that it has not looked at the request (RFC 9113 §8.7). Of a GOAWAY the `h2` crate tells only
    /// the streams it leaves out.
    pub fn is_refusal(&self) -> bool {
        let Self::Http2(error) = self else { return false };
        error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
    }

    /// Whether it is this request alone that the server gave up, as some do when they fail.
    pub fn is_reset(&self) -> bool {
        matches!(self, Self::Http2(error) if error.is_remote() && error.is_reset())
    }

    /// Whether it is the connection that takes no more, and not the server.
    pub fn is_leaving(&self) -> bool {
        matches!(self, Self::Http2(error) if error.is_remote() && error.is_go_away())
    }
}

// === impl Connection ===

impl Connection {
    /// Whether it takes a request now.
    pub fn has_room(&self) -> bool {
        let streams_max = self.sender.current_max_send_streams().min(STREAMS_MAX);
        !self.state.is_suspect.get() && self.streams.get() < streams_max
    }

    /// Whether it will never take one again.
    pub fn is_leaving(&self, requests_max: u32) -> bool {
        self.state.has_ended.get() || self.requests.get() >= requests_max || is_refused(&self.sender)
    }

    /// Whether nothing is in flight, for so long.
    pub fn has_idled(&self, timeout: Duration) -> bool {
        self.streams.get() == 0 && self.idle_since.get().elapsed() >= timeout
    }

    /// Send the only request, which has no body: the status of its answer.
    pub async fn ask(self, request: Request<()>, origin: Origin) -> Result<StatusCode, NoAnswer> {
        let request = shape(request.into_parts().0, origin, None);
        let (answer, _) = self.sender.clone().send_request(request, true)?;
        Ok(answer.await?.status())
    }

    fn await_end(&self, held: FlowControl) {
        let mut ending = self.ending.borrow_mut();
        ending.push_back((Instant::now(), held));
        if ending.len() > STREAMS_MAX {
            ending.pop_front();
        }
    }

    /// Give up the answers whose end has not come for so long.
    pub fn sweep(&self) {
        let is_over = |(since, _): &(Instant, FlowControl)| since.elapsed() >= END_TIMEOUT;
        let mut ending = self.ending.borrow_mut();
        let count = ending.iter().take_while(|one| is_over(one)).count();
        ending.drain(..count);
    }

    pub fn lane(self: &Rc<Self>, group: &Rc<Group>) -> Lane {
        let was_idle = self.streams.get() == 0 && self.requests.get() > 0;
        self.streams.set(self.streams.get() + 1);
        self.requests.set(self.requests.get().saturating_add(1));
        Lane { connection: Rc::clone(self), group: Rc::clone(group), was_idle, serving: Cell::default() }
    }
}

/// Whether the peer has said GOAWAY, or is gone.
fn is_refused(sender: &SendRequest<Bytes>) -> bool {
    matches!(sender.clone().poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
}

// === impl Driver ===

impl Driver {
    /// Until the connection has ended. Whenever it may have become of more use, or of none, `tell`.
    pub async fn run(mut self, tell: impl Fn()) {
        poll_fn(|cx| {
            let ended = self.poll(cx);
            tell();
            ended
        })
        .await;
        self.state.has_ended.set(true);
        // Whatever is in flight fails before anybody looks for another connection.
        drop(self.connection);
        tell();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.driver.register(cx.waker());
        if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(%error, "HTTP/2 connection to a server ended");
            }
            return Poll::Ready(());
        }
        if self.state.is_suspect.get() { self.poll_suspicion(cx) } else { Poll::Pending }
    }

    /// Ready where the connection answers no more. A lost one would otherwise take requests for as long as they come.
    fn poll_suspicion(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = &mut self.pings else { return Poll::Pending };
        if !self.is_pinged {
            self.is_pinged = true;
            self.deadline.set(PONG_TIMEOUT);
            // Fails only where the connection has.
            drop(pings.send_ping(Ping::opaque()));
        }
        if pings.poll_pong(cx).is_ready() {
            self.is_pinged = false;
            self.state.is_suspect.set(false);
            return Poll::Pending;
        }
        ready!(self.deadline.poll(cx));
        tracing::warn!("HTTP/2 connection to a server given up, as it answers no ping");
        Poll::Ready(())
    }
}

// === impl Lane ===

impl Lane {
    /// Send a request. Its answer is what the first is ready with; the second is to be kept for as long.
    ///
    /// `send_timeout`: for how long the server may take nothing of the body.
    pub fn send(
        self,
        request: Request<Loan>,
        origin: Origin,
        send_timeout: Duration,
    ) -> Result<(ResponseFuture, Streaming), NoAnswer> {
        let (head, body) = request.into_parts();
        let is_whole = body.is_end_stream();
        let length = body.size_hint().exact().filter(|_| !is_whole);
        let head = shape(head, origin, length);
        let (answer, mut stream) = self.connection.sender.clone().send_request(head, is_whole)?;
        let (lane, unsent) = (Rc::new(self), Rc::new(Cell::new(None)));
        let mut streaming = Streaming { lane, sending: None, held: None, unsent };
        if !is_whole {
            let (lane, unsent) = (Rc::clone(&streaming.lane), Rc::clone(&streaming.unsent));
            let sending = tokio::task::spawn_local(async move {
                if let Err(error) = send_body(&mut stream, body, send_timeout).await {
                    unsent.set(Some(error));
                    stream.send_reset(Reason::CANCEL);
                }
                drop(lane);
            });
            streaming.sending = Some(sending.abort_handle());
        }
        Ok((answer, streaming))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let streams = &self.connection.streams;
        streams.set(streams.get().saturating_sub(1));
        self.connection.idle_since.set(Instant::now());
        self.group.tell();
    }
}

/// The request as HTTP/2 has it: `:authority` in place of Host (the server's own where that is none, as of HTTP/1.0), and nothing of a connection (RFC 9113 §8.2.2, §8.3.1).
fn shape(mut head: Parts, origin: Origin, length: Option<u64>) -> Request<()> {
    let trailers = has_token(&head.headers, &TE, "trailers");
    remove_hop_by_hop(&mut head.headers);
    if trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(length) = length {
        head.headers.entry(CONTENT_LENGTH).or_insert(length.into());
    }
    let authority = |host: &HeaderValue| Authority::try_from(host.as_bytes()).ok().filter(has_no_user);
    let authority = head.headers.get(HOST).and_then(authority).or_else(|| authority(&origin.host));
    let mut uri = std::mem::take(&mut head.uri).into_parts();
    let mut request = Request::new(());
    head.headers.remove(HOST);
    *request.version_mut() = Version::HTTP_2;
    (uri.scheme, uri.authority) = (Some(origin.scheme), authority);
    *request.method_mut() = head.method;
    // Its parts were one before, but for the first two, which are there together or not at all.
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    *request.headers_mut() = head.headers;
    request
}

/// An authority may not name one here (RFC 9113 §8.3.1).
fn has_no_user(authority: &Authority) -> bool {
    !authority.as_str().contains('@')
}

// === impl Streaming ===

impl Streaming {
    /// Why there is no answer, where there is none for `error`.
    pub fn why(&self, error: h2::Error) -> NoAnswer {
        match self.unsent.get() {
            Some(Unsent::Stalled) => NoAnswer::Stalled,
            _ => NoAnswer::Http2(error),
        }
    }

    /// The server was silent for too long: it shall show that the connection is not lost.
    pub fn suspect(&self) {
        let state = &self.lane.connection.state;
        state.is_suspect.set(true);
        state.driver.wake();
    }

    /// The answer's body begins to come.
    pub fn hold(&mut self, body: &mut RecvStream) {
        self.held = (!body.is_end_stream()).then(|| body.flow_control().clone());
    }

    /// The answer has ended as it should; the rest of the request goes on.
    pub fn ended(mut self, serving: Serving) {
        self.sending = None;
        self.lane.serving.set(Some(serving));
    }

    /// All of the answer is there, but for the word that it is all.
    pub fn complete(mut self, serving: Serving) {
        if let Some(held) = self.held.take() {
            self.lane.connection.await_end(held);
        }
        self.ended(serving);
    }
}

impl Drop for Streaming {
    /// Once nobody has a part of the stream any more, it is reset.
    fn drop(&mut self) {
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Scheme;

    use super::*;

    fn shaped(request: http::request::Builder, length: Option<u64>) -> Request<()> {
        let origin = Origin { scheme: Scheme::HTTPS, host: HeaderValue::from_static("192.0.2.1:443") };
        shape(request.body(()).unwrap().into_parts().0, origin, length)
    }

    #[test]
    fn rfc9113_8_3_1_the_host_is_the_authority() {
        let request = Request::get("/a?b").header("host", "a.example:81").header("connection", "x-hop");
        let request = request.header("x-hop", "1").header("te", "trailers").header("x-end", "2");
        let request = shaped(request, Some(3));
        assert_eq!(request.uri(), "https://a.example:81/a?b");
        assert_eq!(request.version(), Version::HTTP_2);
        let mut names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "te", "x-end"]);
        assert_eq!(shaped(Request::options("*").header("host", "a"), None).uri().path(), "*");
    }

    #[test]
    fn without_an_authority_it_is_the_servers_own() {
        for host in ["", "a b", "user@a.example"] {
            let request = shaped(Request::get("/a").header("host", host), None);
            assert_eq!(request.uri(), "https://192.0.2.1:443/a", "{host}");
            assert!(request.headers().is_empty(), "{host}");
        }
    }
}
