//! The workers' threads, as those see them who have something for them.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::runtime::LocalRuntime;
use tokio::sync::{mpsc, watch};

use crate::connection;
use crate::drain::Drain;
use crate::listeners::Listener;
use crate::snapshot::Snapshot;
use crate::swap::Swap;
use crate::worker::Worker;

/// Connections handed to a worker that it has not taken yet.
const HANDED_OVER_MAX: usize = 1_024;

/// Swaps a worker has not begun to spread yet.
const SWAPS_WAITING_MAX: usize = 4;

/// A connection on its way from the acceptor to a worker.
pub struct Accepted {
    pub stream: std::net::TcpStream,
    pub client: SocketAddr,
    pub listener: Arc<Listener>,
    /// From now on, so that it counts as one of the worker's while it waits, and no more if it is never taken.
    pub held: Held,
}

/// A worker as others see it.
pub struct Handle {
    pub connections: mpsc::Sender<Accepted>,
    /// Plugins that were replaced, for its sessions to follow.
    pub swaps: mpsc::Sender<Swap>,
    /// How many connections it holds, sessions among them.
    pub load: Arc<AtomicUsize>,
}

/// Counts one connection as long as it lives.
#[derive(Debug)]
pub struct Held(Arc<AtomicUsize>);

/// Start `count` workers.
pub fn start(
    count: usize,
    snapshot: &Arc<ArcSwap<Snapshot>>,
    drain: &watch::Receiver<Drain>,
) -> io::Result<Vec<Handle>> {
    (0..count).map(|index| start_one(index, count, Arc::clone(snapshot), drain.clone())).collect()
}

/// Connections of all of them.
pub fn connections(workers: &[Handle]) -> usize {
    workers.iter().map(|worker| worker.load.load(Ordering::Relaxed)).sum()
}

fn start_one(
    index: usize,
    count: usize,
    snapshot: Arc<ArcSwap<Snapshot>>,
    drain: watch::Receiver<Drain>,
) -> io::Result<Handle> {
    let (connections, accepted) = mpsc::channel(HANDED_OVER_MAX);
    let (swaps, swapped) = mpsc::channel(SWAPS_WAITING_MAX);
    let load = Arc::new(AtomicUsize::new(0));
    let (started, starting) = std::sync::mpsc::channel();
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        // What a worker owns is made in its own thread, and never leaves it.
        let worker = Rc::new(Worker::new(index, count, snapshot));
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        drop(started.send(Ok(())));
        runtime.block_on(async {
            tokio::task::spawn_local(pass_drain_on(Rc::clone(&worker), drain));
            tokio::task::spawn_local(Arc::clone(&worker.snapshot().store).serve(worker.index));
            tokio::task::spawn_local(spread_swaps(Rc::clone(&worker), swapped));
            work(worker, accepted).await;
        });
    })?;
    starting.recv().map_err(io::Error::other)??;
    Ok(Handle { connections, swaps, load })
}

async fn work(worker: Rc<Worker>, mut accepted: mpsc::Receiver<Accepted>) {
    while let Some(Accepted { stream, client, listener, held }) = accepted.recv().await {
        let worker = Rc::clone(&worker);
        let stream = stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream));
        tokio::task::spawn_local(async move {
            match stream {
                Ok(stream) => connection::serve(stream, client, &listener, worker, held).await,
                Err(error) => tracing::debug!(%client, %error, "connection failed"),
            }
        });
    }
}

async fn pass_drain_on(worker: Rc<Worker>, mut drain: watch::Receiver<Drain>) {
    if let Ok(drain) = drain.wait_for(|drain| *drain != Drain::No).await {
        worker.draining.begin(*drain);
    }
}

/// The one before ends when the next begins.
async fn spread_swaps(worker: Rc<Worker>, mut swaps: mpsc::Receiver<Swap>) {
    while let Some(swap) = swaps.recv().await {
        tokio::task::spawn_local(Rc::clone(&worker.swaps).spread(swap));
    }
}

impl Handle {
    /// Count one more connection of this worker's.
    pub fn hold(&self) -> Held {
        self.load.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(&self.load))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
