//! One plugin's part in one WebSocket session, wherever its state lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;
use wasmtime::component::ResourceAny;

use super::instance::{Failure, FailureReason, Instance, MessageVerdict};
use super::{CloseInfo, Lent, MessageKinds, MessageRef, Plugin, Response, Side};
use crate::config::Isolation;

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
    Shared(Arc<Shared>),
    /// The plugin failed, and the session goes on without it.
    Left,
}

/// An instance that holds sessions of one worker, one call at a time.
pub struct Shared {
    instance: Mutex<Instance>,
    /// A trap took it, and every session in it.
    lost: AtomicBool,
}

// === impl Member ===

/// Open a session in `plugin`.
pub(super) async fn open_member(
    plugin: &Arc<Plugin>,
    worker: usize,
    lent: &mut Lent,
) -> Result<Result<Member, Response>, Failure> {
    let (home, opened) = match plugin.config.isolation {
        Isolation::Session => {
            let mut instance = Box::new(plugin.take(worker).await?);
            let opened = instance.open(lent).await?;
            (Home::Own(instance), opened)
        }
        Isolation::Shared => {
            let shared = plugin.shared(worker).await?;
            let opened = shared.call(async |instance| instance.open(lent).await).await?;
            (Home::Shared(shared), opened)
        }
    };
    let member = |session| Member {
        plugin: Arc::clone(plugin),
        home,
        session,
        kinds: [MessageKinds::TEXT | MessageKinds::BINARY; 2],
        timer: None,
    };
    Ok(opened.map(member))
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
            Home::Shared(shared) => {
                shared.call(async |instance| instance.on_message(lent, session, sender, message).await).await
            }
            Home::Left => Ok(MessageVerdict::Forward),
        }
    }

    pub async fn on_timer(&mut self, lent: &mut Lent) -> Result<(), Failure> {
        let session = self.session;
        match &mut self.home {
            Home::Own(instance) => instance.on_timer(lent, session).await,
            Home::Shared(shared) => {
                shared.call(async |instance| instance.on_timer(lent, session).await).await
            }
            Home::Left => Ok(()),
        }
    }

    pub async fn on_drain(&mut self, lent: &mut Lent) -> Result<(), Failure> {
        let session = self.session;
        match &mut self.home {
            Home::Own(instance) => instance.on_drain(lent, session).await,
            Home::Shared(shared) => {
                shared.call(async |instance| instance.on_drain(lent, session).await).await
            }
            Home::Left => Ok(()),
        }
    }

    /// The last call of a session; its state is dropped after it, with its instance where that is its own.
    pub async fn on_close(mut self, lent: &mut Lent, closed: CloseInfo<'_>) -> Result<(), Failure> {
        let session = self.session;
        match &mut self.home {
            Home::Own(instance) => instance.on_close(lent, session, closed).await,
            Home::Shared(shared) => {
                shared.call(async |instance| instance.on_close(lent, session, closed).await).await?;
                shared.call(async |instance| instance.drop_session(session).await).await
            }
            Home::Left => Ok(()),
        }
    }

    /// Out of this session from now on.
    pub fn leave(&mut self) {
        self.home = Home::Left;
        self.kinds = [MessageKinds::empty(); 2];
        self.timer = None;
    }

    pub fn failure(&self, hook: &'static str, reason: &str) -> Failure {
        Failure { plugin: self.plugin.name(), hook, reason: FailureReason::Trap(reason.to_owned()) }
    }
}

// === impl Shared ===

impl Shared {
    pub fn new(instance: Instance) -> Self {
        Self { instance: Mutex::new(instance), lost: AtomicBool::new(false) }
    }

    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// One call at a time; a failed one is the instance's last.
    async fn call<T>(
        &self,
        call: impl AsyncFnOnce(&mut Instance) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut instance = self.instance.lock().await;
        if self.is_lost() {
            return Err(instance.lost());
        }
        let result = call(&mut instance).await;
        if let Err(failure) = &result {
            let guests_own = !matches!(failure.reason, FailureReason::PoolExhausted(_));
            self.lost.store(guests_own, Ordering::Relaxed);
        }
        result
    }
}
