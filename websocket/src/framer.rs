//! Takes a byte stream apart into frames: what [`Scanner`](crate::Scanner) and [`Reader`](crate::Reader)
//! share. The input may end anywhere; a header or control frame that it cuts is kept.

use crate::control::{Bytes, PartialControl, RawControl};
use crate::frame::{HEADER_BYTES_MAX, Header};
use crate::sequence::Sequence;
use crate::{Violation, mask};

pub(crate) struct Framer {
    pub(crate) sequence: Sequence,
    /// Of the current data frame's payload.
    payload_left: u64,
    /// For the next byte of the current data frame's payload, where that is read.
    key: Option<[u8; 4]>,
    ended: bool,
    held: Bytes<HEADER_BYTES_MAX>,
    partial_control: Option<Box<PartialControl>>,
}

/// The start of a frame.
pub(crate) enum Start<'i> {
    /// A data frame's header; its payload follows in the input. Where the header was cut it is in
    /// `cut`, else it is what was taken from the input.
    Data { header: Header, cut: Option<Bytes<HEADER_BYTES_MAX>> },
    /// A whole control frame.
    Control(RawControl<'i>),
}

/// As much of a frame as there is.
pub(crate) enum Part<'i> {
    Data(DataPart<'i>),
    Control(RawControl<'i>),
}

/// A data frame, or some of it.
pub(crate) struct DataPart<'i> {
    /// Where the frame begins with this part.
    pub(crate) header: Option<Header>,
    /// A header that was cut; then there is nothing else in this part.
    pub(crate) cut: Option<Bytes<HEADER_BYTES_MAX>>,
    /// What was taken from the input: the payload, and the header before it where it begins here.
    pub(crate) wire: &'i [u8],
    pub(crate) payload: &'i [u8],
    /// For the payload's first byte; `None` where it is not masked.
    pub(crate) key: Option<[u8; 4]>,
}

impl Framer {
    pub(crate) fn new(sequence: Sequence) -> Self {
        Self {
            sequence,
            payload_left: 0,
            key: None,
            ended: false,
            held: Bytes::default(),
            partial_control: None,
        }
    }

    /// After a close frame or a violation nothing more is read (RFC 6455 §1.4).
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether what was taken so far ends inside a data frame's payload.
    pub(crate) fn in_payload(&self) -> bool {
        self.payload_left > 0
    }

    /// Whether what was taken so far, but for a cut header or control frame, ends between two messages.
    pub(crate) fn between_messages(&self) -> bool {
        !self.in_payload() && !self.sequence.in_message()
    }

    /// Whether a header or control frame is kept that has only begun.
    pub(crate) fn holds_part(&self) -> bool {
        !self.held.as_ref().is_empty() || self.partial_control.is_some()
    }

    /// Takes a data frame's header, which the caller has parsed, as seen.
    #[inline]
    pub(crate) fn enter(&mut self, header: &Header) -> Result<(), Violation> {
        self.sequence.admit(header)?;
        self.payload_left = header.payload_bytes;
        self.key = header.mask;
        Ok(())
    }

    /// Takes the next frame's header, or a whole control frame; `None` where the input ends before.
    #[inline]
    pub(crate) fn next_frame<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Start<'i>>, Violation> {
        let start = self.start(input);
        self.ended |= start.is_err();
        start
    }

    #[inline]
    fn start<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Start<'i>>, Violation> {
        if self.holds_part() {
            return self.resume(input);
        }
        let start = *input;
        let Some((header, header_len)) = Header::parse(start)? else {
            self.held.extend(input);
            *input = &[];
            return Ok(None);
        };
        if header.opcode.is_control() {
            return self.start_control(header, header_len, input);
        }
        self.enter(&header)?;
        *input = start.get(header_len..).unwrap_or_default();
        Ok(Some(Start::Data { header, cut: None }))
    }

    fn start_control<'i>(
        &mut self,
        header: Header,
        header_len: usize,
        input: &mut &'i [u8],
    ) -> Result<Option<Start<'i>>, Violation> {
        self.sequence.admit(&header)?;
        let frame_len = header_len + header.payload_bytes as usize;
        if let Some((frame, rest)) = input.split_at_checked(frame_len) {
            *input = rest;
            return Ok(Some(self.control(RawControl::Whole(header, header_len, frame))));
        }
        let (header_bytes, payload) = input.split_at_checked(header_len).unwrap_or_default();
        *input = payload;
        Ok(self.fill(Box::new(PartialControl::new(header, header_bytes)), input))
    }

    /// Goes on with a header or control frame that was cut.
    fn resume<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Start<'i>>, Violation> {
        if let Some(partial) = self.partial_control.take() {
            return Ok(self.fill(partial, input));
        }
        let held_len = self.held.as_ref().len();
        let mut bytes = self.held.clone();
        bytes.extend(input.get(..HEADER_BYTES_MAX - held_len).unwrap_or(input));
        let Some((header, header_len)) = Header::parse(bytes.as_ref())? else {
            self.held = bytes;
            *input = &[];
            return Ok(None);
        };
        self.held = Bytes::default();
        let header_bytes = Bytes::new(bytes.as_ref().get(..header_len).unwrap_or_default());
        *input = input.get(header_len.saturating_sub(held_len)..).unwrap_or_default();
        if header.opcode.is_control() {
            self.sequence.admit(&header)?;
            let partial = Box::new(PartialControl::new(header, header_bytes.as_ref()));
            return Ok(self.fill(partial, input));
        }
        self.enter(&header)?;
        Ok(Some(Start::Data { header, cut: Some(header_bytes) }))
    }

    fn fill<'i>(&mut self, mut partial: Box<PartialControl>, input: &mut &'i [u8]) -> Option<Start<'i>> {
        if partial.fill(input) {
            Some(self.control(RawControl::Filled(partial)))
        } else {
            self.partial_control = Some(partial);
            None
        }
    }

    fn control<'i>(&mut self, control: RawControl<'i>) -> Start<'i> {
        self.ended = control.is_close();
        Start::Control(control)
    }

    /// Takes the next part; `None` where the input has nothing of it.
    #[inline]
    pub(crate) fn next_part<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Part<'i>>, Violation> {
        let start = *input;
        let mut header = None;
        if !self.in_payload() {
            match self.next_frame(input)? {
                None => return Ok(None),
                Some(Start::Control(control)) => return Ok(Some(Part::Control(control))),
                Some(Start::Data { header, cut: Some(cut) }) => {
                    let (header, cut) = (Some(header), Some(cut));
                    return Ok(Some(Part::Data(DataPart {
                        header,
                        cut,
                        wire: &[],
                        payload: &[],
                        key: None,
                    })));
                }
                Some(Start::Data { header: begun, cut: None }) => header = Some(begun),
            }
        } else if input.is_empty() {
            return Ok(None);
        }
        let (payload, key) = self.take_payload(input);
        let wire = start.get(..start.len() - input.len()).unwrap_or_default();
        Ok(Some(Part::Data(DataPart { header, cut: None, wire, payload, key })))
    }

    /// Takes what the input has of the current data frame's payload, and the key for its first byte.
    #[inline]
    pub(crate) fn take_payload<'i>(&mut self, input: &mut &'i [u8]) -> (&'i [u8], Option<[u8; 4]>) {
        let taken = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        let (payload, rest) = input.split_at_checked(taken).unwrap_or((input, &[]));
        let key = self.key;
        self.payload_left -= payload.len() as u64;
        self.key = key.map(|key| mask::rotated(key, payload.len()));
        *input = rest;
        (payload, key)
    }

    /// Takes what the input has of the current data frame's payload, unread.
    #[inline]
    pub(crate) fn skip_payload(&mut self, input: &mut &[u8]) {
        if self.in_payload() {
            let length = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(input.len());
            self.payload_left -= length as u64;
            *input = input.get(length..).unwrap_or_default();
        }
    }
}
