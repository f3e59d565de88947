//! The WebSocket codec of Sluicegate: RFC 6455 frames and messages, RFC 7692 compression, as a proxy needs
//! them. Bytes in, events out: no sockets, no clock, nothing that waits.
//!
//! A session has two directions, and a direction one sender and one receiver. The sender's bytes go through
//! one of two:
//!
//! * [`Scanner`] while nobody inspects the direction: it reads headers, skips payloads and yields the bytes
//!   as they came, with the control frames apart.
//! * [`Reader`] while somebody does: it yields whole messages, unmasked, reassembled, inflated and checked,
//!   together with their original bytes.
//!
//! They hand over to each other between messages. What goes out to the receiver is decided by
//! [`Outbound`]: originals, replaced and injected messages, control frames. Which compression the legs speak is
//! found by [`negotiation`].
//!
//! ```
//! use sluicegate_websocket::{
//!     CloseCode, Event, Limits, Outbound, Payload, Reader, Scratch, Side, Violation,
//! };
//!
//! /// One direction: what the client sent, as the upstream gets it. Shouting is turned down.
//! fn relay(
//!     mut input: &[u8],
//!     reader: &mut Reader,
//!     scratch: &mut Scratch,
//!     outbound: &mut Outbound,
//!     out: &mut Vec<u8>,
//!     keys: &mut dyn FnMut() -> [u8; 4],
//! ) -> Result<(), Violation> {
//!     while let Some(event) = reader.read(&mut input, scratch)? {
//!         match event {
//!             Event::Message(message) => match message.payload {
//!                 Payload::Text(text) if text.ends_with('!') => {
//!                     let quiet = text.trim_end_matches('!');
//!                     outbound.replace(&message, Payload::Text(quiet), out, keys);
//!                 }
//!                 _ => outbound.forward(&message, out, keys),
//!             },
//!             Event::Control(control) => outbound.pass_control(&control, out),
//!             Event::Data(bytes) => out.extend_from_slice(bytes),
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 64 };
//! let mut reader = Reader::new(Side::Client, limits, None);
//! let mut outbound = Outbound::new(Side::Upstream, None, None);
//! let (mut scratch, mut out) = (Scratch::new(), Vec::new());
//!
//! // "Hey!!", masked with the key 0000 for the reader's convenience; a real one is unpredictable.
//! let input = b"\x81\x85\0\0\0\0Hey!!\x81\x80\0\0\0\0";
//! relay(input, &mut reader, &mut scratch, &mut outbound, &mut out, &mut || [0; 4])?;
//! assert_eq!(out, b"\x81\x83\0\0\0\0Hey\x81\x80\0\0\0\0");
//!
//! // A server would not mask. A client that does not is told so.
//! let wrong = relay(b"\x81\x00", &mut reader, &mut scratch, &mut outbound, &mut out, &mut || [0; 4]);
//! assert_eq!(wrong.map_err(Violation::close_code), Err(CloseCode::PROTOCOL_ERROR));
//! # Ok::<(), Violation>(())
//! ```
//!
//! # Invariants
//!
//! * Nothing a peer sends makes this crate panic, and there is no unsafe code in it.
//! * What a peer can make it hold is bounded by [`Limits`]: of each direction the one message that has begun
//!   and its frames as received, in buffers that grow by doubling, with the inflater that reads it; between
//!   messages the last 32 KiB that a sender with context takeover has said. A thread has at most 64 compressors,
//!   372 KiB each, however many receivers there are.
//! * Where the input is cut makes no difference to what comes out, errors included. (Only how much of an
//!   unwanted message has passed when it is found not to inflate depends on it.)
//! * flate2 is known only to `inflate` and `deflate`, simdutf8 only to `utf8`.

#![forbid(unsafe_code)]

mod buffer;
mod close;
mod control;
mod deflate;
pub mod frame;
mod framer;
mod history;
mod inflate;
pub mod mask;
pub mod negotiation;
mod outbound;
mod reader;
mod scanner;
mod sequence;
mod utf8;
mod violation;

pub use close::{CloseCode, REASON_BYTES_MAX};
pub use control::{Control, ControlKind};
pub use negotiation::Compression;
pub use outbound::{MaskKeys, Outbound};
pub use reader::{Event, Message, Payload, Reader, Scratch, Wanted};
pub use scanner::{Boundary, Piece, Scanner};
pub use violation::Violation;

/// The two peers of a session: the client that connected to the proxy, and the upstream it was connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Client,
    Upstream,
}

impl Side {
    /// The peer at the other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// What a sender may ask of the proxy; more is a [`Violation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One frame's payload, as on the wire.
    pub frame_bytes_max: u64,
    /// One message's payload: as on the wire where nobody inspects it, else after inflating.
    pub message_bytes_max: u64,
    /// One message's frames.
    pub fragments_max: u32,
}
