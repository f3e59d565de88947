//! Time. `std::time::Instant::now` and `SystemTime::now` panic in a plugin, for WebAssembly has no clock of
//! its own; `std::time::Duration` is as good as ever.
//!
//! ```
//! use std::time::Duration;
//! use sluicegate_sdk::{clock::Instant, testing};
//!
//! let start = Instant::now();
//! testing::advance(Duration::from_secs(2));
//! assert_eq!(start.elapsed(), Duration::from_secs(2));
//! ```

use std::ops::{Add, Sub};
use std::time::Duration;

use crate::host;

/// A moment that never goes back, whatever the operator does to the wall clock.
///
/// ```
/// use std::time::Duration;
/// use sluicegate_sdk::clock::Instant;
///
/// let deadline = Instant::now() + Duration::from_secs(30);
/// assert!(Instant::now() < deadline);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant {
    since_start: Duration,
}

impl Instant {
    /// This moment.
    ///
    /// ```
    /// use sluicegate_sdk::clock::Instant;
    ///
    /// assert!(Instant::now() <= Instant::now());
    /// ```
    #[must_use]
    pub fn now() -> Self {
        Self { since_start: Duration::from_nanos(host::clock::monotonic_ns()) }
    }

    /// How long ago that was; zero for a moment to come.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sluicegate_sdk::clock::Instant;
    ///
    /// assert_eq!(Instant::now().elapsed(), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// As late as can be told, where the sum is later than that.
    fn add(self, duration: Duration) -> Self {
        Self { since_start: self.since_start.saturating_add(duration) }
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero where `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        self.since_start.saturating_sub(earlier.since_start)
    }
}

/// The time of day: how long since 1970-01-01T00:00:00Z, in whole milliseconds. The operator may set it at
/// any time.
///
/// ```
/// use sluicegate_sdk::clock;
///
/// let expires_s = 1_500_000_000;
/// assert!(clock::since_unix_epoch().as_secs() > expires_s);
/// ```
#[must_use]
pub fn since_unix_epoch() -> Duration {
    Duration::from_millis(host::clock::unix_ms())
}
