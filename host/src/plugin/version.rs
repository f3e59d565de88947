//! The versions of a plugin: one is what its file, settings and further keys made it; when a reload finds any of them
//! changed, the next takes its place, and the old one lives on for the sessions that began with it.

use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use wasmtime::Engine;

use super::Plugin;
use super::load::{LoadError, Loader};
use crate::config;

/// What tells a version from others, and whether it is still the one in service.
#[derive(Debug)]
pub(super) struct Version {
    /// Of its file.
    digest: [u8; 32],
    replaced: OnceLock<Instant>,
}

// === impl Version ===

impl Version {
    pub fn of(file: &[u8]) -> Self {
        Self { digest: Sha256::digest(file).into(), replaced: OnceLock::new() }
    }
}

// === impl Plugin ===

impl Plugin {
    /// Since when another version, or none, is in service; none: it is in service itself.
    pub fn replaced_at(&self) -> Option<Instant> {
        self.version.replaced.get().copied()
    }

    /// It is out of service: instances that wait for a request are not needed any more. Sessions keep theirs.
    pub fn retire(&self) {
        let _ = self.version.replaced.set(Instant::now());
        self.drop_idle();
    }

    fn is_made_of(&self, engine: &Engine, config: &config::Plugin, digest: [u8; 32]) -> bool {
        let in_service = self.replaced_at().is_none();
        let same = self.config == *config && self.version.digest == digest;
        in_service && same && Engine::same(self.pre.engine(), engine)
    }
}

// === impl Loader ===

impl Loader {
    /// The one of `in_service` that `config` still describes, or a new one.
    pub async fn load_or_keep(
        &self,
        config: &config::Plugin,
        upstreams: &[String],
        in_service: &[Arc<Plugin>],
    ) -> Result<Arc<Plugin>, LoadError> {
        let known = in_service.iter().find(|plugin| plugin.config.name == config.name);
        if let Some(known) = known
            && let Ok(file) = std::fs::read(&config.file)
            && known.is_made_of(self.engine(), config, Sha256::digest(&file).into())
        {
            return Ok(Arc::clone(known));
        }
        self.load(config, upstreams).await
    }
}
