//! The part about messages. Only the client's are counted; the upstream's side is never inspected, and
//! neither is the client's where no limit is set.

use sluicegate_sdk::prelude::*;

use crate::{Action, RateLimit};

/// One client's session, counted under the key of the request that opened it.
pub struct MessageRate {
    key: String,
}

impl SessionHook for RateLimit {
    type Session = MessageRate;

    fn open(&self, request: &Request, connection: &Connection) -> Result<MessageRate, Response> {
        self.inspect(connection);
        Ok(MessageRate { key: self.key(request).to_owned() })
    }
}

impl Session for MessageRate {
    type Plugin = RateLimit;

    fn on_message(&mut self, plugin: &RateLimit, _: &Connection, sender: Side, _: Message) -> MessageVerdict {
        let Some((rate, action)) = plugin.messages.filter(|_| sender == Side::Client) else {
            return MessageVerdict::Forward;
        };
        match (limits::take("messages", &self.key, rate, 1), action) {
            (Ok(()), _) => MessageVerdict::Forward,
            (Err(_), Action::Drop) => MessageVerdict::Drop,
            (Err(_), Action::Close) => MessageVerdict::close(1008, "too many messages"),
        }
    }

    fn export_state(&self, _: &RateLimit) -> Option<Vec<u8>> {
        Some(self.key.clone().into_bytes())
    }

    fn import_state(plugin: &RateLimit, connection: &Connection, state: Vec<u8>) -> Result<Self, String> {
        plugin.inspect(connection);
        let key = String::from_utf8(state).map_err(|_| "the session's key is not UTF-8")?;
        Ok(Self { key })
    }
}

impl RateLimit {
    fn inspect(&self, connection: &Connection) {
        connection.inspect(Side::Upstream, MessageKinds::NONE);
        if self.messages.is_none() {
            connection.inspect(Side::Client, MessageKinds::NONE);
        }
    }
}
