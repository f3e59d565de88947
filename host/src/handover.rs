//! From an exchange to a session: what the upgrade left begins, and what the log says of its end.

use bytes::Bytes;
use tracing::field::display;

use crate::drain::DrainWatch;
use crate::leg::Leg;
use crate::session::{Ended, Opened, Session};
use crate::upgrade::{About, Upgraded};
use crate::worker::Worker;

/// A session that has begun. There may be many, and they live long: it is no larger than it must be.
pub struct Running {
    session: Box<Session>,
    about: About,
    drain: DrainWatch,
}

/// Begin a session, with all it takes to do so; none of that is kept.
pub async fn begin_session(
    upgraded: Box<Upgraded>,
    client_stream: Leg,
    client_early: Bytes,
    worker: &Worker,
) -> Running {
    let upgraded = *upgraded;
    let about = upgraded.about;
    tracing::debug!(session = about.id, client = %about.client, path = ?about.path, upstream = %about.upstream, server = %about.server, "session opened");
    let (mut session, early) = Session::new(Opened {
        client: client_stream,
        upstream: upgraded.upstream,
        client_early,
        upstream_early: upgraded.upstream_early,
        agreed: upgraded.agreed,
        chain: upgraded.chain,
        settings: upgraded.settings,
    });
    if session.has_early(&early) {
        Box::pin(session.begin(early)).await;
    }
    Running { session, about, drain: worker.draining.watch() }
}

// === impl Running ===

impl Running {
    pub async fn run(self) {
        let ended = self.session.run(self.drain).await;
        log_end(&self.about, &ended);
    }
}

/// An end that both sides agreed on is nothing to look at; any other is what an operator searches the log for.
fn log_end(about: &About, ended: &Ended) {
    let Ended { cause, clean, lived, messages, bytes_received: bytes } = ended;
    let (client, peer) = (about.client, about.peer.map(display));
    let (lived_ms, note) = (lived.as_millis(), &cause.note);
    let (from_client, from_upstream) = (messages.client, messages.upstream);
    let (bytes_from_client, bytes_from_upstream) = (bytes.client, bytes.upstream);
    if *clean && note.is_empty() {
        tracing::debug!(
            session = about.id, %client, peer, path = ?about.path, upstream = %about.upstream, server = %about.server,
            closer = cause.closer(), code = cause.code, reason = ?cause.reason, lived_ms, from_client, from_upstream, bytes_from_client, bytes_from_upstream,
            "session closed"
        );
    } else {
        tracing::info!(
            session = about.id, %client, peer, path = ?about.path, upstream = %about.upstream, server = %about.server,
            closer = cause.closer(), code = cause.code, reason = ?cause.reason, clean, lived_ms, from_client,
            from_upstream, bytes_from_client, bytes_from_upstream, note = %note, "session ended early"
        );
    }
}
