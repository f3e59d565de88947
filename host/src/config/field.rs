//! A value of the file, read as one of the kinds that keys have.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::reader::Section;
use super::source::{Place, Source};
use super::types::Rate;
use super::{text, units};

/// The longest duration; it keeps sums with it far from every clock's end.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(365 * 86_400);
/// None may be zero.
const ANY_DURATION: RangeInclusive<Duration> = Duration::from_millis(1)..=DURATION_MAX;

const RATE_COUNT_MAX: u32 = 1_000_000;

/// A value and its place. Each reader gives none, and has recorded why, where the value is of another kind.
pub(super) struct Field<'a> {
    place: Place<'a>,
    value: &'a DeValue<'a>,
}

impl<'a> Field<'a> {
    pub(super) fn new(place: Place<'a>, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { place: place.at(value.span().start), value: value.get_ref() }
    }

    pub(super) fn source(&self) -> &'a Source<'a> {
        self.place.source()
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    pub(super) fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|items| items.is_empty())
    }

    /// Records what is wrong with the value.
    pub(super) fn refuse(&self, text: impl Into<String>) {
        self.place.refuse(text);
    }

    /// Records that the value is something else than `expected`.
    pub(super) fn mismatch<T>(&self, expected: impl Display) -> Option<T> {
        self.refuse(format!("expected {expected}, found {}", text::found(self.value)));
        None
    }

    pub(super) fn text(&self, expected: &str) -> Option<&'a str> {
        self.value.as_str().or_else(|| self.mismatch(expected))
    }

    /// A string that `parse` makes something of.
    pub(super) fn parsed<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        parse(self.text(expected)?).or_else(|| self.mismatch(expected))
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.mismatch("true or false"))
    }

    /// One of a few words.
    pub(super) fn word<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let quoted: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let meaning = |text: &str| words.iter().find(|(word, _)| *word == text);
        self.parsed(&quoted.join(" or "), meaning).map(|(_, meaning)| meaning.clone())
    }

    pub(super) fn any_duration(&self) -> Option<Duration> {
        self.duration(ANY_DURATION)
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.parsed(r#"a duration such as "30s" or "500ms""#, units::duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let [from, to] = [range.start(), range.end()].map(|bound| units::duration_text(*bound));
        self.mismatch(format_args!("a duration from {from:?} to {to:?}"))
    }

    /// In bytes.
    pub(super) fn size(&self, range: RangeInclusive<usize>) -> Option<usize> {
        if self.value.is_integer() {
            return self.mismatch(r#"a size with its unit: write "16MiB" or "64KiB""#);
        }
        let bytes = self.parsed(r#"a size such as "16MiB" or "64KiB""#, units::size)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if range.contains(&bytes) {
            return Some(bytes);
        }
        let [from, to] = [range.start(), range.end()].map(|bound| units::size_text(*bound));
        self.mismatch(format_args!("a size from {from:?} to {to:?}"))
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        self.rate_as(r#"a rate such as "100/s" or "20/m""#)
    }

    /// The inner none: it is `"off"`.
    pub(super) fn rate_or_off(&self) -> Option<Option<Rate>> {
        match self.value.as_str() {
            Some("off") => Some(None),
            _ => self.rate_as(r#"a rate such as "100/s" or "20/m", or "off""#).map(Some),
        }
    }

    fn rate_as(&self, expected: &str) -> Option<Rate> {
        let rate = self.parsed(expected, units::rate)?;
        if (1..=RATE_COUNT_MAX).contains(&rate.count) {
            return Some(rate);
        }
        self.mismatch(format_args!("a rate from 1 to {RATE_COUNT_MAX} in its period"))
    }

    pub(super) fn whole_number<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let number = self.value.as_integer().and_then(integer);
        let number = number.and_then(|number| T::try_from(number).ok());
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let (from, to) = range.into_inner();
        self.mismatch(format_args!("a whole number from {from} to {to}"))
    }

    /// The values of a list.
    pub(super) fn list(&self, expected: &str) -> Option<Vec<Field<'a>>> {
        let Some(items) = self.value.as_array() else {
            return self.mismatch(expected);
        };
        let items = items.iter().enumerate();
        Some(items.map(|(index, value)| Field::new(self.place.item(index), value)).collect())
    }

    /// The keys and values of a table whose keys are not ours.
    pub(super) fn entries(&self) -> Option<Vec<(&'a str, Field<'a>)>> {
        let Some(table) = self.value.as_table() else {
            return self.mismatch("a table");
        };
        let entries = table.iter().map(|(key, value)| {
            let key = key.get_ref().as_ref();
            (key, Field::new(self.place.key(key), value))
        });
        Some(entries.collect())
    }

    pub(super) fn table<T>(&self, read: impl FnOnce(&mut Section<'a>) -> T) -> Option<T> {
        match self.value.as_table() {
            Some(table) => Some(Section::read(self.place.clone(), table, read)),
            None => self.mismatch("a table"),
        }
    }

    /// The tables `[[key]]`. A single one is refused and yet read: what is wrong inside it is worth knowing too.
    pub(super) fn tables<T>(&self, key: &str, mut read: impl FnMut(&mut Section<'a>) -> T) -> Vec<T> {
        let expected = format!("a list of tables, each under [[{key}]]");
        if self.value.is_table() {
            self.mismatch::<()>(expected);
            return self.table(read).into_iter().collect();
        }
        let items = self.list(&expected).unwrap_or_default();
        items.iter().filter_map(|item| item.table(&mut read)).collect()
    }
}

/// TOML's integers have 64 bits and a sign.
pub(super) fn integer(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
