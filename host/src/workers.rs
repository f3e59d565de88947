//! The workers' threads, as those see them who have something for them.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::LocalRuntime;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval};

use crate::accept::{Accepted, Accepting, Acceptor, Peer};
use crate::drain::Drain;
use crate::snapshot::Snapshot;
use crate::swap::Swap;
use crate::worker::Worker;

/// Connections handed to a worker that it has not taken yet.
const HANDED_OVER_MAX: usize = 1_024;

/// Swaps a worker has not begun to spread yet.
const SWAPS_WAITING_MAX: usize = 4;

/// Between two wake-ups of a worker that nothing wakes.
const TICK: Duration = Duration::from_secs(1);

/// A worker as others see it.
pub struct Handle {
    /// Sockets for it to accept from.
    pub sockets: mpsc::UnboundedSender<Accepting>,
    /// Plugins that were replaced, for its sessions to follow.
    pub swaps: mpsc::Sender<Swap>,
    pub peer: Peer,
}

/// What others send to a worker, at its end.
struct Inbox {
    connections: mpsc::Receiver<Accepted>,
    sockets: mpsc::UnboundedReceiver<Accepting>,
    swaps: mpsc::Receiver<Swap>,
}

/// Start `count` workers.
pub fn start(
    count: usize,
    snapshot: &Arc<ArcSwap<Snapshot>>,
    drain: &watch::Receiver<Drain>,
) -> io::Result<Vec<Handle>> {
    let (handles, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| Handle::new()).unzip();
    let peers: Vec<_> = handles.iter().map(|handle| handle.peer.clone()).collect();
    for (index, inbox) in inboxes.into_iter().enumerate() {
        start_one(index, peers.clone(), inbox, Arc::clone(snapshot), drain.clone())?;
    }
    Ok(handles)
}

/// Connections of all of them.
pub fn connections(workers: &[Handle]) -> usize {
    workers.iter().map(|worker| worker.peer.load()).sum()
}

fn start_one(
    index: usize,
    mut peers: Vec<Peer>,
    inbox: Inbox,
    snapshot: Arc<ArcSwap<Snapshot>>,
    drain: watch::Receiver<Drain>,
) -> io::Result<()> {
    let (started, starting) = std::sync::mpsc::channel();
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        // What a worker owns is made in its own thread, and never leaves it.
        let worker = Rc::new(Worker::new(index, peers.len(), snapshot));
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        drop(started.send(Ok(())));
        let own = peers.remove(index);
        runtime.block_on(async {
            spawn_local(pass_drain_on(Rc::clone(&worker), drain));
            spawn_local(Arc::clone(&worker.snapshot().store).serve(worker.index));
            spawn_local(spread_swaps(Rc::clone(&worker), inbox.swaps));
            spawn_local(tick());
            let acceptor = Acceptor { worker, own, others: peers.into() };
            spawn_local(serve_handed_over(acceptor.clone(), inbox.connections));
            accept(acceptor, inbox.sockets).await;
        });
    })?;
    starting.recv().map_err(io::Error::other)?
}

/// Ends with the process.
async fn accept(acceptor: Acceptor, mut sockets: mpsc::UnboundedReceiver<Accepting>) {
    while let Some(socket) = sockets.recv().await {
        spawn_local(acceptor.clone().accept(socket));
    }
}

async fn serve_handed_over(acceptor: Acceptor, mut connections: mpsc::Receiver<Accepted>) {
    while let Some(accepted) = connections.recv().await {
        acceptor.take(accepted);
    }
}

/// Whoever sets a timer that is due before all others has the runtime woken for it, by a system call and a turn of epoll,
/// though it is awake: a handshake with a server would do so twice. With this no timeout of a second or more is the first.
async fn tick() {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
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
        spawn_local(Rc::clone(&worker.swaps).spread(swap));
    }
}

// === impl Handle ===

impl Handle {
    fn new() -> (Self, Inbox) {
        let (to_connections, connections) = mpsc::channel(HANDED_OVER_MAX);
        let (to_sockets, sockets) = mpsc::unbounded_channel();
        let (to_swaps, swaps) = mpsc::channel(SWAPS_WAITING_MAX);
        let peer = Peer { connections: to_connections, load: Arc::default() };
        (Self { sockets: to_sockets, swaps: to_swaps, peer }, Inbox { connections, sockets, swaps })
    }
}
