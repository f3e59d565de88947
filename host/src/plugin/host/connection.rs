//! `connection`

use wasmtime::component::Resource;
use wasmtime::format_err;

use crate::plugin::bindings::sluicegate::hooks::connection::{Host, HostConnection, SendError};
use crate::plugin::connection_view::{ConnectionView, index};
use crate::plugin::state::{LentConnection, State};
use crate::plugin::{CloseReason, Message, MessageKinds, Side};
use crate::request::attribute;

/// Messages one call may send: what a plugin says in answer to one message.
const SENDS_PER_CALL_MAX: usize = 1_000;

type Handle = Resource<LentConnection>;

impl Host for State {}

impl State {
    fn connection(&mut self) -> wasmtime::Result<&mut ConnectionView> {
        let lent = self.lent.connection.as_deref_mut();
        lent.ok_or_else(|| format_err!("the connection was used outside of the call it was lent for"))
    }
}

impl HostConnection for State {
    fn id(&mut self, _: Handle) -> wasmtime::Result<u64> {
        Ok(self.connection()?.id)
    }

    fn client_address(&mut self, _: Handle) -> wasmtime::Result<String> {
        Ok(self.connection()?.client_address.to_string())
    }

    fn subprotocol(&mut self, _: Handle) -> wasmtime::Result<Option<String>> {
        Ok(self.connection()?.subprotocol.clone())
    }

    fn upstream(&mut self, _: Handle) -> wasmtime::Result<String> {
        Ok(self.connection()?.upstream.to_string())
    }

    fn server(&mut self, _: Handle) -> wasmtime::Result<String> {
        Ok(self.connection()?.server.to_string())
    }

    fn attribute(&mut self, _: Handle, name: String) -> wasmtime::Result<Option<String>> {
        Ok(attribute(&self.connection()?.attributes, &name).map(str::to_owned))
    }

    fn send(&mut self, _: Handle, to: Side, message: Message) -> wasmtime::Result<Result<(), SendError>> {
        let connection = self.connection()?;
        let bytes = message.len();
        let [client, upstream] = &mut connection.room;
        let room = match to {
            Side::Client => client,
            Side::Upstream => upstream,
        };
        Ok(if connection.closing || connection.asked.close.is_some() {
            Err(SendError::Closing)
        } else if bytes > connection.message_bytes_max {
            Err(SendError::TooLarge)
        } else if *room == 0 || connection.asked.sends.len() >= SENDS_PER_CALL_MAX {
            Err(SendError::Backlog)
        } else {
            // What is larger than the room left is taken once: any message may be sent to a peer that reads.
            *room = room.saturating_sub(bytes);
            connection.asked.sends.push((to, message));
            Ok(())
        })
    }

    fn close(&mut self, _: Handle, reason: CloseReason) -> wasmtime::Result<()> {
        // The first one counts: what follows a close is not said.
        self.connection()?.asked.close.get_or_insert(reason);
        Ok(())
    }

    fn set_timer(&mut self, _: Handle, after_ms: Option<u64>) -> wasmtime::Result<()> {
        self.connection()?.asked.timer_ms = Some(after_ms);
        Ok(())
    }

    fn inspect(&mut self, _: Handle, sender: Side, kinds: MessageKinds) -> wasmtime::Result<bool> {
        let connection = self.connection()?;
        let sender = index(sender);
        let possible = connection.can_inspect.get(sender).copied().unwrap_or(false);
        if !possible && kinds != MessageKinds::empty() {
            return Ok(false);
        }
        if let Some(asked) = connection.asked.inspect.get_mut(sender) {
            *asked = Some(kinds);
        }
        Ok(true)
    }

    fn drop(&mut self, _: Handle) -> wasmtime::Result<()> {
        Ok(())
    }
}
