//! What is measured.

use std::fs;
use std::thread::sleep;

use super::by_name;
use super::contender::{Contender, Family};
use super::lab::{Lab, Proxy};
use super::results::{Metric, Reading};
use crate::Outcome;
use crate::crowd::Crowd;
use crate::idle::{SETTLE, WARM_UP_SESSIONS, open};
use crate::load::{Cost, full, handshakes, paced};
use crate::script::Script;
use crate::session::{Session, Target};

pub struct Column {
    pub name: &'static str,
    /// What one operation is.
    pub title: &'static str,
    /// Whose ratio is 1.
    pub baseline: &'static str,
    tls: bool,
    work: Work,
}

/// Rates are operations per second, all connections' together.
#[derive(Clone, Copy)]
enum Work {
    Messages {
        bytes: usize,
        rate: u32,
    },
    /// 1 KiB of JSON with permessage-deflate and context takeover.
    Compressed {
        rate: u32,
    },
    /// As many as there can be, one at a time on each connection.
    FullMessages {
        bytes: usize,
    },
    FullRequests,
    Handshakes {
        rate: u32,
    },
    Requests {
        rate: u32,
    },
    Idle,
    Start,
    Size,
}

/// Connections that say something.
const TALKERS: usize = 100;
/// Proxies keep as many connections to the backend.
const REQUESTERS: usize = 50;

pub const CPU_US: Metric = "CPU µs";
pub const P50_US: Metric = "p50 µs";
pub const P99_US: Metric = "p99 µs";
/// How much of its processor the proxy used; at full load it should be nearly all.
pub const BUSY: Metric = "busy";
pub const KIB: Metric = "KiB";
pub const MS: Metric = "ms";
pub const MIB: Metric = "MiB";

pub fn all() -> Vec<Column> {
    use Work::{Compressed, FullMessages, FullRequests, Handshakes, Idle, Messages, Requests, Size, Start};
    let new = |name, title, baseline, tls, work| Column { name, title, baseline, tls, work };
    let small = Messages { bytes: 128, rate: 5_000 };
    let large = Messages { bytes: 64 * 1024, rate: 400 };
    vec![
        new("message-128", "an echoed message of 128 B, 5,000 each second", "nginx", false, small),
        new("message-128-tls", "the same, clients over TLS", "nginx", true, small),
        new("message-64k", "an echoed message of 64 KiB, 400 each second", "envoy", false, large),
        new("message-64k-tls", "the same, clients over TLS", "envoy", true, large),
        new(
            "message-deflate",
            "an echoed message of 1 KiB JSON, permessage-deflate, 1,000 each second",
            "ws-pair",
            false,
            Compressed { rate: 1_000 },
        ),
        new(
            "message-full",
            "an echoed message of 128 B at full load",
            "nginx",
            false,
            FullMessages { bytes: 128 },
        ),
        new("handshake", "a session opened and closed", "nginx", false, Handshakes { rate: 250 }),
        new("handshake-tls", "the same, over TLS", "nginx", true, Handshakes { rate: 150 }),
        new("request", "an HTTP request, 2,000 each second", "nginx", false, Requests { rate: 2_000 }),
        new("request-tls", "the same, over TLS", "nginx", true, Requests { rate: 2_000 }),
        new("request-full", "an HTTP request at full load", "nginx", false, FullRequests),
        new("idle", "an idle session", "haproxy", false, Idle),
        new("idle-tls", "the same, clients over TLS", "haproxy", true, Idle),
        new("start", "from the start to the first accepted connection", "nginx", false, Start),
        new("size", "the program's file, without the libraries it links to", "nginx", false, Size),
    ]
}

pub fn find(name: &str) -> Outcome<Column> {
    by_name(all(), name, |column| column.name)
}

// === impl Column ===

impl Column {
    /// Whether there is something to be learned from this contender here.
    pub fn admits(&self, contender: &Contender) -> bool {
        if self.tls && !contender.has_tls() {
            return false;
        }
        match (self.work, contender.family) {
            (Work::Size, family) => family != Family::Floor && !contender.is_variant(),
            (Work::Handshakes { .. } | Work::Start, _) | (_, Family::Floor | Family::Relay) => true,
            // Of Sluicegate's, messages' hooks are not asked about requests, nor requests' about messages.
            (Work::Requests { .. } | Work::FullRequests, Family::Messages) => !contender.is_variant(),
            (Work::Requests { .. } | Work::FullRequests, Family::Requests) | (_, Family::Messages) => true,
            (_, Family::Requests) => false,
        }
    }

    pub fn measure(&self, lab: &Lab, contender: &Contender, proxy: &Proxy) -> Outcome<Reading> {
        let cpu = || proxy.used();
        let target = proxy.target(self.tls);
        match self.work {
            Work::Messages { bytes, rate } => converse(proxy, target, &Script::messages(bytes), lab, rate),
            Work::Compressed { rate } => converse(proxy, target, &Script::compressed()?, lab, rate),
            Work::FullMessages { bytes } => {
                let crowd = Crowd::new(open_all(target, TALKERS, false)?)?;
                saturate(proxy, crowd, &Script::messages(bytes), lab)
            }
            Work::FullRequests => saturate(proxy, connect_all(target)?, &Script::requests(), lab),
            Work::Handshakes { rate } => {
                Ok(Reading::of_cost(&handshakes(target, &lab.timetable(rate), &cpu)?))
            }
            Work::Requests { rate } => {
                let mut crowd = connect_all(target)?;
                let cost = paced(&mut crowd, &Script::requests(), &lab.timetable(rate), &cpu)?;
                Ok(Reading::of_cost(&cost))
            }
            Work::Idle => {
                let sessions = lab.sessions / contender.instances_per_session().max(1);
                Ok(Reading::of(KIB, idle_kib(proxy, target, sessions)?))
            }
            Work::Start => Ok(Reading::of(MS, proxy.started_in.as_secs_f64() * 1e3)),
            Work::Size => {
                let bytes = fs::metadata(contender.binary(lab)?)?.len();
                Ok(Reading::of(MIB, bytes as f64 / 1024.0 / 1024.0))
            }
        }
    }
}

fn converse(proxy: &Proxy, target: &Target, script: &Script, lab: &Lab, rate: u32) -> Outcome<Reading> {
    let mut crowd = Crowd::new(open_all(target, TALKERS, script.deflate)?)?;
    let cost = paced(&mut crowd, script, &lab.timetable(rate), &|| proxy.used())?;
    Ok(Reading::of_cost(&cost))
}

/// The rate is what it turns out to be.
fn saturate(proxy: &Proxy, mut crowd: Crowd, script: &Script, lab: &Lab) -> Outcome<Reading> {
    Ok(Reading::of_cost(&full(&mut crowd, script, &lab.timetable(1), &|| proxy.used())?))
}

fn connect_all(target: &Target) -> Outcome<Crowd> {
    let connections: Outcome<_> = (0..REQUESTERS).map(|_| Session::connect(target)).collect();
    Crowd::new(connections?)
}

pub fn open_all(target: &Target, count: usize, deflate: bool) -> Outcome<Vec<Session>> {
    (0..count).map(|_| Session::open(target, deflate)).collect()
}

/// As `sluicegate-bench idle` does it.
fn idle_kib(proxy: &Proxy, target: &Target, sessions: usize) -> Outcome<f64> {
    let warm_up = open(target, WARM_UP_SESSIONS, false)?;
    sleep(SETTLE);
    let before = proxy.memory_kib()?;
    let held = open(target, sessions, false)?;
    sleep(SETTLE);
    let after = proxy.memory_kib()?;
    drop((warm_up, held));
    Ok((after - before) / sessions as f64)
}

// === impl Reading ===

impl Reading {
    pub fn of_cost(cost: &Cost) -> Self {
        let mut values = vec![(CPU_US, cost.cpu_us())];
        match (cost.latency_us(0.5), cost.latency_us(0.99)) {
            (Some(p50), Some(p99)) => values.extend([(P50_US, p50), (P99_US, p99)]),
            _ => values.push((BUSY, cost.cpu.as_secs_f64() / cost.elapsed.as_secs_f64())),
        }
        Self { values, flaw: cost.flaw() }
    }
}
