//! The servers of an upstream, one after another, until one answers.

use std::convert::Infallible;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{Channel, Choice, ConnectError, Idle, Picked, Server, Serving, Upstream, shares};
use crate::leg::Leg;

/// What one request has tried so far.
pub struct Attempts<'a> {
    upstream: &'a Upstream,
    choice: Choice,
    /// What a connection begins with; where that is anything, none that idled will do.
    preamble: Vec<u8>,
    tried: Vec<usize>,
    /// A server that is to be tried once more, over a fresh connection.
    again: Option<(&'a Server, Serving)>,
    /// What is left of the route's `connect`.
    connect_left: Duration,
    /// How often it was sent.
    sent: u32,
    /// When it was sent first.
    since: Option<Instant>,
}

/// A server that can be sent a request.
pub struct Connected<'a, K = Channel> {
    pub server: &'a Server,
    pub serving: Serving,
    pub link: Link<K>,
}

pub enum Link<K = Channel> {
    Fresh(Leg),
    /// One that idled, and may be closed at the other end.
    Kept(K),
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
            connect_left: connect,
            sent: 0,
            since: None,
        }
    }
}

// === impl Attempts ===

impl<'a> Attempts<'a> {
    /// The next server with a connection to it, and where it takes none, those after it.
    pub async fn next(&mut self, idle: &Idle) -> Result<Connected<'a>, ConnectError> {
        self.connect(|server| idle.take(server)).await
    }

    /// The same with a connection of its own.
    pub async fn next_fresh(&mut self) -> Result<(&'a Server, Serving, Leg), ConnectError> {
        let Connected { server, serving, link } = self.connect(|_| None::<Infallible>).await?;
        match link {
            Link::Fresh(leg) => Ok((server, serving, leg)),
            Link::Kept(never) => match never {},
        }
    }

    /// Try the same server again: a connection that idled was closed at the other end.
    pub fn again(&mut self, server: &'a Server, serving: Serving) {
        self.again = Some((server, serving));
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
        let retry = &self.upstream.config.retry;
        self.sent < retry.attempts
            && self.tried.len() < self.upstream.servers.len()
            && self.since.is_none_or(|since| since.elapsed() < retry.timeout)
    }

    async fn connect<K>(
        &mut self,
        kept: impl Fn(&Server) -> Option<K>,
    ) -> Result<Connected<'a, K>, ConnectError> {
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
                    if self.preamble.is_empty()
                        && let Some(kept) = kept(server)
                    {
                        return Ok(Connected { server, serving, link: Link::Kept(kept) });
                    }
                    (server, serving, others)
                }
            };
            let now = Instant::now();
            // Each has an equal share of the time that is left, so that a dead one leaves some for the others.
            let connected = server.connect(&self.preamble, now + self.connect_left / shares(others)).await;
            self.connect_left = self.connect_left.saturating_sub(now.elapsed());
            match connected {
                Ok(leg) => return Ok(Connected { server, serving, link: Link::Fresh(leg) }),
                Err(error) => {
                    tracing::warn!(upstream = %self.upstream.name, %error, "server passed over");
                    server.failed();
                    failed = Some(error);
                }
            }
        }
    }
}
