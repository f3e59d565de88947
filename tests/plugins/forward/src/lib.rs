//! Looks at every message and lets it pass: a session with it is inspected, and must look as if it were not.

use sluicegate_sdk::prelude::*;

struct Forward;

struct Open;

impl Plugin for Forward {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, ConfigureError> {
        Ok(Self)
    }
}

impl SessionHook for Forward {
    type Session = Open;

    fn open(&self, _: &Request, _: &Connection) -> Result<Open, Response> {
        Ok(Open)
    }
}

impl Session for Open {
    type Plugin = Forward;

    fn on_message(&mut self, _: &Forward, _: &Connection, _: Side, _: Message) -> MessageVerdict {
        MessageVerdict::Forward
    }
}

export!(Forward: SessionHook);
