//! Several regular expressions as one, so that a message is read once however many there are.

use regex::{NoExpand, Regex, RegexBuilder};
use sluicegate_sdk::ConfigureError;

/// What one session's matching may remember, in bytes. Every session has a memory of its own, and its first
/// messages fill this.
const CACHE_BYTES_MAX: usize = 256 * 1024;

/// Compiled patterns.
pub(crate) struct Patterns {
    any: Regex,
}

impl Patterns {
    pub(crate) fn compile(patterns: &[String]) -> Result<Self, ConfigureError> {
        if patterns.is_empty() {
            return Err(ConfigureError::new(
                "deny: an empty list filters nothing; give a regular expression",
            ));
        }
        for (index, pattern) in patterns.iter().enumerate() {
            check(pattern).map_err(|error| ConfigureError::new(format_args!("deny[{index}]: {error}")))?;
        }
        let any: Vec<String> = patterns.iter().map(|pattern| group(pattern)).collect();
        let any = RegexBuilder::new(&any.join("|"))
            .dfa_size_limit(CACHE_BYTES_MAX)
            .build()
            .map_err(|error| ConfigureError::new(format_args!("deny: the patterns together: {error}")))?;
        // Matching builds its tables as it goes. What it begins here, all sessions begin with.
        any.is_match(&(' '..='~').collect::<String>());
        Ok(Self { any })
    }

    pub(crate) fn match_any(&self, text: &str) -> bool {
        self.any.is_match(text)
    }

    pub(crate) fn replace_all(&self, text: &str, replacement: &str) -> String {
        self.any.replace_all(text, NoExpand(replacement)).into_owned()
    }
}

fn group(pattern: &str) -> String {
    format!("(?:{pattern})")
}

fn check(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("an empty pattern matches every message".to_owned());
    }
    Regex::new(pattern).map_err(|error| format!("`{pattern}`: {}", last_line(&error)))?;
    // A comment at the end would swallow the bracket that ends the group, and with it the next pattern.
    Regex::new(&group(pattern)).map_err(|_| "ends in a comment; end it with a line break".to_owned())?;
    Ok(())
}

/// The reason, without the drawing above it that points at the place.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(patterns: &[&str]) -> Result<Patterns, ConfigureError> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Patterns::compile(&patterns)
    }

    fn refusal(patterns: &[&str]) -> String {
        compile(patterns).err().unwrap().to_string()
    }

    #[test]
    fn any_of_them_matches_anywhere() {
        let patterns = compile(&[r"\bdarn\b", "^a|z$"]).unwrap();
        for (text, expected) in
            [("well, darn it", true), ("apple", true), ("fizz", true), ("darning", false), ("", false)]
        {
            assert_eq!(patterns.match_any(text), expected, "{text}");
        }
    }

    #[test]
    fn flags_of_one_pattern_are_not_those_of_the_next() {
        let patterns = compile(&["(?i)loud", "quiet", "(?x) with  space # why\n"]).unwrap();
        assert!(patterns.match_any("LOUD"));
        assert!(!patterns.match_any("QUIET"));
        assert!(patterns.match_any("withspace"));
    }

    #[test]
    fn a_replacement_is_taken_as_it_stands() {
        let patterns = compile(&["(a+)b"]).unwrap();
        assert_eq!(patterns.replace_all("aab, ab, b", "$1"), "$1, $1, b");
    }

    #[test]
    fn the_pattern_at_fault_is_named() {
        assert_eq!(refusal(&["fine", "a("]), "deny[1]: `a(`: unclosed group");
        assert_eq!(refusal(&["fine", ""]), "deny[1]: an empty pattern matches every message");
        assert_eq!(refusal(&["(?x)a # why"]), "deny[0]: ends in a comment; end it with a line break");
        assert!(refusal(&[]).starts_with("deny: an empty list"));
    }
}
