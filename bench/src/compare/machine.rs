//! What figures depend on besides the programs.

use std::fs;
use std::time::SystemTime;

/// Date, processors and kernel, in one line.
pub fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = || cpus.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = models().next().map_or("unknown processor", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!("{date}; {} × {model}; Linux {}\n", models().count(), kernel.trim())
}
