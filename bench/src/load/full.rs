//! Closed loop: every connection always has one message on its way, so the proxy has as much to do as it can.

use std::time::{Duration, Instant};

use super::{Cost, Timetable};
use crate::Outcome;
use crate::crowd::{Crowd, Woken};
use crate::script::{Listener, Script};

const PATIENCE: Duration = Duration::from_secs(5);

/// `cpu` is what the proxy has used of a processor until now. The rate of `timetable` is not used.
pub fn full(
    crowd: &mut Crowd,
    script: &Script,
    timetable: &Timetable,
    cpu: &dyn Fn() -> Outcome<Duration>,
) -> Outcome<Cost> {
    let count = crowd.sessions.len();
    let mut listeners: Vec<_> = (0..count).map(|index| Listener::new(index == 0)).collect();
    let mut turns = vec![0; count];
    let lines = &script.lines;
    for index in 0..count {
        crowd.send(index, &lines[0].sent)?;
    }

    let begin = Instant::now();
    let (mut operations, mut counted_from) = (0, None);
    let mut woken = Vec::new();
    loop {
        match counted_from {
            None if begin.elapsed() > timetable.warm_up => {
                operations = 0;
                counted_from = Some((Instant::now(), cpu()?));
            }
            Some((from, before)) if from.elapsed() > timetable.length => {
                let cpu = cpu()?.saturating_sub(before);
                return Ok(Cost {
                    operations,
                    cpu,
                    elapsed: from.elapsed(),
                    latencies: Vec::new(),
                    late: 0,
                    late_max: timetable.late_max,
                });
            }
            _ => {}
        }
        crowd.wait(PATIENCE, &mut woken)?;
        if woken.is_empty() {
            return Err("answers did not come".into());
        }
        for what in &woken {
            let Woken::Session(index) = *what else { continue };
            let line = &lines[turns[index] % lines.len()];
            let input = &mut crowd.sessions[index].input;
            let Some(end) = line.heard(input, &mut listeners[index])? else { continue };
            input.drain(..end);
            operations += 1;
            turns[index] += 1;
            crowd.send(index, &lines[turns[index] % lines.len()].sent)?;
        }
    }
}
