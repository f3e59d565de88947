//! Names of plugins and upstreams: unique, and looked up by the routes.

use super::field::Field;
use super::reader::Section;
use super::suggest::choices;
use super::text::quoted;

/// What [`is_name`] accepts.
const NAME: &str = r#"a name of 1 to 64 letters, digits, "-" and "_""#;
pub(super) const NAME_BYTES_MAX: usize = 64;

/// The names of one kind, at the positions of what they name.
pub(super) struct Names {
    kind: &'static str,
    names: Vec<String>,
}

impl Names {
    /// `kind` is the key of the tables: `plugin`, `upstream`.
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, names: Vec::new() }
    }

    /// Takes the next table's `name`. One that is refused is kept as well: routes that use it are right to do so.
    pub(super) fn add(&mut self, section: &mut Section<'_>) -> String {
        let name = section.required("name", NAME, |field| {
            let name = field.text(NAME)?;
            if !is_name(name) {
                field.mismatch::<()>(NAME);
            } else if let Some(index) = self.position(name) {
                field.refuse(format!("{}[{index}] has the name {name:?} too: expected another", self.kind));
            }
            Some(name.to_owned())
        });
        let name = name.unwrap_or_default();
        self.names.push(name.clone());
        name
    }

    /// The position of what a route names.
    pub(super) fn find(&self, field: &Field<'_>) -> Option<usize> {
        let name = field.text(&format!("the name of one [[{}]]", self.kind))?;
        self.find_name(field, name)
    }

    /// The position of `name`, which is a part of what `field` says.
    pub(super) fn find_name(&self, field: &Field<'_>, name: &str) -> Option<usize> {
        let kind = self.kind;
        let index = self.position(name);
        if index.is_none() {
            let choices = match self.names.is_empty() {
                true => format!(": expected [[{kind}]] with that name, found none at all"),
                false => choices(name, &self.names),
            };
            field.refuse(format!("unknown {kind} {}{choices}", quoted(name)));
        }
        index
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }
}

/// The nearest thing to `text` that is a name; empty where nothing is left.
pub(super) fn to_name(text: &str) -> String {
    let to_name_char = |c: char| if is_name_char(c) { c } else { '-' };
    let name: String = text.chars().map(to_name_char).collect();
    name.trim_matches('-').chars().take(NAME_BYTES_MAX).collect()
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "origin-check", "Chat_2", &"x".repeat(64)] {
            assert!(is_name(name), "{name:?}");
        }
        for refused in ["", "a b", "a.b", "ä", "a/b", &"x".repeat(65)] {
            assert!(!is_name(refused), "{refused:?}");
        }
    }

    #[test]
    fn anything_becomes_a_name_or_nothing() {
        assert_eq!(to_name("origin-check"), "origin-check");
        assert_eq!(to_name("rate limit.v2"), "rate-limit-v2");
        assert_eq!(to_name("-ä-"), "");
        assert_eq!(to_name(&"x".repeat(99)), "x".repeat(64));
    }
}
