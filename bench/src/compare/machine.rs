//! What figures depend on besides the programs.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::param::clock_ticks_per_second;

/// The word of /proc/stat that tells the stolen time of all processors; the first is `cpu`.
const STOLEN: usize = 8;

/// Date, processors and kernel, in one line.
pub fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = || cpus.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = models().next().map_or("unknown processor", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!("{date}; {} × {model}; Linux {}\n", models().count(), kernel.trim())
}

/// What a virtual machine's processors could have done since the start, had not its host done something else with them.
pub fn stolen() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().nth(STOLEN).and_then(|ticks| ticks.parse::<f64>().ok());
    Duration::from_secs_f64(ticks.unwrap_or_default() / clock_ticks_per_second() as f64)
}
