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
    let mut in_use = acceptor.stamps();
    let mut last = Vec::new();
    loop {
        looks.tick().await;
        let now = stamps(acceptor.tls());
        // A certificate and its key are two files, and each takes a while to write.
        let settled = now == last;
        last.clone_from(&now);
        if settled && now != in_use {
            // Each change is tried once.
            in_use = if reload(&acceptor) { acceptor.stamps() } else { now };
        }
    }
}

/// Load what is in the files now, whether or not they seem to have changed. Whether it is in use.
fn reload(acceptor: &Acceptor) -> bool {
    let files = files(acceptor.tls()).map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let reloaded = acceptor.reload();
    match &reloaded {
        Ok(()) => tracing::info!(files, "certificates loaded anew"),
        Err(error) => tracing::error!(%error, files, "certificates not loaded, those in use stay"),
    }
    reloaded.is_ok()
}

pub fn files(tls: &Tls) -> impl Iterator<Item = &Path> {
    let pairs = tls.certificates.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
    let authorities = tls.client_certificates.iter().map(|clients| &clients.ca);
    pairs.chain(authorities).map(AsRef::as_ref)
}

/// As they are now: taken before the files are read, so that a change in between is seen later.
pub fn stamps(tls: &Tls) -> Vec<Stamp> {
    files(tls).map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::KeyPair;

    fn write(pair: &KeyPair, name: &str) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        fs::write(&pair.certificate, cert.pem()).unwrap();
        fs::write(&pair.key, signing_key.serialize_pem()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_change_between_loading_and_watching_are_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let pair =
            KeyPair { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        write(&pair, "old.example.com");
        let acceptor = Arc::new(Acceptor::load(&Tls::new(vec![pair.clone()])).unwrap());
        let old = acceptor.current.load_full();
        write(&pair, "new-name.example.com");
        let watching = watch(Arc::clone(&acceptor));
        let _ = tokio::time::timeout(Duration::from_secs(3_600), watching).await;
        assert!(!Arc::ptr_eq(&old, &acceptor.current.load_full()));
        assert_eq!(acceptor.stamps(), stamps(acceptor.tls()));
    }
}
