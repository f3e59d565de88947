//! `log`

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::plugin::bindings::sluicegate::hooks::log::{Host, Level};
use crate::plugin::state::State;

const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Lines a plugin may write each second, over all its instances.
const LINES_PER_SECOND: u32 = 100;

/// Counts a plugin's lines of the current second.
#[derive(Debug, Default)]
pub struct Allowance {
    /// The second in the upper half, its lines in the lower.
    second_and_lines: AtomicU64,
}

impl Host for State {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        if self.enabled(level)? {
            match self.identity.log.next_line() {
                Line::Write => write(&self.identity.name, level, &cut(&message)),
                Line::TellOnce => tracing::warn!(
                    plugin = %self.identity.name,
                    lines_per_second_max = LINES_PER_SECOND,
                    "plugin logs too much, dropping its lines for the rest of this second"
                ),
                Line::Drop => {}
            }
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

enum Line {
    Write,
    TellOnce,
    Drop,
}

// === impl Allowance ===

impl Allowance {
    fn next_line(&self) -> Line {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let second = now & u64::from(u32::MAX);
        let count = |before: u64| if before >> 32 == second { before + 1 } else { (second << 32) + 1 };
        let before = self
            .second_and_lines
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| Some(count(before)))
            .unwrap_or_default();
        match (count(before) & u64::from(u32::MAX)).cmp(&u64::from(LINES_PER_SECOND + 1)) {
            std::cmp::Ordering::Less => Line::Write,
            std::cmp::Ordering::Equal => Line::TellOnce,
            std::cmp::Ordering::Greater => Line::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_forge_a_line() {
        assert_eq!(cut("a\nERROR b\u{1b}[2J"), "a\\nERROR b\\u{1b}[2J");
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        let long = "ä".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(cut(&long).len(), MESSAGE_BYTES_MAX);
        assert_eq!(cut(&format!("x{long}")).len(), MESSAGE_BYTES_MAX - 1);
    }
}
