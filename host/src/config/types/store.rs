//! `[store]`

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo as _};

use super::OnFailure;

/// `[store]`: where the plugins' values are kept, and what their limits on requests and connections count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `url`: of a Redis (5 or later, or what speaks its protocol) that several nodes share:
    /// `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` or `unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]`, also written
    /// `redis+unix://`. Without TLS. Default: this process's memory.
    pub url: Option<StoreUrl>,
    /// `timeout`: how long one hook call may wait for it, with all its calls to the store. Default 250 ms, 1 ms to 60 s.
    pub timeout: Duration,
    /// `on-failure`: what limits do while it cannot be reached. Default `refuse`.
    pub on_failure: OnFailure,
    /// `prefix`: what all keys in Redis begin with. Default `sluicegate:`, at most 64 bytes.
    pub prefix: String,
    /// `slot-lease`: how long after a node's end its concurrency slots are free again. Default 30 s, 1 s to 1 h.
    pub slot_lease: Duration,
    /// `memory.entries-max`: values in memory, where there is no `url`. Default 100,000, 16 to 100,000,000.
    pub entries_max: usize,
    /// `memory.bytes-max`: bytes of these, keys and 256 B for each included. Default 64 MiB, 2 MiB to 64 GiB.
    pub bytes_max: usize,
}

/// Where a Redis is, and how to log in to it.
#[derive(Clone)]
pub struct StoreUrl {
    text: String,
    info: ConnectionInfo,
}

impl StoreUrl {
    /// None for one that is of another kind, or incomplete.
    pub fn parse(text: &str) -> Option<Self> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme)?;
        if !["redis", "redis+unix", "unix"].contains(&scheme) {
            return None;
        }
        let info = text.into_connection_info().ok()?;
        Some(Self { text: text.to_owned(), info })
    }

    pub fn connection_info(&self) -> &ConnectionInfo {
        &self.info
    }
}

impl PartialEq for StoreUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for StoreUrl {}

/// Without the password.
impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({})", self.info.addr())
    }
}
