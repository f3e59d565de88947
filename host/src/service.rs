//! What is in service (a snapshot, its listeners, the checks of its servers) and putting another in its place.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::changes::{Changes, missing, needs_restart};
use crate::file_stamp::Stamp;
use crate::file_watch::FileWatch;
use crate::listeners::{ListenError, Listeners};
use crate::prepare::{Prepared, Preparer};
use crate::snapshot::Snapshot;
use crate::swap::{Swap, Tally};
use crate::upstream;
use crate::workers::Handle;

pub struct Service {
    /// What new exchanges are served by.
    snapshot: Arc<ArcSwap<Snapshot>>,
    listeners: Listeners,
    /// Asks servers for their health.
    checks: upstream::Watch,
    preparer: Preparer,
    workers: Rc<Vec<Handle>>,
    /// Tells when a file is another one than what is in service.
    files: FileWatch,
}

// === impl Service ===

impl Service {
    /// Begin to serve what is in `snapshot`.
    pub fn start(
        snapshot: Arc<ArcSwap<Snapshot>>,
        workers: Rc<Vec<Handle>>,
        preparer: Preparer,
        files: Vec<(PathBuf, Stamp)>,
    ) -> Result<Self, ListenError> {
        let first = snapshot.load_full();
        let mut listeners = Listeners::new(Rc::clone(&workers));
        let bound = listeners.bind(&first)?;
        listeners.follow(&first, bound);
        let checks = upstream::watch(&first.upstreams);
        let mut watch = FileWatch::default();
        watch.follow(first.config.server.watch, files);
        Ok(Self { snapshot, listeners, checks, preparer, workers, files: watch })
    }

    /// Ends when a file has changed, where the configuration asks for looking at them.
    pub async fn files_changed(&mut self) {
        self.files.changed().await;
    }

    /// Nothing new is taken.
    pub async fn close(&mut self) {
        self.listeners.close().await;
    }

    pub fn shutdown_grace(&self) -> Duration {
        self.snapshot.load().config.server.shutdown_grace
    }

    /// Read the configuration again, and serve by it from now on; or, where anything is wrong with any of it, go on as
    /// before.
    pub async fn reload(&mut self) {
        let began = Instant::now();
        let before = self.snapshot.load_full();
        let Prepared { files, snapshot } = self.preparer.prepare(Some(Arc::clone(&before))).await;
        match &snapshot {
            Ok(next) => self.files.follow(next.config.server.watch, files),
            Err(_) => self.files.follow_also(files),
        }
        let mut next = match snapshot {
            Ok(next) => next,
            Err(refused) => return tell_refusal(&refused.to_string()),
        };
        match self.listeners.bind(&next) {
            Ok(bound) => self.listeners.follow(&next, bound),
            Err(error) => return tell_refusal(&error.to_string()),
        }
        for key in needs_restart(&before.config.server, &mut next.config.server) {
            tracing::warn!("server.{key} has changed, which needs a restart; all else is followed");
        }
        let next = Arc::new(*next);
        self.checks = upstream::watch(&next.upstreams);
        self.snapshot.store(Arc::clone(&next));
        tell_success(&before, &next, began.elapsed());
        self.tell_sessions(&before, &next).await;
    }

    /// Sessions hear of plugins that were replaced, or that are back.
    async fn tell_sessions(&self, before: &Snapshot, next: &Snapshot) {
        missing(before, next).for_each(|plugin| plugin.retire());
        if missing(before, next).next().is_none() && missing(next, before).next().is_none() {
            return;
        }
        let tally = Arc::<Tally>::default();
        for worker in self.workers.iter() {
            let plugins = Arc::clone(&next.plugins);
            let swap = Swap { generation: next.generation, plugins, tally: Arc::clone(&tally) };
            if worker.swaps.send(swap).await.is_err() {
                tracing::error!("a worker is gone");
            }
        }
    }
}

/// One line for each thing that is wrong.
fn tell_refusal(text: &str) {
    for line in text.lines() {
        tracing::error!("{line}");
    }
    tracing::error!("configuration not changed");
}

fn tell_success(before: &Snapshot, next: &Snapshot, took: Duration) {
    let changed = |changed: bool| if changed { "changed" } else { "unchanged" };
    let changes = Changes::between(before, next);
    tracing::info!(
        plugins_new = changes.plugins_new,
        plugins_changed = changes.plugins_changed,
        plugins_unchanged = changes.plugins_unchanged,
        plugins_removed = changes.plugins_removed,
        routes = changed(changes.routes),
        upstreams = changed(changes.upstreams),
        listeners = changed(changes.listeners),
        ms = took.as_millis(),
        "configuration reloaded"
    );
}
