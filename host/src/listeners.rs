//! The addresses clients connect to: sockets, one of each address for each worker, and following a configuration that has
//! others.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

use crate::accept::Accepting;
use crate::config;
use crate::snapshot::Snapshot;
use crate::tls::{self, Acceptor};
use crate::workers::Handle;

/// Connections that wait to be accepted by one worker; the kernel may allow fewer.
const BACKLOG: i32 = 4_096;

/// What connections of one listener have in common.
pub struct Listener {
    pub config: Arc<config::Listener>,
    /// None: no TLS.
    pub acceptor: Option<Arc<Acceptor>>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct ListenError {
    pub address: SocketAddr,
    pub error: io::Error,
}

/// All that are open.
pub struct Listeners {
    open: Vec<Open>,
    workers: Rc<Vec<Handle>>,
}

/// The sockets a configuration needs that are not open yet; by listener, none where it is.
pub struct Bound(Vec<Option<Sockets>>);

/// Of one address, one for each worker.
type Sockets = Vec<TcpListener>;

struct Open {
    /// As configured: with port 0, where it is a different port each time.
    address: SocketAddr,
    /// What its next connection is served by.
    listener: Arc<ArcSwap<Listener>>,
    /// Dropped, the workers close their sockets.
    end: watch::Sender<()>,
    /// Ends when they have.
    open: mpsc::Receiver<Infallible>,
    /// Looks after its certificates.
    certificates: Option<JoinHandle<()>>,
}

// === impl Listeners ===

impl Listeners {
    pub fn new(workers: Rc<Vec<Handle>>) -> Self {
        Self { open: Vec::new(), workers }
    }

    /// Open what `snapshot` has and is not open; nothing is served yet.
    pub fn bind(&self, snapshot: &Snapshot) -> Result<Bound, ListenError> {
        let listeners = &snapshot.config.listeners;
        let bind = |(at, listener): (usize, &config::Listener)| match self.position(listeners, at) {
            Some(_) => Ok(None),
            None => {
                let address = listener.address;
                listen(address, self.workers.len()).map(Some).map_err(|error| ListenError { address, error })
            }
        };
        listeners.iter().enumerate().map(bind).collect::<Result<_, _>>().map(Bound)
    }

    /// Serve what `snapshot` has, on the sockets that were bound for it and those that stay; close the others. Connections
    /// that are there keep what they began with.
    pub fn follow(&mut self, snapshot: &Snapshot, bound: Bound) {
        let listeners = &snapshot.config.listeners;
        let places: Vec<_> = (0..listeners.len()).map(|at| self.position(listeners, at)).collect();
        let mut old: Vec<_> = std::mem::take(&mut self.open).into_iter().map(Some).collect();
        let parts = listeners.iter().zip(&snapshot.acceptors).zip(places).zip(bound.0);
        for (((config, acceptor), place), sockets) in parts {
            let config = Arc::new(config.clone());
            let listener = Arc::new(Listener { config, acceptor: acceptor.clone() });
            let known = place.and_then(|at| old.get_mut(at)).and_then(Option::take);
            match (known, sockets) {
                (Some(mut open), _) => {
                    open.serve(listener);
                    self.open.push(open);
                }
                (None, Some(sockets)) => self.open.push(Open::new(sockets, listener, &self.workers)),
                (None, None) => debug_assert!(false, "bound for another snapshot"),
            }
        }
        for open in old.into_iter().flatten() {
            tracing::info!(address = %open.address, "listening no more");
        }
    }

    /// Nothing new is taken, by closing the listening sockets.
    pub async fn close(&mut self) {
        for open in std::mem::take(&mut self.open) {
            open.close().await;
        }
    }

    /// Where the `at`th of `listeners` is open: the first with its address is the first of that address, and so on, as
    /// there may be several with port 0.
    fn position(&self, listeners: &[config::Listener], at: usize) -> Option<usize> {
        let address = listeners.get(at)?.address;
        let before = listeners.iter().take(at).filter(|listener| listener.address == address).count();
        let mut open = self.open.iter().enumerate().filter(|(_, open)| open.address == address);
        open.nth(before).map(|(place, _)| place)
    }
}

// === impl Open ===

impl Open {
    fn new(sockets: Sockets, listener: Arc<Listener>, workers: &[Handle]) -> Self {
        let address = listener.config.address;
        // Where port 0 was asked for, this is the one it became.
        let bound = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(address);
        tracing::info!(address = %bound, tls = listener.acceptor.is_some(), "listening");
        let certificates = watch_certificates(&listener);
        let listener = Arc::new(ArcSwap::new(listener));
        let (end, ended) = watch::channel(());
        let (is_open, open) = mpsc::channel(1);
        for (worker, socket) in workers.iter().zip(sockets) {
            let accepting = Accepting {
                socket,
                listener: Arc::clone(&listener),
                end: ended.clone(),
                open: is_open.clone(),
            };
            if worker.sockets.send(accepting).is_err() {
                tracing::error!("a worker is gone");
            }
        }
        Self { address, listener, end, open, certificates }
    }

    fn serve(&mut self, listener: Arc<Listener>) {
        self.leave_certificates();
        self.certificates = watch_certificates(&listener);
        self.listener.store(listener);
    }

    async fn close(mut self) {
        self.leave_certificates();
        drop(self.end);
        // Nothing is ever sent.
        self.open.recv().await;
    }

    fn leave_certificates(&mut self) {
        if let Some(task) = self.certificates.take() {
            task.abort();
        }
    }
}

fn watch_certificates(listener: &Listener) -> Option<JoinHandle<()>> {
    let acceptor = listener.acceptor.as_ref()?;
    Some(spawn_local(tls::reload::watch(Arc::clone(acceptor))))
}

/// As many sockets on one address, between which the kernel divides the connections that come.
fn listen(address: SocketAddr, count: usize) -> io::Result<Sockets> {
    let first = bind(address)?;
    // Not before it is bound: where another process listens already, that is an error, though both may share.
    first.set_reuse_port(true)?;
    let bound = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    while sockets.len() < count {
        let socket = open(bound)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound.into())?;
        sockets.push(socket);
    }
    let listen = |socket: Socket| socket.listen(BACKLOG).map(|()| socket.into());
    sockets.into_iter().map(listen).collect()
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = open(address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last process's connections to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Connections have it from the socket they come by.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn all_sockets_of_an_address_take_connections_and_nobody_elses_do() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let sockets = listen(address.parse().unwrap(), 3).unwrap();
            let bound = sockets[0].local_addr().unwrap();
            assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == bound));
            let again = listen(bound, 3).map_err(|error| error.kind());
            assert_eq!(again.err(), Some(io::ErrorKind::AddrInUse), "{address}");

            let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(bound).unwrap()).collect();
            let accepted = |socket: &TcpListener| std::iter::from_fn(|| socket.accept().ok()).count();
            let accepted: Vec<_> = sockets.iter().map(accepted).collect();
            assert_eq!(accepted.iter().sum::<usize>(), clients.len());
            assert!(accepted.iter().all(|count| *count > 0), "{address}: {accepted:?}");
        }
    }

    #[test]
    fn small_writes_of_a_connection_are_not_held_back() {
        let sockets = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let _client = TcpStream::connect(sockets[0].local_addr().unwrap()).unwrap();
        let (stream, _) = sockets[0].accept().unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
