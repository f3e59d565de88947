//! The process: workers, accepting, signals, draining.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config;
use crate::connection;
use crate::drain::Drain;
use crate::snapshot::Snapshot;
use crate::tls::{self, Acceptor};
use crate::upstream;
use crate::worker::Worker;

/// Connections that wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 4_096;
/// Connections handed to a worker that it has not taken yet.
const HANDED_OVER_MAX: usize = 1_024;
/// How long to wait with accepting when the process has no descriptor left.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(50);

/// Why the process could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// A connection on its way from the acceptor to a worker.
struct Accepted {
    stream: std::net::TcpStream,
    client: SocketAddr,
    listener: Arc<Listener>,
}

/// What connections of one listener have in common.
pub struct Listener {
    pub config: Arc<config::Listener>,
    /// None: no TLS.
    pub acceptor: Option<Arc<Acceptor>>,
}

/// A worker as the acceptor sees it.
struct Handle {
    connections: mpsc::Sender<Accepted>,
    /// How many connections it holds, sessions among them.
    load: Arc<AtomicUsize>,
}

/// Serve until a signal ends it.
pub fn run(snapshot: Snapshot) -> Result<(), ServerError> {
    let server = snapshot.config.server.clone();
    let listeners = bind(&snapshot)?;
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    let (drain, draining) = watch::channel(Drain::No);
    let start = |index| start_worker(index, server.workers, Arc::clone(&snapshot), draining.clone());
    let workers: Vec<Handle> = (0..server.workers).map(start).collect::<io::Result<_>>()?;
    let runtime = LocalRuntime::new()?;
    runtime.block_on(async {
        for (_, listener) in &listeners {
            if let Some(acceptor) = &listener.acceptor {
                tokio::task::spawn_local(tls::reload::watch(Arc::clone(acceptor)));
            }
        }
        let workers = Rc::new(workers);
        let _watch = upstream::watch(&snapshot.load().upstreams);
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|(socket, listener)| tokio::task::spawn_local(accept(socket, listener, Rc::clone(&workers))))
            .collect();
        let signal = ended_by_signal(server.shutdown_grace).await?;
        // Nothing new is taken, by closing the listening sockets.
        for task in &accepting {
            task.abort();
        }
        for task in accepting {
            drop(task.await);
        }
        drain.send_replace(signal.drain);
        wait_for_workers(&workers, signal.until).await;
        Ok::<_, ServerError>(())
    })
}

/// What a signal asks for.
struct Signalled {
    drain: Drain,
    until: Instant,
}

/// SIGTERM drains within the grace; SIGINT, which a person sends, ends at once, if politely.
async fn ended_by_signal(grace: Duration) -> io::Result<Signalled> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let now = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => true,
    };
    let begin = Instant::now();
    if now {
        tracing::info!("shutting down");
        return Ok(Signalled { drain: Drain::Now, until: begin + grace.min(Duration::from_secs(5)) });
    }
    tracing::info!(grace_ms = grace.as_millis(), "draining");
    Ok(Signalled { drain: Drain::Until(begin + grace), until: begin + grace })
}

/// Wait until no worker holds a connection any more, or the time is up, or a second signal cuts it short.
async fn wait_for_workers(workers: &[Handle], until: Instant) {
    let second_signal = async {
        match signal(SignalKind::interrupt()) {
            Ok(mut interrupt) => drop(interrupt.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let all_gone = async {
        while workers.iter().any(|worker| worker.load.load(Ordering::Relaxed) > 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let left = |workers: &[Handle]| -> usize {
        workers.iter().map(|worker| worker.load.load(Ordering::Relaxed)).sum()
    };
    tokio::select! {
        () = all_gone => tracing::info!("stopped"),
        () = second_signal => tracing::warn!(connections = left(workers), "stopped by a second signal"),
        () = tokio::time::sleep_until(until) => {
            tracing::warn!(connections = left(workers), "stopped, as the grace is over");
        }
    }
}

fn bind(snapshot: &Snapshot) -> Result<Vec<(TcpListenerStd, Arc<Listener>)>, ServerError> {
    let bind = |(config, acceptor): (&config::Listener, &Option<Arc<Acceptor>>)| {
        let address = config.address;
        let socket = listen(address).map_err(|error| ServerError::Listen { address, error })?;
        // Where port 0 was asked for, this is the one it became.
        let bound = socket.local_addr().unwrap_or(address);
        tracing::info!(address = %bound, tls = acceptor.is_some(), "listening");
        Ok((socket, Arc::new(Listener { config: Arc::new(config.clone()), acceptor: acceptor.clone() })))
    };
    snapshot.config.listeners.iter().zip(&snapshot.acceptors).map(bind).collect()
}

type TcpListenerStd = std::net::TcpListener;

fn listen(address: SocketAddr) -> io::Result<TcpListenerStd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last process's connections to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accept, and hand each connection to the worker with the fewest: WebSockets live long, and a worker that got more than
/// its share would keep them.
async fn accept(socket: TcpListenerStd, listener: Arc<Listener>, workers: Rc<Vec<Handle>>) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(address = %listener.config.address, %error, "cannot accept"),
    };
    loop {
        let (stream, client) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(address = %listener.config.address, %error, "cannot accept, trying again soon");
                tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
                continue;
            }
        };
        let Some(worker) = workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else {
            continue;
        };
        let Ok(stream) = stream.into_std() else { continue };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let accepted = Accepted { stream, client, listener: Arc::clone(&listener) };
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

fn start_worker(
    index: usize,
    workers: usize,
    snapshot: Arc<ArcSwap<Snapshot>>,
    drain: watch::Receiver<Drain>,
) -> io::Result<Handle> {
    let (connections, accepted) = mpsc::channel(HANDED_OVER_MAX);
    let load = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&load);
    let (started, starting) = std::sync::mpsc::channel();
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        // What a worker owns is made in its own thread, and never leaves it.
        let worker = Rc::new(Worker::new(index, workers, snapshot));
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        drop(started.send(Ok(())));
        runtime.block_on(work(worker, accepted, counted, drain));
    })?;
    starting.recv().map_err(io::Error::other)??;
    Ok(Handle { connections, load })
}

async fn work(
    worker: Rc<Worker>,
    mut accepted: mpsc::Receiver<Accepted>,
    load: Arc<AtomicUsize>,
    drain: watch::Receiver<Drain>,
) {
    tokio::task::spawn_local(pass_drain_on(Rc::clone(&worker), drain));
    while let Some(Accepted { stream, client, listener }) = accepted.recv().await {
        let worker = Rc::clone(&worker);
        let held = Held(Arc::clone(&load));
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

/// Counts one connection as long as it lives.
#[derive(Debug)]
pub struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
