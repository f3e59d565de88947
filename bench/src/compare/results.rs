//! What was measured, and the tables of it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::column::{BUSY, Column};
use super::contender::Contender;
use crate::Outcome;

/// What a number counts; it is the head of its column in the tables.
pub type Metric = &'static str;

/// What one contender did in one round.
pub struct Reading {
    pub values: Vec<(Metric, f64)>,
    /// Why it is not counted.
    pub flaw: Option<String>,
}

pub struct Results {
    entries: Vec<Entry>,
    file: File,
    path: PathBuf,
}

struct Entry {
    column: String,
    contender: String,
    round: usize,
    reading: Reading,
}

/// A figure: the median of the rounds, and how far they are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

// === impl Results ===

impl Results {
    /// Each reading is written to a new file in `folder` when it is made.
    pub fn new(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let path = folder.join(format!("compare-{now}.jsonl"));
        Ok(Self { entries: Vec::new(), file: File::create(&path)?, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn add(&mut self, column: &str, contender: &str, round: usize, reading: Reading) -> Outcome<()> {
        if let Some(flaw) = &reading.flaw {
            eprintln!("!! not counted: {column}, {contender}, round {}: {flaw}", round + 1);
        }
        let values: Map<_, Value> =
            reading.values.iter().map(|(metric, value)| ((*metric).to_owned(), json!(value))).collect();
        let line = json!({
            "column": column, "contender": contender, "round": round + 1, "values": values, "flaw": reading.flaw,
        });
        writeln!(self.file, "{line}")?;
        let (column, contender) = (column.to_owned(), contender.to_owned());
        self.entries.push(Entry { column, contender, round, reading });
        Ok(())
    }

    /// None where no round counts.
    pub fn figure(&self, column: &str, contender: &str, metric: &str) -> Option<Figure> {
        Figure::of(self.values(column, contender, metric).map(|(_, value)| value))
    }

    /// Made of the two numbers of each round in which both count.
    pub fn compare(
        &self,
        column: &str,
        contenders: (&str, &str),
        metric: &str,
        made_of: fn(f64, f64) -> f64,
    ) -> Option<Figure> {
        let (one, other) = contenders;
        let pair = |(round, value): (usize, f64)| {
            let (_, base) = self.values(column, other, metric).find(|(found, _)| *found == round)?;
            Some(made_of(value, base))
        };
        Figure::of(self.values(column, one, metric).filter_map(pair))
    }

    /// How many measurements of `contender` count, and how many do not.
    fn rounds(&self, column: &str, contender: &str) -> (usize, usize) {
        let entries =
            self.entries.iter().filter(|entry| entry.column == column && entry.contender == contender);
        let (counted, flawed): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.reading.flaw.is_none());
        (counted.len(), flawed.len())
    }

    fn values(&self, column: &str, contender: &str, metric: &str) -> impl Iterator<Item = (usize, f64)> {
        self.entries
            .iter()
            .filter(move |entry| entry.column == column && entry.contender == contender)
            .filter(|entry| entry.reading.flaw.is_none())
            .filter_map(move |entry| {
                let (_, value) = entry.reading.values.iter().find(|(found, _)| *found == metric)?;
                Some((entry.round, *value))
            })
    }

    pub fn print(&self, column: &Column, contenders: &[&Contender]) {
        let mut metrics: Vec<Metric> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.column == column.name) {
            for (metric, _) in &entry.reading.values {
                if !metrics.contains(metric) {
                    metrics.push(metric);
                }
            }
        }
        println!("\n**{}**: {}\n", column.name, column.title);
        let heads = metrics.iter().map(|metric| match *metric {
            BUSY => format!(" {metric} |"),
            _ => format!(" {metric} | × {} |", column.baseline),
        });
        let heads = heads.collect::<String>();
        println!("| |{heads} rounds |\n|---|{}---|", "---|".repeat(heads.matches('|').count()));
        for contender in contenders {
            let cells = metrics.iter().map(|metric| self.cells(column, &contender.name, metric));
            let (counted, flawed) = self.rounds(column.name, &contender.name);
            let rounds =
                if flawed == 0 { counted.to_string() } else { format!("{counted} ({flawed} not counted)") };
            println!("| {} |{} {rounds} |", contender.name, cells.collect::<String>());
        }
    }

    /// A number, and its ratio to the baseline's.
    fn cells(&self, column: &Column, contender: &str, metric: Metric) -> String {
        let figure = self.figure(column.name, contender, metric);
        let figure = figure.map_or_else(String::new, Figure::value);
        if metric == BUSY {
            return format!(" {figure} |");
        }
        let ratio = self.compare(column.name, (contender, column.baseline), metric, |one, base| one / base);
        format!(" {figure} | {} |", ratio.map_or_else(String::new, |ratio| ratio.to_string()))
    }
}

// === impl Reading ===

impl Reading {
    pub fn of(metric: Metric, value: f64) -> Self {
        Self { values: vec![(metric, value)], flaw: None }
    }

    pub fn failed(error: &dyn std::error::Error) -> Self {
        Self { values: Vec::new(), flaw: Some(error.to_string()) }
    }
}

// === impl Figure ===

impl Figure {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let even = values.len().is_multiple_of(2);
        let median = if even { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] };
        Some(Self { median, least, most })
    }

    fn value(self) -> String {
        let digits = if self.median < 10.0 { 2 } else { 1 };
        format!("{:.digits$}", self.median)
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.2} ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: f64, flaw: Option<&str>) -> Reading {
        Reading { flaw: flaw.map(str::to_owned), ..Reading::of("CPU µs", value) }
    }

    #[test]
    fn ratios_are_made_within_rounds_of_which_both_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::new(folder.path()).unwrap();
        for (round, (ours, theirs)) in
            [(1.0, 2.0), (3.0, 4.0), (9.0, 1.0), (12.0, 12.0)].into_iter().enumerate()
        {
            results.add("message", "ours", round, reading(ours, None)).unwrap();
            results.add("message", "theirs", round, reading(theirs, (round == 2).then_some("late"))).unwrap();
        }
        let ratio = results.compare("message", ("ours", "theirs"), "CPU µs", |one, base| one / base);
        assert_eq!(ratio, Some(Figure { median: 0.75, least: 0.5, most: 1.0 }));
        let alone = results.figure("message", "ours", "CPU µs");
        assert_eq!(alone, Some(Figure { median: 6.0, least: 1.0, most: 12.0 }));
        assert_eq!(fs::read_to_string(results.path()).unwrap().lines().count(), 8);
    }
}
