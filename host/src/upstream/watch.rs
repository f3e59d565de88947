//! What goes on beside requests for as long as a snapshot is in force: asking servers for their health and resolving
//! their names. Once in a process, not in each worker.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{MissedTickBehavior, interval};

use super::{Server, Upstream, health};

/// The tasks of a snapshot; they end with it.
#[must_use = "the tasks end when it is dropped"]
pub struct Watch(Vec<JoinHandle<()>>);

/// Begin to watch the servers of `upstreams`.
pub fn watch(upstreams: &[Arc<Upstream>]) -> Watch {
    let mut tasks = Vec::new();
    for upstream in upstreams {
        for server in &upstream.servers {
            if upstream.config.health.is_some() {
                tasks.push(spawn_local(check(Arc::clone(upstream), Arc::clone(server))));
            } else {
                // Nobody would ever find that it is back.
                server.set_up(true);
            }
            if server.has_name() {
                tasks.push(spawn_local(resolve(Arc::clone(server), upstream.config.resolve_interval)));
            }
        }
    }
    Watch(tasks)
}

async fn check(upstream: Arc<Upstream>, server: Arc<Server>) {
    if let Some(health) = &upstream.config.health {
        health::check(&server, &upstream.config, health).await;
    }
}

async fn resolve(server: Arc<Server>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        server.refresh().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}
