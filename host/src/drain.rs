//! Whether the process is being drained, as its connections and sessions watch it.

use tokio::time::Instant;

/// What connections are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Go on.
    No,
    /// End by this time, not all at once.
    Until(Instant),
    /// End at the next message boundary.
    Now,
}
