//! Certificates that are replaced on disk, as they are every few weeks, come into use without a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::server::Acceptor;
use crate::config::Tls;
use crate::file_stamp::{Stamp, stamp};

/// Look after the files of one listener as long as it serves.
pub async fn watch(acceptor: Arc<Acceptor>) {
    let mut looks = interval(acceptor.tls().reload_interval.max(Duration::from_millis(1)));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_use = stamps(acceptor.tls());
    let mut last = in_use.clone();
    loop {
        looks.tick().await;
        let now = stamps(acceptor.tls());
        // A certificate and its key are two files, and each takes a while to write.
        let settled = now == last;
        last.clone_from(&now);
        if settled && now != in_use {
            in_use = now;
            reload(&acceptor);
        }
    }
}

/// Load what is in the files now, whether or not they seem to have changed.
pub fn reload(acceptor: &Acceptor) {
    let files = files(acceptor.tls()).map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    match acceptor.reload() {
        Ok(()) => tracing::info!(files, "certificates loaded anew"),
        Err(error) => tracing::error!(%error, files, "certificates not loaded, those in use stay"),
    }
}

fn files(tls: &Tls) -> impl Iterator<Item = &Path> {
    let pairs = tls.certificates.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
    let authorities = tls.client_certificates.iter().map(|clients| &clients.ca);
    pairs.chain(authorities).map(AsRef::as_ref)
}

fn stamps(tls: &Tls) -> Vec<Stamp> {
    files(tls).map(stamp).collect()
}
