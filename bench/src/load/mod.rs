//! Load on a proxy, and what it cost.

mod full;
mod handshakes;
mod paced;

use std::time::Duration;

pub use self::full::full;
pub use self::handshakes::handshakes;
pub use self::paced::paced;

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub struct Timetable {
    /// Of operations, all connections' together, in a second.
    pub rate: u32,
    /// Before anything is counted.
    pub warm_up: Duration,
    pub length: Duration,
    /// The share of operations that may be late before the measurement is not believed.
    pub late_max: f64,
}

/// What was done and what it cost.
#[derive(Debug)]
pub struct Cost {
    pub operations: u64,
    /// The proxy's, of all its processes and threads.
    pub cpu: Duration,
    pub elapsed: Duration,
    /// From when each operation was due to its end; sorted.
    pub latencies: Vec<Duration>,
    /// Operations that began too late, so that the load was not what it should have been.
    pub late: u64,
    pub late_max: f64,
}

/// An operation that begins later than this is late.
const LATE: Duration = Duration::from_millis(2);

// === impl Timetable ===

impl Timetable {
    fn period(&self) -> Duration {
        Duration::from_secs(1) / self.rate
    }

    fn warm_up_operations(&self) -> u64 {
        (self.warm_up.as_secs_f64() * f64::from(self.rate)) as u64
    }

    fn operations(&self) -> u64 {
        (self.length.as_secs_f64() * f64::from(self.rate)) as u64
    }
}

// === impl Cost ===

impl Cost {
    /// Of the proxy, in µs for each operation.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations.max(1) as f64
    }

    /// In µs; `share` is 0.99 for p99.
    pub fn latency_us(&self, share: f64) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        let latency = self.latencies.get((last as f64 * share).round() as usize)?;
        Some(latency.as_secs_f64() * 1e6)
    }

    /// Why this should not be believed.
    pub fn flaw(&self) -> Option<String> {
        let share = self.late as f64 / self.operations.max(1) as f64;
        (share > self.late_max)
            .then(|| format!("{:.1} % of the operations began more than {LATE:?} late", share * 100.0))
    }
}
