//! What each plugin has used: per hook calls, processor time, traps and time-outs; its memory, instances and dropped log
//! lines. Counted since the plugin was loaded.
//!
//! Each worker counts on cache lines of its own, which nobody else writes; they are added up when somebody looks.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::Plugin;
use super::hook::Hook;
use super::instance::FailureReason;
use super::meter::Reading;
use super::ticker::Ticker;

/// One call in about so many is timed, once there are enough of them: reading the clock costs as much as half a call.
const SAMPLE_EVERY: u64 = 64;
/// Before that, one in eight of those there have been.
const SAMPLE_SHARE: u64 = 8;

/// What one plugin has used.
#[derive(Debug)]
pub struct Usage {
    since: Instant,
    workers: Box<[OfWorker]>,
    instances: AtomicU64,
}

/// Counted by one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OfWorker {
    hooks: [Counters; Hook::COUNT],
    memory_bytes_high: AtomicU64,
}

#[derive(Debug, Default)]
struct Counters {
    calls: AtomicU64,
    traps: AtomicU64,
    time_outs: AtomicU64,
    cpu_ns: AtomicU64,
    /// The next call that is to be timed.
    next_sample: AtomicU64,
    /// Calls that have been accounted for in `cpu_ns`: the next one timed stands for all since.
    accounted: AtomicU64,
}

/// Of one hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookUsage {
    pub calls: u64,
    pub traps: u64,
    pub time_outs: u64,
    /// The guest's processor time, and the host's in calls it made. Short calls are sampled: this is an estimate.
    pub cpu_estimated: Duration,
}

/// The plugins of a process that are loaded, old versions with their last sessions among them.
#[derive(Debug, Default)]
pub struct Loaded {
    plugins: Mutex<Vec<Weak<Plugin>>>,
}

/// Write the usage of all plugins to the log at each SIGUSR1.
pub async fn report_on_signal(loaded: Arc<Loaded>) {
    match signal(SignalKind::user_defined1()) {
        Ok(mut asked) => {
            while asked.recv().await.is_some() {
                loaded.report();
            }
        }
        Err(error) => tracing::warn!(%error, "no usage of plugins will be told at SIGUSR1"),
    }
}

// === impl Usage ===

impl Usage {
    pub fn new(workers: usize) -> Self {
        Self {
            since: Instant::now(),
            workers: (0..workers.max(1)).map(|_| OfWorker::default()).collect(),
            instances: AtomicU64::new(0),
        }
    }

    /// A call begins; whether it is one of those to be timed. Only `worker`'s own thread counts for it.
    pub fn begin(&self, worker: usize, hook: Hook) -> bool {
        let Some(counters) = self.counters(worker, hook) else { return false };
        let calls = add(&counters.calls, 1);
        calls >= counters.next_sample.load(Relaxed)
    }

    /// The call is over; `timed` as [`Usage::begin`] said.
    pub fn end(&self, worker: usize, hook: Hook, timed: bool, ran: Reading) {
        // Nothing is known of the usual call, but that it was short.
        if !timed && ran.later_ns == 0 && !ran.first_ticked {
            return;
        }
        if let Some(counters) = self.counters(worker, hook) {
            counters.account(timed, ran);
        }
    }

    /// A call failed for `reason`. That no instance was free is nothing the plugin did.
    pub fn failed(&self, worker: usize, hook: Hook, reason: &FailureReason) {
        let Some(counters) = self.counters(worker, hook) else { return };
        match reason {
            FailureReason::Trap(_) | FailureReason::MemoryMax { .. } => add(&counters.traps, 1),
            FailureReason::OutOfTime => add(&counters.time_outs, 1),
            FailureReason::PoolExhausted(_) | FailureReason::InstanceLost | FailureReason::Quarantined => 0,
        };
    }

    /// An instance has this much memory now.
    pub fn memory(&self, worker: usize, bytes: usize) {
        if let Some(worker) = self.workers.get(worker) {
            let high = worker.memory_bytes_high.load(Relaxed).max(bytes as u64);
            worker.memory_bytes_high.store(high, Relaxed);
        }
    }

    pub fn instance_made(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    /// By whichever thread drops it.
    pub fn instance_dropped(&self) {
        self.instances.fetch_sub(1, Relaxed);
    }

    pub fn instances(&self) -> u64 {
        self.instances.load(Relaxed)
    }

    /// The most memory one instance has had.
    pub fn memory_bytes_high(&self) -> u64 {
        self.workers.iter().map(|worker| worker.memory_bytes_high.load(Relaxed)).max().unwrap_or(0)
    }

    pub fn calls(&self, hook: Hook) -> u64 {
        self.of_hook(hook).map(|counters| counters.calls.load(Relaxed)).sum()
    }

    pub fn hook(&self, hook: Hook) -> HookUsage {
        let mut sum = HookUsage::default();
        for counters in self.of_hook(hook) {
            sum.calls += counters.calls.load(Relaxed);
            sum.traps += counters.traps.load(Relaxed);
            sum.time_outs += counters.time_outs.load(Relaxed);
            sum.cpu_estimated += Duration::from_nanos(counters.cpu_ns.load(Relaxed));
        }
        sum
    }

    fn of_hook(&self, hook: Hook) -> impl Iterator<Item = &Counters> {
        self.workers.iter().filter_map(move |worker| worker.hooks.get(hook as usize))
    }

    fn counters(&self, worker: usize, hook: Hook) -> Option<&Counters> {
        self.workers.get(worker)?.hooks.get(hook as usize)
    }
}

// === impl Counters ===

impl Counters {
    /// What is known exactly counts as it is: every slice but the first. Of first slices, one that no tick cut short
    /// stands for the calls since the last that was timed; one that a tick did and nobody timed ran half a tick, on average.
    fn account(&self, timed: bool, ran: Reading) {
        let calls = self.calls.load(Relaxed);
        let first_ns = match (timed, ran.first_ticked) {
            (true, false) => {
                let stands_for = calls - self.accounted.load(Relaxed);
                self.accounted.store(calls, Relaxed);
                self.next_sample.store(calls + interval(calls), Relaxed);
                ran.first_ns.saturating_mul(stands_for)
            }
            (true, true) => ran.first_ns,
            (false, true) => half_a_tick_ns() + ran.first_ns,
            (false, false) => 0,
        };
        add(&self.cpu_ns, first_ns + ran.later_ns);
    }
}

/// Calls until the next that is timed: not always as many, since calls come in patterns.
fn interval(calls: u64) -> u64 {
    let scattered = calls.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (1 + scattered % (2 * SAMPLE_EVERY)).min(1 + calls / SAMPLE_SHARE)
}

fn half_a_tick_ns() -> u64 {
    u64::try_from(Ticker::period().as_nanos() / 2).unwrap_or_default()
}

/// Where only one thread writes, this is as exact as `fetch_add`, and no more than an addition. The new value.
fn add(counter: &AtomicU64, more: u64) -> u64 {
    let sum = counter.load(Relaxed).wrapping_add(more);
    counter.store(sum, Relaxed);
    sum
}

// === impl Loaded ===

impl Loaded {
    /// Those of one more configuration, of which some may have been in one before.
    pub fn add(&self, more: &[Arc<Plugin>]) {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.retain(|known| known.strong_count() > 0);
        for plugin in more.iter().map(Arc::downgrade) {
            if !plugins.iter().any(|known| known.ptr_eq(&plugin)) {
                plugins.push(plugin);
            }
        }
    }

    /// One line for each plugin, and one for each hook of it that was called.
    pub fn report(&self) {
        let plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for plugin in plugins.iter().filter_map(Weak::upgrade) {
            plugin.report_usage();
        }
    }
}

impl Plugin {
    fn report_usage(&self) {
        let (identity, usage) = (&self.identity, &self.identity.usage);
        tracing::info!(
            plugin = %identity.name,
            since_s = usage.since.elapsed().as_secs(),
            instances = usage.instances(),
            memory_bytes_high = usage.memory_bytes_high(),
            memory_bytes_max = identity.memory_bytes_max,
            log_lines_dropped = identity.log.dropped(),
            in_quarantine = identity.quarantine.is_on(),
            "usage of plugin"
        );
        for hook in Hook::ALL {
            let HookUsage { calls, traps, time_outs, cpu_estimated } = usage.hook(hook);
            if calls > 0 {
                tracing::info!(
                    plugin = %identity.name,
                    hook = hook.name(),
                    calls,
                    cpu_us_estimated = cpu_estimated.as_micros(),
                    traps,
                    time_outs,
                    "usage of hook"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: usize = 1;

    fn call(usage: &Usage, first_ns: u64) {
        let timed = usage.begin(WORKER, Hook::OnMessage);
        let first_ns = if timed { first_ns } else { 0 };
        usage.end(WORKER, Hook::OnMessage, timed, Reading { first_ns, later_ns: 0, first_ticked: false });
    }

    #[test]
    fn few_of_many_calls_are_timed_and_stand_for_all() {
        let usage = Usage::new(2);
        let mut timed = 0;
        for _ in 0..100_000 {
            let is_timed = usage.begin(WORKER, Hook::OnMessage);
            timed += u64::from(is_timed);
            let first_ns = if is_timed { 1_000 } else { 0 };
            usage.end(
                WORKER,
                Hook::OnMessage,
                is_timed,
                Reading { first_ns, later_ns: 0, first_ticked: false },
            );
        }
        assert!((1_000..2_500).contains(&timed), "{timed}");
        let HookUsage { calls, cpu_estimated, .. } = usage.hook(Hook::OnMessage);
        assert_eq!(calls, 100_000);
        assert!((99_000..=100_000).contains(&cpu_estimated.as_micros()), "{cpu_estimated:?}");
    }

    /// Messages of an echo come in turns, and one in 64 would always be the same side's.
    #[test]
    fn calls_that_take_turns_are_timed_alike() {
        let usage = Usage::new(2);
        for at in 0..100_000_u64 {
            call(&usage, if at.is_multiple_of(2) { 0 } else { 2_000 });
        }
        let cpu = usage.hook(Hook::OnMessage).cpu_estimated.as_millis();
        assert!((85..=115).contains(&cpu), "{cpu} ms");
    }

    #[test]
    fn the_first_calls_are_all_timed() {
        let usage = Usage::new(2);
        for _ in 0..8 {
            call(&usage, 500);
        }
        assert_eq!(usage.hook(Hook::OnMessage).cpu_estimated, Duration::from_nanos(8 * 500));
    }

    #[test]
    fn long_calls_count_as_they_are() {
        let usage = Usage::new(2);
        for _ in 0..1_000 {
            call(&usage, 0);
        }
        usage.begin(WORKER, Hook::OnMessage);
        let ran = Reading { first_ns: 0, later_ns: 9_000_000, first_ticked: true };
        usage.end(WORKER, Hook::OnMessage, false, ran);
        assert_eq!(usage.hook(Hook::OnMessage).cpu_estimated, Duration::from_micros(9_500));
    }

    #[test]
    fn workers_are_added_up() {
        let usage = Usage::new(2);
        for worker in [0, 1, 1] {
            usage.begin(worker, Hook::Open);
            usage.failed(worker, Hook::Open, &FailureReason::OutOfTime);
            usage.memory(worker, 100 * (worker + 1));
        }
        usage.failed(0, Hook::Open, &FailureReason::Trap("so it goes".to_owned()));
        usage.failed(0, Hook::Open, &FailureReason::PoolExhausted("none left".to_owned()));
        let HookUsage { calls, traps, time_outs, .. } = usage.hook(Hook::Open);
        assert_eq!((calls, traps, time_outs, usage.memory_bytes_high()), (3, 1, 3, 200));
        assert_eq!(usage.hook(Hook::OnMessage), HookUsage::default());
    }
}
