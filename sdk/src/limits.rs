//! Rates and concurrency, counted by the host, so that all instances of a plugin share them.
//!
//! A bucket or a group of slots has a name, which is the plugin's own, and within it one count for each key:
//! a client address, a user, a room. From `on_request`, `open` and `on_response` they are common to all nodes where
//! the configuration names a shared store; from `on_message` always this process's. While that store cannot be
//! reached, the configuration's `store-on-failure` says by a limit's name whether it is exhausted or lets all pass:
//! tell your users the names.
//!
//! ```
//! use sluicegate_sdk::limits::{self, Rate};
//!
//! let rate: Rate = "2/s".parse()?;
//! assert!(limits::take("requests", "192.0.2.1", rate, 1).is_ok());
//! assert!(limits::take("requests", "192.0.2.1", rate, 1).is_ok());
//! assert!(limits::take("requests", "192.0.2.1", rate, 1).is_err());
//! assert!(limits::take("requests", "192.0.2.2", rate, 1).is_ok());
//! # Ok::<(), sluicegate_sdk::limits::RateError>(())
//! ```

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::host;

/// A token bucket: it holds `burst` tokens at most and gains some every period.
///
/// In settings it is a text such as `"10/s"`, `"100/m"` or `"1000/h"`; its burst is then the same number.
///
/// ```
/// use sluicegate_sdk::limits::Rate;
///
/// let rate: Rate = "100/m".parse()?;
/// assert_eq!(rate, Rate::new(100, 60_000));
/// assert_eq!(rate.with_burst(20).burst(), 20);
/// # Ok::<(), sluicegate_sdk::limits::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Rate {
    pub(crate) tokens: u32,
    pub(crate) period_ms: u32,
    pub(crate) burst: u32,
}

impl Rate {
    /// `tokens` every `period_ms`, and as many at once. A zero means never.
    ///
    /// ```
    /// use sluicegate_sdk::limits::Rate;
    ///
    /// assert_eq!(Rate::new(10, 1000).burst(), 10);
    /// ```
    #[must_use]
    pub fn new(tokens: u32, period_ms: u32) -> Self {
        Self { tokens, period_ms, burst: tokens }
    }

    /// The same rate with this many tokens at once.
    ///
    /// ```
    /// use sluicegate_sdk::limits::Rate;
    ///
    /// assert_eq!(Rate::new(1, 1000).with_burst(5).burst(), 5);
    /// ```
    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// How many tokens it holds at most.
    ///
    /// ```
    /// use sluicegate_sdk::limits::Rate;
    ///
    /// assert_eq!(Rate::new(7, 1000).burst(), 7);
    /// ```
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let error = || RateError { text: text.to_owned() };
        let (tokens, unit) = text.split_once('/').ok_or_else(error)?;
        let period_ms = match unit {
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            _ => return Err(error()),
        };
        // `u32` would also read "+10".
        let digits_only = tokens.bytes().all(|byte| byte.is_ascii_digit());
        match tokens.parse() {
            Ok(tokens) if digits_only && tokens > 0 => Ok(Self::new(tokens, period_ms)),
            _ => Err(error()),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A text that is not a [`Rate`].
///
/// ```
/// use sluicegate_sdk::limits::Rate;
///
/// let error = "fast".parse::<Rate>().unwrap_err();
/// assert_eq!(error.to_string(), "`fast` is not a rate; write a number of at least 1 and a unit: 10/s, 100/m or 1000/h");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RateError {
    text: String,
}

impl fmt::Display for RateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "`{}` is not a rate; write a number of at least 1 and a unit: 10/s, 100/m or 1000/h",
            self.text
        )
    }
}

impl Error for RateError {}

/// A place among those that may go on at once. Dropping it gives the place back; to keep it as long as the
/// exchange, hand it to [`Request::hold`](crate::Request::hold).
///
/// ```
/// use sluicegate_sdk::limits;
///
/// let slot = limits::acquire("uploads", "ada", 1);
/// assert!(slot.is_some());
/// assert!(limits::acquire("uploads", "ada", 1).is_none());
/// drop(slot);
/// assert!(limits::acquire("uploads", "ada", 1).is_some());
/// ```
#[derive(Debug)]
pub struct Slot {
    pub(crate) host: host::limits::Slot,
}

/// Take `cost` tokens from the bucket `name` of `key`.
///
/// # Errors
///
/// How long until they would be there; nothing was taken. [`Duration::MAX`] for a rate or burst that never
/// gives so many.
///
/// ```
/// use std::time::Duration;
/// use sluicegate_sdk::{limits::{self, Rate}, testing};
///
/// let rate = Rate::new(1, 1000);
/// assert_eq!(limits::take("logins", "ada", rate, 1), Ok(()));
/// assert_eq!(limits::take("logins", "ada", rate, 1), Err(Duration::from_secs(1)));
/// testing::advance(Duration::from_secs(1));
/// assert_eq!(limits::take("logins", "ada", rate, 1), Ok(()));
/// ```
pub fn take(name: &str, key: &str, rate: Rate, cost: u32) -> Result<(), Duration> {
    host::limits::take(name, key, rate, cost).map_err(|wait_ms| match wait_ms {
        u64::MAX => Duration::MAX,
        wait_ms => Duration::from_millis(wait_ms),
    })
}

/// Take a place among the `max` of `key` in the group `name`; `None` when all are taken.
///
/// ```
/// use sluicegate_sdk::limits;
///
/// let slots: Vec<_> = (0..3).filter_map(|_| limits::acquire("tabs", "ada", 2)).collect();
/// assert_eq!(slots.len(), 2);
/// ```
#[must_use]
pub fn acquire(name: &str, key: &str, max: u32) -> Option<Slot> {
    host::limits::acquire(name, key, max).map(|host| Slot { host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        assert_eq!("10/s".parse(), Ok(Rate::new(10, 1000)));
        assert_eq!("100/m".parse(), Ok(Rate::new(100, 60_000)));
        assert_eq!("4294967295/h".parse(), Ok(Rate::new(u32::MAX, 3_600_000)));
    }

    #[test]
    fn anything_else_is_not_a_rate() {
        for text in [
            "",
            "10",
            "/s",
            "10/",
            "10/d",
            "+10/s",
            "-1/s",
            "0/s",
            "1.5/s",
            "4294967296/s",
            "10/s/s",
            " 10/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn settings_spell_a_rate_as_a_text() {
        assert_eq!(serde_json::from_str::<Rate>("\"5/m\"").unwrap(), Rate::new(5, 60_000));
        let error = serde_json::from_str::<Rate>("\"5/fortnight\"").unwrap_err();
        assert!(error.to_string().starts_with("`5/fortnight` is not a rate"));
    }
}
