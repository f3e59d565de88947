//! HTTP/2 connections to servers, each for many requests at a time: which of them takes the next one, and when another is
//! opened.
//!
//! Each worker has its own, so there is nothing to lock. Requests that come while a connection is being opened wait for it,
//! in their order, and so do those for which no connection has a stream left.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout_at};

use super::http2::{self, Connection, Driver, Lane};
use super::server::ServerId;
use super::{ConnectError, Server};
use crate::config::{HttpVersion, Timeouts, UpstreamKeepAlive};

/// Connections of a worker to one server, where it allows each only few streams.
const CONNECTIONS_MAX: usize = 16;
/// How often connections are looked through for those that have idled long enough.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Where a further connection could not be opened, for how long none is tried beside those that are there.
const REST: Duration = Duration::from_secs(1);

/// The connections of a worker.
#[derive(Default)]
pub struct Shared {
    groups: RefCell<HashMap<ServerId, Rc<Group>>>,
    is_sweeping: Cell<bool>,
}

/// Those to one server.
pub struct Group {
    config: UpstreamKeepAlive,
    connections: RefCell<Vec<Rc<Connection>>>,
    is_dialling: Cell<bool>,
    /// How many attempts to open one have ended.
    dials: Cell<u64>,
    failure: RefCell<Option<Failure>>,
    /// How many requests wait for a stream.
    waiting: Cell<usize>,
    /// Until when the most patient of them waits.
    patience: Cell<Instant>,
    /// Held by the first of them; the others get it in the order they came.
    first: Mutex<()>,
    /// A word for the first.
    changed: Notify,
}

/// Why the last attempt to open a connection failed.
struct Failure {
    /// Which it was.
    dial: u64,
    at: Instant,
    kind: io::ErrorKind,
    text: String,
}

/// Counts one that waits.
struct Waiting<'a>(&'a Group);

// === impl Shared ===

impl Shared {
    /// A stream to `server`, by the time `until`.
    pub async fn lane(
        self: &Rc<Self>,
        server: &Arc<Server>,
        config: UpstreamKeepAlive,
        until: Instant,
    ) -> Result<Lane, ConnectError> {
        let group = self.group(server.id, config);
        // Whoever waits was here first.
        if group.waiting.get() == 0
            && let Some(lane) = group.take()
        {
            return Ok(lane);
        }
        group.patience.set(group.patience.get().max(until));
        let lane = timeout_at(until, group.wait(server)).await;
        lane.unwrap_or_else(|_| Err(group.in_vain(server)))
    }

    fn group(self: &Rc<Self>, server: ServerId, config: UpstreamKeepAlive) -> Rc<Group> {
        if !self.is_sweeping.replace(true) {
            tokio::task::spawn_local(Rc::clone(self).sweep());
        }
        let mut groups = self.groups.borrow_mut();
        Rc::clone(groups.entry(server).or_insert_with(|| Rc::new(Group::new(config))))
    }

    /// Close what has idled long enough, until nothing is left.
    async fn sweep(self: Rc<Self>) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            let mut groups = self.groups.borrow_mut();
            groups.retain(|_, group| group.sweep());
            if groups.is_empty() {
                return self.is_sweeping.set(false);
            }
        }
    }
}

// === impl Group ===

impl Group {
    fn new(config: UpstreamKeepAlive) -> Self {
        Self {
            config,
            connections: RefCell::default(),
            is_dialling: Cell::new(false),
            dials: Cell::new(0),
            failure: RefCell::new(None),
            waiting: Cell::new(0),
            patience: Cell::new(Instant::now()),
            first: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// There may be a stream now.
    pub fn tell(&self) {
        if self.waiting.get() > 0 {
            self.changed.notify_one();
        }
    }

    /// A stream of the first connection that has one: those opened for a burst come to idle after it.
    fn take(self: &Rc<Self>) -> Option<Lane> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_leaving(self.config.requests_max));
        connections.iter().find(|connection| connection.has_room()).map(|connection| connection.lane(self))
    }

    async fn wait(self: &Rc<Self>, server: &Arc<Server>) -> Result<Lane, ConnectError> {
        let _waiting = Waiting::new(self);
        let arrived = self.dials.get();
        let _first = self.first.lock().await;
        loop {
            if let Some(lane) = self.take() {
                return Ok(lane);
            }
            if let Some(error) = self.failure_since(arrived) {
                return Err(failed(server, error));
            }
            let rest = self.grow(server);
            // A word that came since then is kept for this.
            let changed = self.changed.notified();
            match rest {
                // Whether it came or not: it is time to look again.
                Some(rest) => drop(timeout_at(rest, changed).await),
                None => changed.await,
            }
        }
    }

    /// What became of the connection that was waited for. It is not tried again for each that waited.
    fn failure_since(&self, dial: u64) -> Option<io::Error> {
        let failure = self.failure.borrow();
        let failure = failure.as_ref().filter(|failure| failure.dial > dial)?;
        let is_alone = self.connections.borrow().is_empty();
        is_alone.then(|| io::Error::new(failure.kind, failure.text.clone()))
    }

    /// Open another connection, one at a time; or say when one may be tried.
    fn grow(self: &Rc<Self>, server: &Arc<Server>) -> Option<Instant> {
        let count = self.connections.borrow().len();
        if count >= CONNECTIONS_MAX || self.is_dialling.get() {
            return None;
        }
        let rest = self.failure.borrow().as_ref().map(|failure| failure.at + REST);
        let rest = rest.filter(|rest| count > 0 && *rest > Instant::now());
        if rest.is_none() {
            self.is_dialling.set(true);
            tokio::task::spawn_local(Rc::clone(self).dial(Arc::clone(server)));
        }
        rest
    }

    /// Open a connection and see it through, whoever asked for it first: that one has no time to wait says nothing of the
    /// others, or of the server.
    async fn dial(self: Rc<Self>, server: Arc<Server>) {
        let until = self.patience.get().max(Instant::now() + Timeouts::default().connect);
        let opened = open(&server, until).await;
        self.is_dialling.set(false);
        self.dials.set(self.dials.get() + 1);
        match opened {
            Ok((connection, driver)) => {
                self.connections.borrow_mut().push(Rc::new(connection));
                self.failure.replace(None);
                self.tell();
                driver.run(|| self.tell()).await;
            }
            Err(error) => {
                let (dial, at) = (self.dials.get(), Instant::now());
                self.failure.replace(Some(Failure { dial, at, kind: error.kind(), text: error.to_string() }));
                self.tell();
            }
        }
    }

    /// Nobody had a stream to give in time.
    fn in_vain(&self, server: &Server) -> ConnectError {
        let server = Arc::clone(&server.address);
        match self.connections.borrow().is_empty() {
            true => ConnectError::TimedOut { server },
            false => ConnectError::NoStream { server },
        }
    }

    /// Whether there is anything left.
    fn sweep(&self) -> bool {
        let UpstreamKeepAlive { idle_max, timeout, requests_max } = self.config;
        let timeout = if idle_max == 0 { Duration::ZERO } else { timeout };
        let mut connections = self.connections.borrow_mut();
        connections
            .retain(|connection| !connection.is_leaving(requests_max) && !connection.has_idled(timeout));
        connections.iter().for_each(|connection| connection.sweep());
        !connections.is_empty() || self.is_dialling.get() || self.waiting.get() > 0
    }
}

async fn open(server: &Server, until: Instant) -> io::Result<(Connection, Driver)> {
    let leg = match server.connect(&[], HttpVersion::Http2, until).await {
        Ok(leg) => leg,
        Err(ConnectError::Failed { error, .. }) => return Err(error),
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    timeout_at(until, http2::open(leg)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn failed(server: &Server, error: io::Error) -> ConnectError {
    let server = Arc::clone(&server.address);
    match error.kind() {
        io::ErrorKind::TimedOut => ConnectError::TimedOut { server },
        _ => ConnectError::Failed { server, error },
    }
}

// === impl Waiting ===

impl<'a> Waiting<'a> {
    fn new(group: &'a Group) -> Self {
        group.waiting.set(group.waiting.get() + 1);
        Self(group)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        // A word that was meant for this one is the next one's.
        self.0.tell();
    }
}
