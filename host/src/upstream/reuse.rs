//! HTTP/1.1 connections to servers, used for one request after another.
//!
//! Each worker has its own, so there is nothing to lock. A connection comes back when an answer's body has been read to
//! its end and both sides are willing to go on (RFC 9112 §9.3); after an error, an answer with `close` or a body nobody
//! read, it does not.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use super::http1::{Channel, Sending};
use super::server::ServerId;
use super::{Server, Serving, Streaming};
use crate::config::UpstreamKeepAlive;
use crate::headers::tokens;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// How often connections are looked through for those that have idled long enough.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A server that says how long it waits means from its side; a request must not meet its end on the way.
const HINT_MARGIN: Duration = Duration::from_secs(1);

/// The connections of a worker that wait for a request.
#[derive(Default)]
pub struct Idle {
    /// By all that a connection must have in common with a request; the newest last.
    channels: RefCell<BTreeMap<ServerId, VecDeque<Waiting>>>,
    sweeping: Cell<bool>,
}

struct Waiting {
    channel: Channel,
    until: Instant,
}

/// What an answer's body holds until it has ended.
pub struct Served {
    serving: Serving,
    /// What is left to be sent of its request.
    sending: Option<Sending>,
    lease: Option<Lease>,
    /// Of HTTP/2.
    streaming: Option<Streaming>,
}

/// A connection that may wait for another request when this one's answer has ended.
struct Lease {
    channel: Channel,
    idle: Rc<Idle>,
    server: ServerId,
    idle_max: usize,
    timeout: Duration,
}

// === impl Idle ===

impl Idle {
    /// The connection to `server` that came back last; the others have the better chance to end for want of use.
    pub fn take(&self, server: &Server) -> Option<Channel> {
        let mut channels = self.channels.borrow_mut();
        let waiting = channels.get_mut(&server.id)?;
        let now = Instant::now();
        while let Some(Waiting { channel, until }) = waiting.pop_back() {
            if until > now && channel.is_quiet() {
                return Some(channel);
            }
        }
        None
    }

    fn put(self: Rc<Self>, server: ServerId, idle_max: usize, waiting: Waiting) {
        let mut channels = self.channels.borrow_mut();
        let all = channels.entry(server).or_default();
        all.push_back(waiting);
        if all.len() > idle_max {
            all.pop_front();
        }
        drop(channels);
        if !self.sweeping.replace(true) {
            // Unconstrained, so that all are looked at, however many.
            tokio::task::spawn_local(unconstrained(self.sweep()));
        }
    }

    /// Close what has idled long enough or was ended by its server, until nothing idles.
    async fn sweep(self: Rc<Self>) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            let now = Instant::now();
            let mut channels = self.channels.borrow_mut();
            channels.retain(|_, all| {
                all.retain(|waiting| waiting.until > now && waiting.channel.is_quiet());
                !all.is_empty()
            });
            if channels.is_empty() {
                return self.sweeping.set(false);
            }
        }
    }
}

// === impl Served ===

impl Served {
    /// Of an answer that came over a connection of its own.
    pub fn once(serving: Serving, sending: Option<Sending>) -> Self {
        Self { serving, sending, lease: None, streaming: None }
    }

    /// Of one that comes over a stream of HTTP/2.
    pub fn streaming(streaming: Streaming, serving: Serving) -> Self {
        Self { serving, sending: None, lease: None, streaming: Some(streaming) }
    }

    /// Of one that came over `channel`, which goes back to `idle`; `answer` are its fields.
    pub fn over(
        channel: Channel,
        sending: Option<Sending>,
        idle: &Rc<Idle>,
        server: &Server,
        serving: Serving,
        config: UpstreamKeepAlive,
        answer: &HeaderMap,
    ) -> Self {
        let timeout = hint(answer).map_or(config.timeout, |hint| config.timeout.min(hint));
        let stays = config.idle_max > 0 && channel.requests < config.requests_max && !timeout.is_zero();
        let lease = stays.then(|| Lease {
            channel,
            idle: Rc::clone(idle),
            server: server.id,
            idle_max: config.idle_max,
            timeout,
        });
        Self { serving, sending, lease, streaming: None }
    }

    /// The body has ended as it should.
    pub fn ended(self) {
        let Self { serving, sending, lease, streaming } = self;
        if let Some(streaming) = streaming {
            return streaming.ended(serving);
        }
        match sending {
            // Its server has the request to serve yet.
            Some(sending) => drop(tokio::task::spawn_local(async move {
                let is_sent = sending.ended().await;
                drop(serving);
                if let Some(lease) = lease.filter(|_| is_sent) {
                    lease.put();
                }
            })),
            None => {
                drop(serving);
                if let Some(lease) = lease {
                    lease.put();
                }
            }
        }
    }

    /// All of the body is there, whose length was known; its end may still have to come.
    pub fn complete(self) {
        match self {
            Self { streaming: Some(streaming), serving, .. } => streaming.complete(serving),
            served => served.ended(),
        }
    }

    /// The server sends no more of it.
    pub fn is_silent(&self) {
        if let Some(streaming) = &self.streaming {
            streaming.suspect();
        }
    }
}

// === impl Lease ===

impl Lease {
    fn put(self) {
        let Self { channel, idle, server, idle_max, timeout } = self;
        channel.rest();
        idle.put(server, idle_max, Waiting { channel, until: Instant::now() + timeout });
    }
}

/// How long the server says it waits for another request: `Keep-Alive: timeout=5`.
fn hint(answer: &HeaderMap) -> Option<Duration> {
    let mut parameters = answer.get_all(KEEP_ALIVE).iter().flat_map(tokens);
    let seconds = parameters.find_map(|parameter| parameter.strip_prefix(b"timeout="))?;
    let seconds: u64 = str::from_utf8(seconds).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).saturating_sub(HINT_MARGIN))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn servers_say_how_long_they_wait() {
        let hint = |value| hint(&HeaderMap::from_iter([(KEEP_ALIVE, HeaderValue::from_static(value))]));
        assert_eq!(hint("timeout=5"), Some(Duration::from_secs(4)));
        assert_eq!(hint("max=100, timeout=1"), Some(Duration::ZERO));
        for nothing in ["", "max=5", "timeout=", "timeout=-1", "timeout=x"] {
            assert_eq!(hint(nothing), None, "{nothing}");
        }
    }
}
