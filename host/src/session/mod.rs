//! A WebSocket session: two legs in one task, until both are closed.
//!
//! Each direction is either relayed (frame headers are read, bytes pass) or inspected (messages are put together and
//! offered to the plugins). Both directions are served in turn and neither ever waits for the other: what a
//! receiver does not take is kept up to `waiting-bytes-max`, and its sender is not read meanwhile.

mod buffers;
mod closing;
mod hearing;
mod incoming;
mod inspection;
mod masks;
mod outgoing;
mod relay;
mod sides;
mod swapping;
#[cfg(test)]
mod tests;
mod timers;

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use sluicegate_websocket::negotiation::{Agreement, Deflate, Extensions};
use sluicegate_websocket::{Outbound, Reader, Scanner, Side};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::config;
use crate::drain::{Drain, DrainWatch};
use crate::leg::Leg;
use crate::limits::Slot;
use crate::plugin::chain::Chain;
use crate::swap::{SwapWatch, Turn};
use crate::upstream::Serving;

use self::buffers::{Borrowed, Buffers};
use self::closing::Closing;
use self::hearing::{Hearing, Unread, waited};
use self::incoming::{Incoming, Mode, codec_limits};
use self::outgoing::Outgoing;
use self::sides::{PerSide, SIDES};
use self::timers::Timers;

pub use self::closing::{Ended, refuse};

/// What an exchange hands over once both 101s exist.
pub struct Opened {
    pub client: Leg,
    pub upstream: Leg,
    /// What came behind each handshake, before the session took over.
    pub client_early: Bytes,
    pub upstream_early: Bytes,
    pub agreed: Agreed,
    /// The session hooks; none where the route has none.
    pub chain: Option<Box<Chain>>,
    pub settings: Settings,
}

/// What the route says of its sessions.
pub struct Settings {
    pub timeouts: config::Timeouts,
    pub limits: config::Limits,
    pub ping: Option<config::Ping>,
    /// Concurrency slots that end with the session.
    pub held: Vec<Slot>,
    /// Its server has one session more for as long.
    pub serving: Serving,
    /// Tells when plugins were replaced; none where there is no chain to have any.
    pub swap: Option<SwapWatch>,
}

/// What the handshake settled about extensions.
pub enum Agreed {
    /// Nobody may inspect: what the peers agreed with each other.
    Relay(Extensions),
    /// What each leg speaks with the proxy.
    Inspect(Agreement),
}

/// A running session.
pub struct Session {
    legs: PerSide<Leg>,
    /// By sender.
    incoming: PerSide<Incoming>,
    /// By receiver.
    outgoing: PerSide<Outgoing>,
    chain: Option<Box<Chain>>,
    swap: Option<SwapWatch>,
    limits: config::Limits,
    /// Who is read first: not the one whose messages were inspected last.
    turn: Side,
    /// By sender: what waits for its turn, as a hook was waited for.
    unread: PerSide<Option<Unread>>,
    hearing: Hearing,
    timers: Timers,
    closing: Closing,
    _held: Vec<Slot>,
    _serving: Serving,
}

/// What one sender had to say.
enum Heard {
    Nothing,
    /// There may be more.
    Some,
    /// That was all there is.
    All,
    Event(Event),
}

/// What a session wakes up for, beyond what it can do without its plugins.
enum Event {
    /// These bytes of `buffers.read` are an inspected sender's.
    Input { sender: Side, bytes: Range<usize>, buffers: Box<Buffers> },
    /// A deadline may have passed.
    Deadline,
    /// The process drains.
    Drain(Drain),
    /// An instance was lost that this session shared with others.
    InstanceLost,
    /// Plugins were replaced.
    Swap(Turn),
    /// Both sides are done.
    Ended,
}

/// Reads of one sender before the other has its turn: one that brings something, and one that says that was all.
const READS_IN_A_ROW: u8 = 2;

// === impl Session ===

impl Session {
    pub fn new(opened: Opened) -> (Box<Self>, PerSide<Bytes>) {
        let now = Instant::now();
        let limits = codec_limits(&opened.settings.limits);
        let rate = opened.settings.limits.messages_rate;
        let modes = |sender: Side| match &opened.agreed {
            Agreed::Relay(extensions) => Mode::Relay(Scanner::new(sender, limits, *extensions)),
            Agreed::Inspect(agreement) => {
                let sent = leg(agreement, sender).map(|leg| leg.of(sender));
                Mode::Inspect(Box::new(Reader::new(sender, limits, sent)))
            }
        };
        let outbound = |receiver: Side| match &opened.agreed {
            Agreed::Relay(_) => Outbound::new(receiver, None, None),
            Agreed::Inspect(agreement) => {
                let sender = receiver.other();
                let on = |side: Side| leg(agreement, side).map(|leg| leg.of(sender));
                Outbound::new(receiver, on(sender), on(receiver))
            }
        };
        let session = Self {
            incoming: PerSide {
                client: Incoming::new(modes(Side::Client), rate, now),
                upstream: Incoming::new(modes(Side::Upstream), rate, now),
            },
            outgoing: PerSide {
                client: Outgoing::new(outbound(Side::Client)),
                upstream: Outgoing::new(outbound(Side::Upstream)),
            },
            legs: PerSide { client: opened.client, upstream: opened.upstream },
            chain: opened.chain,
            swap: opened.settings.swap,
            limits: opened.settings.limits,
            turn: Side::Client,
            unread: PerSide::default(),
            hearing: Hearing::default(),
            timers: Timers::new(opened.settings.timeouts, opened.settings.ping, now),
            closing: Closing::default(),
            _held: opened.settings.held,
            _serving: opened.settings.serving,
        };
        (Box::new(session), PerSide { client: opened.client_early, upstream: opened.upstream_early })
    }

    /// Serve both directions until the session has ended. What may wait in a hook is boxed while it is under way, so that
    /// idle sessions do not hold the room for it.
    pub async fn run(mut self: Box<Self>, mut drain: DrainWatch) -> Ended {
        loop {
            let has_waited = match self.next_event(&mut drain).await {
                Event::Input { sender, bytes, buffers } => {
                    waited(Box::pin(self.serve_input(sender, bytes, buffers))).await
                }
                Event::Deadline => {
                    // Before its hooks, as nothing is heard of the peers while those wait.
                    self.on_deadline();
                    let ran = waited(Box::pin(self.run_plugin_timers())).await;
                    waited(Box::pin(self.end_if_expired())).await || ran
                }
                Event::Drain(drain) => {
                    self.on_drain(drain);
                    waited(Box::pin(self.tell_plugins_of_drain())).await
                }
                Event::InstanceLost => waited(Box::pin(self.leave_lost_plugins())).await,
                Event::Swap(turn) => waited(Box::pin(self.follow_swap(turn))).await,
                Event::Ended => break,
            };
            if has_waited {
                self.hearing.hook_waited();
            }
        }
        self.finish().await
    }

    /// Whether there is anything to begin with.
    pub fn has_early(&self, early: &PerSide<Bytes>) -> bool {
        self.chain.is_some() || SIDES.into_iter().any(|side| !early.of(side).is_empty())
    }

    /// What plugins sent while opening goes first; then what the peers sent early.
    pub async fn begin(&mut self, early: PerSide<Bytes>) {
        let mut buffers = Buffers::take();
        if let Some(chain) = &mut self.chain {
            let outcome = chain.early().await;
            self.apply(outcome, &mut buffers).await;
            self.follow_wishes();
        }
        for sender in SIDES {
            let mut bytes: &[u8] = early.of(sender);
            self.incoming.of_mut(sender).bytes += bytes.len() as u64;
            while !bytes.is_empty() {
                let left = self.inspect(sender, bytes, &mut buffers).await;
                bytes = bytes.get(bytes.len() - left..).unwrap_or_default();
                if left > 0 && self.keep_early(sender, bytes) {
                    break;
                }
            }
        }
        buffers.give_back();
    }

    /// Offer what was read, and keep what is left of it, if anything is.
    async fn serve_input(&mut self, sender: Side, bytes: Range<usize>, mut buffers: Box<Buffers>) {
        let read = std::mem::take(&mut buffers.read);
        let left = self.inspect(sender, read.get(bytes.clone()).unwrap_or_default(), &mut buffers).await;
        buffers.read = read;
        if left > 0 {
            *self.unread.of_mut(sender) = Some(Unread { bytes: bytes.end - left..bytes.end, buffers });
        } else {
            buffers.give_back();
        }
    }

    /// Relay what can be relayed until there is something else to do.
    async fn next_event(&mut self, drain: &mut DrainWatch) -> Event {
        let watching = self.timers.watches_drain();
        poll_fn(|cx| {
            // Before the legs: a peer that always has something to say must not hold these off.
            if watching && let Poll::Ready(drain) = drain.poll(cx) {
                return Poll::Ready(Event::Drain(drain));
            }
            if self.hearing.is_due()
                && let Poll::Ready(event) = self.poll_legs(cx)
            {
                self.hearing.heard_one();
                return Poll::Ready(event);
            }
            self.hearing = Hearing::Judged;
            if self.timers.poll(cx).is_ready() {
                return Poll::Ready(Event::Deadline);
            }
            if self.chain.as_mut().is_some_and(|chain| chain.has_lost(cx)) {
                return Poll::Ready(Event::InstanceLost);
            }
            if let Some(swap) = &mut self.swap
                && let Poll::Ready(turn) = swap.poll(cx)
            {
                return Poll::Ready(Event::Swap(turn));
            }
            self.poll_legs(cx)
        })
        .await
    }

    /// Write what waits, read what may be read, until neither goes on.
    fn poll_legs(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut buffers = Borrowed::default();
        loop {
            self.flush(cx);
            if self.has_ended() {
                return Poll::Ready(Event::Ended);
            }
            if self.closing.has_begun() {
                self.shut_closed(cx);
            }
            let (mut has_more, mut has_read) = (false, false);
            for sender in [self.turn, self.turn.other()] {
                match self.poll_sender(cx, sender, &mut buffers) {
                    Heard::Event(event) => return Poll::Ready(event),
                    Heard::All => has_read = true,
                    Heard::Some => has_more = true,
                    Heard::Nothing => {}
                }
            }
            if !(has_more || has_read && !self.is_settled()) {
                return Poll::Pending;
            }
        }
    }

    /// Read from `sender`, and pass on what nobody wants to see. Most reads take all there is: the one after it says so, and
    /// has the next bytes wake the session.
    fn poll_sender(&mut self, cx: &mut Context<'_>, sender: Side, buffers: &mut Borrowed) -> Heard {
        let mut heard = Heard::Nothing;
        for _ in 0..READS_IN_A_ROW {
            if !self.may_read(sender) {
                return heard;
            }
            if let Some(Unread { bytes, buffers }) = self.take_unread(sender) {
                self.turn = sender.other();
                return Heard::Event(Event::Input { sender, bytes, buffers });
            }
            let read = poll_read(self.legs.of_mut(sender), cx, buffers.get());
            let Poll::Ready(read) = read else { return heard.all() };
            heard = Heard::Some;
            let inspected = match read {
                Ok(0) | Err(_) => {
                    self.lose_sender(sender, read.err());
                    0..0
                }
                Ok(length) if self.received(sender, length) => 0..length,
                Ok(length) => {
                    let left = self.relay(cx, sender, buffers.get().get(..length).unwrap_or_default());
                    length - left.len()..length
                }
            };
            if !inspected.is_empty() {
                self.turn = sender.other();
                return Heard::Event(Event::Input { sender, bytes: inspected, buffers: buffers.take() });
            }
        }
        heard
    }

    /// Note a read; whether it is to be inspected.
    fn received(&mut self, sender: Side, length: usize) -> bool {
        let incoming = self.incoming.of_mut(sender);
        incoming.seen = self.timers.now();
        incoming.bytes += length as u64;
        matches!(incoming.mode, Mode::Inspect(_))
    }

    fn may_read(&self, sender: Side) -> bool {
        let incoming = self.incoming.of(sender);
        let receiver = sender.other();
        let waiting_bytes = self.outgoing.of(receiver).waiting_bytes() + self.legs.of(receiver).held_bytes();
        !incoming.ended && !incoming.is_closed() && waiting_bytes < self.limits.waiting_bytes_max
    }

    /// Whether nothing waits to be written, nor for an end.
    fn is_settled(&self) -> bool {
        let is_flushed = |receiver| self.outgoing.of(receiver).is_flushed(self.legs.of(receiver));
        !self.closing.has_begun() && SIDES.into_iter().all(is_flushed)
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        for receiver in SIDES {
            let (outgoing, leg) = (self.outgoing.of_mut(receiver), self.legs.of_mut(receiver));
            if !outgoing.is_lost() && !outgoing.is_flushed(leg) {
                let flushed = outgoing.flush(cx, leg);
                let stalled = outgoing.stalled_since;
                if let Err(error) = flushed {
                    self.lose_receiver(receiver, error);
                }
                if let Some(since) = stalled {
                    self.timers.stalled(since);
                }
            }
        }
    }

    /// Switch directions between relay and inspection, as the plugins' wishes and the streams' positions have it.
    fn follow_wishes(&mut self) {
        let Some(chain) = &self.chain else { return };
        for sender in SIDES {
            let rewrites = self.outgoing.of(sender.other()).outbound.rewrites();
            self.incoming.of_mut(sender).want(chain.wants(plugin_side(sender)), rewrites);
        }
        self.timers.set_plugins(chain.timer());
    }
}

// === impl Heard ===

impl Heard {
    /// No more is there for now.
    fn all(self) -> Self {
        if let Self::Some = self { Self::All } else { self }
    }
}

fn poll_read(leg: &mut Leg, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    Pin::new(leg).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
}

fn leg(agreement: &Agreement, side: Side) -> Option<Deflate> {
    match side {
        Side::Client => agreement.client,
        Side::Upstream => agreement.upstream,
    }
}

pub(crate) fn plugin_side(side: Side) -> crate::plugin::Side {
    match side {
        Side::Client => crate::plugin::Side::Client,
        Side::Upstream => crate::plugin::Side::Upstream,
    }
}

fn codec_side(side: crate::plugin::Side) -> Side {
    match side {
        crate::plugin::Side::Client => Side::Client,
        crate::plugin::Side::Upstream => Side::Upstream,
    }
}
