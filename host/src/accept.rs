//! Accepting connections: each worker takes those that come to a socket of its own, and serves them itself. Only where it holds
//! more than another does it hand one over.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::connection;
use crate::listeners::Listener;
use crate::worker::Worker;

/// How long to wait with accepting when the process has no descriptor left.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(50);

/// A worker's socket of one listener.
pub struct Accepting {
    pub socket: std::net::TcpListener,
    /// What its next connection is served by.
    pub listener: Arc<ArcSwap<Listener>>,
    /// Until the sender is dropped.
    pub end: watch::Receiver<()>,
    /// Dropped when the socket is closed.
    pub open: mpsc::Sender<Infallible>,
}

/// A connection on its way from one worker to another.
pub struct Accepted {
    stream: std::net::TcpStream,
    client: SocketAddr,
    listener: Arc<Listener>,
    /// From now on, so that it counts as one of the worker's while it waits, and no more if it is never taken.
    held: Held,
}

/// Counts one connection as long as it lives.
#[derive(Debug)]
pub struct Held(Arc<AtomicUsize>);

/// A worker, as others see it who may hand something over.
#[derive(Debug, Clone)]
pub struct Peer {
    pub connections: mpsc::Sender<Accepted>,
    /// How many connections it holds, sessions among them.
    pub load: Arc<AtomicUsize>,
}

/// All workers, seen by one of them.
#[derive(Clone)]
pub struct Acceptor {
    pub worker: Rc<Worker>,
    pub own: Peer,
    pub others: Rc<[Peer]>,
}

// === impl Acceptor ===

impl Acceptor {
    /// Take what comes to a socket, until that is to be closed.
    pub async fn accept(self, accepting: Accepting) {
        let Accepting { socket, listener, mut end, open } = accepting;
        match TcpListener::from_std(socket) {
            Ok(socket) => tokio::select! {
                () = self.take_all(&socket, &listener) => {}
                _ = end.changed() => {}
            },
            Err(error) => tracing::error!(%error, "cannot accept"),
        }
        drop(open);
    }

    async fn take_all(&self, socket: &TcpListener, listener: &ArcSwap<Listener>) {
        let mut is_out = false;
        loop {
            let (stream, client) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    if !std::mem::replace(&mut is_out, true) {
                        let address = listener.load().config.address;
                        tracing::error!(%address, %error, "cannot accept, trying again soon");
                    }
                    sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
                    continue;
                }
            };
            is_out = false;
            self.assign(stream, client, listener.load_full());
        }
    }

    /// Serve a connection here, or where there are fewer: WebSockets live long, and a worker that got more than its share
    /// would keep them.
    fn assign(&self, stream: TcpStream, client: SocketAddr, listener: Arc<Listener>) {
        let least = self.others.iter().min_by_key(|peer| peer.load());
        match least.filter(|peer| is_out_of_balance(self.own.load(), peer.load())) {
            Some(peer) => self.hand_over(peer, stream, client, listener),
            None => self.serve(stream, client, listener, self.own.hold()),
        }
    }

    fn hand_over(&self, peer: &Peer, stream: TcpStream, client: SocketAddr, listener: Arc<Listener>) {
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%client, %error, "connection failed"),
        };
        let handed_over = peer.connections.try_send(Accepted { stream, client, listener, held: peer.hold() });
        if let Err(TrySendError::Full(accepted) | TrySendError::Closed(accepted)) = handed_over {
            self.take(Accepted { held: self.own.hold(), ..accepted });
        }
    }

    /// Serve what was on its way to another worker.
    pub fn take(&self, accepted: Accepted) {
        let Accepted { stream, client, listener, held } = accepted;
        match TcpStream::from_std(stream) {
            Ok(stream) => self.serve(stream, client, listener, held),
            Err(error) => tracing::debug!(%client, %error, "connection failed"),
        }
    }

    fn serve(&self, stream: TcpStream, client: SocketAddr, listener: Arc<Listener>, held: Held) {
        // In a box that is gone when a session begins, and that in another: a task is moved when it is spawned, and its place
        // written over when it ends.
        let connection = Box::pin(connection::serve(stream, client, listener, Rc::clone(&self.worker)));
        spawn_local(async move {
            if let Some(session) = connection.await {
                Box::pin(session.run()).await;
            }
            drop(held);
        });
    }
}

/// Whether a worker that holds `own` connections hands its next to the one that holds the `fewest`. A hand-over wakes another
/// thread, so where there are many it takes more than chance makes of them: one in sixteen.
fn is_out_of_balance(own: usize, fewest: usize) -> bool {
    own > fewest.saturating_add(fewest / 16)
}

/// The client went away between connecting and being accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

// === impl Peer ===

impl Peer {
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Count one more connection of this worker's.
    fn hold(&self) -> Held {
        self.load.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(&self.load))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_shared_evenly_and_many_about_so() {
        let hands_over = |own, fewest| is_out_of_balance(own, fewest);
        assert!(!hands_over(0, 0) && !hands_over(1, 1));
        assert!(hands_over(1, 0) && hands_over(16, 15));
        assert!(!hands_over(1_062, 1_000) && hands_over(1_063, 1_000));
    }
}
