//! What comes from one side, and how it is looked at.

use sluicegate_websocket::{Limits, Reader, Scanner, Wanted};
use tokio::time::Instant;

use crate::config::Rate;
use crate::plugin::MessageKinds;

/// The way in from one sender.
pub struct Incoming {
    pub mode: Mode,
    /// The sender has closed its half, or is gone.
    pub ended: bool,
    /// When it last sent anything.
    pub seen: Instant,
    /// When it last began a message.
    pub message_seen: Instant,
    /// Messages counted against `messages-rate`.
    meter: Option<Box<Meter>>,
    /// Messages begun so far.
    counted: u64,
    /// Bytes read in all, for the log.
    pub bytes: u64,
    /// What the plugins want, where the stream's position did not allow it yet.
    wish: Option<Wish>,
    /// The nonce of a ping of the proxy's own that is not answered yet, and when it was sent.
    pub pinged: Option<([u8; 8], Instant)>,
}

/// Whether anybody wants this sender's messages.
pub enum Mode {
    /// Nobody: frame headers are read, payloads pass.
    Relay(Scanner),
    /// A plugin does: messages are put together and offered.
    Inspect(Box<Reader>),
    /// The sender broke the protocol or a limit: nothing more is read from it.
    Broken { messages: u64 },
}

/// What is to become of a sender's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    kinds: MessageKinds,
    /// Compressed messages no longer fit the receiver as they are.
    rewrites: bool,
}

/// A token bucket for one direction, in the session's own time.
#[derive(Debug)]
pub struct Meter {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

// === impl Incoming ===

impl Incoming {
    pub fn new(mode: Mode, rate: Option<Rate>, now: Instant) -> Self {
        let meter = rate.map(|rate| Box::new(Meter { rate, tokens: f64::from(rate.count), at: now }));
        Self {
            mode,
            ended: false,
            seen: now,
            message_seen: now,
            meter,
            counted: 0,
            bytes: 0,
            wish: None,
            pinged: None,
        }
    }

    /// Whether a close frame has come.
    pub fn is_closed(&self) -> bool {
        match &self.mode {
            Mode::Relay(scanner) => scanner.is_closed(),
            Mode::Inspect(reader) => reader.is_closed(),
            Mode::Broken { .. } => true,
        }
    }

    pub fn messages(&self) -> u64 {
        match &self.mode {
            Mode::Relay(scanner) => scanner.messages_started(),
            Mode::Inspect(reader) => reader.messages_started(),
            Mode::Broken { messages } => *messages,
        }
    }

    /// Whether what has been passed on so far ends with a whole frame, so that a control frame may follow it.
    pub fn between_frames(&self) -> bool {
        match &self.mode {
            Mode::Relay(scanner) => scanner.between_frames(),
            Mode::Inspect(reader) => reader.between_frames(),
            Mode::Broken { .. } => true,
        }
    }

    pub fn between_messages(&self) -> bool {
        match &self.mode {
            Mode::Relay(scanner) => scanner.between_messages(),
            Mode::Inspect(reader) => reader.between_messages(),
            Mode::Broken { .. } => true,
        }
    }

    /// Whether messages of this sender that nobody wants now could be wanted again.
    pub fn can_inspect(&self) -> bool {
        match &self.mode {
            Mode::Relay(scanner) => scanner.can_be_read(),
            Mode::Inspect(_) => true,
            Mode::Broken { .. } => false,
        }
    }

    /// Stop reading: the sender broke a rule.
    pub fn break_off(&mut self) {
        self.mode = Mode::Broken { messages: self.messages() };
    }

    /// Look at what the plugins want from now on. `rewrites`: compressed messages no longer fit the receiver as they are.
    pub fn want(&mut self, kinds: MessageKinds, rewrites: bool) {
        self.wish = Some(Wish { kinds, rewrites });
        self.follow_wish();
    }

    /// Whether a wish waits for the end of the message that is passing.
    pub fn has_wish(&self) -> bool {
        self.wish.is_some()
    }

    /// Switch between relay and inspection, as far as the stream's position allows.
    pub fn follow_wish(&mut self) {
        let Some(Wish { kinds, rewrites }) = self.wish else { return };
        let nothing = kinds == MessageKinds::empty() && !rewrites;
        let mode = std::mem::replace(&mut self.mode, Mode::Broken { messages: 0 });
        let (mode, waits) = match mode {
            Mode::Relay(scanner) if !nothing => {
                // Where the sender's window is lost for good there is nothing to wait for.
                let waits = scanner.can_be_read();
                scanner.into_reader().map_or_else(
                    |scanner| (Mode::Relay(scanner), waits),
                    |reader| (Mode::Inspect(Box::new(reader)), false),
                )
            }
            Mode::Inspect(reader) if nothing => reader.into_scanner().map_or_else(
                |reader| (Mode::Inspect(Box::new(reader)), true),
                |scanner| (Mode::Relay(scanner), false),
            ),
            mode => (mode, false),
        };
        self.mode = mode;
        if !waits {
            self.wish = None;
        }
        if let Mode::Inspect(reader) = &mut self.mode {
            reader.want(Wanted {
                text: kinds.contains(MessageKinds::TEXT),
                binary: kinds.contains(MessageKinds::BINARY),
                compressed: rewrites,
            });
        }
    }

    /// Count the messages begun since the last time; false when there were more than `messages-rate` allows.
    pub fn within_rate(&mut self) -> bool {
        let begun = self.messages() - self.counted;
        if begun == 0 {
            return true;
        }
        self.counted += begun;
        self.message_seen = self.seen;
        self.meter.as_mut().is_none_or(|meter| meter.take(begun, self.seen))
    }
}

// === impl Meter ===

impl Meter {
    fn take(&mut self, begun: u64, now: Instant) -> bool {
        let full = f64::from(self.rate.count);
        let gained = full * now.duration_since(self.at).as_secs_f64() / self.rate.period.as_secs_f64();
        self.tokens = (self.tokens + gained).min(full) - begun as f64;
        self.at = now;
        self.tokens >= 0.0
    }
}

/// The codec's limits, as the route's configuration gives them.
pub fn codec_limits(limits: &crate::config::Limits) -> Limits {
    Limits {
        frame_bytes_max: limits.frame_bytes_max as u64,
        message_bytes_max: limits.message_bytes_max as u64,
        fragments_max: limits.fragments_max,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_meter_gives_its_rate_as_a_burst_and_then_the_rate() {
        let begin = Instant::now();
        let rate = Rate { count: 10, period: Duration::from_secs(1) };
        let mut meter = Meter { rate, tokens: 10.0, at: begin };
        assert!(meter.take(10, begin));
        assert!(meter.take(1, begin + Duration::from_millis(101)));
        assert!(!meter.take(1, begin + Duration::from_millis(102)));
    }
}
