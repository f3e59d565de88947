//! Random numbers fit for secrets, from the operating system's generator.
//!
//! ```
//! use sluicegate_sdk::random;
//!
//! let token = random::bytes(16);
//! assert_eq!(token.len(), 16);
//! ```

use crate::host;

/// A number of the whole range.
///
/// ```
/// use sluicegate_sdk::random;
///
/// let sampled = random::number() % 100 < 5;
/// # let _ = sampled;
/// ```
#[must_use]
pub fn number() -> u64 {
    host::random::get_u64()
}

/// This many bytes; at most 4,096, a larger `length` gives that many.
///
/// ```
/// use sluicegate_sdk::random;
///
/// assert_eq!(random::bytes(100_000).len(), 4096);
/// ```
#[must_use]
pub fn bytes(length: u32) -> Vec<u8> {
    host::random::get_bytes(length)
}
