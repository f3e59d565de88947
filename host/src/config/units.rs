//! Values that carry their unit: durations (`"30s"`), sizes (`"16MiB"`), rates (`"100/s"`).
//!
//! One whole number and one unit, nothing between: what a reader of the file cannot misread.

use std::time::Duration;

use super::types::Rate;

/// In bytes.
pub(super) const KIB: usize = 1 << 10;
pub(super) const MIB: usize = 1 << 20;
pub(super) const GIB: usize = 1 << 30;

type Unit = (&'static str, u64);

const MILLISECONDS: [Unit; 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const BYTES: [Unit; 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const RATE_PERIODS: [&str; 3] = ["s", "m", "h"];

/// `"500ms"`, `"30s"`, `"5m"`, `"24h"`, `"365d"`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    quantity(text, &MILLISECONDS).map(Duration::from_millis)
}

/// `"1B"`, `"64KiB"`, `"16MiB"`, `"4GiB"`, in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    quantity(text, &BYTES)
}

/// `"100/s"`, `"20/m"`, `"5/h"`; the count unbounded yet.
pub(super) fn rate(text: &str) -> Option<Rate> {
    let (count, period) = text.split_once('/')?;
    if !RATE_PERIODS.contains(&period) {
        return None;
    }
    let count = u32::try_from(number(count)?).unwrap_or(u32::MAX);
    Some(Rate { count, period: duration(&format!("1{period}"))? })
}

/// In the largest unit that divides it: the way to write it in the file.
pub(super) fn duration_text(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quantity_text(milliseconds, &MILLISECONDS)
}

/// See [`duration_text`].
pub(super) fn size_text(bytes: usize) -> String {
    quantity_text(bytes as u64, &BYTES)
}

/// What is too large for the type is its largest value: callers check bounds that are lower.
fn quantity(text: &str, units: &[Unit]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some(number(digits)?.saturating_mul(*factor))
}

fn number(digits: &str) -> Option<u64> {
    let well_formed = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    well_formed.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn quantity_text(value: u64, units: &[Unit]) -> String {
    let divides = |(_, factor): &&Unit| value > 0 && value.is_multiple_of(*factor);
    let (name, factor) = units.iter().rev().find(divides).or(units.first()).unwrap_or(&("", 1));
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("30s"), seconds(30));
        assert_eq!(duration("5m"), seconds(300));
        assert_eq!(duration("24h"), seconds(86_400));
        assert_eq!(duration("365d"), seconds(365 * 86_400));
        assert_eq!(duration("0s"), seconds(0));
        for refused in ["", "30", "s", "30 s", " 30s", "30S", "1.5s", "-1s", "+1s", "1h30m", "3µs", "1w"] {
            assert_eq!(duration(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1B"), Some(1));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("16MiB"), Some(16_777_216));
        assert_eq!(size("4GiB"), Some(4_294_967_296));
        for refused in ["", "16", "16M", "16MB", "16mib", "16 MiB", "1.5MiB", "-1B", "MiB", "0x10B"] {
            assert_eq!(size(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn rates() {
        let per = |count, seconds| Some(Rate { count, period: Duration::from_secs(seconds) });
        assert_eq!(rate("100/s"), per(100, 1));
        assert_eq!(rate("20/m"), per(20, 60));
        assert_eq!(rate("5/h"), per(5, 3_600));
        for refused in ["", "100", "/s", "100/", "100/ms", "100/2s", "100 / s", "1.5/s", "-1/s", "1/s/s"] {
            assert_eq!(rate(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn numbers_past_the_type_are_its_largest_value() {
        assert_eq!(size("99999999999999999999999B"), Some(u64::MAX));
        assert_eq!(size("18446744073709551615GiB"), Some(u64::MAX));
        assert_eq!(duration("99999999999999999999999d"), Some(Duration::from_millis(u64::MAX)));
        assert_eq!(rate("4294967296/s").map(|rate| rate.count), Some(u32::MAX));
    }

    #[test]
    fn texts_are_what_one_would_write() {
        for text in ["0ms", "1ms", "1500ms", "1s", "90s", "1m", "1h", "365d"] {
            assert_eq!(duration(text).map(duration_text).as_deref(), Some(text));
        }
        for text in ["0B", "1000B", "64KiB", "1MiB", "4GiB"] {
            assert_eq!(size(text).map(|bytes| size_text(bytes as usize)).as_deref(), Some(text));
        }
    }
}
