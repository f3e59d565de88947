//! Sessions that are opened by a timetable and closed at once. Each is opened as fast as the proxy lets it be, before the
//! next is due; where one takes longer, those after it are late, and the measurement says so.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Cost, LATE, Timetable};
use crate::Outcome;
use crate::session::{Session, Target};

/// For the proxy to be done with the last that has left.
const SETTLE: Duration = Duration::from_millis(20);

/// `cpu` is what the proxy has used of a processor until now.
pub fn handshakes(
    target: &Target,
    timetable: &Timetable,
    cpu: &dyn Fn() -> Outcome<Duration>,
) -> Outcome<Cost> {
    let begin = Instant::now();
    let warm_up = timetable.warm_up_operations();
    let operations = timetable.operations();
    let (mut late, mut latencies, mut counted_from) = (0, Vec::new(), (begin, cpu()?));
    for number in 0..warm_up + operations {
        let due = begin + timetable.period() * u32::try_from(number)?;
        sleep(due.saturating_duration_since(Instant::now()));
        if number == warm_up {
            counted_from = (Instant::now(), cpu()?);
        }
        late += u64::from(number >= warm_up && due.elapsed() > LATE);
        let session = Session::open(target, false)?;
        if number >= warm_up {
            latencies.push(due.elapsed());
        }
        session.close()?;
    }
    sleep(SETTLE);
    let (from, before) = counted_from;
    latencies.sort_unstable();
    Ok(Cost {
        operations,
        cpu: cpu()?.saturating_sub(before),
        elapsed: from.elapsed(),
        latencies,
        late,
        late_max: timetable.late_max,
    })
}
