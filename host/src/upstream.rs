//! Pools of servers: which one is next, and connecting to it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::config;
use crate::leg::Leg;
use crate::proxy_protocol::{self, Endpoints};

/// A named pool of servers.
#[derive(Debug)]
pub struct Upstream {
    pub name: Arc<str>,
    servers: Vec<Server>,
    /// Positions in `servers`, each as often as its weight says, evenly mixed.
    turns: Vec<usize>,
    proxy_protocol: Option<config::ProxyProtocol>,
    next: AtomicUsize,
}

/// One server of an upstream.
#[derive(Debug)]
pub struct Server {
    /// As the configuration names it.
    pub address: Arc<str>,
    /// Where the address is no name to be resolved.
    fixed: Option<SocketAddr>,
    weight: u32,
}

/// No connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connection to {server} failed: {error}")]
    Failed { server: Arc<str>, error: io::Error },
    #[error("connection to {server} took longer than the connect timeout")]
    TimedOut { server: Arc<str> },
}

// === impl Upstream ===

impl Upstream {
    pub fn new(config: &config::Upstream) -> Self {
        let server = |server: &config::UpstreamServer| Server {
            address: server.address.as_str().into(),
            fixed: server.address.parse().ok(),
            weight: server.weight,
        };
        let servers: Vec<Server> = config.servers.iter().map(server).collect();
        Self {
            name: config.name.as_str().into(),
            turns: turns(&servers),
            servers,
            proxy_protocol: config.proxy_protocol,
            next: AtomicUsize::new(0),
        }
    }

    /// What a connection to one of the servers begins with, on behalf of this client: nothing, or a PROXY header, and
    /// then it is for no other client's requests.
    pub fn preamble(&self, endpoints: Endpoints) -> Vec<u8> {
        self.proxy_protocol.map_or_else(Vec::new, |version| proxy_protocol::header(endpoints, version))
    }

    /// Connect to the server whose turn it is, or, with an affinity, to the one that belongs to it; where that fails, to
    /// the others after it, until `deadline`. The connection has begun with `preamble`.
    pub async fn connect(
        &self,
        affinity: Option<&str>,
        preamble: &[u8],
        deadline: Instant,
    ) -> Result<(Leg, &Server), ConnectError> {
        let mut failed = None;
        let candidates = self.candidates(affinity);
        for (tried, server) in candidates.iter().enumerate() {
            // Each has an equal share of the time that is left, so that a dead one leaves some for the others.
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / shares(candidates.len() - tried);
            match server.connect(preamble, now + share).await {
                Ok(stream) => return Ok((stream, server)),
                Err(error) => {
                    tracing::warn!(upstream = %self.name, %error, "server passed over");
                    failed = Some(error);
                }
            }
        }
        let nothing = || ConnectError::Failed { server: "".into(), error: io::ErrorKind::NotFound.into() };
        Err(failed.unwrap_or_else(nothing))
    }

    /// All servers, each once, in the order they are to be tried.
    fn candidates(&self, affinity: Option<&str>) -> Vec<&Server> {
        match affinity {
            Some(key) => {
                let mut servers: Vec<&Server> = self.servers.iter().collect();
                servers.sort_by(|a, b| b.score(key).total_cmp(&a.score(key)));
                servers
            }
            None => {
                let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.turns.len().max(1);
                let first = self.turns.get(turn).copied().unwrap_or_default();
                let (before, after) = self.servers.split_at(first.min(self.servers.len()));
                after.iter().chain(before).collect()
            }
        }
    }
}

// === impl Server ===

impl Server {
    async fn connect(&self, preamble: &[u8], deadline: Instant) -> Result<Leg, ConnectError> {
        let connecting = async {
            let mut leg = self.connect_any().await?;
            leg.write_all(preamble).await?;
            Ok(leg)
        };
        let connected = timeout_at(deadline, connecting).await;
        let connected =
            connected.map_err(|_| ConnectError::TimedOut { server: Arc::clone(&self.address) })?;
        connected.map_err(|error| ConnectError::Failed { server: Arc::clone(&self.address), error })
    }

    /// The first of the name's addresses that takes the connection.
    async fn connect_any(&self) -> io::Result<Leg> {
        let stream = match self.fixed {
            Some(address) => TcpStream::connect(address).await?,
            None => {
                let addresses: Vec<SocketAddr> = lookup_host(&*self.address).await?.collect();
                TcpStream::connect(addresses.as_slice()).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(Leg::Tcp(stream))
    }

    /// Rendezvous hashing: each server has a score for each key, in proportion to its weight; the highest wins. When a
    /// server comes or goes, only keys that were or become its own move.
    fn score(&self, key: &str) -> f64 {
        let mut hasher = DefaultHasher::new();
        (key, &*self.address).hash(&mut hasher);
        // Evenly in (0, 1): the upper 53 bits, halfway between steps.
        let unit = ((hasher.finish() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -f64::from(self.weight) / unit.ln()
    }
}

/// Smooth weighted round-robin, as nginx does it, played through once: at each turn every server gains its weight, and
/// the richest is taken and pays the total.
fn turns(servers: &[Server]) -> Vec<usize> {
    let divisor = servers.iter().fold(0, |divisor, server| gcd(divisor, server.weight)).max(1);
    let weights: Vec<i64> = servers.iter().map(|server| i64::from(server.weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let mut wealth = vec![0; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..total {
        for (wealth, weight) in wealth.iter_mut().zip(&weights) {
            *wealth += weight;
        }
        // Of equals the first, so that the order of the configuration is the order of turns.
        let richest = wealth.iter_mut().enumerate().rev().max_by_key(|(_, wealth)| **wealth);
        if let Some((at, wealth)) = richest {
            *wealth -= total;
            turns.push(at);
        }
    }
    turns
}

fn shares(servers: usize) -> u32 {
    u32::try_from(servers).unwrap_or(u32::MAX).max(1)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(weights: &[u32]) -> Upstream {
        let server = |(at, weight): (usize, &u32)| config::UpstreamServer {
            address: format!("192.0.2.{at}:80"),
            weight: *weight,
        };
        let servers = weights.iter().enumerate().map(server).collect();
        Upstream::new(&config::Upstream { name: "test".to_owned(), servers, proxy_protocol: None })
    }

    #[test]
    fn turns_are_in_proportion_and_evenly_mixed() {
        assert_eq!(upstream(&[1, 1, 1]).turns, [0, 1, 2]);
        assert_eq!(upstream(&[5, 1, 1]).turns, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(upstream(&[200, 100]).turns, [0, 1, 0]);
    }

    #[test]
    fn every_server_is_a_candidate_once() {
        let upstream = upstream(&[2, 1, 1]);
        for affinity in [None, Some("a"), None, Some("b")] {
            let mut addresses: Vec<_> =
                upstream.candidates(affinity).iter().map(|server| &*server.address).collect();
            addresses.sort_unstable();
            assert_eq!(addresses, ["192.0.2.0:80", "192.0.2.1:80", "192.0.2.2:80"]);
        }
    }

    #[test]
    fn an_affinity_keeps_its_server_and_a_lost_server_moves_only_its_own() {
        let (three, two) = (upstream(&[1, 1, 1]), upstream(&[1, 1]));
        let keys: Vec<String> = (0..3_000).map(|key| format!("room-{key}")).collect();
        let first = |upstream: &Upstream, key: &str| Arc::clone(&upstream.candidates(Some(key))[0].address);
        let mut moved = 0;
        for key in &keys {
            let before = first(&three, key);
            assert_eq!(before, first(&three, key));
            let after = first(&two, key);
            if before != after {
                assert_eq!(&*before, "192.0.2.2:80", "{key} moved though its server stayed");
                moved += 1;
            }
        }
        let share = f64::from(moved) / keys.len() as f64;
        assert!((share - 1.0 / 3.0).abs() < 0.05, "{share}");
    }
}
