//! What the integration tests are made of: the proxy as a process of its own, upstreams and clients that show every
//! byte, and WebSocket peers of other makes.
//!
//! All listen on port 0 of the loopback interface, every wait has a deadline, and whatever was started ends with the
//! value that stands for it.

mod command;
pub mod config;
mod files;
mod frame;
mod http2;
mod http2_upstream;
mod log;
mod message;
mod peer;
mod proxy;
mod redis;
mod session;
mod tls;
mod transport;
mod upstream;
mod wire;

pub use command::{Finished, check, sluicegate};
pub use files::{component, example, guest, plugin, scratch};
pub use frame::{Frame, Opcode};
pub use http2::{Http2, RawFrame, RawHttp2};
pub use http2_upstream::{Asked, Http2Upstream, Http2Wire};
pub use log::Log;
pub use message::{Head, Request, Response};
pub use peer::Peer;
pub use proxy::{Proxy, ProxyBuilder};
pub use redis::Redis;
pub use session::{Session, WebSocket, accept_key, handshake, switching_protocols};
pub use tls::{Authority, Issued, TlsClient, TlsServer};
pub use transport::Transport;
pub use upstream::{RawUpstream, Upstream};
pub use wire::Wire;

use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long anything that should happen may take: generous, as the machine may be busy with other tests.
pub const SOON: Duration = Duration::from_secs(20);

/// The longest a test may take.
const TEST_TIME_MAX: Duration = Duration::from_secs(120);

/// How often [`eventually`] looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Run a test to its end or its deadline.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    run_within(TEST_TIME_MAX, test)
}

/// The same for a test that does something many times.
pub fn run_within<T>(time_max: Duration, test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async { timeout(time_max, test).await.expect("the test took too long") })
}

/// What should happen soon.
pub async fn soon<T>(what: impl Display, future: impl Future<Output = T>) -> T {
    match timeout(SOON, pin!(future)).await {
        Ok(result) => result,
        Err(_) => panic!("waited {SOON:?} in vain: {what}"),
    }
}

/// Look again and again until `look` sees something.
pub async fn eventually<T>(what: impl Display, mut look: impl FnMut() -> Option<T>) -> T {
    eventually_asked(what, async || look()).await
}

/// The same where looking is to ask somebody.
pub async fn eventually_asked<T>(what: impl Display, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    let mut looks = interval(LOOK_INTERVAL);
    // Who takes long to answer is not asked the more often for it.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Some(seen) = ask().await {
            return seen;
        }
        assert!(Instant::now() < end, "waited {SOON:?} in vain: {what}");
        looks.tick().await;
    }
}
