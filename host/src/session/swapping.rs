//! Plugins of this session were replaced: follow to the new versions, or end when the old ones are too old.

use sluicegate_websocket::CloseCode;

use super::Session;
use super::buffers::Buffers;
use super::closing::Cause;
use super::timers::spread_over;
use crate::swap::Turn;

impl Session {
    /// It is this session's turn. No hook is under way, and what of a message has come so far is the codec's and not a
    /// plugin's, so this is between two messages for every plugin.
    pub(super) async fn follow_swap(&mut self, turn: Turn) {
        if self.closing.has_begun() {
            return;
        }
        let mut buffers = Buffers::take();
        self.tell_room(&buffers.out);
        if let Some(chain) = &mut self.chain {
            let outcome = chain.migrate(&turn.plugins, turn.worker, |followed| turn.count(followed)).await;
            let expiry = chain.expiry(&turn.plugins);
            self.apply(outcome, &mut buffers).await;
            self.follow_wishes();
            // Old ones do not all end at once.
            self.timers.set_expiry(expiry.map(|expiry| expiry.at + spread_over(expiry.spread)));
        }
        buffers.give_back();
    }

    /// A replaced version has reached its `max-age`: a last word, and the end.
    pub(super) async fn end_if_expired(&mut self) {
        if !self.timers.take_expired() || self.closing.has_begun() {
            return;
        }
        self.tell_plugins_of_drain().await;
        if !self.closing.has_begun() {
            let cause = Cause::proxy("a replaced version of a plugin reached its max-age");
            self.close_both(CloseCode::GOING_AWAY, "", cause);
        }
    }
}
