//! How cost grows with sessions, workers and plugins: it should be along straight lines.

use super::column::{CPU_US, MIB, open_all};
use super::contender::Contender;
use super::lab::Lab;
use super::results::{Figure, Reading, Results};
use crate::Outcome;
use crate::crowd::Crowd;
use crate::load::paced;
use crate::process::Place;
use crate::script::Script;

/// In a second, whatever the number of sessions.
const RATE: u32 = 5_000;
const MESSAGE_BYTES: usize = 128;

/// One thing that grows, the others staying what they are.
struct Series {
    name: &'static str,
    points: &'static [usize],
    setting: fn(usize) -> Setting,
}

struct Setting {
    sessions: usize,
    workers: usize,
    plugins: usize,
    place: Place,
}

const SERIES: [Series; 4] = [
    Series {
        name: "sessions, relayed",
        points: &[100, 1_000, 3_000, 9_000],
        setting: |sessions| Setting { sessions, workers: 1, plugins: 0, place: Place::Own },
    },
    Series {
        name: "sessions, one plugin",
        points: &[100, 1_000, 3_000, 9_000],
        setting: |sessions| Setting { sessions, workers: 1, plugins: 1, place: Place::Own },
    },
    Series {
        // Two of them have no two processors of their own here: one alone has none, either.
        name: "workers, on all processors",
        points: &[1, 2],
        setting: |workers| Setting { sessions: 1_000, workers, plugins: 0, place: Place::Anywhere },
    },
    Series {
        name: "plugins",
        points: &[0, 1, 3, 5],
        setting: |plugins| Setting { sessions: 100, workers: 1, plugins, place: Place::Own },
    },
];

pub fn run(lab: &Lab, rounds: usize, results: &mut Results) -> Outcome<()> {
    for series in &SERIES {
        let name = format!("growth: {}", series.name);
        for round in 0..rounds {
            for &point in series.points {
                eprintln!("{name}, round {}: {point}", round + 1);
                let measure = || measure(lab, &(series.setting)(point));
                lab.until_counted(measure, |reading| results.add(&name, &point.to_string(), round, reading))?;
            }
        }
        print(series, &name, results);
    }
    Ok(())
}

fn measure(lab: &Lab, setting: &Setting) -> Outcome<Reading> {
    let proxy = lab.start(&Contender::with_no_ops(setting.plugins), setting.workers, setting.place)?;
    let mut crowd = Crowd::new(open_all(&proxy.plain, setting.sessions, false)?)?;
    let script = Script::messages(MESSAGE_BYTES);
    let cost = paced(&mut crowd, &script, &lab.timetable(RATE), &|| proxy.used())?;
    let mut reading = Reading::of_cost(&cost);
    // While the sessions are there.
    reading.values.push((MIB, proxy.memory_kib()? / 1024.0));
    drop(crowd);
    Ok(reading)
}

fn print(series: &Series, name: &str, results: &Results) {
    println!("\n**{name}**, {MESSAGE_BYTES} B, {RATE} messages each second\n");
    println!("| {} | CPU µs | off the line | MiB | off the line |\n|---|---|---|---|---|", series.name);
    let figures = |metric| -> Vec<(f64, Figure)> {
        let figure = |point: &usize| Some((*point as f64, results.figure(name, &point.to_string(), metric)?));
        series.points.iter().filter_map(figure).collect()
    };
    let (cpu, memory) = (figures(CPU_US), figures(MIB));
    let cell = |figures: &[(f64, Figure)], point: f64| {
        let Some((_, figure)) = figures.iter().find(|(found, _)| *found == point) else {
            return " not counted | |".to_owned();
        };
        let medians: Vec<_> = figures.iter().map(|(point, figure)| (*point, figure.median)).collect();
        let off =
            line(&medians).map(|line| (figure.median / (line.begin + line.slope * point) - 1.0) * 100.0);
        format!(" {figure} | {} |", off.map_or_else(String::new, |off| format!("{off:+.1} %")))
    };
    for &point in series.points {
        println!("| {point} |{}{}", cell(&cpu, point as f64), cell(&memory, point as f64));
    }
    for (metric, figures) in [(CPU_US, &cpu), (MIB, &memory)] {
        let medians: Vec<_> = figures.iter().map(|(point, figure)| (*point, figure.median)).collect();
        if let Some(line) = line(&medians) {
            println!("\n{metric}: {:.3} + {:.6} each", line.begin, line.slope);
        }
    }
}

struct Line {
    begin: f64,
    slope: f64,
}

/// By least squares; through two points there always is one, which says nothing.
fn line(points: &[(f64, f64)]) -> Option<Line> {
    if points.len() < 3 {
        return None;
    }
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let alone: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = together / alone;
    Some(Line { begin: y - slope * x, slope })
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_line_through_points_on_a_line_is_that_line() {
        let line = line(&[(0.0, 2.0), (1.0, 2.5), (3.0, 3.5), (5.0, 4.5)]).unwrap();
        assert!((line.begin - 2.0).abs() < 1e-9 && (line.slope - 0.5).abs() < 1e-9);
    }
}
