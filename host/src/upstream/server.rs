//! One server of an upstream, and what is known of it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use http::HeaderValue;
use http::uri::Scheme;
use tokio::time::{Instant, timeout_at};

use super::balance::{self, Candidate, WEIGHT_UNIT};
use super::dial::{Endpoint, Security, dial};
use super::line::Lines;
use super::passive::{Passive, Tolerance};
use super::resolve::resolve;
use super::{ConnectError, shares};
use crate::config::{self, HttpVersion};
use crate::leg::Leg;
use crate::tls::Connector;

/// A server as one snapshot has it.
#[derive(Debug)]
pub struct Server {
    /// No other server of any snapshot has it.
    pub id: ServerId,
    /// As the configuration names it.
    pub address: Arc<str>,
    /// What `host-header = "server"` sends.
    pub host: HeaderValue,
    target: Target,
    /// None: it speaks no TLS.
    security: Option<Security>,
    hash: u64,
    weight: u32,
    pub backup: bool,
    drain: bool,
    max_sessions: u32,
    slow_start_ms: u64,
    tolerance: Tolerance,
    state: Arc<State>,
}

/// What tells a server from all others, of other snapshots too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(u64);

/// Where a server is.
#[derive(Debug, Clone)]
enum Target {
    At(Endpoint),
    /// `NAME:PORT`
    Named(Arc<str>),
}

/// What all workers know of a server; it outlives a snapshot that is followed by another with the same server.
#[derive(Debug)]
pub struct State {
    in_flight: AtomicU32,
    passive: Passive,
    /// What the health checks say.
    is_up: AtomicBool,
    /// When it was last found to be back; 0: it was never away.
    returned_ms: AtomicU64,
    /// Of a name, as last resolved; empty: not yet.
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// Whose turn it is among them.
    next_address: AtomicUsize,
    lines: Arc<Lines>,
}

/// What its URLs begin with.
#[derive(Debug)]
pub struct Origin {
    pub scheme: Scheme,
    pub host: HeaderValue,
}

/// A session or a request in flight.
#[derive(Debug)]
pub struct Serving(Arc<State>);

/// Whether a server can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Live,
    /// It failed lately: only where there is nobody else.
    PassedOver,
    /// Drained, or down as its health checks have it.
    Out,
}

/// Milliseconds of a clock that all servers share; never 0.
pub fn now_ms() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

// === impl Server ===

impl Server {
    /// `connector`: for servers that speak TLS.
    pub fn new(
        server: &config::UpstreamServer,
        upstream: &config::Upstream,
        connector: Option<&Arc<Connector>>,
        state: Arc<State>,
    ) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let address: Arc<str> = server.address.as_str().into();
        let (target, host) = match (server.address.strip_prefix("unix:"), server.address.parse()) {
            // A socket's path is no host; nginx has the same word for it.
            (Some(path), _) => (Target::At(Endpoint::Unix(PathBuf::from(path))), "localhost"),
            (None, Ok(fixed)) => (Target::At(Endpoint::Tcp(fixed)), &*server.address),
            (None, Err(_)) => (Target::Named(Arc::clone(&address)), &*server.address),
        };
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            id: ServerId(IDS.fetch_add(1, Ordering::Relaxed)),
            host: HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static("localhost")),
            target,
            security: connector.filter(|_| server.https).map(|connector| Security {
                connector: Arc::clone(connector),
                address: Arc::clone(&address),
            }),
            hash: balance::hash(address.as_bytes()),
            address,
            weight: server.weight,
            backup: server.backup,
            drain: server.drain,
            max_sessions: server.max_sessions.unwrap_or(u32::MAX),
            slow_start_ms: upstream.slow_start.map_or(0, millis),
            tolerance: Tolerance {
                max_fails: upstream.max_fails,
                fail_timeout_ms: millis(upstream.fail_timeout),
            },
            state,
        }
    }

    pub fn standing(&self, now_ms: u64) -> Standing {
        if self.drain || !self.state.is_up.load(Ordering::Relaxed) {
            Standing::Out
        } else if self.state.passive.is_passed_over(now_ms) {
            Standing::PassedOver
        } else {
            Standing::Live
        }
    }

    pub fn is_full(&self) -> bool {
        self.state.in_flight.load(Ordering::SeqCst) >= self.max_sessions
    }

    pub fn candidate(&self, at: usize, now_ms: u64) -> Candidate {
        Candidate {
            at,
            share: self.share(now_ms),
            weight: self.weight,
            load: self.state.in_flight.load(Ordering::Relaxed),
            hash: self.hash,
        }
    }

    /// Begin a request. Only where choosing is one at a time, so that `max-sessions` holds.
    pub fn serve(&self, now_ms: u64) -> Serving {
        self.state.passive.begin(now_ms, self.tolerance);
        self.state.in_flight.fetch_add(1, Ordering::SeqCst);
        Serving(Arc::clone(&self.state))
    }

    /// A request found it not to be well.
    pub fn failed(&self) {
        if self.state.passive.fail(now_ms(), self.tolerance) {
            let for_ms = self.tolerance.fail_timeout_ms;
            tracing::warn!(server = %self.address, for_ms, "server failed, and is passed over");
        }
    }

    /// A request was answered.
    pub fn succeeded(&self) {
        if self.state.passive.succeed() {
            self.returned();
            tracing::info!(server = %self.address, "server answers again");
        }
    }

    /// What the health checks found.
    pub fn set_up(&self, is_up: bool) {
        let was_up = self.state.is_up.swap(is_up, Ordering::Relaxed);
        if is_up && !was_up {
            self.state.passive.forget();
            self.returned();
        }
    }

    pub fn is_up(&self) -> bool {
        self.state.is_up.load(Ordering::Relaxed)
    }

    /// Connect, to the first of its addresses that takes the connection; each has an equal share of the time.
    /// The connection has begun with `preamble`; where the server speaks TLS, its handshake is over, within the same time,
    /// and `version` is agreed on.
    pub async fn connect(
        &self,
        preamble: &[u8],
        version: HttpVersion,
        deadline: Instant,
    ) -> Result<Leg, ConnectError> {
        let failed = |error| ConnectError::Failed { server: Arc::clone(&self.address), error };
        let timed_out = |_| ConnectError::TimedOut { server: Arc::clone(&self.address) };
        let security = self.security.as_ref();
        let name = match &self.target {
            Target::At(endpoint) => {
                return timeout_at(deadline, dial(endpoint, preamble, security, version))
                    .await
                    .map_err(timed_out)?
                    .map_err(failed);
            }
            Target::Named(name) => name,
        };
        let addresses =
            timeout_at(deadline, self.addresses(name)).await.map_err(timed_out)?.map_err(failed)?;
        let first = self.state.next_address.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        let mut last = failed(io::ErrorKind::NotFound.into());
        for tried in 0..addresses.len() {
            let Some(address) = addresses.get((first + tried) % addresses.len()) else { continue };
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / shares(addresses.len() - tried);
            let endpoint = Endpoint::Tcp(*address);
            last = match timeout_at(now + share, dial(&endpoint, preamble, security, version)).await {
                Ok(Ok(leg)) => return Ok(leg),
                Ok(Err(error)) => failed(error),
                Err(elapsed) => timed_out(elapsed),
            };
        }
        Err(last)
    }

    /// Resolve its name anew, if it has one. The addresses known before stay where that fails.
    pub async fn refresh(&self) {
        let Target::Named(name) = &self.target else { return };
        match resolve(name).await {
            Ok(addresses) => self.state.addresses.store(Arc::new(addresses)),
            Err(error) => {
                tracing::warn!(server = %self.address, %error, "name of a server cannot be resolved")
            }
        }
    }

    /// What its URLs begin with.
    pub fn origin(&self) -> Origin {
        let scheme = if self.security.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        Origin { scheme, host: self.host.clone() }
    }

    pub fn has_name(&self) -> bool {
        matches!(self.target, Target::Named(_))
    }

    async fn addresses(&self, name: &str) -> io::Result<Arc<Vec<SocketAddr>>> {
        let known = self.state.addresses.load_full();
        if !known.is_empty() {
            return Ok(known);
        }
        let addresses = Arc::new(resolve(name).await?);
        self.state.addresses.store(Arc::clone(&addresses));
        Ok(addresses)
    }

    /// Its weight, or so much of it as it may have by now.
    fn share(&self, now_ms: u64) -> u64 {
        let whole = u64::from(self.weight) * WEIGHT_UNIT;
        let returned_ms = self.state.returned_ms.load(Ordering::Relaxed);
        let since_ms = now_ms.saturating_sub(returned_ms);
        if returned_ms == 0 || since_ms >= self.slow_start_ms {
            return whole;
        }
        // At least something, or nothing would ever show that it can do more.
        (whole.saturating_mul(since_ms) / self.slow_start_ms).max(1)
    }

    fn returned(&self) {
        self.state.returned_ms.store(now_ms(), Ordering::Relaxed);
        self.state.lines.tell();
    }
}

// === impl State ===

impl State {
    pub fn new(lines: Arc<Lines>) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            passive: Passive::default(),
            is_up: AtomicBool::new(true),
            returned_ms: AtomicU64::new(0),
            addresses: ArcSwap::default(),
            next_address: AtomicUsize::new(0),
            lines,
        }
    }
}

// === impl Serving ===

#[cfg(test)]
impl Serving {
    pub fn of_nobody() -> Self {
        let state = State::new(Arc::default());
        state.in_flight.store(1, Ordering::SeqCst);
        Self(Arc::new(state))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.lines.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Registry;
    use super::*;

    fn server(registry: &Registry, address: &str) -> Server {
        of(registry, config::UpstreamServer::new(address.to_owned()))
    }

    fn of(registry: &Registry, mut config: config::UpstreamServer) -> Server {
        config.weight = 2;
        let mut upstream = config::Upstream::new("app".to_owned(), vec![config.clone()]);
        upstream.slow_start = Some(Duration::from_secs(10));
        let state = registry.state("app", &config, &registry.lines("app"));
        Server::new(&config, &upstream, None, state)
    }

    #[test]
    fn a_server_that_came_back_gets_its_share_little_by_little() {
        let server = server(&Registry::new().unwrap(), "192.0.2.1:80");
        assert_eq!(server.share(now_ms()), 2 * WEIGHT_UNIT);
        server.set_up(false);
        assert_eq!(server.standing(now_ms()), Standing::Out);
        server.set_up(true);
        let returned_ms = server.state.returned_ms.load(Ordering::Relaxed);
        let shares = [0, 1_000, 5_000, 10_000].map(|after_ms| server.share(returned_ms + after_ms));
        assert_eq!(shares, [1, 200, 1_000, 2_000]);
    }

    #[test]
    fn what_is_known_of_a_server_outlives_its_snapshot() {
        let registry = Registry::new().unwrap();
        let before = server(&registry, "192.0.2.1:80");
        let session = before.serve(now_ms());
        before.set_up(false);
        drop(before);
        let after = server(&registry, "192.0.2.1:80");
        assert_eq!(after.candidate(0, now_ms()).load, 1);
        assert_eq!(after.standing(now_ms()), Standing::Out);
        assert_eq!(server(&registry, "192.0.2.2:80").standing(now_ms()), Standing::Live);
        let over_tls =
            config::UpstreamServer { https: true, ..config::UpstreamServer::new("192.0.2.1:80".into()) };
        assert_eq!(of(&registry, over_tls).standing(now_ms()), Standing::Live);
        drop(session);
        assert_eq!(after.candidate(0, now_ms()).load, 0);
    }
}
