//! Which frame may follow which (RFC 6455 §5.4, §5.5), and the limits a header can break.

use crate::frame::{CONTROL_PAYLOAD_BYTES_MAX, Header, Opcode, RSV1};
use crate::{Limits, Side, Violation};

/// Where a direction stands in its sequence of frames, judged by headers alone.
#[derive(Debug)]
pub(crate) struct Sequence {
    limits: Limits,
    /// Payload bytes of the current message so far, as on the wire.
    message_bytes: u64,
    messages_started: u64,
    fragments: u32,
    message: Option<Opened>,
    masked: bool,
    /// Reserved bits that may be set on a message's first frame, and on its others.
    reserved_first: u8,
    reserved_rest: u8,
    inflates: bool,
    seen_compressed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Opened {
    compressed: bool,
}

/// Which reserved bits have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReservedBits {
    None,
    /// RSV1 on a message's first frame (RFC 7692 §6).
    Compressed,
    Any,
}

impl Sequence {
    pub(crate) fn new(sender: Side, limits: Limits, reserved: ReservedBits) -> Self {
        let (reserved_first, reserved_rest) = match reserved {
            ReservedBits::None => (0, 0),
            ReservedBits::Compressed => (RSV1, 0),
            ReservedBits::Any => (0b111, 0b111),
        };
        Self {
            limits,
            message_bytes: 0,
            messages_started: 0,
            fragments: 0,
            message: None,
            masked: sender == Side::Client,
            reserved_first,
            reserved_rest,
            inflates: false,
            seen_compressed: false,
        }
    }

    /// Whether compressed messages are measured by what they inflate to, elsewhere, instead of here by
    /// what they are on the wire.
    pub(crate) fn set_inflates(&mut self, inflates: bool) {
        self.inflates = inflates;
    }

    /// Takes the next frame's header, or says what is wrong with it; then nothing has changed.
    #[inline]
    pub(crate) fn admit(&mut self, header: &Header) -> Result<(), Violation> {
        if header.mask.is_some() != self.masked {
            return Err(Violation::Mask);
        }
        if header.opcode.is_control() {
            return admit_control(header);
        }
        let (first, reserved_allowed) = match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Violation::ContinuationWithoutStart),
            (Opcode::Continuation, Some(_)) => (false, self.reserved_rest),
            (_, Some(_)) => return Err(Violation::MessageInsideMessage),
            (_, None) => (true, self.reserved_first),
        };
        if header.reserved & !reserved_allowed != 0 {
            return Err(Violation::ReservedBits);
        }
        let compressed = self.message.map_or(header.reserved & RSV1 != 0, |message| message.compressed);
        let message_bytes = self.message_bytes.saturating_add(header.payload_bytes);
        self.within_limits(header.payload_bytes, message_bytes, compressed)?;

        self.messages_started += u64::from(first);
        self.seen_compressed |= compressed;
        if header.fin {
            (self.message, self.message_bytes, self.fragments) = (None, 0, 0);
        } else {
            self.message = Some(Opened { compressed });
            self.message_bytes = message_bytes;
            self.fragments += 1;
        }
        Ok(())
    }

    fn within_limits(&self, frame: u64, message: u64, compressed: bool) -> Result<(), Violation> {
        let Limits { frame_bytes_max, message_bytes_max, fragments_max } = self.limits;
        if frame > frame_bytes_max {
            return Err(Violation::FrameTooLarge(frame_bytes_max));
        }
        let wire_bytes_max = if compressed && self.inflates {
            deflated_bytes_max(message_bytes_max)
        } else {
            message_bytes_max
        };
        if message > wire_bytes_max {
            return Err(Violation::MessageTooLarge(message_bytes_max));
        }
        if self.fragments >= fragments_max {
            return Err(Violation::TooManyFragments(fragments_max));
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether the frame admitted last leaves its message open.
    pub(crate) fn in_message(&self) -> bool {
        self.message.is_some()
    }

    pub(crate) fn messages_started(&self) -> u64 {
        self.messages_started
    }

    /// Whether any message so far was compressed.
    pub(crate) fn seen_compressed(&self) -> bool {
        self.seen_compressed
    }
}

fn admit_control(header: &Header) -> Result<(), Violation> {
    if header.reserved != 0 {
        Err(Violation::ReservedBits)
    } else if !header.fin {
        Err(Violation::ControlFragmented)
    } else if header.payload_bytes > CONTROL_PAYLOAD_BYTES_MAX as u64 {
        Err(Violation::ControlTooLong)
    } else {
        Ok(())
    }
}

/// How many bytes a message of `message_bytes` may need at most when compressed: the fixed Huffman codes
/// take up to 9 bits for 8 (RFC 1951 §3.2.6), and blocks and flushes cost a little. More than that is
/// only empty blocks, which would be kept without end.
fn deflated_bytes_max(message_bytes: u64) -> u64 {
    message_bytes.saturating_add(message_bytes / 8).saturating_add(1024)
}
