//! What is wrong with a configuration: every place at once, one line each.

use std::fmt;

/// All that is wrong with one configuration, in the order of the text. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The configuration file as its reader was told it, or `command line`.
    pub file: String,
    /// None where the text has no such place: the file cannot be read, or there is none.
    pub position: Option<Position>,
    /// `route[1].timeouts.read`, or an option of the command line; empty where no key is concerned.
    pub key: String,
    /// What was found and what would be accepted.
    pub text: String,
}

/// A place in the file, counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// The position behind `text`, which begins here.
    pub(super) fn after(self, text: &str) -> Self {
        let column = match text.rsplit_once('\n') {
            Some((_, last_line)) => 1 + last_line.chars().count(),
            None => self.column + text.chars().count(),
        };
        Self { line: self.line + text.matches('\n').count(), column }
    }
}

impl Errors {
    /// `None` where there is nothing wrong.
    pub(super) fn new(errors: Vec<Error>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self(errors))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            error.fmt(formatter)?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(formatter, "{line}:{column}:")?;
        }
        if !self.key.is_empty() {
            write!(formatter, " {}:", self.key)?;
        }
        write!(formatter, " {}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(position: Option<Position>, key: &str) -> Error {
        Error { file: "chat.toml".into(), position, key: key.into(), text: "expected a table".into() }
    }

    #[test]
    fn each_error_is_one_line() {
        let position = Some(Position { line: 12, column: 8 });
        let errors = Errors(vec![error(position, "route[0].limits"), error(position, ""), error(None, "")]);
        assert_eq!(
            errors.to_string(),
            "chat.toml:12:8: route[0].limits: expected a table\n\
             chat.toml:12:8: expected a table\n\
             chat.toml: expected a table",
        );
        assert_eq!(errors.iter().count(), 3);
    }

    #[test]
    fn no_errors_are_no_errors_value() {
        assert_eq!(Errors::new(Vec::new()), None);
    }
}
