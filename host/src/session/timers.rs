//! A session's deadlines, all on one sleep.
//!
//! Traffic moves deadlines further away, and that costs nothing: the sleep is set anew only when something falls due
//! earlier than it rings, or when it has rung.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sluicegate_websocket::{CloseCode, Side};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Session;
use super::closing::Cause;
use super::masks;
use super::sides::{PerSide, SIDES};
use crate::config;
use crate::drain::Drain;
use crate::plugin::Closer;

/// Part of the time to drain in, in percent, over which sessions are spread, so that their clients do not all
/// come back at once and the last have time to say goodbye.
const SPREAD_PERCENT: u32 = 80;

pub struct Timers {
    sleep: Pin<Box<Sleep>>,
    /// The sleep knows whom to wake.
    armed: bool,
    opened: Instant,
    timeouts: config::Timeouts,
    ping: Option<config::Ping>,
    /// By receiver: a ping waits for the end of the frame that is passing.
    ping_due: PerSide<bool>,
    /// When this session ends for draining.
    drain: Option<Instant>,
    watches_drain: bool,
    /// When the next plugin's timer fires.
    plugins: Option<Instant>,
    /// When this session ends for a plugin's version that was replaced.
    expiry: Option<Instant>,
}

// === impl Timers ===

impl Timers {
    pub fn new(timeouts: config::Timeouts, ping: Option<config::Ping>, now: Instant) -> Self {
        // What may be due first; it is set to what is when it rings.
        let first = [Some(timeouts.idle), timeouts.lifetime, ping.map(|ping| ping.interval)];
        let first = first.into_iter().flatten().min().and_then(|first| now.checked_add(first));
        Self {
            sleep: Box::pin(sleep_until(first.unwrap_or(now))),
            armed: false,
            opened: now,
            timeouts,
            ping,
            ping_due: PerSide::default(),
            drain: None,
            watches_drain: true,
            plugins: None,
            expiry: None,
        }
    }

    pub fn now(&self) -> Instant {
        Instant::now()
    }

    pub fn lived(&self) -> Duration {
        self.opened.elapsed()
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.armed && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        let rung = self.sleep.as_mut().poll(cx);
        self.armed = rung.is_pending();
        rung
    }

    pub fn watches_drain(&self) -> bool {
        self.watches_drain
    }

    pub fn ping_is_due(&self, receiver: Side) -> bool {
        *self.ping_due.of(receiver)
    }

    /// Whether a plugin's timer is due.
    pub fn plugins_are_due(&self, now: Instant) -> bool {
        self.plugins.is_some_and(|at| at <= now)
    }

    pub fn set_plugins(&mut self, at: Option<Instant>) {
        self.plugins = at;
        self.sooner(at);
    }

    pub fn set_expiry(&mut self, at: Option<Instant>) {
        self.expiry = at;
        self.sooner(at);
    }

    /// Whether the session is to end for a replaced version; told once.
    pub fn take_expired(&mut self) -> bool {
        self.expiry.take_if(|at| *at <= Instant::now()).is_some()
    }

    /// Something waits since then for a receiver that does not take it.
    pub fn stalled(&mut self, since: Instant) {
        self.sooner(since.checked_add(self.timeouts.send));
    }

    /// Something falls due at this time: ring by then.
    pub fn sooner(&mut self, at: Option<Instant>) {
        if let Some(at) = at.filter(|at| *at < self.sleep.deadline()) {
            self.set(at);
        }
    }

    fn set(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.armed = false;
    }
}

impl Session {
    /// The sleep has rung: see to what is due, and set it anew.
    pub(super) fn on_deadline(&mut self) {
        let now = self.timers.now();
        self.end_last_words_if_due(now);
        let going_on = SIDES.into_iter().any(|side| self.outgoing.of(side).goes_on(self.legs.of(side), now));
        self.closing.give_up_if_due(now, going_on);
        for receiver in SIDES {
            let stalled = self.outgoing.of(receiver).stalled_since;
            if stalled.is_some_and(|since| reached(since, self.timers.timeouts.send, now)) {
                self.lose_receiver(receiver, std::io::ErrorKind::TimedOut.into());
            }
        }
        if !self.closing.has_begun() {
            self.end_if_due(now);
            self.ping_if_due(now);
        }
        let next = self.next_deadline(now);
        self.timers.set(next);
    }

    pub(super) fn on_drain(&mut self, drain: Drain) {
        self.timers.watches_drain = false;
        let now = self.timers.now();
        let end = match drain {
            Drain::Until(until) => now + spread(until.saturating_duration_since(now)),
            Drain::Now | Drain::No => now,
        };
        self.timers.drain = Some(end);
        self.timers.sooner(Some(end));
    }

    /// A ping of the proxy's own to `receiver`, if it waited for this frame boundary.
    pub(super) fn ping_at_boundary(&mut self, receiver: Side) {
        if std::mem::take(self.timers.ping_due.of_mut(receiver)) {
            self.ping(receiver, self.timers.now());
        }
    }

    fn end_if_due(&mut self, now: Instant) {
        let seen = self.active();
        let timeouts = self.timers.timeouts;
        let lifetime = timeouts.lifetime.is_some_and(|lifetime| reached(self.timers.opened, lifetime, now));
        let cause = if reached(seen, timeouts.idle, now) {
            Cause::proxy("idle timeout")
        } else if lifetime {
            Cause::proxy("lifetime reached")
        } else if self.timers.drain.is_some_and(|at| at <= now) {
            Cause::proxy("proxy is shutting down")
        } else {
            return;
        };
        self.close_both(CloseCode::GOING_AWAY, "", cause);
    }

    fn ping_if_due(&mut self, now: Instant) {
        let Some(ping) = self.timers.ping else { return };
        for side in SIDES {
            let incoming = self.incoming.of(side);
            let unanswered = incoming.pinged.filter(|(_, sent)| incoming.seen < *sent);
            match unanswered {
                Some((_, sent)) if reached(sent, ping.timeout, now) => {
                    self.lose_sender_because(side, Closer::Proxy, "no sign of life after a ping");
                    // In case it only cannot speak.
                    self.close_at_boundary(side, CloseCode::GOING_AWAY, "");
                }
                Some(_) => {}
                None if !reached(incoming.seen, ping.interval, now) => {}
                None if self.may_inject_control(side) => self.ping(side, now),
                None => *self.timers.ping_due.of_mut(side) = true,
            }
        }
    }

    fn ping(&mut self, receiver: Side, now: Instant) {
        let [a, b] = [masks::next(), masks::next()];
        let nonce = [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]];
        self.outgoing.of_mut(receiver).append(|outbound, out| outbound.ping(&nonce, out, &mut masks::next));
        self.incoming.of_mut(receiver).pinged = Some((nonce, now));
    }

    fn next_deadline(&self, now: Instant) -> Instant {
        let timers = &self.timers;
        let after = |since: Instant, time: Duration| since.checked_add(time);
        let stalled = SIDES.map(|side| self.outgoing.of(side).stalled_since);
        let stalled =
            stalled.into_iter().flatten().filter_map(|since| after(since, timers.timeouts.send)).min();
        let seen = self.active();
        let open = [
            after(seen, timers.timeouts.idle),
            timers.timeouts.lifetime.and_then(|lifetime| after(timers.opened, lifetime)),
            timers.drain,
            // What is due of these is seen to at once.
            timers.plugins.filter(|at| *at > now),
            timers.expiry.filter(|at| *at > now),
            self.next_ping(Side::Client),
            self.next_ping(Side::Upstream),
        ];
        let open = open.into_iter().flatten().min().filter(|_| !self.closing.has_begun());
        let next = [stalled, self.closing.deadline(), open].into_iter().flatten().min();
        // Nothing due: look again tomorrow. Something overdue waits for a boundary: look again soon.
        let soon = now + Duration::from_millis(10);
        next.unwrap_or_else(|| now + Duration::from_secs(24 * 3600)).max(soon)
    }

    /// When the session was last not idle.
    fn active(&self) -> Instant {
        let PerSide { client, upstream } = &self.incoming;
        match self.timers.timeouts.idle_counts {
            config::IdleCounts::Bytes => client.seen.max(upstream.seen),
            config::IdleCounts::Messages => client.message_seen.max(upstream.message_seen),
        }
    }

    fn next_ping(&self, side: Side) -> Option<Instant> {
        let ping = self.timers.ping?;
        let incoming = self.incoming.of(side);
        match incoming.pinged.filter(|(_, sent)| incoming.seen < *sent) {
            Some((_, sent)) => sent.checked_add(ping.timeout),
            None if self.timers.ping_is_due(side) => None,
            None => incoming.seen.checked_add(ping.interval),
        }
    }
}

fn reached(since: Instant, time: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) >= time
}

/// Some moment in the time left.
fn spread(left: Duration) -> Duration {
    spread_over(left.mul_f64(f64::from(SPREAD_PERCENT) / 100.0))
}

/// Some moment in this time.
pub(super) fn spread_over(time: Duration) -> Duration {
    let random = u32::from_ne_bytes(masks::next());
    time.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
