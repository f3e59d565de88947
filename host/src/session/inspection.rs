//! The path of messages that plugins see.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use sluicegate_websocket::{CloseCode, Event, Message, Payload, Side};

use super::buffers::Buffers;
use super::closing::Cause;
use super::hearing::waited;
use super::incoming::Mode;
use super::outgoing::Outgoing;
use super::sides::{PerSide, SIDES};
use super::{Session, codec_side, masks, plugin_side};
use crate::plugin::chain::{Outcome, Step};
use crate::plugin::instance::Failure;
use crate::plugin::{self, CloseReason, MessageRef};

impl Session {
    /// Offer the messages in `input` to the plugins, and write what they made of them. How much of it is left: something
    /// is once a hook had to be waited for, as there may be more to see to by then.
    pub(super) async fn inspect(&mut self, sender: Side, input: &[u8], buffers: &mut Buffers) -> usize {
        let (mut rest, mut left) = (input, 0);
        while !rest.is_empty() {
            let reader = match &mut self.incoming.of_mut(sender).mode {
                Mode::Inspect(reader) => reader,
                Mode::Relay(_) => {
                    // The plugins want no more of this sender: what follows in this read is the relay's.
                    self.write_out(&mut buffers.out).await;
                    rest = self.relay_now(sender, rest).await;
                    continue;
                }
                Mode::Broken { .. } => break,
            };
            match reader.read(&mut rest, &mut buffers.scratch) {
                // Nothing follows a close frame; its sender is only waited for.
                Ok(Some(Event::Message(_))) if self.outgoing.of(sender.other()).outbound.is_closed() => {}
                Ok(Some(Event::Message(message))) => {
                    let last = rest.is_empty();
                    if waited(pin!(self.offer(sender, message, last, &mut buffers.out))).await {
                        left = rest.len();
                    }
                }
                Ok(Some(Event::Control(control))) => {
                    self.write_out(&mut buffers.out).await;
                    self.pass_control(sender, &control);
                }
                Ok(Some(Event::Data(bytes))) => {
                    let outgoing = self.outgoing.of_mut(sender.other());
                    outgoing.passing = true;
                    if !outgoing.outbound.is_closed() {
                        buffers.out.of_mut(sender.other()).extend_from_slice(bytes);
                    }
                }
                Ok(None) => break,
                Err(violation) => {
                    self.write_out(&mut buffers.out).await;
                    self.break_off(sender, Cause::violation(sender, violation));
                    return 0;
                }
            }
            self.after_event(sender, &mut buffers.out).await;
            if left > 0 {
                break;
            }
        }
        buffers.scratch.trim();
        self.write_out(&mut buffers.out).await;
        if !self.incoming.of_mut(sender).within_rate() {
            self.break_off(sender, Cause::too_many_messages(sender));
            return 0;
        }
        left
    }

    /// One message through the chain.
    async fn offer(&mut self, sender: Side, message: Message<'_>, last: bool, out: &mut PerSide<Vec<u8>>) {
        let receiver = sender.other();
        self.tell_room(out);
        let Some(chain) = &mut self.chain else { return };
        let seen = match message.payload {
            Payload::Text(text) => MessageRef::Text(text),
            Payload::Binary(bytes) => MessageRef::Binary(bytes),
        };
        match chain.on_message(plugin_side(sender), seen).await {
            Ok(Outcome::Forward) => {
                let outgoing = self.outgoing.of_mut(receiver);
                if last && out.of(receiver).is_empty() && outgoing.outbound.passes(&message) {
                    let leg = self.legs.of_mut(receiver);
                    let written =
                        poll_fn(|cx| Poll::Ready(outgoing.write_through(cx, leg, message.original))).await;
                    if let Err(error) = written {
                        // What was said to the sender goes before the close frame that this leads to.
                        self.write_out(out).await;
                        self.lose_receiver(receiver, error);
                    }
                } else {
                    outgoing.outbound.forward(&message, out.of_mut(receiver), &mut masks::next);
                }
            }
            Ok(Outcome::Steps(steps)) => {
                for step in steps {
                    self.take_step(step, Some((receiver, &message)), out).await;
                }
                self.follow_wishes();
            }
            Err(failure) => self.plugin_failed(&failure, out).await,
        }
    }

    /// What an event without a message led to.
    pub(super) async fn apply(&mut self, outcome: Result<Outcome, Failure>, buffers: &mut Buffers) {
        match outcome {
            Ok(Outcome::Forward) => {}
            Ok(Outcome::Steps(steps)) => {
                for step in steps {
                    self.take_step(step, None, &mut buffers.out).await;
                }
            }
            Err(failure) => self.plugin_failed(&failure, &mut buffers.out).await,
        }
        self.write_out(&mut buffers.out).await;
    }

    pub(super) async fn run_plugin_timers(&mut self) {
        let now = self.timers.now();
        if self.closing.has_begun() || !self.timers.plugins_are_due(now) {
            return;
        }
        let mut buffers = Buffers::take();
        self.tell_room(&buffers.out);
        if let Some(chain) = &mut self.chain {
            let outcome = chain.on_timer(now).await;
            self.apply(outcome, &mut buffers).await;
            self.follow_wishes();
        }
        buffers.give_back();
    }

    pub(super) async fn tell_plugins_of_drain(&mut self) {
        let mut buffers = Buffers::take();
        self.tell_room(&buffers.out);
        if let Some(chain) = &mut self.chain {
            let outcome = chain.on_drain().await;
            self.apply(outcome, &mut buffers).await;
            self.follow_wishes();
        }
        buffers.give_back();
    }

    /// At once, and not at the next message: nobody is to talk to a plugin that is not there.
    pub(super) async fn leave_lost_plugins(&mut self) {
        let Some(chain) = &mut self.chain else { return };
        let outcome = chain.on_lost();
        if self.closing.has_begun() {
            return;
        }
        let mut buffers = Buffers::take();
        self.apply(outcome, &mut buffers).await;
        self.follow_wishes();
        buffers.give_back();
    }

    async fn take_step(
        &mut self,
        step: Step,
        original: Option<(Side, &Message<'_>)>,
        out: &mut PerSide<Vec<u8>>,
    ) {
        match (step, original) {
            (Step::Forward, Some((receiver, message))) => {
                let outbound = &mut self.outgoing.of_mut(receiver).outbound;
                outbound.forward(message, out.of_mut(receiver), &mut masks::next);
            }
            (Step::Replace(new), Some((receiver, message))) => {
                if new.len() > self.limits.message_bytes_max {
                    return self.message_too_large(out).await;
                }
                let outbound = &mut self.outgoing.of_mut(receiver).outbound;
                outbound.replace(message, new.payload(), out.of_mut(receiver), &mut masks::next);
            }
            (Step::Drop, Some((receiver, message))) => {
                self.outgoing.of_mut(receiver).outbound.discard(message)
            }
            (Step::Send { to, message }, _) => self.send(codec_side(to), &message, out).await,
            (Step::Close(CloseReason { code, reason }), _) => {
                self.write_out(out).await;
                let code = CloseCode::new(code).unwrap_or(CloseCode::INTERNAL_ERROR);
                self.close_both(code, &reason, Cause::plugin(""));
            }
            // Only a message can be forwarded, replaced or dropped.
            (Step::Forward | Step::Replace(_) | Step::Drop, None) => {}
        }
    }

    /// A message of a plugin's own, where the stream to `receiver` allows one now.
    async fn send(&mut self, receiver: Side, message: &plugin::Message, out: &mut PerSide<Vec<u8>>) {
        if message.len() > self.limits.message_bytes_max {
            return self.message_too_large(out).await;
        }
        let at_boundary = self.may_inject_message(receiver);
        let outgoing = self.outgoing.of_mut(receiver);
        if at_boundary {
            outgoing.outbound.inject(message.payload(), out.of_mut(receiver), &mut masks::next);
        } else {
            outgoing.hold(message.clone());
        }
    }

    /// A plugin made a message that the route's limits do not allow.
    async fn message_too_large(&mut self, out: &mut PerSide<Vec<u8>>) {
        self.write_out(out).await;
        tracing::warn!(
            message_bytes_max = self.limits.message_bytes_max,
            "plugin made a message that is too large"
        );
        let cause = Cause::plugin("plugin made a message larger than message-bytes-max");
        self.close_both(CloseCode::INTERNAL_ERROR, "", cause);
    }

    async fn plugin_failed(&mut self, failure: &Failure, out: &mut PerSide<Vec<u8>>) {
        self.write_out(out).await;
        tracing::warn!(plugin = %failure.plugin, hook = failure.hook, reason = %failure.reason, "plugin failed, closing its session");
        self.close_both(CloseCode::INTERNAL_ERROR, "", Cause::plugin(failure.to_string()));
    }

    /// After each event of `sender`: see whether its receiver's stream stands at a boundary that something waited for.
    async fn after_event(&mut self, sender: Side, out: &mut PerSide<Vec<u8>>) {
        let receiver = sender.other();
        let between = self.incoming.of(sender).between_messages();
        let outgoing = self.outgoing.of_mut(receiver);
        outgoing.passing &= !between;
        if self.incoming.of(sender).has_wish()
            || self.closing.is_due(receiver)
            || self.timers.ping_is_due(receiver)
            || self.outgoing.of(receiver).holds()
        {
            self.write_out(out).await;
            self.at_boundary(sender);
        }
    }

    /// Tell the plugins how much they may send.
    pub(super) fn tell_room(&mut self, out: &PerSide<Vec<u8>>) {
        let bytes_max = self.limits.waiting_bytes_max;
        let room = |side: Side, outgoing: &Outgoing| {
            let waiting = outgoing.waiting_bytes() + self.legs.of(side).held_bytes();
            let taken = waiting + outgoing.held_bytes() + out.of(side).len();
            bytes_max.saturating_sub(taken)
        };
        let room = [room(Side::Client, &self.outgoing.client), room(Side::Upstream, &self.outgoing.upstream)];
        let can_inspect = [self.incoming.client.can_inspect(), self.incoming.upstream.can_inspect()];
        let closing = self.closing.has_begun();
        if let Some(connection) = self.chain.as_mut().and_then(|chain| chain.connection()) {
            (connection.room, connection.can_inspect, connection.closing) = (room, can_inspect, closing);
        }
    }

    /// Write what was made of this read, as one write per receiver.
    pub(super) async fn write_out(&mut self, out: &mut PerSide<Vec<u8>>) {
        for receiver in SIDES {
            let bytes = out.of_mut(receiver);
            if bytes.is_empty() {
                continue;
            }
            let (outgoing, leg) = (self.outgoing.of_mut(receiver), self.legs.of_mut(receiver));
            let written = poll_fn(|cx| Poll::Ready(outgoing.write_through(cx, leg, bytes))).await;
            bytes.clear();
            if let Err(error) = written {
                self.lose_receiver(receiver, error);
            }
        }
    }
}
