//! Values that outlive an instance: common to all instances of a plugin, and to all nodes where the configuration names
//! a shared store. Takes `grants = ["store"]`.
//!
//! Keys are the plugin's own: two plugins with one key do not meet. A key has at most 512 bytes and a value at
//! most 64 KiB. A store in memory is bounded, and drops what is nearest its expiry first. A shared one may be
//! unreachable: decide what that means.
//!
//! ```
//! use std::time::Duration;
//! use sluicegate_sdk::prelude::*;
//! use sluicegate_sdk::store::StoreError;
//!
//! /// At most five wrong passwords of one user in a quarter of an hour, on whichever node.
//! fn may_try(user: &str) -> bool {
//!     let window = Duration::from_secs(15 * 60);
//!     match store::increment(&format!("tries:{user}"), 1, Some(window)) {
//!         Ok(tries) => tries <= 5,
//!         Err(StoreError::Unavailable) => false,
//!         Err(error) => {
//!             log::error!("cannot count the tries of {user}: {error}");
//!             false
//!         }
//!     }
//! }
//!
//! for _ in 0..5 {
//!     assert!(may_try("ada"));
//! }
//! assert!(!may_try("ada"));
//! assert!(may_try("bob"));
//! testing::advance(Duration::from_secs(15 * 60));
//! assert!(may_try("ada"));
//! testing::lose_store();
//! assert!(!may_try("ada"));
//! ```

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::host;

/// Why the store did not do what it was asked.
///
/// ```
/// use sluicegate_sdk::store::{self, StoreError};
///
/// assert_eq!(store::get(&"k".repeat(513)), Err(StoreError::TooLarge));
/// ```
// The cases stand in the contract's order: they cross the boundary as numbers (see `bindings::lift`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StoreError {
    /// The shared store cannot be reached, or did not answer in time. Whether a change was made is not known.
    Unavailable,
    /// The key or the value is larger than allowed; nothing was changed.
    TooLarge,
    /// An increment of a value that is not a whole number of 64 bits, or would leave their range; nothing was
    /// changed.
    NotANumber,
    /// What none of the others says. Whether a change was made is not known.
    Other,
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unavailable => "the shared store cannot be reached",
            Self::TooLarge => "the key or the value is too large",
            Self::NotANumber => "the value is no whole number of 64 bits, or would leave their range",
            Self::Other => "the store did not do it",
        })
    }
}

impl Error for StoreError {}

/// The value of `key`; `None` where there is none, or it has expired.
///
/// # Errors
///
/// [`StoreError::Unavailable`] or [`StoreError::TooLarge`].
///
/// ```
/// use sluicegate_sdk::store;
///
/// assert_eq!(store::get("motd")?, None);
/// store::set("motd", "hello", None)?;
/// assert_eq!(store::get("motd")?.as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), store::StoreError>(())
/// ```
pub fn get(key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    host::store::get(key)
}

/// Replace the value of `key`, which expires after this long; `None`: never. Milliseconds are what counts.
///
/// # Errors
///
/// [`StoreError::Unavailable`] or [`StoreError::TooLarge`].
///
/// ```
/// use std::time::Duration;
/// use sluicegate_sdk::{store, testing};
///
/// store::set("token", "s3cret", Some(Duration::from_secs(60)))?;
/// testing::advance(Duration::from_secs(60));
/// assert_eq!(store::get("token")?, None);
/// # Ok::<(), store::StoreError>(())
/// ```
pub fn set(key: &str, value: impl AsRef<[u8]>, expires: Option<Duration>) -> Result<(), StoreError> {
    host::store::set(key, value.as_ref(), expires.map(whole_ms))
}

/// Remove `key`; fine where there is none.
///
/// # Errors
///
/// [`StoreError::Unavailable`] or [`StoreError::TooLarge`].
///
/// ```
/// use sluicegate_sdk::store;
///
/// store::set("motd", "hello", None)?;
/// store::delete("motd")?;
/// store::delete("motd")?;
/// assert_eq!(store::get("motd")?, None);
/// # Ok::<(), store::StoreError>(())
/// ```
pub fn delete(key: &str) -> Result<(), StoreError> {
    host::store::delete(key)
}

/// Add to the number that `key` holds in decimal digits, and give the sum, in one step that no other call comes
/// between. Where there is none it begins with 0, and only then does `expires` take effect: a count of a fixed
/// window.
///
/// # Errors
///
/// Any [`StoreError`].
///
/// ```
/// use sluicegate_sdk::store::{self, StoreError};
///
/// assert_eq!(store::increment("visits", 2, None), Ok(2));
/// assert_eq!(store::increment("visits", -3, None), Ok(-1));
/// assert_eq!(store::get("visits")?.as_deref(), Some(&b"-1"[..]));
/// store::set("visits", "many", None)?;
/// assert_eq!(store::increment("visits", 1, None), Err(StoreError::NotANumber));
/// # Ok::<(), store::StoreError>(())
/// ```
pub fn increment(key: &str, by: i64, expires: Option<Duration>) -> Result<i64, StoreError> {
    host::store::increment(key, by, expires.map(whole_ms))
}

/// Rounded up, so that nothing expires early.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
