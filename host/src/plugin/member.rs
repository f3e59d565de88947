//! One plugin's part in one WebSocket session, wherever its state lives.

use std::sync::Arc;
use std::task::Context;

use tokio::time::Instant;
use wasmtime::component::ResourceAny;

use super::instance::{Failure, FailureReason, Instance, MessageVerdict};
use super::shared::{Seat, Shared};
use super::{CloseInfo, Lent, MessageKinds, MessageRef, Plugin, Response, Side};
use crate::config::{Isolation, OnFailure};

/// A plugin's part in one session.
pub(super) struct Member {
    pub plugin: Arc<Plugin>,
    home: Home,
    session: ResourceAny,
    /// By sender: what `inspect` asked for.
    pub kinds: [MessageKinds; 2],
    pub timer: Option<Instant>,
}

/// Where a session's state lives.
enum Home {
    Own(Box<Instance>),
    Shared(Seat),
    /// The plugin failed, and the session goes on without it.
    Left,
}

/// A session that a plugin's new version has made of another's state.
pub(super) struct Session {
    plugin: Arc<Plugin>,
    home: Home,
    state: ResourceAny,
}

/// What a new version made of a state.
pub(super) enum Imported {
    Taken(Session),
    /// With its words.
    Refused(String),
}

// === impl Member ===

/// Open a session in `plugin`.
pub(super) async fn open_member(
    plugin: &Arc<Plugin>,
    worker: usize,
    lent: &mut Lent,
) -> Result<Result<Member, Response>, Failure> {
    let admitted = plugin.admit("open")?;
    let (home, opened) = match plugin.config.isolation {
        Isolation::Session => {
            let mut instance = Box::new(plugin.take(worker).await?);
            let opened = instance.open(lent).await?;
            (Home::Own(instance), opened)
        }
        Isolation::Shared => {
            let shared = plugin.shared(worker).await?;
            let opened = shared.call(async |instance| instance.open(lent).await).await?;
            (Home::Shared(Shared::seat(shared)), opened)
        }
    };
    plugin.passed(admitted);
    let member = |session| Member {
        plugin: Arc::clone(plugin),
        home,
        session,
        kinds: [MessageKinds::TEXT | MessageKinds::BINARY; 2],
        timer: None,
    };
    Ok(opened.map(member))
}

/// Have `plugin` make a session of a state that its last version gave. `lent.connection` is lent.
pub(super) async fn import_member(
    plugin: &Arc<Plugin>,
    worker: usize,
    lent: &mut Lent,
    state: &[u8],
) -> Result<Imported, Failure> {
    let admitted = plugin.admit("import-state")?;
    let (home, imported) = match plugin.config.isolation {
        Isolation::Session => {
            let mut instance = Box::new(plugin.take(worker).await?);
            let imported = instance.import_state(lent, state).await?;
            (Home::Own(instance), imported)
        }
        Isolation::Shared => {
            let shared = plugin.shared(worker).await?;
            let imported = shared.call(async |instance| instance.import_state(lent, state).await).await?;
            (Home::Shared(Shared::seat(shared)), imported)
        }
    };
    plugin.passed(admitted);
    Ok(match imported {
        Ok(state) => Imported::Taken(Session { plugin: Arc::clone(plugin), home, state }),
        Err(text) => Imported::Refused(text),
    })
}

impl Member {
    pub async fn on_message(
        &mut self,
        lent: &mut Lent,
        sender: Side,
        message: MessageRef<'_>,
    ) -> Result<MessageVerdict, Failure> {
        let session = self.session;
        match &mut self.home {
            Home::Own(instance) => instance.on_message(lent, session, sender, message).await,
            Home::Shared(seat) => {
                seat.shared
                    .call(async |instance| instance.on_message(lent, session, sender, message).await)
                    .await
            }
            Home::Left => Ok(MessageVerdict::Forward),
        }
    }

    pub async fn on_timer(&mut self, lent: &mut Lent) -> Result<(), Failure> {
        let session = self.session;
        match &mut self.home {
            Home::Own(instance) => instance.on_timer(lent, session).await,
            Home::Shared(seat) => {
                seat.shared.call(async |instance| instance.on_timer(lent, session).await).await
            }
            Home::Left => Ok(()),
        }
    }

    pub async fn on_drain(&mut self, lent: &mut Lent) -> Result<(), Failure> {
        let session = self.session;
        match &mut self.home {
            Home::Own(instance) => instance.on_drain(lent, session).await,
            Home::Shared(seat) => {
                seat.shared.call(async |instance| instance.on_drain(lent, session).await).await
            }
            Home::Left => Ok(()),
        }
    }

    /// The last call of a session; its state is dropped after it, with its instance where that is its own.
    pub async fn on_close(mut self, lent: &mut Lent, closed: CloseInfo<'_>) -> Result<(), Failure> {
        let session = self.session;
        match &mut self.home {
            Home::Own(instance) => instance.on_close(lent, session, closed).await,
            Home::Shared(seat) => {
                seat.shared.call(async |instance| instance.on_close(lent, session, closed).await).await?;
                seat.shared.call(async |instance| instance.drop_session(session).await).await
            }
            Home::Left => Ok(()),
        }
    }

    /// The session's state for the next version; none where it gives none.
    pub async fn export_state(&mut self, lent: &mut Lent) -> Result<Option<Vec<u8>>, Failure> {
        let session = self.session;
        match &mut self.home {
            Home::Own(instance) => instance.export_state(lent, session).await,
            Home::Shared(seat) => {
                seat.shared.call(async |instance| instance.export_state(lent, session).await).await
            }
            Home::Left => Ok(None),
        }
    }

    /// Go on in the new version. What the old one held of this session is dropped, and no hook of it is called; that it
    /// failed to drop it is its own affair, or that of other sessions in the same instance.
    pub async fn replace_by(&mut self, new: Session) -> Result<(), Failure> {
        let old_session = std::mem::replace(&mut self.session, new.state);
        self.plugin = new.plugin;
        match std::mem::replace(&mut self.home, new.home) {
            Home::Own(_) | Home::Left => Ok(()),
            Home::Shared(seat) => {
                seat.shared.call(async |instance| instance.drop_session(old_session).await).await
            }
        }
    }

    pub fn has_left(&self) -> bool {
        matches!(self.home, Home::Left)
    }

    /// Out of this session from now on.
    pub fn leave(&mut self) {
        self.home = Home::Left;
        self.kinds = [MessageKinds::empty(); 2];
        self.timer = None;
    }

    /// Whether the instance it shared was lost to a trap of another session. The task that asks is woken for it.
    pub fn has_lost(&mut self, cx: &Context<'_>) -> bool {
        match &mut self.home {
            Home::Shared(seat) => seat.is_lost(cx),
            Home::Own(_) | Home::Left => false,
        }
    }

    /// The failure that this is.
    pub fn lost(&self) -> Option<Failure> {
        match &self.home {
            Home::Shared(seat) if seat.shared.is_lost() => Some(seat.shared.failure()),
            Home::Own(_) | Home::Shared(_) | Home::Left => None,
        }
    }

    pub fn on_failure(&self) -> OnFailure {
        self.plugin.config.on_failure.session
    }

    pub fn failure(&self, hook: &'static str, reason: &str) -> Failure {
        Failure { plugin: self.plugin.name(), hook, reason: FailureReason::Trap(reason.to_owned()) }
    }
}
