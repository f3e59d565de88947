//! What goes out to one peer: originals, messages of our own, control frames (RFC 6455 §6.1, RFC 7692 §7.2.1).

use crate::control::{Bytes, Control, ControlKind};
use crate::deflate::{self, Lease};
use crate::frame::{CONTROL_PAYLOAD_BYTES_MAX, HEADER_BYTES_MAX, Header, Opcode, RSV1};
use crate::negotiation::Compression;
use crate::{CloseCode, Message, Payload, Side, close, mask};

/// Gives masking keys (RFC 6455 §5.3: unpredictable ones). Called for frames to the upstream only.
pub type MaskKeys<'a> = &'a mut dyn FnMut() -> [u8; 4];

/// Without context takeover, what is smaller is not worth a compressor.
const COMPRESSED_BYTES_MIN: usize = 1024;

/// Decides how the messages of one sender go out to the other peer, its receiver.
///
/// * Unchanged messages go out as their original frames.
/// * An uncompressed message never touches the receiver's window, so messages of our own may go out
///   uncompressed among originals.
/// * Replacing or dropping a compressed message takes it out of the receiver's window. If the sender has
///   context takeover, its later messages may refer to it: from then on every compressed message is
///   compressed anew, by a compressor that refers only to what it sent itself. Without context takeover
///   the next original is good again.
/// * Where an original cannot be understood on the receiver's leg at all (no compression there, a smaller
///   window, no context takeover) every compressed message is written anew from the start.
///
/// ```
/// use sluicegate_websocket::{Outbound, Payload, Side};
///
/// let mut out = Vec::new();
/// let mut outbound = Outbound::new(Side::Client, None, None);
/// outbound.inject(Payload::Text("Hello"), &mut out, &mut || [0; 4]);
/// assert_eq!(out, b"\x81\x05Hello");
/// ```
pub struct Outbound {
    receiver: Side,
    /// What the sender compresses with, on its leg.
    received: Option<Compression>,
    /// What may be compressed with on the receiver's leg.
    sent: Option<Compression>,
    rewrites: bool,
    closed: bool,
    /// Kept between messages only for a receiver's leg with context takeover.
    compressor: Option<Lease>,
}

impl Outbound {
    /// `received` and `sent` are this direction's compression on the sender's leg and on the receiver's.
    pub fn new(receiver: Side, received: Option<Compression>, sent: Option<Compression>) -> Self {
        let rewrites = received.is_some_and(|received| !sent.is_some_and(|sent| received.fits(sent)));
        Self { receiver, received, sent, rewrites, closed: false, compressor: None }
    }

    /// Whether [`forward`](Outbound::forward) sends `message.original` as it is. It may then as well be
    /// written to the peer from where it stands, after what is in `out`.
    pub fn passes(&self, message: &Message<'_>) -> bool {
        !self.closed && (!message.compressed || !self.rewrites)
    }

    /// Whether compressed messages cannot pass as they are any more, so that all of them are
    /// [wanted](crate::Wanted::compressed).
    pub fn rewrites(&self) -> bool {
        self.rewrites
    }

    /// Sends a message unchanged.
    pub fn forward(&mut self, message: &Message<'_>, out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        if self.passes(message) {
            out.extend_from_slice(message.original);
        } else {
            self.write_compressed(message.payload, out, keys);
        }
    }

    /// Sends another message in its place.
    pub fn replace(
        &mut self,
        message: &Message<'_>,
        new: Payload<'_>,
        out: &mut Vec<u8>,
        keys: MaskKeys<'_>,
    ) {
        self.discard(message);
        if message.compressed {
            self.write_compressed(new, out, keys);
        } else {
            self.write(new, out, keys);
        }
    }

    /// Sends nothing in its place.
    pub fn discard(&mut self, message: &Message<'_>) {
        let takeover = self.received.is_some_and(|received| received.context_takeover);
        self.rewrites |= message.compressed && takeover;
    }

    /// Sends a message that the sender did not send.
    pub fn inject(&mut self, new: Payload<'_>, out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        self.write(new, out, keys);
    }

    /// Sends a control frame of the sender unchanged.
    pub fn pass_control(&mut self, control: &Control, out: &mut Vec<u8>) {
        if !self.closed {
            self.closed = control.kind() == ControlKind::Close;
            out.extend_from_slice(control.raw());
        }
    }

    /// Sends a ping; of `payload` at most 125 bytes.
    pub fn ping(&mut self, payload: &[u8], out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        self.write_control(Opcode::Ping, payload, out, keys);
    }

    /// Sends a pong; of `payload` at most 125 bytes.
    pub fn pong(&mut self, payload: &[u8], out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        self.write_control(Opcode::Pong, payload, out, keys);
    }

    /// Sends a close frame, the last one: from here on nothing is written any more. The reason is cut at a
    /// character boundary to at most 123 bytes; without one there is no code on the wire either.
    pub fn close(&mut self, reason: Option<(CloseCode, &str)>, out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        let mut payload = Bytes::<CONTROL_PAYLOAD_BYTES_MAX>::default();
        if let Some((code, reason)) = reason {
            payload.extend(&code.get().to_be_bytes());
            payload.extend(close::fitting(reason).as_bytes());
        }
        self.write_control(Opcode::Close, payload.as_ref(), out, keys);
        self.closed = true;
    }

    /// Whether a close frame went out.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a compressor is held, one of the thread's few, until another receiver needs it more.
    pub fn holds_compressor(&self) -> bool {
        self.compressor.is_some()
    }

    fn write(&mut self, message: Payload<'_>, out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        self.write_frame(opcode(message), message.as_bytes(), out, keys);
    }

    fn write_control(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        let payload = payload.get(..CONTROL_PAYLOAD_BYTES_MAX).unwrap_or(payload);
        self.write_frame(opcode, payload, out, keys);
    }

    fn write_frame(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        if self.closed {
            return;
        }
        let key = self.key(keys);
        out.extend_from_slice(&Header::whole(opcode, key, payload.len()).encode());
        match key {
            Some(key) => mask::append(out, payload, key),
            None => out.extend_from_slice(payload),
        }
    }

    /// Compresses a message where the receiver's leg can have it and it is worth it.
    fn write_compressed(&mut self, message: Payload<'_>, out: &mut Vec<u8>, keys: MaskKeys<'_>) {
        if self.closed {
            return;
        }
        // Among originals a compressor's window would not be the receiver's.
        let takeover = self.rewrites && self.sent.is_some_and(|sent| sent.context_takeover);
        let payload = message.as_bytes();
        let worth_it = payload.len() >= if takeover { 1 } else { COMPRESSED_BYTES_MIN };
        let start = out.len();
        // Room for the header, whose length is known afterwards.
        out.extend_from_slice(&[0; HEADER_BYTES_MAX]);
        let body = out.len();
        if !worth_it || self.compress(payload, takeover, out).is_none() {
            out.truncate(start);
            return self.write(message, out, keys);
        }
        let deflated_bytes = out.len() - body;
        if !takeover && deflated_bytes >= payload.len() {
            out.truncate(start);
            return self.write(message, out, keys);
        }
        let key = self.key(keys);
        let header =
            Header { reserved: RSV1, ..Header::whole(opcode(message), key, deflated_bytes) }.encode();
        if let (Some(key), Some(body)) = (key, out.get_mut(body..)) {
            mask::apply(body, key);
        }
        out.copy_within(body.., start + header.len());
        out.truncate(start + header.len() + deflated_bytes);
        if let Some(room) = out.get_mut(start..start + header.len()) {
            room.copy_from_slice(&header);
        }
    }

    /// `None` where nothing is compressed for this receiver: not agreed, or only with a window of 8 bits.
    fn compress(&mut self, payload: &[u8], takeover: bool, out: &mut Vec<u8>) -> Option<()> {
        let window_bits = self.sent?.window_bits;
        let compressor = deflate::compress(self.compressor.take(), window_bits, payload, out)?;
        if takeover {
            self.compressor = Some(compressor);
        }
        Some(())
    }

    fn key(&self, keys: MaskKeys<'_>) -> Option<[u8; 4]> {
        (self.receiver == Side::Upstream).then(keys)
    }
}

fn opcode(message: Payload<'_>) -> Opcode {
    match message {
        Payload::Text(_) => Opcode::Text,
        Payload::Binary(_) => Opcode::Binary,
    }
}
