//! One worker's connection to Redis.
//!
//! Commands of a worker's tasks go out one behind the other and are answered in that order; nobody waits for another's
//! answer. A task of the worker's own, [`Link::run`], connects, looks after the connection and its slots, and connects again when it is lost;
//! whoever asks meanwhile is told so at once. A connection is lost when it is closed, when it has answered nothing since a call that ran out of time
//! was begun, and when Redis refuses what it is asked (it may be read-only, or out of memory).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ConnectionAddr, FromRedisValue, RedisError, ScriptInvocation};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::slots::Slots;
use super::{Address, Shared};
use crate::store::Unavailable;

/// For connecting and for what is done aside, which nobody waits for; a call's own time where that is longer.
const TIME_MAX: Duration = Duration::from_secs(1);
/// Between two attempts to connect; doubled with each up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Slots per lease are renewed so many times.
const BEATS_PER_LEASE: u32 = 3;

/// A worker's way to Redis.
pub struct Link {
    pub(super) shared: Arc<Shared>,
    /// Whose slots they are.
    pub(super) holder: String,
    pub(super) slots: Slots,
    state: watch::Sender<State>,
    /// When the last answer came.
    answered: Mutex<Option<Instant>>,
    /// Why the connection is to be given up, as a call has found.
    given_up: Mutex<Option<Loss>>,
    gives_up: Notify,
}

#[derive(Clone)]
enum State {
    /// The worker has begun, and its first attempt to connect is under way: only then do calls wait for it.
    Starting,
    Up(MultiplexedConnection),
    Down,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Loss {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("did not answer in time")]
    Silent,
    #[error("closed the connection")]
    Closed,
    #[error("refuses: {0}")]
    Refused(RedisError),
}

/// Polled, it moves bytes between the connection's handle and its socket; it ends when that is closed.
type Driver = std::pin::Pin<Box<dyn Future<Output = ()>>>;

// === impl Link ===

impl Link {
    pub(super) fn new(shared: Arc<Shared>, holder: String) -> Self {
        Self {
            shared,
            holder,
            slots: Slots::default(),
            state: watch::Sender::new(State::Starting),
            answered: Mutex::default(),
            given_up: Mutex::default(),
            gives_up: Notify::new(),
        }
    }

    /// Connect again and again; never ends.
    pub async fn run(self: Arc<Self>) {
        let mut pause = PAUSE_MIN;
        let mut is_down = false;
        loop {
            let loss = match self.connect().await {
                Ok((connection, driver)) => {
                    if std::mem::take(&mut is_down) {
                        self.shared.back();
                    }
                    self.state.send_replace(State::Up(connection.clone()));
                    let began = Instant::now();
                    let loss = self.look_after(connection, driver).await;
                    if began.elapsed() > PAUSE_MAX {
                        pause = PAUSE_MIN;
                    }
                    loss
                }
                Err(loss) => loss,
            };
            self.state.send_replace(State::Down);
            if !std::mem::replace(&mut is_down, true) {
                self.shared.lost(&loss);
            }
            tracing::debug!(address = %Address(&self.shared.info), reason = %loss, "no connection to the store");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whether Redis could be told of slots that were given back.
    pub(super) fn is_unsettled(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_)) && self.slots.any_released()
    }

    /// The connection, if there is one.
    pub(super) async fn connection(&self) -> Result<MultiplexedConnection, Unavailable> {
        match &*self.state.borrow() {
            State::Starting => {}
            State::Up(connection) => return Ok(connection.clone()),
            State::Down => return Err(Unavailable),
        }
        let mut state = self.state.subscribe();
        let started = state.wait_for(|state| !matches!(state, State::Starting)).await;
        match started.as_deref() {
            Ok(State::Up(connection)) => Ok(connection.clone()),
            _ => Err(Unavailable),
        }
    }

    /// What came of a command. An error of Redis' own ends the connection.
    pub(super) fn judge<T>(&self, answer: Result<T, RedisError>) -> Result<T, Unavailable> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        answer.map_err(|error| {
            // A value of another kind is one key's affair.
            if !error.is_io_error() && error.code() != Some("WRONGTYPE") {
                self.give_up(Loss::Refused(error));
            }
            Unavailable
        })
    }

    /// To be held by a call while it waits.
    pub(super) fn watch(&self) -> Waiting<'_> {
        Waiting { link: self, began: Instant::now() }
    }

    fn give_up(&self, loss: Loss) {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(loss);
        self.gives_up.notify_one();
    }

    fn time_max(&self) -> Duration {
        TIME_MAX.max(self.shared.timeout)
    }

    /// A connection that has shown that it can write, and whose Redis knows of this worker's slots.
    async fn connect(&self) -> Result<(MultiplexedConnection, Driver), Loss> {
        let connect = async {
            match self.shared.info.addr() {
                ConnectionAddr::Unix(path) => {
                    self.greet(UnixStream::connect(path).await.map_err(Loss::Connect)?).await
                }
                ConnectionAddr::Tcp(host, port) => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(Loss::Connect)?;
                    stream.set_nodelay(true).map_err(Loss::Connect)?;
                    self.greet(stream).await
                }
                _ => Err(Loss::Connect(io::ErrorKind::Unsupported.into())),
            }
        };
        timeout(self.time_max(), connect).await.unwrap_or(Err(Loss::Silent))
    }

    async fn greet<S>(&self, stream: S) -> Result<(MultiplexedConnection, Driver), Loss>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Deadlines are the callers'.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let settings = self.shared.info.redis_settings();
        let connected = MultiplexedConnection::new_with_config(settings, stream, config).await;
        let (mut connection, driver) = connected.map_err(Loss::of)?;
        let mut driver: Driver = Box::pin(driver);
        // Nothing is in flight to this worker: what an earlier connection was asked for has failed.
        self.forget_giving_up();
        tokio::select! {
            () = &mut driver => return Err(Loss::Closed),
            ready = async {
                for script in self.shared.scripts.all() {
                    script.load_async(&mut connection).await.map_err(Loss::of)?;
                }
                self.probe(&mut connection).await?;
                self.renew_slots(&mut connection, true).await
            } => ready?,
        }
        Ok((connection, driver))
    }

    /// A read-only Redis, or one without memory left, is as good as none.
    async fn probe(&self, connection: &mut MultiplexedConnection) -> Result<(), Loss> {
        let key = format!("{}probe", self.shared.prefix);
        let script = &self.shared.scripts.take;
        let mut probe = script.key(key);
        self.ask(connection, probe.arg(1000).arg(1000)).await.map(|_: i64| ())
    }

    /// Until the connection is lost.
    async fn look_after(&self, mut connection: MultiplexedConnection, mut driver: Driver) -> Loss {
        tokio::select! {
            () = &mut driver => Loss::Closed,
            loss = self.given_up() => loss,
            loss = self.tend(&mut connection) => loss,
        }
    }

    async fn given_up(&self) -> Loss {
        loop {
            self.gives_up.notified().await;
            if let Some(loss) = self.forget_giving_up() {
                return loss;
            }
        }
    }

    fn forget_giving_up(&self) -> Option<Loss> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Give slots back as they become free, and renew the lease of the others.
    async fn tend(&self, connection: &mut MultiplexedConnection) -> Loss {
        let period = self.shared.lease / BEATS_PER_LEASE;
        let mut beat = interval_at(Instant::now() + period, period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let tended = tokio::select! {
                _ = beat.tick() => self.renew_slots(connection, false).await,
                () = self.slots.released() => self.release_slots(connection).await,
            };
            if let Err(loss) = tended {
                return loss;
            }
        }
    }

    /// A script's answer to the link's own task.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, Loss> {
        let answer = timeout(self.time_max(), invocation.invoke_async(connection)).await;
        answer.map_err(|_| Loss::Silent)?.map_err(Loss::of)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("holder", &self.holder).finish_non_exhaustive()
    }
}

// === impl Loss ===

impl Loss {
    fn of(error: RedisError) -> Self {
        if error.is_connection_dropped() { Self::Closed } else { Self::Refused(error) }
    }
}

/// A call that waits. Dropped after the whole time of a call, in which Redis has answered nobody, it takes the connection for lost.
pub(super) struct Waiting<'a> {
    link: &'a Link,
    began: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.began.elapsed() < self.link.shared.timeout {
            return;
        }
        let answered = *self.link.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.is_none_or(|answered| answered < self.began) {
            self.link.give_up(Loss::Silent);
        }
    }
}
