//! Open loop: each connection sends by a timetable, whatever the answers do. At a low rate the proxy sleeps between
//! messages, as it does most of its life, and cannot handle several at a wake-up, as it would at full load.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::{Cost, LATE, Timetable};
use crate::Outcome;
use crate::crowd::{Crowd, Woken};
use crate::script::{Listener, Script};

/// For answers after the last was sent.
const PATIENCE: Duration = Duration::from_secs(5);
/// From setting the timetable to its first operation.
const HEAD_START: Duration = Duration::from_millis(5);

struct Run<'r> {
    crowd: &'r mut Crowd,
    script: &'r Script,
    listeners: Vec<Listener>,
    /// When what each connection has not yet heard an answer to was due, and whether it counts.
    waiting: Vec<VecDeque<(Instant, bool)>>,
    /// Answers each connection has heard.
    heard: Vec<usize>,
    unanswered: usize,
    latencies: Vec<Duration>,
}

/// `cpu` is what the proxy has used of a processor until now.
pub fn paced(
    crowd: &mut Crowd,
    script: &Script,
    timetable: &Timetable,
    cpu: &dyn Fn() -> Outcome<Duration>,
) -> Outcome<Cost> {
    let mut run = Run::new(crowd, script);
    let timer = std::fs::File::from(start(timetable.period())?);
    run.crowd.watch(&timer)?;
    let begin = Instant::now() + HEAD_START;
    let warm_up = timetable.warm_up_operations();
    let last = warm_up + timetable.operations();

    let (mut next, mut late, mut counted_from) = (0, 0, None);
    let mut woken = Vec::new();
    while next < last {
        let due = (next + run.due(&timer, &mut woken)?).min(last);
        for number in next..due {
            let counts = number >= warm_up;
            if number == warm_up {
                counted_from = Some((Instant::now(), cpu()?));
            }
            let due = begin + timetable.period() * u32::try_from(number)?;
            late += u64::from(counts && due.elapsed() > LATE);
            run.send(number as usize, due, counts)?;
        }
        next = due;
    }
    run.finish(&mut woken)?;
    let (from, before) = counted_from.ok_or("nothing to be counted")?;
    run.latencies.sort_unstable();
    Ok(Cost {
        operations: timetable.operations(),
        cpu: cpu()?.saturating_sub(before),
        elapsed: from.elapsed(),
        latencies: run.latencies,
        late,
        late_max: timetable.late_max,
    })
}

/// A timer that ticks with each operation; unlike the time-outs of epoll it has no slack.
fn start(period: Duration) -> Outcome<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let times =
        Itimerspec { it_interval: Timespec::try_from(period)?, it_value: Timespec::try_from(HEAD_START)? };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
    Ok(timer)
}

// === impl Run ===

impl<'r> Run<'r> {
    fn new(crowd: &'r mut Crowd, script: &'r Script) -> Self {
        let count = crowd.sessions.len();
        Self {
            crowd,
            script,
            listeners: (0..count).map(|index| Listener::new(index == 0)).collect(),
            waiting: vec![VecDeque::new(); count],
            heard: vec![0; count],
            unanswered: 0,
            latencies: Vec::new(),
        }
    }

    /// Hears what comes until it is time to send; how many are due then.
    fn due(&mut self, mut timer: &std::fs::File, woken: &mut Vec<Woken>) -> Outcome<u64> {
        loop {
            if self.hear(PATIENCE, woken)? {
                let mut ticks = [0; 8];
                return match timer.read_exact(&mut ticks) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    read => Ok(read.map(|()| u64::from_ne_bytes(ticks))?),
                };
            }
        }
    }

    fn send(&mut self, number: usize, due: Instant, counts: bool) -> Outcome<()> {
        let count = self.waiting.len();
        let (index, turn) = (number % count, number / count);
        self.waiting[index].push_back((due, counts));
        self.unanswered += 1;
        Ok(self.crowd.send(index, &self.script.lines[turn % self.script.lines.len()].sent)?)
    }

    /// Hears what there is, or the next to come; whether the timer has ticked.
    fn hear(&mut self, timeout: Duration, woken: &mut Vec<Woken>) -> Outcome<bool> {
        let mut ticked = false;
        self.crowd.wait(timeout, woken)?;
        for what in &*woken {
            match *what {
                Woken::Watched => ticked = true,
                Woken::Session(index) => self.take(index)?,
            }
        }
        Ok(ticked)
    }

    fn take(&mut self, index: usize) -> Outcome<()> {
        let input = &mut self.crowd.sessions[index].input;
        let mut used = 0;
        loop {
            let line = &self.script.lines[self.heard[index] % self.script.lines.len()];
            let Some(end) = line.heard(&input[used..], &mut self.listeners[index])? else { break };
            used += end;
            self.heard[index] += 1;
            let (due, counts) = self.waiting[index].pop_front().ok_or("an answer to nothing")?;
            self.unanswered -= 1;
            if counts {
                self.latencies.push(due.elapsed());
            }
        }
        input.drain(..used);
        Ok(())
    }

    /// Waits for the last answers: one that never comes fails the measurement.
    fn finish(&mut self, woken: &mut Vec<Woken>) -> Outcome<()> {
        let end = Instant::now() + PATIENCE;
        while self.unanswered > 0 {
            if Instant::now() > end {
                return Err(format!("{} answers did not come", self.unanswered).into());
            }
            self.hear(Duration::from_millis(100), woken)?;
        }
        Ok(())
    }
}
