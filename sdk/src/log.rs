//! Lines in the host's log: `log::info!("…")` and its siblings.
//!
//! The host adds the plugin's name and the exchange's fields. It cuts a line at 4 KiB, escapes control
//! characters, and keeps a bounded number of lines per plugin and second. A line of a level that the operator
//! does not keep is not formatted at all.
//!
//! ```
//! use sluicegate_sdk::{log, testing};
//!
//! log::warn!("{} tries by {}", 3, "192.0.2.1");
//! assert_eq!(testing::logs(), [(log::Level::Warn, "3 tries by 192.0.2.1".to_owned())]);
//! ```

use std::borrow::Cow;
use std::fmt;

use crate::host;

#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace, __log_warn as warn,
};

/// How much a line matters.
///
/// ```
/// use sluicegate_sdk::log::Level;
///
/// assert!(Level::Error > Level::Info);
/// ```
// The cases stand in the contract's order: they cross the boundary as numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Each step.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What the operator may want to know.
    Info,
    /// What should not happen, and did no harm.
    Warn,
    /// What went wrong.
    Error,
}

/// Whether a line of this level would be kept: ask before working out something costly to say.
///
/// ```
/// use sluicegate_sdk::log;
///
/// if log::enabled(log::Level::Debug) {
///     log::debug!("{}", "a long story");
/// }
/// ```
#[must_use]
pub fn enabled(level: Level) -> bool {
    host::log::enabled(level)
}

/// What the macros call.
#[doc(hidden)]
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    if enabled(level) {
        let text = text.as_str().map_or_else(|| Cow::Owned(text.to_string()), Cow::Borrowed);
        host::log::log(level, &text);
    }
}

/// A line for each step, off as a rule.
///
/// ```
/// sluicegate_sdk::log::trace!("at step {}", 1);
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($text:tt)+) => { $crate::log::line($crate::log::Level::Trace, ::core::format_args!($($text)+)) };
}

/// A line that helps to find a mistake, off as a rule.
///
/// ```
/// sluicegate_sdk::log::debug!("origin {:?}", "null");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($text:tt)+) => { $crate::log::line($crate::log::Level::Debug, ::core::format_args!($($text)+)) };
}

/// A line the operator may want to know.
///
/// ```
/// sluicegate_sdk::log::info!("routed to {}", "canary");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($text:tt)+) => { $crate::log::line($crate::log::Level::Info, ::core::format_args!($($text)+)) };
}

/// A line on what should not happen, and did no harm.
///
/// ```
/// sluicegate_sdk::log::warn!("no such room: {}", "blue");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($text:tt)+) => { $crate::log::line($crate::log::Level::Warn, ::core::format_args!($($text)+)) };
}

/// A line on what went wrong.
///
/// ```
/// sluicegate_sdk::log::error!("no upstream {}", "canary");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($text:tt)+) => { $crate::log::line($crate::log::Level::Error, ::core::format_args!($($text)+)) };
}
