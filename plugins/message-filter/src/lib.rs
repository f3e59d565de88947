//! Stops or cleans text messages that match a regular expression.
//!
//! ```toml
//! [[plugin]]
//! name = "message-filter"
//! file = "target/plugins/message-filter.wasm"
//! settings = { deny = ['(?i)\bdarn\b', '\b\d{16}\b'], action = "replace", replacement = "***" }
//! ```
//!
//! | setting | meaning |
//! |---|---|
//! | `deny` | regular expressions, of the `regex` crate; a message that one of them matches anywhere is denied |
//! | `action` | what becomes of it: `drop` (the default), `close` (both sides, with 1008) or `replace` |
//! | `replacement` | what each match is replaced by, as it stands; `***` unless given |
//! | `from` | whose messages are looked at: `client` (the default), `upstream` or `both` |
//!
//! Binary messages pass unseen, and so does a side that is not looked at: the proxy relays those without
//! asking. Each message is matched for itself; what is spread over two is not found.
//!
//! Matching takes time in proportion to the message, a few microseconds for each KiB. The exception is `\b` in
//! a message with letters beyond ASCII's, which takes a hundred for each: where messages are long, write
//! `(?-u:\b)`, or mind the plugin's `call-time-max`.

mod patterns;

use patterns::Patterns;
use sluicegate_sdk::prelude::*;

/// The `settings` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    deny: Vec<String>,
    #[serde(default)]
    action: ActionName,
    replacement: Option<String>,
    #[serde(default)]
    from: Senders,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ActionName {
    #[default]
    Drop,
    Close,
    Replace,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Senders {
    #[default]
    Client,
    Upstream,
    Both,
}

/// The plugin.
pub struct MessageFilter {
    deny: Patterns,
    action: Action,
    from: Senders,
}

enum Action {
    Drop,
    Close,
    Replace(String),
}

impl Plugin for MessageFilter {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, ConfigureError> {
        let action = match (settings.action, settings.replacement) {
            (ActionName::Replace, replacement) => {
                Action::Replace(replacement.unwrap_or_else(|| "***".to_owned()))
            }
            (_, Some(_)) => {
                return Err(ConfigureError::new("replacement: goes with `action = \"replace\"` only"));
            }
            (ActionName::Drop, None) => Action::Drop,
            (ActionName::Close, None) => Action::Close,
        };
        Ok(Self { deny: Patterns::compile(&settings.deny)?, action, from: settings.from })
    }
}

impl SessionHook for MessageFilter {
    type Session = Filtered;

    fn open(&self, _: &Request, connection: &Connection) -> Result<Filtered, Response> {
        self.inspect(connection);
        Ok(Filtered)
    }
}

/// A session has no state of its own: the patterns are the plugin's.
pub struct Filtered;

impl Session for Filtered {
    type Plugin = MessageFilter;

    fn on_message(
        &mut self,
        filter: &MessageFilter,
        _: &Connection,
        _: Side,
        message: Message,
    ) -> MessageVerdict {
        match message {
            Message::Text(text) => filter.judge(&text),
            Message::Binary(_) => MessageVerdict::Forward,
        }
    }

    fn export_state(&self, _: &MessageFilter) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn import_state(filter: &MessageFilter, connection: &Connection, _: Vec<u8>) -> Result<Self, String> {
        filter.inspect(connection);
        Ok(Self)
    }
}

export!(MessageFilter: SessionHook);

impl MessageFilter {
    fn judge(&self, text: &str) -> MessageVerdict {
        if !self.deny.match_any(text) {
            return MessageVerdict::Forward;
        }
        match &self.action {
            Action::Drop => MessageVerdict::Drop,
            Action::Close => MessageVerdict::close(1008, "message not allowed"),
            Action::Replace(replacement) => MessageVerdict::replace(self.deny.replace_all(text, replacement)),
        }
    }

    fn inspect(&self, connection: &Connection) {
        let (client, upstream) = match self.from {
            Senders::Client => (MessageKinds::TEXT, MessageKinds::NONE),
            Senders::Upstream => (MessageKinds::NONE, MessageKinds::TEXT),
            Senders::Both => (MessageKinds::TEXT, MessageKinds::TEXT),
        };
        connection.inspect(Side::Client, client);
        connection.inspect(Side::Upstream, upstream);
    }
}

#[cfg(test)]
mod tests;
