//! The process: its signals, from the start to the end of draining.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drain::Drain;
use crate::listeners::ListenError;
use crate::pid_file::{PidFile, PidFileError};
use crate::plugin::usage;
use crate::prepare::{Prepared, Preparer, Refused};
use crate::service::Service;
use crate::workers::{self, Handle, connections};

/// Why the process could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("{0}")]
    Listen(#[from] ListenError),
    #[error("{0}")]
    PidFile(#[from] PidFileError),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// The signals that mean something. From the first on, none of them ends the process by itself.
struct Signals {
    hangup: Signal,
    ends: EndSignals,
}

struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
}

/// How it is to end.
#[derive(Debug, Clone, Copy)]
enum End {
    /// SIGTERM: within the grace.
    Drain,
    /// SIGINT, which a person sends: at once, if politely.
    Now,
}

/// Serve until a signal ends it.
pub fn run(preparer: Preparer) -> Result<(), ServerError> {
    LocalRuntime::new()?.block_on(serve(preparer))
}

async fn serve(preparer: Preparer) -> Result<(), ServerError> {
    let mut signals = Signals::take()?;
    let Prepared { files, snapshot } = tokio::select! {
        prepared = preparer.prepare(None) => prepared,
        _ = signals.ends.next() => return Ok(()),
    };
    let snapshot = snapshot?;
    let server = snapshot.config.server.clone();
    let pid_file = server.pid_file.as_deref().map(PidFile::take).transpose()?;
    let snapshot = Arc::new(ArcSwap::from_pointee(*snapshot));
    tokio::task::spawn_local(usage::report_on_signal(Arc::clone(&snapshot.load().loaded)));
    let (drain, draining) = watch::channel(Drain::No);
    let workers = Rc::new(workers::start(server.workers, &snapshot, &draining)?);
    let store = Arc::clone(&snapshot.load().store);
    let mut service = Service::start(snapshot, Rc::clone(&workers), preparer, files)?;
    let end = reload_until_end(&mut service, &mut signals).await;
    service.close().await;
    // The addresses are free, and so is the file: a successor need not wait for the last session.
    drop(pid_file);
    let until = begin_draining(end, service.shutdown_grace(), &drain);
    wait_for_workers(&workers, until, &mut signals).await;
    // Slots of sessions that have just ended are free at once, not when their lease is over.
    store.settle().await;
    Ok(())
}

/// One reload after another: what asks for one while another is under way is answered after it.
async fn reload_until_end(service: &mut Service, signals: &mut Signals) -> End {
    let Signals { hangup, ends } = signals;
    loop {
        tokio::select! {
            end = ends.next() => return end,
            _ = hangup.recv() => tracing::info!("reloading the configuration, as SIGHUP asks for"),
            () = service.files_changed() => tracing::info!("reloading the configuration, as files have changed"),
        }
        tokio::select! {
            end = ends.next() => return end,
            () = service.reload() => {}
        }
    }
}

/// Until when connections may go on.
fn begin_draining(end: End, grace: Duration, drain: &watch::Sender<Drain>) -> Instant {
    let begin = Instant::now();
    match end {
        End::Now => {
            tracing::info!("shutting down");
            drain.send_replace(Drain::Now);
            begin + grace.min(Duration::from_secs(5))
        }
        End::Drain => {
            tracing::info!(grace_ms = grace.as_millis(), "draining");
            drain.send_replace(Drain::Until(begin + grace));
            begin + grace
        }
    }
}

/// Wait until no worker holds a connection any more, or the time is up, or a second signal cuts it short.
async fn wait_for_workers(workers: &[Handle], until: Instant, signals: &mut Signals) {
    let Signals { hangup, ends } = signals;
    let all_gone = async {
        while connections(workers) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ignore_reloads = async {
        while hangup.recv().await.is_some() {
            tracing::warn!("configuration not reloaded, as the process drains");
        }
        std::future::pending().await
    };
    tokio::select! {
        () = all_gone => tracing::info!("stopped"),
        _ = ends.interrupt.recv() => {
            tracing::warn!(connections = connections(workers), "stopped by a second signal");
        }
        () = ignore_reloads => {}
        () = tokio::time::sleep_until(until) => {
            tracing::warn!(connections = connections(workers), "stopped, as the grace is over");
        }
    }
}

// === impl Signals ===

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            ends: EndSignals {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            },
        })
    }
}

// === impl EndSignals ===

impl EndSignals {
    async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.terminate.recv() => End::Drain,
            _ = self.interrupt.recv() => End::Now,
        }
    }
}
