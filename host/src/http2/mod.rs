//! One HTTP/2 client connection (RFC 9113): its streams, each an exchange and, perhaps, then a session (RFC 8441).
//!
//! The `h2` crate is used without hyper's server around it: there, an answer that waits for its stream's window cannot be
//! given up, and a session costs a second task, two channels and a copy more of what it sends.

mod leg;
mod request;
mod send;
mod stream;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::{self, Builder};

pub use leg::StreamLeg;
pub use send::{Unsent, send_body};

use crate::config::{self, Timeouts};
use crate::drain::DrainWatch;
use crate::guard::http2::{Abuse, FrameGuard};
use crate::guard::{self, Deadline, Linger, lingering_close};
use crate::leg::Leg;
use crate::stall::Stall;
use crate::tls::ClientCertificate;
use crate::worker::Worker;
use stream::Stream;

/// What a client may send on a stream before it is read. All its streams together may have as much each, so that one that is
/// not read holds up no other.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// What waits in memory to be written, by stream.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Streams of one connection that are reset for what its client did: malformed requests, and more than it may have at a
/// time, as it may try before it knows how many that is.
const RESET_STREAMS_MAX: usize = 1_024;
/// How long a connection without streams may go on when the process drains: for the client to see that it is to leave.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What the streams of one connection have in common.
pub struct Client {
    pub worker: Rc<Worker>,
    pub listener: Arc<config::Listener>,
    pub peer: SocketAddr,
    /// The client as the connection shows it.
    pub address: SocketAddr,
    pub destination: SocketAddr,
    pub scheme: &'static str,
    /// See [`crate::exchange::Connection::client_certificate`].
    pub client_certificate: Option<Arc<ClientCertificate>>,
    pub limits: guard::Limits,
}

/// How a connection ended, where not by everybody's wish.
enum Ended {
    Failed(h2::Error),
    Abused(Abuse),
}

type Io<'a> = &'a FrameGuard<Stall<Leg>>;

/// A connection and what it is watched for.
struct Connection<'a> {
    client: Rc<Client>,
    guard: Io<'a>,
    drain: DrainWatch,
    draining: bool,
    /// One for the connection, one for each of its streams as long as anything of them goes on.
    open: Rc<()>,
    /// A stream has been opened.
    used: bool,
    /// Since no stream is open.
    is_idle: bool,
    deadline: Deadline,
    /// The last GOAWAY is on its way.
    is_ending: bool,
}

/// Serve a client until its connection ends, sessions and all. `early`: what was read of it while its protocol was not known.
pub async fn serve(stream: Leg, early: Bytes, client: Client) {
    let address = client.address;
    let stream = Stall::new(stream, Rc::new(Cell::new(Timeouts::default().send)));
    let guard = FrameGuard::new(stream, early, client.listener.header_timeout);
    let drain = client.worker.draining.watch();
    let connection = Connection {
        client: Rc::new(client),
        guard: &guard,
        drain,
        draining: false,
        open: Rc::new(()),
        used: false,
        is_idle: false,
        deadline: Deadline::default(),
        is_ending: false,
    };
    match Box::pin(connection.run()).await {
        Ok(()) => {}
        Err(Ended::Abused(abuse)) => tracing::warn!(client = %address, error = %abuse, "connection ended"),
        Err(Ended::Failed(error)) if is_abuse(&error) => {
            tracing::warn!(client = %address, %error, "connection ended");
        }
        Err(Ended::Failed(error)) => tracing::debug!(client = %address, %error, "connection ended"),
    }
    lingering_close(&mut guard.into_inner().into_inner(), Linger::default()).await;
}

// === impl Connection ===

impl Connection<'_> {
    async fn run(mut self) -> Result<(), Ended> {
        let mut handshake = settings(&self.client.listener).handshake(self.guard);
        let connection = poll_fn(|cx| {
            if self.poll_drain(cx) || self.poll_idle(cx).is_ready() {
                return Poll::Ready(None);
            }
            Pin::new(&mut handshake).poll(cx).map(Some)
        });
        let Some(connection) = connection.await else { return Ok(()) };
        let mut connection = connection.map_err(Ended::Failed)?;
        let ended = poll_fn(|cx| self.poll(&mut connection, cx)).await;
        match self.guard.abuse() {
            Some(abuse) => Err(Ended::Abused(abuse)),
            None => ended.map_err(Ended::Failed),
        }
    }

    fn poll(
        &mut self,
        connection: &mut server::Connection<Io<'_>, Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), h2::Error>> {
        if self.poll_drain(cx) {
            connection.graceful_shutdown();
        }
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.used = true;
                    let stream = Stream::new(Rc::clone(&self.client), Rc::clone(&self.open), respond);
                    tokio::task::spawn_local(stream.serve(request));
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if self.is_ending => return Poll::Pending,
                Poll::Pending => {}
            }
            let reason = match self.guard.abuse() {
                Some(_) => Reason::ENHANCE_YOUR_CALM,
                None => {
                    ready!(self.poll_idle(cx));
                    Reason::NO_ERROR
                }
            };
            self.is_ending = true;
            connection.abrupt_shutdown(reason);
        }
    }

    /// Whether draining begins.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> bool {
        if self.draining || self.drain.poll(cx).is_pending() {
            return false;
        }
        self.draining = true;
        // There is less time to be idle now.
        self.is_idle = false;
        true
    }

    /// Ready when the connection has had no stream for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Rc::strong_count(&self.open) > 1 {
            self.is_idle = false;
            return Poll::Pending;
        }
        if !self.is_idle {
            self.is_idle = true;
            self.deadline.set(match (self.draining, self.used) {
                (true, _) => DRAIN_TIME,
                (false, true) => self.client.listener.keep_alive_timeout,
                (false, false) => self.client.listener.header_timeout,
            });
        }
        self.deadline.poll(cx)
    }
}

fn settings(listener: &config::Listener) -> Builder {
    let streams_max = listener.http2.max_concurrent_streams;
    let mut builder = server::Builder::new();
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(streams_max)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES.saturating_mul(streams_max.saturating_add(1)))
        .max_header_list_size(u32::try_from(listener.header_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .max_local_error_reset_streams(Some(RESET_STREAMS_MAX));
    builder
}

/// The client broke the protocol or a limit, and not just off.
fn is_abuse(error: &h2::Error) -> bool {
    error.is_library() && !error.is_io()
}
