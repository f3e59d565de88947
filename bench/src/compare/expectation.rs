//! What Sluicegate should reach, and whether it did in this run.

use super::column::{CPU_US, KIB, P99_US};
use super::results::{Figure, Metric, Results};

struct Expectation {
    says: &'static str,
    column: &'static str,
    /// Of Sluicegate's, what comes behind the name of a build.
    variant: &'static str,
    metric: Metric,
    measure: Measure,
    /// The median should not be above it.
    limit: f64,
}

enum Measure {
    /// By what another has in the same round.
    Times(&'static str),
    /// Less what a relay has in the same round.
    AboveRelay,
    Itself,
}

const BUILDS: [&str; 2] = ["sluicegate", "sluicegate-pgo"];
const RELAY: &str = "";
const NO_OP: &str = "-no-op";
const HOOKS: &str = "-hooks";

pub fn print(results: &Results) {
    for build in BUILDS {
        let rows: Vec<_> = all().iter().filter_map(|expectation| expectation.row(build, results)).collect();
        if !rows.is_empty() {
            println!("\n| expected of {build} | | at most | measured | |\n|---|---|---|---|---|");
            println!("{}", rows.join("\n"));
        }
    }
}

fn all() -> Vec<Expectation> {
    use Measure::{AboveRelay, Itself, Times};
    let new = |says, column, variant, metric, measure, limit| Expectation {
        says,
        column,
        variant,
        metric,
        measure,
        limit,
    };
    vec![
        new("relay, 128 B", "message-128", RELAY, CPU_US, Times("nginx"), 1.0),
        new("relay over TLS, 128 B", "message-128-tls", RELAY, CPU_US, Times("nginx"), 0.85),
        new("64 KiB messages", "message-64k", RELAY, CPU_US, Times("envoy"), 1.0),
        new("handshake", "handshake", RELAY, CPU_US, Times("nginx"), 1.0),
        new("TLS handshake, full", "handshake-tls", RELAY, CPU_US, Times("nginx"), 0.6),
        new("HTTP request", "request", RELAY, CPU_US, Times("nginx"), 1.1),
        new("an idle session", "idle", RELAY, KIB, Itself, 4.0),
        new("an idle session over TLS", "idle-tls", RELAY, KIB, Itself, 12.0),
        new("128 B through a no-op plugin", "message-128", NO_OP, CPU_US, Times("nginx"), 1.1),
        new("the same, deflated JSON of 1 KiB", "message-deflate", NO_OP, CPU_US, Times("ws-pair"), 0.35),
        new("origin check and routing", "request", HOOKS, CPU_US, AboveRelay, 2.0),
        new("the same at full load", "request-full", HOOKS, CPU_US, AboveRelay, 2.0),
        new("a no-op plugin at full load", "message-full", NO_OP, CPU_US, AboveRelay, 1.0),
        new("latency, 5,000 messages a second", "message-128", RELAY, P99_US, Times("nginx"), 1.0),
    ]
}

// === impl Expectation ===

impl Expectation {
    /// None where this run has not measured it.
    fn row(&self, build: &str, results: &Results) -> Option<String> {
        let Self { says, metric, limit, .. } = self;
        let (of, measured) = self.measured(build, results);
        let figure = measured?;
        let met = if figure.median <= *limit { "met" } else { "**missed**" };
        Some(format!("| {says} | {metric}{of} | {limit:.2} | {figure} | {met} |"))
    }

    fn measured(&self, build: &str, results: &Results) -> (String, Option<Figure>) {
        let Self { column, variant, metric, .. } = self;
        let contender = &*format!("{build}{variant}");
        match self.measure {
            Measure::Times(other) => {
                let figure = results.compare(column, (contender, other), metric, |one, base| one / base);
                (format!(", × {other}"), figure)
            }
            Measure::AboveRelay => {
                let figure = results.compare(column, (contender, build), metric, |one, base| one - base);
                (", above its relay".to_owned(), figure)
            }
            Measure::Itself => (String::new(), results.figure(column, contender, metric)),
        }
    }
}
