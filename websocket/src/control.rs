//! Control frames (RFC 6455 §5.5): at most 125 bytes of payload, never in fragments, and so handed on whole.

use std::fmt;

use crate::frame::{CONTROL_BYTES_MAX, CONTROL_PAYLOAD_BYTES_MAX, Header, Opcode};
use crate::{CloseCode, Violation, close, mask};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    Close,
    Ping,
    Pong,
}

/// A whole control frame, held inline. A close frame's payload has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Control {
    kind: ControlKind,
    frame: Bytes<CONTROL_BYTES_MAX>,
    payload: Bytes<CONTROL_PAYLOAD_BYTES_MAX>,
}

impl Control {
    /// `frame` is the frame as received, `header` what its first `header_len` bytes say.
    fn new(header: &Header, header_len: usize, frame: &[u8]) -> Result<Self, Violation> {
        let kind = match header.opcode {
            Opcode::Ping => ControlKind::Ping,
            Opcode::Pong => ControlKind::Pong,
            _ => ControlKind::Close,
        };
        let mut payload = Bytes::new(frame.get(header_len..).unwrap_or_default());
        if let Some(key) = header.mask {
            mask::apply(payload.as_mut(), key);
        }
        if kind == ControlKind::Close {
            close::parse(payload.as_ref())?;
        }
        Ok(Self { kind, frame: Bytes::new(frame), payload })
    }

    pub fn kind(&self) -> ControlKind {
        self.kind
    }

    /// The payload, unmasked.
    pub fn payload(&self) -> &[u8] {
        self.payload.as_ref()
    }

    /// The frame as received: the bytes to pass on unchanged.
    pub fn raw(&self) -> &[u8] {
        self.frame.as_ref()
    }

    /// What a close frame says; `None` where it gives no code (which a program calls 1005), and for a ping
    /// or pong.
    pub fn close_reason(&self) -> Option<(CloseCode, &str)> {
        match self.kind {
            ControlKind::Close => close::parse(self.payload()).ok().flatten(),
            ControlKind::Ping | ControlKind::Pong => None,
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("kind", &self.kind).field("payload", &self.payload()).finish()
    }
}

/// A control frame's bytes before it is made into a [`Control`]: small to hand around.
pub(crate) enum RawControl<'i> {
    /// The frame, and the length of its header.
    Whole(Header, usize, &'i [u8]),
    Filled(Box<PartialControl>),
}

impl RawControl<'_> {
    pub(crate) fn into_control(self) -> Result<Control, Violation> {
        match self {
            Self::Whole(header, header_len, frame) => Control::new(&header, header_len, frame),
            Self::Filled(partial) => {
                Control::new(&partial.header, partial.header_len, partial.frame.as_ref())
            }
        }
    }

    pub(crate) fn is_close(&self) -> bool {
        match self {
            Self::Whole(header, ..) => header.opcode == Opcode::Close,
            Self::Filled(partial) => partial.header.opcode == Opcode::Close,
        }
    }
}

/// The beginning of a control frame that was cut by the end of the input.
pub(crate) struct PartialControl {
    header: Header,
    header_len: usize,
    frame: Bytes<CONTROL_BYTES_MAX>,
}

impl PartialControl {
    pub(crate) fn new(header: Header, header_bytes: &[u8]) -> Self {
        Self { header, header_len: header_bytes.len(), frame: Bytes::new(header_bytes) }
    }

    /// Takes what is missing from `input`; says whether that was enough.
    pub(crate) fn fill(&mut self, input: &mut &[u8]) -> bool {
        let frame_bytes = self.header_len + self.header.payload_bytes as usize;
        let missing = frame_bytes.saturating_sub(self.frame.as_ref().len());
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.frame.extend(taken);
        *input = rest;
        taken.len() == missing
    }
}

/// Up to `N` bytes inline; what is beyond is not taken.
#[derive(Clone)]
pub(crate) struct Bytes<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Bytes<N> {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut new = Self { bytes: [0; N], len: 0 };
        new.extend(bytes);
        new
    }

    pub(crate) fn extend(&mut self, more: &[u8]) {
        let free = self.bytes.get_mut(self.len.into()..).unwrap_or_default();
        let taken = more.len().min(free.len());
        debug_assert_eq!(taken, more.len(), "more than {N} bytes");
        for (to, from) in free.iter_mut().zip(more) {
            *to = *from;
        }
        self.len += taken as u8;
    }

    pub(crate) fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }

    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len.into()).unwrap_or_default()
    }
}

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl<const N: usize> PartialEq for Bytes<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl<const N: usize> Eq for Bytes<N> {}
