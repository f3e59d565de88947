//! One configuration file while it is read: its text, and everything found wrong with it so far.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::error::{Error, Errors, Position};
use super::text::quoted;

/// Errors are collected here rather than returned, so that reading goes on after one.
pub(super) struct Source<'a> {
    file_name: &'a str,
    text: &'a str,
    base_dir: &'a Path,
    found: RefCell<Vec<Found>>,
}

struct Found {
    /// Byte offset into the text.
    offset: usize,
    key: String,
    text: String,
}

impl<'a> Source<'a> {
    pub(super) fn new(file_name: &'a str, text: &'a str, base_dir: &'a Path) -> Self {
        Self { file_name, text, base_dir, found: RefCell::default() }
    }

    /// A path of the file: relative ones are relative to the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base_dir.join(path)
    }

    fn refuse(&self, offset: usize, key: &str, text: impl Into<String>) {
        let found = Found { offset, key: key.to_owned(), text: text.into() };
        self.found.borrow_mut().push(found);
    }

    /// What was found wrong so far, if anything.
    pub(super) fn check(&self) -> Result<(), Errors> {
        let mut found = self.found.take();
        found.sort_by_key(|found| found.offset);
        // One pass over the text, however many errors there are.
        let mut position = Position::START;
        let mut passed = 0;
        let errors = found.into_iter().map(|Found { offset, key, text }| {
            let offset = self.text.floor_char_boundary(offset);
            position = position.after(self.text.get(passed..offset).unwrap_or_default());
            passed = offset;
            Error { file: self.file_name.to_owned(), position: Some(position), key, text }
        });
        Errors::new(errors.collect()).map_or(Ok(()), Err)
    }
}

/// Where something stands in the file, and what it is called.
#[derive(Clone)]
pub(super) struct Place<'a> {
    source: &'a Source<'a>,
    /// In bytes.
    offset: usize,
    /// `route[1].timeouts.read`; empty for the whole file.
    path: String,
}

impl<'a> Place<'a> {
    /// The whole file.
    pub(super) fn document(source: &'a Source<'a>) -> Self {
        Self { source, offset: 0, path: String::new() }
    }

    /// What is called `key` in here; it stands here too, until told otherwise.
    pub(super) fn key(&self, key: &str) -> Self {
        let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let bare = !key.is_empty() && key.chars().all(is_bare);
        let key = if bare { key.to_owned() } else { quoted(key) };
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{key}", self.path), ..*self }
    }

    /// An item of the list that is here.
    pub(super) fn item(&self, index: usize) -> Self {
        Self { path: format!("{}[{index}]", self.path), ..*self }
    }

    pub(super) fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    pub(super) fn source(&self) -> &'a Source<'a> {
        self.source
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Records what is wrong here.
    pub(super) fn refuse(&self, text: impl Into<String>) {
        self.source.refuse(self.offset, &self.path, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let source = Source::new("a.toml", "", Path::new(""));
        let settings = Place::document(&source).key("plugin").item(0).key("settings");
        assert_eq!(settings.path(), "plugin[0].settings");
        for (key, expected) in
            [("per-host_2", ".per-host_2"), ("a b", ".\"a b\""), ("", ".\"\""), ("\n", ".\"\\n\"")]
        {
            assert_eq!(settings.key(key).path(), format!("plugin[0].settings{expected}"));
        }
    }

    fn positions(text: &str, offsets: &[usize]) -> Vec<(usize, usize)> {
        let source = Source::new("a.toml", text, Path::new(""));
        for offset in offsets {
            Place::document(&source).at(*offset).refuse("");
        }
        let Err(errors) = source.check() else {
            return Vec::new();
        };
        errors.iter().filter_map(|error| error.position).map(|p| (p.line, p.column)).collect()
    }

    #[test]
    fn offsets_become_lines_and_characters_in_the_order_of_the_text() {
        let text = "ab\nüx\n\ny";
        assert_eq!(positions(text, &[8, 0, 5, 2, 3]), [(1, 1), (1, 3), (2, 1), (2, 2), (4, 1)]);
    }

    #[test]
    fn offsets_inside_a_character_or_past_the_end_are_taken_back() {
        assert_eq!(positions("ü", &[1, 2, 99]), [(1, 1), (1, 2), (1, 2)]);
        assert_eq!(positions("", &[0, 1]), [(1, 1), (1, 1)]);
    }

    #[test]
    fn nothing_found_is_no_error() {
        assert_eq!(positions("a", &[]), []);
    }
}
