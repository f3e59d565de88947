//! From an exchange to a session: what the upgrade left is given a task of its own.

use std::rc::Rc;

use bytes::Bytes;
use tracing::field::display;

use crate::accept::Held;
use crate::leg::Leg;
use crate::session::{Ended, Opened, Session};
use crate::upgrade::{About, Upgraded};
use crate::worker::Worker;

/// A task no larger than it must be: there may be many, and they live long. `held`: where the connection is the session's
/// alone, it is counted as long as the session lives.
pub fn start_session(
    upgraded: Upgraded,
    client_stream: Leg,
    client_early: Bytes,
    worker: Rc<Worker>,
    held: Option<Held>,
) {
    let about = upgraded.about;
    tracing::debug!(session = about.id, client = %about.client, path = ?about.path, upstream = %about.upstream, server = %about.server, "session opened");
    let (session, early) = Session::new(Opened {
        client: client_stream,
        upstream: upgraded.upstream,
        client_early,
        upstream_early: upgraded.upstream_early,
        agreed: upgraded.agreed,
        chain: upgraded.chain,
        settings: upgraded.settings,
    });
    let drain = worker.draining.watch();
    let end = move |ended: &Ended| {
        log_end(&about, ended);
        drop(held);
    };
    drop(tokio::task::spawn_local(async move { end(&session.run(early, drain).await) }));
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
