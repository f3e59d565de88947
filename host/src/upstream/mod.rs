//! Pools of servers: which one is next, whether it is well, and connecting to it.
//!
//! A pool belongs to a snapshot; what is known of its servers ([`Registry`]) is shared by all workers, and by one snapshot
//! with the next. A server begins as healthy.

mod attempts;
mod balance;
mod dial;
mod health;
mod http1;
mod http2;
mod line;
mod multiplex;
mod passive;
mod registry;
mod resolve;
mod reuse;
mod server;
mod sticky;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use http::header::HeaderValue;

use crate::config::{self, Balance, HashKey};
use crate::headers::cookies;
use crate::proxy_protocol::{self, Endpoints};
use crate::request::{RequestHead, field_value};
use crate::tls::Connector;

use self::balance::{Candidate, Turns};
use self::line::{InVain, Line};
use self::server::{Standing, now_ms};
use self::sticky::Sticky;

pub use self::attempts::{Attempts, Connected, Link};
pub use self::http1::{AnswerBody, Arrived, Channel, Failure, Outgoing, Sending};
pub use self::http2::{Lane, NoAnswer, Streaming};
pub use self::multiplex::Shared;
pub use self::registry::Registry;
pub use self::reuse::{Idle, Served};
pub use self::server::{Origin, Server, Serving};
pub use self::watch::{Watch, watch};

/// A named pool of servers.
#[derive(Debug)]
pub struct Upstream {
    pub name: Arc<str>,
    pub config: config::Upstream,
    /// For those of its servers that speak TLS.
    pub connector: Option<Arc<Connector>>,
    servers: Vec<Arc<Server>>,
    sticky: Option<Sticky>,
    /// Servers are chosen one at a time, so that counts are what was decided by.
    book: Mutex<Book>,
    line: Arc<Line>,
}

/// What choosing needs.
#[derive(Debug)]
struct Book {
    turns: Turns,
    /// Empty but while one chooses.
    candidates: Vec<Candidate>,
}

/// What decides which server a request goes to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice {
    /// The server that its cookie names.
    pinned: Option<usize>,
    /// Requests with the same key go to the same server.
    key: Option<u64>,
    /// Its client is to come back to the server it gets.
    sticks: bool,
}

/// A server that was chosen.
#[derive(Debug)]
pub struct Picked<'a> {
    at: usize,
    pub server: &'a Arc<Server>,
    pub serving: Serving,
    /// How many could have been chosen, this one among them.
    others: usize,
}

/// No connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connection to {server} failed: {error}")]
    Failed { server: Arc<str>, error: std::io::Error },
    #[error("connection to {server} took longer than the connect timeout")]
    TimedOut { server: Arc<str> },
    #[error("{server} took no more requests on its HTTP/2 connections within the connect timeout")]
    NoStream { server: Arc<str> },
    #[error("no server of upstream `{upstream}` is in service")]
    NobodyHealthy { upstream: Arc<str> },
    #[error("all servers of upstream `{upstream}` have their max-sessions, {note}")]
    AllFull { upstream: Arc<str>, note: &'static str },
}

/// Why no server can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unavailable {
    Nobody,
    Full,
}

// === impl Upstream ===

impl Upstream {
    pub fn new(config: &config::Upstream, connector: Option<Arc<Connector>>, registry: &Registry) -> Self {
        let lines = registry.lines(&config.name);
        let server = |server: &config::UpstreamServer| {
            let state = registry.state(&config.name, server, &lines);
            Arc::new(Server::new(server, config, connector.as_ref(), state))
        };
        let sticky = config.sticky.as_ref().map(|sticky| Sticky::new(sticky, config, registry.secret()));
        let turns = Turns::new(config.servers.len());
        Self {
            name: config.name.as_str().into(),
            servers: config.servers.iter().map(server).collect(),
            sticky,
            book: Mutex::new(Book { turns, candidates: Vec::new() }),
            line: Line::beside(&lines),
            config: config.clone(),
            connector,
        }
    }

    /// What decides where `request` goes: the affinity a plugin set, a sticky cookie, or what the policy looks at.
    pub fn choice(&self, request: &RequestHead) -> Choice {
        if let Some(affinity) = &request.affinity {
            return Choice { key: Some(balance::hash(affinity.as_bytes())), ..Choice::default() };
        }
        let key = match &self.config.balance {
            Balance::RoundRobin | Balance::LeastConnections | Balance::RandomTwo => None,
            Balance::IpHash => Some(balance::hash(request.client.ip().to_canonical().to_string().as_bytes())),
            Balance::Hash(key) => key_of(request, key),
        };
        let pinned = self.sticky.as_ref().and_then(|sticky| sticky.server(&request.headers));
        Choice { pinned, key, sticks: self.sticky.is_some() }
    }

    /// What a connection to one of the servers begins with, on behalf of this client: nothing, or a PROXY header, and
    /// then it is for no other client's requests.
    pub fn preamble(&self, endpoints: Endpoints) -> Vec<u8> {
        let version = self.config.proxy_protocol;
        version.map_or_else(Vec::new, |version| proxy_protocol::header(endpoints, version))
    }

    /// The same on nobody's behalf but the proxy's own.
    pub fn own_preamble(&self) -> Vec<u8> {
        self.config.proxy_protocol.map(proxy_protocol::local).unwrap_or_default().to_vec()
    }

    /// The `Set-Cookie` of an answer by `server`, where the client's cookie does not bring it back there already.
    pub fn set_cookie(&self, choice: Choice, server: &Server, secure: bool) -> Option<HeaderValue> {
        let sticky = self.sticky.as_ref().filter(|_| choice.sticks)?;
        let at = self.servers.iter().position(|known| known.id == server.id)?;
        if choice.pinned == Some(at) { None } else { sticky.set_cookie(at, secure) }
    }

    /// Choose a server that is not among `tried`, and begin with it.
    ///
    /// Those that failed lately are chosen only where no other is left: what was seen of them may have passed. Those
    /// that are down as their health checks have it, or are drained, never are.
    fn pick(&self, choice: Choice, tried: &[usize]) -> Result<Picked<'_>, Unavailable> {
        let now_ms = now_ms();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let Book { turns, candidates } = &mut *book;
        candidates.clear();
        let mut best = (true, true);
        let (mut full, mut others) = (false, 0);
        let mut pinned = None;
        for (at, server) in self.servers.iter().enumerate().filter(|(at, _)| !tried.contains(at)) {
            let passed_over = match server.standing(now_ms) {
                Standing::Out => continue,
                Standing::PassedOver => true,
                Standing::Live => false,
            };
            if server.is_full() {
                full |= !passed_over;
                continue;
            }
            others += 1;
            if choice.pinned == Some(at) && !passed_over {
                pinned = Some(at);
            }
            // Of two kinds the lesser: alive before passed over, the usual before the backup.
            let kind = (passed_over, server.backup);
            if kind < best {
                candidates.clear();
                best = kind;
            }
            if kind == best {
                candidates.push(server.candidate(at, now_ms));
            }
        }
        if full && (candidates.is_empty() || best.0) {
            return Err(Unavailable::Full);
        }
        let chosen =
            || balance::choose(&self.config.balance, choice.key, candidates, turns).map(|one| one.at);
        let at = pinned.or_else(chosen).ok_or(Unavailable::Nobody)?;
        let server = self.servers.get(at).ok_or(Unavailable::Nobody)?;
        Ok(Picked { at, server, serving: server.serve(now_ms), others })
    }

    /// The same, waiting for room where there is none.
    async fn pick_or_wait(&self, choice: Choice, tried: &[usize]) -> Result<Picked<'_>, ConnectError> {
        let nobody = || ConnectError::NobodyHealthy { upstream: Arc::clone(&self.name) };
        let full = |note| ConnectError::AllFull { upstream: Arc::clone(&self.name), note };
        let Some(queue) = self.config.queue else {
            return self.pick(choice, tried).map_err(|unavailable| match unavailable {
                Unavailable::Nobody => nobody(),
                Unavailable::Full => full("and none may wait"),
            });
        };
        // Whoever waits was here first.
        if self.line.is_empty() {
            match self.pick(choice, tried) {
                Err(Unavailable::Full) => {}
                Err(Unavailable::Nobody) => return Err(nobody()),
                Ok(picked) => return Ok(picked),
            }
        }
        let take = || match self.pick(choice, tried) {
            Err(Unavailable::Full) => None,
            picked => Some(picked),
        };
        match self.line.wait(queue, take).await {
            Ok(picked) => picked.map_err(|_| nobody()),
            Err(InVain::TooMany) => Err(full("and as many wait as may")),
            Err(InVain::TooLong) => Err(full("and for longer than one may wait")),
        }
    }
}

/// What of a request is hashed; none: nothing is there.
fn key_of(request: &RequestHead, key: &HashKey) -> Option<u64> {
    let value = match key {
        HashKey::Header(name) => {
            return field_value(&request.headers, name).map(|value| balance::hash(&value));
        }
        HashKey::Cookie(name) => {
            cookies(&request.headers).find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
        }
        HashKey::Query(name) => {
            let pairs = request.path_and_query.query().unwrap_or_default().split('&');
            let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
            pairs.find(|(found, _)| found == name).map(|(_, value)| value.as_bytes())
        }
        HashKey::Affinity => None,
    };
    value.map(balance::hash)
}

/// Into how many parts a time is divided.
fn shares(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}
