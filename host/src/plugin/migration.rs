//! Handing an open session from one version of a plugin to the next: its state is exported by the old one and imported by
//! the new one. Timers, inspected kinds and attributes stay as they are, unless the new version asks for others.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Plugin;
use super::chain::{Chain, Outcome};
use super::instance::Failure;
use super::member::{Imported, import_member};

/// What became of one plugin of a session when its version was replaced.
#[derive(Debug)]
pub enum Followed {
    /// The session runs in the new version.
    Migrated,
    /// It stays with the old one: `migrate` is off, or the old version gave no state.
    Kept,
    /// It stays with the old one, as the new one does not take it over, for this reason.
    Refused(String),
    /// A version failed while handing over.
    Failed(Failure),
}

/// When a session with a replaced version is to end, and how far its end may be put off so that not all end at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    pub at: Instant,
    pub spread: Duration,
}

// === impl Chain ===

impl Chain {
    /// Have the versions in service take over what has to be; `count` is told of each plugin that was replaced. To be asked
    /// between two messages.
    pub async fn migrate(
        &mut self,
        in_service: &[Arc<Plugin>],
        worker: usize,
        mut count: impl FnMut(Followed),
    ) -> Result<Outcome, Failure> {
        let mut steps = Vec::new();
        for at in 0..self.members.len() {
            let Some(next) = self.successor(at, in_service) else { continue };
            let exported = match self.members.get_mut(at) {
                Some(member) if next.config.migrate && next.has_session_hook() => {
                    member.export_state(&mut self.lent).await
                }
                _ => Ok(None),
            };
            let state = match exported {
                Ok(Some(state)) => state,
                Ok(None) => {
                    count(Followed::Kept);
                    continue;
                }
                Err(failure) => {
                    count(Followed::Failed(failure.clone()));
                    self.survive::<()>(at, Err(failure))?;
                    continue;
                }
            };
            let imported = import_member(next, worker, &mut self.lent, &state).await;
            count(self.take_over(at, imported).await);
            self.run_asked(at, &mut steps).await?;
        }
        Ok(Outcome::Steps(steps))
    }

    /// When a session with these versions of plugins is to end.
    pub fn expiry(&self, in_service: &[Arc<Plugin>]) -> Option<Expiry> {
        let expiry = |at| {
            let max_age = self.successor(at, in_service)?.config.max_age?;
            let at = self.members.get(at)?.plugin.replaced_at()?.checked_add(max_age)?;
            Some(Expiry { at, spread: max_age / 10 })
        };
        (0..self.members.len()).filter_map(expiry).min_by_key(|expiry| expiry.at)
    }

    /// The version that has replaced member `at`'s; none where it is in service itself, or the configuration has no
    /// plugin of its name any more.
    fn successor<'a>(&self, at: usize, in_service: &'a [Arc<Plugin>]) -> Option<&'a Arc<Plugin>> {
        let member = self.members.get(at).filter(|member| !member.has_left())?;
        let next = in_service.iter().find(|next| next.config.name == member.plugin.config.name)?;
        (!Arc::ptr_eq(next, &member.plugin)).then_some(next)
    }

    /// Put the session that a new version made of the state in the old one's place; where there is none, all stays as it
    /// was.
    async fn take_over(&mut self, at: usize, imported: Result<Imported, Failure>) -> Followed {
        match imported {
            Ok(Imported::Taken(session)) => {
                if let Some(member) = self.members.get_mut(at)
                    && let Err(failure) = member.replace_by(session).await
                {
                    tracing::warn!(
                        plugin = %failure.plugin, hook = failure.hook, reason = %failure.reason,
                        "plugin's old version failed after a session had left it"
                    );
                }
                Followed::Migrated
            }
            Ok(Imported::Refused(reason)) => {
                self.forget_asked();
                Followed::Refused(reason)
            }
            Err(failure) => {
                self.forget_asked();
                Followed::Failed(failure)
            }
        }
    }
}
