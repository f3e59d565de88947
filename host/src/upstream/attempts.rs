//! The servers of an upstream, one after another, until one answers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{Channel, Choice, ConnectError, Idle, Lane, Picked, Server, Serving, Shared, Upstream, shares};
use crate::config::HttpVersion;
use crate::leg::Leg;

/// What one request has tried so far.
pub struct Attempts<'a> {
    upstream: &'a Upstream,
    choice: Choice,
    /// What a connection begins with; where that is anything, none that idled will do.
    preamble: Vec<u8>,
    tried: Vec<usize>,
    /// A server that is to be tried once more.
    again: Option<(&'a Arc<Server>, Serving)>,
    /// A connection to the last server was lost that had idled: that is no excuse for the next.
    is_excused: bool,
    /// What is left of the route's `connect`.
    connect_left: Duration,
    /// How often it was sent.
    sent: u32,
    /// When it was sent first.
    since: Option<Instant>,
}

/// A server that can be sent a request.
pub struct Connected<'a, L = Link> {
    pub server: &'a Arc<Server>,
    pub serving: Serving,
    pub link: L,
}

/// What a request is sent over.
pub enum Link {
    Fresh(Leg),
    /// One that idled, and may be closed at the other end.
    Kept(Channel),
    /// A stream of a connection that others use, too.
    Shared(Lane),
}

// === impl Link ===

impl Link {
    /// Whether its server may just have closed it for want of use.
    pub fn was_idle(&self) -> bool {
        match self {
            Self::Fresh(_) => false,
            Self::Kept(_) => true,
            Self::Shared(lane) => lane.was_idle,
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// Begin with a request; connecting may take `connect` in all, and each connection begins with `preamble`.
    pub fn attempts(&self, choice: Choice, connect: Duration, preamble: Vec<u8>) -> Attempts<'_> {
        Attempts {
            upstream: self,
            choice,
            preamble,
            tried: Vec::new(),
            again: None,
            is_excused: false,
            connect_left: connect,
            sent: 0,
            since: None,
        }
    }
}

// === impl Attempts ===

impl<'a> Attempts<'a> {
    /// The next server with a connection to it, and where it takes none, those after it.
    pub async fn next(&mut self, idle: &Idle, shared: &Rc<Shared>) -> Result<Connected<'a>, ConnectError> {
        let config = &self.upstream.config;
        match config.http_version {
            HttpVersion::Http1 => {
                let fresh = async |server: &Arc<Server>, preamble: &[u8], until| {
                    server.connect(preamble, HttpVersion::Http1, until).await.map(Link::Fresh)
                };
                self.connect(|server| idle.take(server).map(Link::Kept), fresh).await
            }
            HttpVersion::Http2 => {
                let lane = async |server: &Arc<Server>, _: &[u8], until| {
                    shared.lane(server, config.keep_alive, until).await.map(Link::Shared)
                };
                self.connect(|_| None, lane).await
            }
        }
    }

    /// The same with a connection of its own, for HTTP/1.1.
    pub async fn next_fresh(&mut self) -> Result<Connected<'a, Leg>, ConnectError> {
        let fresh = async |server: &Arc<Server>, preamble: &[u8], until| {
            server.connect(preamble, HttpVersion::Http1, until).await
        };
        self.connect(|_| None, fresh).await
    }

    /// Try the same server again: it is the connection that was at its end, where `was_idle` because it had idled.
    pub fn again(&mut self, server: &'a Arc<Server>, serving: Serving, was_idle: bool) {
        self.again = Some((server, serving));
        self.is_excused |= was_idle;
    }

    /// Whether it says nothing of the server if this is lost. Once: a connection that others share may well have idled
    /// each time anew, and a request that ends it each time is not to be sent for ever.
    pub fn excuse(&self, link: &Link) -> bool {
        link.was_idle() && !self.is_excused
    }

    /// The request is sent.
    pub fn sending(&mut self) {
        self.sent = self.sent.saturating_add(1);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Whether an answer with this status is a server's failure.
    pub fn is_failure(&self, status: StatusCode) -> bool {
        self.upstream.config.retry.statuses.contains(&status)
    }

    /// Whether it may be sent to another server.
    pub fn may_retry(&self) -> bool {
        self.may_repeat() && self.tried.len() < self.upstream.servers.len()
    }

    /// Whether it may be sent once more, be it to the same server.
    pub fn may_repeat(&self) -> bool {
        let retry = &self.upstream.config.retry;
        self.sent < retry.attempts && self.since.is_none_or(|since| since.elapsed() < retry.timeout)
    }

    async fn connect<L>(
        &mut self,
        kept: impl Fn(&Server) -> Option<L>,
        dial: impl AsyncFn(&Arc<Server>, &[u8], Instant) -> Result<L, ConnectError>,
    ) -> Result<Connected<'a, L>, ConnectError> {
        let mut failed = None;
        loop {
            let (server, serving, others) = match self.again.take() {
                Some((server, serving)) => (server, serving, 1),
                None => {
                    let picked = self.upstream.pick_or_wait(self.choice, &self.tried).await;
                    // What came of the last one says more than that there are no others.
                    let picked = picked.map_err(|error| failed.take().unwrap_or(error))?;
                    let Picked { at, server, serving, others } = picked;
                    self.tried.push(at);
                    self.is_excused = false;
                    if self.preamble.is_empty()
                        && let Some(link) = kept(server)
                    {
                        return Ok(Connected { server, serving, link });
                    }
                    (server, serving, others)
                }
            };
            let now = Instant::now();
            // Each has an equal share of the time that is left, so that a dead one leaves some for the others.
            let until = now + self.connect_left / shares(others);
            let connected = dial(server, &self.preamble, until).await;
            self.connect_left = self.connect_left.saturating_sub(now.elapsed());
            match connected {
                Ok(link) => return Ok(Connected { server, serving, link }),
                Err(error) => {
                    tracing::warn!(upstream = %self.upstream.name, %error, "server passed over");
                    // That it has much to do is no failure.
                    if !matches!(error, ConnectError::NoStream { .. }) {
                        server.failed();
                    }
                    failed = Some(error);
                }
            }
        }
    }
}
