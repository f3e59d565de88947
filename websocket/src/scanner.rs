//! The relay's eye on a direction that nobody inspects: reads headers, skips payloads, copies nothing.

use crate::control::{Bytes, Control};
use crate::frame::{HEADER_BYTES_MAX, Header};
use crate::framer::{Framer, Start};
use crate::negotiation::{Compression, Extensions};
use crate::sequence::{ReservedBits, Sequence};
use crate::{Limits, Reader, Side, Violation};

/// Walks along one direction's bytes, finds the control frames among them and checks what headers show:
/// RFC 6455 §5 and the [`Limits`], with `message_bytes_max` counted as on the wire. Not checked are UTF-8
/// and compressed data.
///
/// ```
/// use sluicegate_websocket::{Limits, Piece, Scanner, Side, negotiation::Extensions};
///
/// let limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 64 };
/// let mut scanner = Scanner::new(Side::Upstream, limits, Extensions::None);
/// let mut input = &b"\x81\x02Hi\x89\x00\x82\x05par"[..];
/// let mut relayed = Vec::new();
/// while let Some(piece) = scanner.next(&mut input)? {
///     match piece {
///         Piece::Data(bytes) => relayed.extend_from_slice(bytes),
///         Piece::Control(ping) => relayed.extend_from_slice(ping.raw()),
///     }
/// }
/// assert_eq!(relayed, b"\x81\x02Hi\x89\x00\x82\x05par");
/// assert!(!scanner.between_frames());
/// # Ok::<(), sluicegate_websocket::Violation>(())
/// ```
pub struct Scanner {
    framer: Framer,
    /// The sender's; `None` as well where the direction can never be read.
    compression: Option<Compression>,
    readable: bool,
    header: Bytes<HEADER_BYTES_MAX>,
}

/// A part of the stream, in order.
// The large variant is the rare one, and boxing it would cost every ping an allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Piece<'e> {
    /// Bytes of data frames, to be passed on as they are: as many frames as there are in a row. They may
    /// end inside a payload, never inside a header.
    Data(&'e [u8]),
    Control(Control),
}

/// Where [`Scanner::next_until`] ends a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Between two frames: a control frame may go here.
    Frame,
    /// Between two messages: a data message may go here, too.
    Message,
}

impl Scanner {
    pub fn new(sender: Side, limits: Limits, extensions: Extensions) -> Self {
        let reserved = match extensions {
            Extensions::None => ReservedBits::None,
            Extensions::Deflate(_) => ReservedBits::Compressed,
            Extensions::Other => ReservedBits::Any,
        };
        let framer = Framer::new(Sequence::new(sender, limits, reserved));
        Self::resume(framer, extensions.compression(sender), extensions != Extensions::Other)
    }

    pub(crate) fn resume(mut framer: Framer, compression: Option<Compression>, readable: bool) -> Self {
        framer.sequence.set_inflates(false);
        Self { framer, compression, readable, header: Bytes::default() }
    }

    /// The next piece, `None` when `input` is used up; nothing of it has to be kept. After an error, and
    /// after a close frame, what follows is swallowed. Everything yielded before an error is well-formed.
    pub fn next<'e, 'i: 'e>(&'e mut self, input: &mut &'i [u8]) -> Result<Option<Piece<'e>>, Violation> {
        self.scan(input, None)
    }

    /// As [`next`](Scanner::next), but data ends at the first such boundary, and what is beyond stays in
    /// `input`.
    pub fn next_until<'e, 'i: 'e>(
        &'e mut self,
        input: &mut &'i [u8],
        stop: Boundary,
    ) -> Result<Option<Piece<'e>>, Violation> {
        self.scan(input, Some(stop))
    }

    fn scan<'e, 'i: 'e>(
        &'e mut self,
        input: &mut &'i [u8],
        stop: Option<Boundary>,
    ) -> Result<Option<Piece<'e>>, Violation> {
        if input.is_empty() || self.framer.ended() {
            *input = &[];
            return Ok(None);
        }
        let run = self.run(input, stop);
        if !run.is_empty() {
            return Ok(Some(Piece::Data(run)));
        }
        Ok(match self.framer.next_frame(input)? {
            None => None,
            Some(Start::Control(control)) => Some(Piece::Control(control.into_control()?)),
            Some(Start::Data { cut, .. }) => {
                // Only a cut header comes here; others are part of a run.
                self.header = cut.unwrap_or_default();
                Some(Piece::Data(self.header.as_ref()))
            }
        })
    }

    /// Takes data frames as long as nothing is in the way: a control frame, a cut or wrong header, `stop`.
    fn run<'i>(&mut self, input: &mut &'i [u8], stop: Option<Boundary>) -> &'i [u8] {
        let start = *input;
        if self.framer.holds_part() {
            return &[];
        }
        loop {
            self.framer.skip_payload(input);
            let stopped = match stop {
                None => false,
                Some(Boundary::Frame) => !self.framer.in_payload(),
                Some(Boundary::Message) => self.framer.between_messages(),
            };
            if input.is_empty() || stopped && input.len() < start.len() {
                break;
            }
            let Ok(Some((header, header_len))) = Header::parse(input) else { break };
            if header.opcode.is_control() || self.framer.enter(&header).is_err() {
                break;
            }
            *input = input.get(header_len..).unwrap_or_default();
        }
        start.get(..start.len() - input.len()).unwrap_or_default()
    }

    /// Whether a control frame may be sent after the last piece.
    pub fn between_frames(&self) -> bool {
        !self.framer.in_payload()
    }

    /// Whether a data message may be sent after the last piece.
    pub fn between_messages(&self) -> bool {
        self.framer.between_messages()
    }

    /// How many messages have begun: what a rate is charged for.
    pub fn messages_started(&self) -> u64 {
        self.framer.sequence.messages_started()
    }

    /// Whether a close frame went by, or a violation: what follows is swallowed.
    pub fn is_closed(&self) -> bool {
        self.framer.ended()
    }

    /// Whether this direction can be inspected from its next message on. Not after a compressed message of a
    /// sender with context takeover (RFC 7692 §7.1.1): later ones refer to it. And not with an extension
    /// that is not known here.
    pub fn can_be_read(&self) -> bool {
        let takeover = self.compression.is_some_and(|compression| compression.context_takeover);
        self.readable && !(takeover && self.framer.sequence.seen_compressed())
    }

    /// Hands the direction over to inspection. Possible between messages, if it [can be
    /// read](Scanner::can_be_read).
    pub fn into_reader(self) -> Result<Reader, Self> {
        if self.between_messages() && self.can_be_read() {
            Ok(Reader::resume(self.framer, self.compression))
        } else {
            Err(self)
        }
    }
}
