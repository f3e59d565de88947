//! A message that comes in several frames, or in several inputs.

use super::{Message, Payload, is_compressed};
use crate::buffer::Buffer;
use crate::frame::{HEADER_BYTES_MAX, Header, Opcode};
use crate::framer::DataPart;
use crate::history::History;
use crate::inflate::{Inflater, Sink};
use crate::utf8::{self, Checked};
use crate::{Violation, mask};

/// The most that is made room for because a header announces it; the rest has to arrive first.
const ANNOUNCED_BYTES_MAX: u64 = 64 << 10;

#[derive(Default)]
pub(crate) struct Gathering {
    text: bool,
    compressed: bool,
    /// The frames as received.
    original: Vec<u8>,
    /// What they say; left empty where it can be read in `original`, or has to be inflated.
    payload: Vec<u8>,
    inflated: Buffer,
    in_place: InPlace,
    checked: Checked,
}

/// Whether the payload stands in the original as it is: one frame, neither masked nor compressed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum InPlace {
    #[default]
    No,
    From(usize),
}

impl Gathering {
    pub(super) fn begin(&mut self, header: &Header) {
        self.text = header.opcode == Opcode::Text;
        self.compressed = is_compressed(header);
        self.original.clear();
        self.payload.clear();
        self.inflated.clear();
        self.checked = Checked::default();
        self.in_place = if header.fin && header.mask.is_none() && !self.compressed {
            InPlace::From(header.encode().len())
        } else {
            InPlace::No
        };
        let announced = header.payload_bytes.min(ANNOUNCED_BYTES_MAX) as usize;
        self.original.reserve(announced + HEADER_BYTES_MAX);
        if self.in_place == InPlace::No && !self.compressed {
            self.payload.reserve(announced);
        }
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.compressed
    }

    pub(super) fn push(&mut self, part: &DataPart<'_>) -> Result<(), Violation> {
        self.push_original(part);
        if self.in_place == InPlace::No {
            match part.key {
                Some(key) => mask::append(&mut self.payload, part.payload, key),
                None => self.payload.extend_from_slice(part.payload),
            }
        }
        if !self.text {
            return Ok(());
        }
        let mut checked = self.checked;
        checked.check(self.payload())?;
        self.checked = checked;
        Ok(())
    }

    pub(super) fn push_compressed(
        &mut self,
        part: &DataPart<'_>,
        inflater: &mut Inflater,
        unmasked: &mut Vec<u8>,
        limit: u64,
    ) -> Result<(), Violation> {
        self.push_original(part);
        let checked = self.text.then_some(&mut self.checked);
        inflate_checked(inflater, part, unmasked, &mut self.inflated, checked, limit)
    }

    pub(super) fn finish_compressed(&mut self, inflater: &mut Inflater) -> Result<History, Violation> {
        inflater.finish(&mut Sink::Gather(&mut self.inflated))
    }

    pub(super) fn message(&self) -> Result<Message<'_>, Violation> {
        let bytes = self.payload();
        let payload = if self.text { Payload::Text(utf8::whole(bytes)?) } else { Payload::Binary(bytes) };
        Ok(Message { payload, original: &self.original, compressed: self.compressed })
    }

    pub(super) fn capacity(&self) -> usize {
        self.original.capacity() + self.payload.capacity() + self.inflated.capacity()
    }

    fn payload(&self) -> &[u8] {
        match self.in_place {
            InPlace::From(start) => self.original.get(start..).unwrap_or_default(),
            InPlace::No if self.compressed => self.inflated.filled(),
            InPlace::No => &self.payload,
        }
    }

    fn push_original(&mut self, part: &DataPart<'_>) {
        if let Some(header) = &part.cut {
            self.original.extend_from_slice(header.as_ref());
        }
        self.original.extend_from_slice(part.wire);
    }
}

/// Inflates a part of a message to the end of `payload`, and checks the text it is to be, if it is one.
///
/// A text is checked before any other error is told, so that it does not depend on where the input was
/// cut which of several errors a peer is told of.
pub(super) fn inflate_checked(
    inflater: &mut Inflater,
    part: &DataPart<'_>,
    unmasked: &mut Vec<u8>,
    payload: &mut Buffer,
    checked: Option<&mut Checked>,
    limit: u64,
) -> Result<(), Violation> {
    let inflated = inflater.inflate(part.payload, part.key, unmasked, &mut Sink::Gather(payload), limit);
    if let Some(checked) = checked {
        let within = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        let text = payload.filled();
        checked.check(text.get(..within).unwrap_or(text))?;
    }
    inflated
}
