//! The addresses clients connect to: binding, accepting and handing over, and following a configuration that has others.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_local};

use crate::config;
use crate::snapshot::Snapshot;
use crate::tls::{self, Acceptor};
use crate::workers::{Accepted, Handle};

/// Connections that wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 4_096;
/// How long to wait with accepting when the process has no descriptor left.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(50);

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
pub struct Bound(Vec<Option<TcpListener>>);

struct Open {
    /// As configured: with port 0, where it is a different port each time.
    address: SocketAddr,
    /// What its next connection is served by.
    listener: Rc<RefCell<Arc<Listener>>>,
    accepting: JoinHandle<()>,
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
                listen(address).map(Some).map_err(|error| ListenError { address, error })
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
        for (((config, acceptor), place), socket) in parts {
            let config = Arc::new(config.clone());
            let listener = Arc::new(Listener { config, acceptor: acceptor.clone() });
            let known = place.and_then(|at| old.get_mut(at)).and_then(Option::take);
            match (known, socket) {
                (Some(mut open), _) => {
                    open.serve(listener);
                    self.open.push(open);
                }
                (None, Some(socket)) => self.open.push(Open::new(socket, listener, Rc::clone(&self.workers))),
                (None, None) => debug_assert!(false, "bound for another snapshot"),
            }
        }
        for open in old.into_iter().flatten() {
            tracing::info!(address = %open.address, "listening no more");
        }
    }

    /// Nothing new is taken, by closing the listening sockets.
    pub async fn close(&mut self) {
        for mut open in std::mem::take(&mut self.open) {
            open.accepting.abort();
            drop((&mut open.accepting).await);
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
    fn new(socket: TcpListener, listener: Arc<Listener>, workers: Rc<Vec<Handle>>) -> Self {
        let address = listener.config.address;
        // Where port 0 was asked for, this is the one it became.
        let bound = socket.local_addr().unwrap_or(address);
        tracing::info!(address = %bound, tls = listener.acceptor.is_some(), "listening");
        let certificates = watch_certificates(&listener);
        let listener = Rc::new(RefCell::new(listener));
        let accepting = spawn_local(accept(socket, Rc::clone(&listener), workers));
        Self { address, listener, accepting, certificates }
    }

    fn serve(&mut self, listener: Arc<Listener>) {
        if let Some(task) = self.certificates.take() {
            task.abort();
        }
        self.certificates = watch_certificates(&listener);
        self.listener.replace(listener);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Some(task) = &self.certificates {
            task.abort();
        }
    }
}

fn watch_certificates(listener: &Listener) -> Option<JoinHandle<()>> {
    let acceptor = listener.acceptor.as_ref()?;
    Some(spawn_local(tls::reload::watch(Arc::clone(acceptor))))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last process's connections to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Accept, and hand each connection to the worker with the fewest: WebSockets live long, and a worker that got more than
/// its share would keep them.
async fn accept(socket: TcpListener, listener: Rc<RefCell<Arc<Listener>>>, workers: Rc<Vec<Handle>>) {
    loop {
        let (stream, client) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                let address = listener.borrow().config.address;
                tracing::error!(%address, %error, "cannot accept, trying again soon");
                tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
                continue;
            }
        };
        let Some(worker) = workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else {
            continue;
        };
        let Ok(stream) = stream.into_std() else { continue };
        let accepted =
            Accepted { stream, client, listener: Arc::clone(&listener.borrow()), held: worker.hold() };
        if worker.connections.send(accepted).await.is_err() {
            // Never the one with the fewest again.
            worker.load.store(usize::MAX / 2, Ordering::Relaxed);
            tracing::error!("a worker is gone");
        }
    }
}

/// The client went away between connecting and being accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::net::TcpStream;
    use tokio::runtime::LocalRuntime;
    use tokio::sync::mpsc;

    use super::*;
    use crate::workers::connections;

    #[test]
    fn what_no_worker_takes_is_not_counted_when_accepting_ends() {
        let test = async {
            let (sender, mut accepted) = mpsc::channel(1);
            let (swaps, _swapped) = mpsc::channel(1);
            let load = Arc::<AtomicUsize>::default();
            let workers = Rc::new(vec![Handle { connections: sender, swaps, load }]);
            let socket = listen("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = socket.local_addr().unwrap();
            let config = Arc::new(config::Listener::new(address));
            let listener = Rc::new(RefCell::new(Arc::new(Listener { config, acceptor: None })));
            let accepting = spawn_local(accept(socket, listener, Rc::clone(&workers)));
            let _first = TcpStream::connect(address).await.unwrap();
            let _second = TcpStream::connect(address).await.unwrap();
            while connections(&workers) < 2 {
                tokio::task::yield_now().await;
            }
            accepting.abort();
            drop(accepting.await);
            assert_eq!(connections(&workers), 1);
            drop(accepted.recv().await);
            assert_eq!(connections(&workers), 0);
        };
        LocalRuntime::new().unwrap().block_on(test);
    }
}
