//! What Sluicegate should reach, and whether it did in this run.

use super::column::{CPU_US, KIB, P99_US};
use super::results::{Figure, Metric, Results};

struct Expectation {
    says: &'static str,
    column: &'static str,
    contender: &'static str,
    metric: Metric,
    measure: Measure,
    /// The median should not be above it.
    limit: f64,
}

enum Measure {
    /// By what another has in the same round.
    Times(&'static str),
    /// Less what another has in the same round.
    Above(&'static str),
    Itself,
}

const RELAY: &str = "sluicegate";
const NO_OP: &str = "sluicegate-no-op";

pub fn print(results: &Results) {
    let rows: Vec<_> = all().iter().filter_map(|expectation| expectation.row(results)).collect();
    if !rows.is_empty() {
        println!("\n| expected of Sluicegate | | at most | measured | |\n|---|---|---|---|---|");
        println!("{}", rows.join("\n"));
    }
}

fn all() -> Vec<Expectation> {
    use Measure::{Above, Itself, Times};
    let new = |says, column, contender, metric, measure, limit| Expectation {
        says,
        column,
        contender,
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
        new("origin check and routing", "request", "sluicegate-hooks", CPU_US, Above(RELAY), 2.0),
        new("the same at full load", "request-full", "sluicegate-hooks", CPU_US, Above(RELAY), 2.0),
        new("a no-op plugin at full load", "message-full", NO_OP, CPU_US, Above(RELAY), 1.0),
        new("latency, 5,000 messages a second", "message-128", RELAY, P99_US, Times("nginx"), 1.0),
    ]
}

// === impl Expectation ===

impl Expectation {
    /// None where this run has not measured it.
    fn row(&self, results: &Results) -> Option<String> {
        let Self { says, metric, limit, .. } = self;
        let (of, measured) = self.measured(results);
        let figure = measured?;
        let met = if figure.median <= *limit { "met" } else { "**missed**" };
        Some(format!("| {says} | {metric}{of} | {limit:.2} | {figure} | {met} |"))
    }

    fn measured(&self, results: &Results) -> (String, Option<Figure>) {
        let Self { column, contender, metric, .. } = self;
        match self.measure {
            Measure::Times(other) => {
                let figure = results.compare(column, (contender, other), metric, |one, base| one / base);
                (format!(", × {other}"), figure)
            }
            Measure::Above(other) => {
                let figure = results.compare(column, (contender, other), metric, |one, base| one - base);
                (format!(", above {other}"), figure)
            }
            Measure::Itself => (String::new(), results.figure(column, contender, metric)),
        }
    }
}
