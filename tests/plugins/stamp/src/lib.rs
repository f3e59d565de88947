//! Replaces every message by itself with something added, so that the receiver sees who has seen it, and in which
//! order. With an empty `mark` it replaces each message by the same message.

use sluicegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    mark: String,
}

struct Open;

impl Plugin for Stamp {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, ConfigureError> {
        Ok(settings)
    }
}

impl SessionHook for Stamp {
    type Session = Open;

    fn open(&self, _: &Request, _: &Connection) -> Result<Open, Response> {
        Ok(Open)
    }
}

impl Session for Open {
    type Plugin = Stamp;

    fn on_message(&mut self, stamp: &Stamp, _: &Connection, _: Side, message: Message) -> MessageVerdict {
        match message {
            Message::Text(text) => MessageVerdict::replace(text + &stamp.mark),
            Message::Binary(bytes) => MessageVerdict::replace([&bytes, stamp.mark.as_bytes()].concat()),
        }
    }
}

export!(Stamp: SessionHook);
