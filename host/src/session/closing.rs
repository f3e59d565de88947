//! How a session ends: by whom, why, and with which close frames (RFC 6455 §5.5.1, §7).

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use sluicegate_websocket::{CloseCode, Control, Outbound, Side, Violation};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::Session;
use super::incoming::Mode;
use super::masks;
use super::sides::{PerSide, SIDES};
use crate::guard::{Linger, lingering_close};
use crate::leg::Leg;
use crate::plugin::{CloseInfo, Closer};

/// How long a peer may take to answer a close frame, and to take what is left for it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may go on answering what the other sent before it broke a rule.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
/// Tells the client that the upstream is gone, as 502 does over HTTP (IANA WebSocket Close Code Number Registry).
const BAD_GATEWAY: u16 = 1014;

/// Why a session ends: the first reason there was.
#[derive(Debug, Clone)]
pub struct Cause {
    pub closer: Closer,
    /// The code and reason of the close frame that began it; none where the connection just ended.
    pub code: Option<u16>,
    pub reason: String,
    /// For the log, where the close frame does not say it.
    pub note: Cow<'static, str>,
}

/// The end of a session, for the log.
#[derive(Debug)]
pub struct Ended {
    pub cause: Cause,
    /// Whether close frames were exchanged on both legs (RFC 6455 §7.1.4).
    pub clean: bool,
    pub lived: Duration,
    /// By sender.
    pub messages: PerSide<u64>,
    pub bytes_received: PerSide<u64>,
}

/// How far the end has come.
#[derive(Debug, Default)]
pub struct Closing {
    cause: Option<Box<Cause>>,
    /// By receiver: a close frame that waits for the end of the message that is passing.
    due: PerSide<Option<Box<(CloseCode, String)>>>,
    /// By receiver: the close frame of one that broke a rule. The other side has until `last_words` to answer what came
    /// before that.
    last: PerSide<Option<Box<(CloseCode, String)>>>,
    last_words: Option<Instant>,
    deadline: Option<Instant>,
    gave_up: bool,
}

// === impl Cause ===

impl Cause {
    pub fn proxy(note: &'static str) -> Self {
        Self { closer: Closer::Proxy, code: None, reason: String::new(), note: note.into() }
    }

    /// Who ended the session, as the log says it.
    pub fn closer(&self) -> &'static str {
        match self.closer {
            Closer::Client => "client",
            Closer::Upstream => "upstream",
            Closer::Plugin => "plugin",
            Closer::Proxy => "proxy",
        }
    }

    pub fn plugin(note: impl Into<Cow<'static, str>>) -> Self {
        Self { closer: Closer::Plugin, code: None, reason: String::new(), note: note.into() }
    }

    pub fn violation(sender: Side, violation: Violation) -> Self {
        let mut cause = Self::proxy("");
        cause.code = Some(violation.close_code().get());
        cause.note = format!("{} sent {violation}", name(sender)).into();
        cause
    }

    pub fn too_many_messages(sender: Side) -> Self {
        let mut cause = Self::proxy("");
        cause.code = Some(CloseCode::POLICY.get());
        cause.note = format!("{} sent more messages than messages-rate", name(sender)).into();
        cause
    }
}

// === impl Closing ===

impl Closing {
    pub fn has_begun(&self) -> bool {
        self.cause.is_some()
    }

    pub fn is_due(&self, receiver: Side) -> bool {
        self.due.of(receiver).is_some()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.last_words.or(self.deadline).filter(|_| !self.gave_up)
    }

    /// `going_on`: a peer still takes what is left for it, so it may have more time.
    pub fn give_up_if_due(&mut self, now: Instant, going_on: bool) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.gave_up = !going_on;
            self.deadline = Some(now + CLOSE_TIMEOUT);
        }
    }

    fn begin(&mut self, cause: Cause, now: Instant) -> Option<Instant> {
        self.cause.get_or_insert_with(|| Box::new(cause));
        let deadline = self.deadline.get_or_insert(now + CLOSE_TIMEOUT);
        Some(*deadline)
    }
}

impl Session {
    fn begin_closing(&mut self, cause: Cause) {
        let deadline = self.closing.begin(cause, self.timers.now());
        self.timers.sooner(deadline);
    }

    /// `sender`'s close frame has come; it is about to be passed on.
    pub(super) fn close_received(&mut self, sender: Side, control: &Control) {
        let (code, reason) = match control.close_reason() {
            Some((code, reason)) => (Some(code.get()), reason.to_owned()),
            None => (None, String::new()),
        };
        self.begin_closing(Cause { closer: closer(sender), code, reason, note: "".into() });
    }

    /// Close both legs at the next message boundary of each direction.
    pub(super) fn close_both(&mut self, code: CloseCode, reason: &str, mut cause: Cause) {
        cause.code.get_or_insert(code.get());
        if cause.reason.is_empty() {
            reason.clone_into(&mut cause.reason);
        }
        self.begin_closing(cause);
        for receiver in SIDES {
            self.close_at_boundary(receiver, code, reason);
        }
    }

    /// `sender` broke a rule: tell it so, and the other side that it is alone.
    pub(super) fn break_off(&mut self, sender: Side, cause: Cause) {
        let code = cause.code.and_then(CloseCode::new).unwrap_or(CloseCode::PROTOCOL_ERROR);
        let reason = cause.note.clone().into_owned();
        self.begin_closing(Cause { reason: reason.clone(), ..cause });
        self.close_now(sender.other(), loss_code(sender), "");
        self.incoming.of_mut(sender).break_off();
        if self.outgoing.of(sender.other()).torn || self.incoming.of(sender.other()).is_closed() {
            return self.close_at_boundary(sender, code, &reason);
        }
        *self.closing.last.of_mut(sender) = Some(Box::new((code, reason)));
        let last_words = self.timers.now() + LAST_WORDS_TIMEOUT;
        self.closing.last_words = Some(last_words);
        self.timers.sooner(Some(last_words));
    }

    /// The other side of one that broke a rule has said its last, or had the time to.
    pub(super) fn close_after_last_words(&mut self, receiver: Side) -> bool {
        let Some(last) = self.closing.last.of_mut(receiver).take() else { return false };
        let (code, reason) = *last;
        self.closing.last_words = None;
        self.close_at_boundary(receiver, code, &reason);
        true
    }

    pub(super) fn end_last_words_if_due(&mut self, now: Instant) {
        if self.closing.last_words.is_some_and(|at| at <= now) {
            for receiver in SIDES {
                self.close_after_last_words(receiver);
            }
        }
    }

    /// Nothing more will come from `sender`.
    pub(super) fn lose_sender(&mut self, sender: Side, error: Option<io::Error>) {
        let note = match error {
            Some(error) => format!("{} connection failed: {error}", name(sender)),
            None => format!("{} closed the connection without a close frame", name(sender)),
        };
        self.lose_sender_because(sender, closer(sender), note);
    }

    pub(super) fn lose_sender_because(
        &mut self,
        sender: Side,
        closer: Closer,
        note: impl Into<Cow<'static, str>>,
    ) {
        let incoming = self.incoming.of_mut(sender);
        if std::mem::replace(&mut incoming.ended, true) || incoming.is_closed() {
            return;
        }
        // A peer that was told to close and does so without a word has not surprised anybody.
        let code = match self.closing.cause.as_ref().and_then(|cause| cause.code).and_then(CloseCode::new) {
            Some(code) => code,
            None => loss_code(sender),
        };
        if self.close_after_last_words(sender.other()) {
            return;
        }
        let code_sent = Some(code.get());
        self.begin_closing(Cause { closer, code: code_sent, reason: String::new(), note: note.into() });
        self.close_now(sender.other(), code, "");
    }

    /// `receiver` takes nothing any more, so nothing is to be had from it either.
    pub(super) fn lose_receiver(&mut self, receiver: Side, error: io::Error) {
        self.outgoing.of_mut(receiver).lose();
        self.lose_sender(receiver, Some(error));
    }

    /// The stream to the receiver of `sender`'s frames stands where something may be put in.
    pub(super) fn at_boundary(&mut self, sender: Side) {
        let receiver = sender.other();
        if self.may_inject_message(receiver) {
            self.outgoing.of_mut(receiver).release();
        }
        if self.may_inject_message(receiver)
            && let Some(due) = self.closing.due.of_mut(receiver).take()
        {
            let (code, reason) = *due;
            self.write_close(receiver, code, &reason);
        }
        if self.may_inject_control(receiver) {
            self.ping_at_boundary(receiver);
        }
        self.incoming.of_mut(sender).follow_wish();
    }

    pub(super) fn close_at_boundary(&mut self, receiver: Side, code: CloseCode, reason: &str) {
        if self.may_inject_message(receiver) {
            self.write_close(receiver, code, reason);
        } else {
            let due = self.closing.due.of_mut(receiver);
            due.get_or_insert_with(|| Box::new((code, reason.to_owned())));
        }
    }

    /// No end of the message that is passing will come: close here, or, amid a frame, without a word.
    fn close_now(&mut self, receiver: Side, code: CloseCode, reason: &str) {
        if self.may_inject_control(receiver) {
            self.write_close(receiver, code, reason);
        } else {
            self.outgoing.of_mut(receiver).torn = true;
        }
    }

    fn write_close(&mut self, receiver: Side, code: CloseCode, reason: &str) {
        let reason = Some((code, reason));
        self.outgoing.of_mut(receiver).append(|outbound, out| outbound.close(reason, out, &mut masks::next));
    }

    /// Whether the stream to `receiver` stands between frames: a control frame may be put in (RFC 6455 §5.4).
    pub(super) fn may_inject_control(&self, receiver: Side) -> bool {
        self.stands_between(receiver, |incoming| incoming.between_frames())
    }

    pub(super) fn may_inject_message(&self, receiver: Side) -> bool {
        self.stands_between(receiver, |incoming| incoming.between_messages())
    }

    fn stands_between(&self, receiver: Side, between: impl Fn(&super::Incoming) -> bool) -> bool {
        let incoming = self.incoming.of(receiver.other());
        let outgoing = self.outgoing.of(receiver);
        // Of an inspected message nothing has gone out while it is put together.
        let held_back = matches!(incoming.mode, Mode::Inspect(_)) && !outgoing.passing;
        !outgoing.torn && (held_back || between(incoming))
    }

    /// "After both sending and receiving a Close message, an endpoint considers the WebSocket connection closed and MUST
    /// close the underlying TCP connection" (RFC 6455 §5.5.1): each leg for itself, whatever the other has still to say.
    pub(super) fn shut_closed(&mut self, cx: &mut Context<'_>) {
        for side in SIDES {
            let outgoing = self.outgoing.of_mut(side);
            let closed = outgoing.outbound.is_closed() && self.incoming.of(side).is_closed();
            // After half a frame no close frame can be sent; the end of the stream has to say it.
            if (closed || outgoing.torn) && outgoing.waiting_bytes() == 0 && !outgoing.shut {
                outgoing.shut = Pin::new(self.legs.of_mut(side)).poll_shutdown(cx).is_ready();
            }
        }
    }

    /// Whether both sides have said their last, and heard it.
    pub(super) fn has_ended(&self) -> bool {
        let is_over = |side| {
            let (incoming, outgoing) = (self.incoming.of(side), self.outgoing.of(side));
            let said = incoming.ended || incoming.is_closed();
            let flushed = outgoing.is_flushed(self.legs.of(side));
            let heard = flushed && (outgoing.outbound.is_closed() || outgoing.torn);
            said && (heard || outgoing.is_lost())
        };
        self.closing.has_begun() && (self.closing.gave_up || SIDES.into_iter().all(is_over))
    }

    /// Close the connections, tell the plugins. Where there is nobody to wait for, dropping the connections is all.
    pub(super) async fn finish(mut self: Box<Self>) -> Ended {
        let clean = self.is_clean();
        let cause = self.closing.cause.take().map_or_else(|| Cause::proxy("ended"), |cause| *cause);
        let at_once = |side: Side| !self.is_open(side, clean) && self.legs.of(side).ends_by_drop();
        if self.chain.is_some() || !SIDES.into_iter().all(at_once) {
            Box::pin(self.part(clean, &cause)).await;
        }
        Ended {
            clean,
            lived: self.timers.lived(),
            messages: self.incoming.map(super::Incoming::messages),
            bytes_received: self.incoming.map(|incoming| incoming.bytes),
            cause,
        }
    }

    async fn part(&mut self, clean: bool, cause: &Cause) {
        let [client_open, upstream_open] = SIDES.map(|side| self.is_open(side, clean));
        let PerSide { client, upstream } = &mut self.legs;
        tokio::join!(close(client, client_open), close(upstream, upstream_open));
        if let Some(chain) = &mut self.chain {
            let reason = cause.reason.as_str();
            chain.on_close(CloseInfo { closer: cause.closer, clean, code: cause.code, reason }).await;
        }
    }

    /// Whether more may come from `sender`.
    fn is_open(&self, sender: Side, clean: bool) -> bool {
        let incoming = self.incoming.of(sender);
        !(incoming.ended || clean && incoming.is_closed())
    }

    /// Whether close frames were exchanged on both legs.
    fn is_clean(&self) -> bool {
        SIDES.into_iter().all(|side| {
            let outgoing = self.outgoing.of(side);
            let closed = matches!(self.incoming.of(side).mode, Mode::Relay(_) | Mode::Inspect(_));
            closed
                && self.incoming.of(side).is_closed()
                && outgoing.outbound.is_closed()
                && !outgoing.is_lost()
        })
    }
}

/// Tell an upstream that accepted a handshake that nothing comes of it: 1001, and the end.
pub fn refuse(mut upstream: Leg) {
    let mut frame = Vec::new();
    let mut outbound = Outbound::new(Side::Upstream, None, None);
    outbound.close(Some((CloseCode::GOING_AWAY, "")), &mut frame, &mut masks::next);
    drop(tokio::task::spawn_local(async move {
        if upstream.write_all(&frame).await.is_ok() {
            close(&mut upstream, true).await;
        }
    }));
}

/// End one connection. What a peer still sends is read for a while, as closing over it would take back what it was
/// sent last.
async fn close(leg: &mut Leg, still_sending: bool) {
    if still_sending {
        lingering_close(leg, Linger { time_max: Duration::from_secs(1), ..Linger::default() }).await;
    } else {
        let shutdown = poll_fn(|cx| Pin::new(&mut *leg).poll_shutdown(cx));
        // The connection is dropped next; what failed or took too long is over then.
        drop(timeout(Duration::from_secs(1), shutdown).await);
    }
}

/// What one side is told when the other is lost.
fn loss_code(lost: Side) -> CloseCode {
    match lost {
        Side::Client => CloseCode::GOING_AWAY,
        Side::Upstream => CloseCode::new(BAD_GATEWAY).unwrap_or(CloseCode::INTERNAL_ERROR),
    }
}

fn closer(side: Side) -> Closer {
    match side {
        Side::Client => Closer::Client,
        Side::Upstream => Closer::Upstream,
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Upstream => "upstream",
    }
}
