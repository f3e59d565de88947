//! Peers for the codec, as plain as can be: a sender that writes frames, a receiver that reads them, and a
//! relay of random verdicts between the two. The fuzz targets use them as well.

mod inflate;
mod receiver;
mod relay;
mod sender;

pub use inflate::WindowInflater;
pub use receiver::{Received, Receiver};
pub use relay::{Relay, Step, Verdict, relay};
pub use sender::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, Sender, TEXT, close_payload};

use sluicegate_websocket::Limits;

pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 64 };

/// Cuts a stream at these places, in thousandths of its length.
pub fn cut<'a>(stream: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place * stream.len() / 1000).collect();
    places.sort_unstable();
    let mut parts = Vec::new();
    let mut from = 0;
    for place in places {
        parts.push(&stream[from..place]);
        from = place;
    }
    parts.push(&stream[from..]);
    parts
}
