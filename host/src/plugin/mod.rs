//! Plugins: all that knows wasmtime.
//!
//! A plugin's way: [`load`] reads the file, has a [`component`] made of it and its imports and exports checked, compiles
//! it, configures it once and takes the memory image; the result is a [`Plugin`], shared by all workers and
//! immutable. An [`instance`] of it is made per WebSocket session, or taken from a worker's pool for a request.
//! [`requests`] runs the request and response hooks of a route, [`chain`] the session hooks of one session.

mod bindings;
mod bounds;
pub mod cache;
mod capacity;
pub mod chain;
pub mod component;
pub mod connection_view;
pub mod engine;
pub mod engines;
mod exports;
mod grants;
mod hook;
pub(crate) mod host;
mod image;
pub mod instance;
pub mod load;
mod member;
mod meter;
pub mod migration;
mod quarantine;
pub mod requests;
mod shared;
mod state;
pub mod ticker;
pub mod usage;
mod version;
mod way;

pub use bindings::exports::sluicegate::hooks::session_hook::{CloseInfo, Closer};
pub use bindings::sluicegate::hooks::connection::MessageKinds;
pub use bindings::sluicegate::hooks::types::{
    CloseReason, MessageParam as MessageRef, MessageResult as Message, Response, Side,
};
pub use load::{LoadError, Plugin};
pub use state::Lent;

use sluicegate_websocket::Payload;

impl Message {
    pub fn as_ref(&self) -> MessageRef<'_> {
        match self {
            Self::Text(text) => MessageRef::Text(text),
            Self::Binary(bytes) => MessageRef::Binary(bytes),
        }
    }

    pub fn payload(&self) -> Payload<'_> {
        match self {
            Self::Text(text) => Payload::Text(text),
            Self::Binary(bytes) => Payload::Binary(bytes),
        }
    }

    /// Bytes of payload.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
