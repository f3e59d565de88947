//! A cursor over the parsed file: a [`Section`] is a table whose keys are taken one by one, each as a [`Field`].
//!
//! Whatever does not fit is recorded in the [`Source`] with its place and what would fit, and reading goes on.
//! A section is only lent to the function that reads it, so that none goes without the check for unknown keys.

use toml::de::DeTable;

use super::field::Field;
use super::source::{Place, Source};
use super::suggest::choices;

/// A table of the file.
pub(super) struct Section<'a> {
    place: Place<'a>,
    table: &'a DeTable<'a>,
    /// The keys asked for so far: those that are accepted.
    asked: Vec<&'static str>,
}

/// Reads a whole file.
pub(super) fn read_document<'a, T>(
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    read: impl FnOnce(&mut Section<'a>) -> T,
) -> T {
    Section::read(Place::document(source), table, read)
}

impl<'a> Section<'a> {
    pub(super) fn read<T>(place: Place<'a>, table: &'a DeTable<'a>, read: impl FnOnce(&mut Self) -> T) -> T {
        let asked = Vec::new();
        let mut section = Self { place, table, asked };
        let value = read(&mut section);
        section.refuse_unknown_keys();
        value
    }

    /// `route[1].timeouts`
    pub(super) fn path(&self) -> &str {
        self.place.path()
    }

    pub(super) fn field(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        Some(Field::new(self.place.key(key), value))
    }

    /// Reads the value of `key`, if it is there.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Option<T> {
        read(&self.field(key)?)
    }

    /// Reads the value of `key`, which must be there; `expected` says what, if it is not.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Option<T> {
        let field = self.field(key);
        if field.is_none() {
            self.refuse_missing(key, expected);
        }
        read(&field?)
    }

    /// Replaces `target`, its default, by the value of `key`.
    pub(super) fn set<T>(
        &mut self,
        target: &mut T,
        key: &'static str,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) {
        if let Some(value) = self.optional(key, read) {
            *target = value;
        }
    }

    /// Reads the table `[key]`, if it is there.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.field(key)?.table(read)
    }

    /// Reads the tables `[[key]]`.
    pub(super) fn tables<T>(&mut self, key: &'static str, read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let field = self.field(key);
        field.map(|field| field.tables(key, read)).unwrap_or_default()
    }

    /// Reads the tables `[[key]]`, of which there must be one.
    pub(super) fn at_least_one<T>(&mut self, key: &'static str, read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let expected = format!("at least one [[{key}]]");
        let Some(field) = self.field(key) else {
            self.refuse_missing(key, &expected);
            return Vec::new();
        };
        if field.is_empty_list() {
            field.mismatch::<()>(expected);
        }
        field.tables(key, read)
    }

    /// Records what is wrong with the section as a whole.
    pub(super) fn refuse(&self, text: impl Into<String>) {
        self.place.refuse(text);
    }

    fn refuse_missing(&self, key: &str, expected: &str) {
        self.place.key(key).refuse(format!("expected {expected}, found nothing"));
    }

    fn refuse_unknown_keys(&self) {
        let is_known = |key: &str| self.asked.contains(&key);
        for key in self.table.keys().filter(|key| !is_known(key.get_ref())) {
            let place = self.place.key(key.get_ref()).at(key.span().start);
            place.refuse(format!("unknown key{}", choices(key.get_ref(), &self.asked)));
        }
    }
}
