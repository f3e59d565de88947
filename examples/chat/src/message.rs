//! What members and server say to each other: JSON in text messages.

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Of a member's or a room's name, in characters.
const NAME_CHARS_MAX: usize = 32;

/// What a member says: `{"from": "Ann", "text": "hello"}`. Any other text is the `text` itself.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Said {
    /// The member's name from now on.
    #[serde(default)]
    pub(crate) from: Option<String>,
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self { from: None, text: text.to_owned() })
    }
}

/// What a member asks of the server itself, by a text that begins with a slash.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `/who`: who is in the room.
    Who,
    /// `/close 4000`: close my session with this code (1000, or 3000 to 4999: RFC 6455 §7.4.2).
    Close(u16),
}

impl Command {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        match (words.next()?, words.next(), words.next()) {
            ("/who", None, None) => Some(Self::Who),
            ("/close", None, None) => Some(Self::Close(1000)),
            ("/close", Some(code), None) => {
                let code = code.parse().ok().filter(|code| matches!(code, 1000 | 3000..=4999));
                code.map(Self::Close)
            }
            _ => None,
        }
    }
}

/// What the server says, told apart by `event`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// The first a member hears: which server and room these are, and its own name.
    Welcome { server: &'a str, room: &'a str, from: &'a str },
    /// Somebody came, its own arrival included.
    Joined { from: &'a str },
    /// Somebody left.
    Left { from: &'a str },
    /// Somebody said this; the speaker hears it too.
    Message { from: &'a str, text: &'a str },
    /// The answer to `/who`.
    Who { server: &'a str, members: Vec<String> },
}

impl Event<'_> {
    pub(crate) fn to_text(&self) -> Utf8Bytes {
        // Nothing in an event can fail to become JSON: no maps, no numbers.
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// A name fit to be shown: one line, not too long; none where nothing is left.
pub(crate) fn to_name(text: &str) -> Option<String> {
    let printable: String = text.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    let name = printable.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_its_speaker_and_anything_else_is_text() {
        let said =
            |from: Option<&str>, text: &str| Said { from: from.map(str::to_owned), text: text.to_owned() };
        assert_eq!(Said::parse(r#"{"from":"Ann","text":"hello"}"#), said(Some("Ann"), "hello"));
        assert_eq!(Said::parse(r#"{"text":"hello"}"#), said(None, "hello"));
        for plain in ["hello", "", "42", "{", r#"{"from":"Ann"}"#, r#"{"text":1}"#] {
            assert_eq!(Said::parse(plain), said(None, plain));
        }
    }

    #[test]
    fn commands() {
        assert_eq!(Command::parse("/who"), Some(Command::Who));
        assert_eq!(Command::parse("/close"), Some(Command::Close(1000)));
        assert_eq!(Command::parse(" /close  4000 "), Some(Command::Close(4000)));
    }

    #[test]
    fn no_close_code_that_may_not_be_sent() {
        for text in ["/close 1005", "/close 1006", "/close 2999", "/close 5000", "/close x", "/close 70000"] {
            assert_eq!(Command::parse(text), None, "{text:?}");
        }
        for text in ["", "who", "/", "/whoever", "/who is it", "/close 1000 2"] {
            assert_eq!(Command::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn events_are_json_with_their_kind() {
        let text = Event::Message { from: "Ann", text: "\"hi\"" }.to_text();
        assert_eq!(text.as_str(), r#"{"event":"message","from":"Ann","text":"\"hi\""}"#);
    }

    #[test]
    fn names_are_one_short_line() {
        assert_eq!(to_name(" Ann\r\n\u{7}"), Some("Ann".to_owned()));
        assert_eq!(to_name(&"ä".repeat(99)), Some("ä".repeat(32)));
        assert_eq!(to_name(" \n "), None);
    }
}
