//! `log`

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Rate;
use crate::plugin::bindings::sluicegate::hooks::log::{Host, Level};
use crate::plugin::state::State;

const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// Counts a plugin's lines of the current period of its `log-lines-max`, over all its instances.
#[derive(Debug)]
pub struct Allowance {
    max: Rate,
    /// The period in the upper half, its lines in the lower.
    period_and_lines: AtomicU64,
    dropped: AtomicU64,
}

impl Host for State {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        if self.enabled(level)? && self.identity.log.admits(&self.identity.name) {
            write(&self.identity.name, level, &cut(&message));
        }
        Ok(())
    }

    fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        Ok(match level {
            Level::Trace => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "plugin", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "plugin", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
        })
    }
}

fn write(plugin: &str, level: Level, message: &str) {
    match level {
        Level::Trace => tracing::trace!(target: "plugin", plugin, "{message}"),
        Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
        Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
        Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
        Level::Error => tracing::error!(target: "plugin", plugin, "{message}"),
    }
}

/// Bounded, and with nothing in it that could forge a line or drive a terminal.
fn cut(message: &str) -> String {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let message = message.get(..end).unwrap_or_default();
    let mut clean = String::with_capacity(message.len());
    for char in message.chars() {
        if char.is_control() { clean.extend(char.escape_default()) } else { clean.push(char) }
    }
    clean
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Write,
    TellOnce,
    Drop,
}

// === impl Allowance ===

impl Allowance {
    pub fn new(max: Rate) -> Self {
        Self { max, period_and_lines: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    /// Whether one more line of `plugin`, or about what it does, may be written; once in a period it is told that none may.
    pub fn admits(&self, plugin: &str) -> bool {
        let line = self.next_line();
        if line == Line::TellOnce {
            tracing::warn!(
                plugin,
                lines_max = self.max.count,
                period_s = self.max.period.as_secs(),
                "plugin logs too much, dropping its lines for the rest of this period"
            );
        }
        line == Line::Write
    }

    /// Lines that were not written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn next_line(&self) -> Line {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = self.line_at(now.as_secs());
        if !matches!(line, Line::Write) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        line
    }

    fn line_at(&self, second: u64) -> Line {
        let period = (second / self.max.period.as_secs().max(1)) & u64::from(u32::MAX);
        let count = |before: u64| if before >> 32 == period { before + 1 } else { (period << 32) + 1 };
        let before = self
            .period_and_lines
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| Some(count(before)))
            .unwrap_or_default();
        match (count(before) & u64::from(u32::MAX)).cmp(&(u64::from(self.max.count) + 1)) {
            std::cmp::Ordering::Less => Line::Write,
            std::cmp::Ordering::Equal => Line::TellOnce,
            std::cmp::Ordering::Greater => Line::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_message_cannot_forge_a_line() {
        assert_eq!(cut("a\nERROR b\u{1b}[2J"), "a\\nERROR b\\u{1b}[2J");
    }

    #[test]
    fn each_period_has_its_lines() {
        let max = Rate { count: 2, period: Duration::from_secs(60) };
        let allowance = Allowance::new(max);
        let lines = |second| allowance.line_at(second);
        for second in [60, 120, 180] {
            assert_eq!([lines(second), lines(second + 59)], [Line::Write; 2]);
            assert_eq!([lines(second + 59), lines(second + 59)], [Line::TellOnce, Line::Drop]);
        }
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        let long = "ä".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(cut(&long).len(), MESSAGE_BYTES_MAX);
        assert_eq!(cut(&format!("x{long}")).len(), MESSAGE_BYTES_MAX - 1);
    }
}
