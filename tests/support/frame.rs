//! WebSocket frames (RFC 6455 §5.2), with every bit in the hands of the test.

use crate::wire::Wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub rsv1: bool,
    pub opcode: Opcode,
    pub masked: bool,
    /// Without the mask.
    pub payload: Vec<u8>,
}

// === impl Frame ===

impl Frame {
    pub fn new(opcode: Opcode, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, rsv1: false, opcode, masked: false, payload: payload.into() }
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Opcode::Text, text.into())
    }

    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::Binary, payload)
    }

    pub fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::Continuation, payload)
    }

    pub fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::Ping, payload)
    }

    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::Pong, payload)
    }

    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(Opcode::Close, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// "The payload may be empty": a close that says nothing, reported as 1005 (RFC 6455 §7.1.5).
    pub fn close_without_code() -> Self {
        Self::new(Opcode::Close, [])
    }

    /// Not the last of its message.
    pub fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// As a client sends it.
    pub fn masked(mut self) -> Self {
        self.masked = true;
        self
    }

    pub fn as_text(&self) -> &str {
        assert!(self.opcode == Opcode::Text && self.fin, "a whole text message, found {self:?}");
        str::from_utf8(&self.payload).unwrap()
    }

    /// Of a close frame; none where it is empty.
    pub fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, Opcode::Close, "{self:?}");
        self.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode as u8];
        let mask_bit = u8::from(self.masked) << 7;
        match self.payload.len() {
            length @ ..126 => bytes.push(mask_bit | length as u8),
            length @ ..0x1_0000 => {
                bytes.push(mask_bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(mask_bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if !self.masked {
            bytes.extend(&self.payload);
            return bytes;
        }
        let key = [0x37, 0xfa, 0x21, 0x3d];
        bytes.extend(key);
        bytes.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    pub(crate) async fn read(wire: &mut Wire) -> Self {
        let head = wire.take(2).await;
        let masked = head[1] & 0x80 != 0;
        let length = match head[1] & 0x7f {
            126 => u16::from_be_bytes(wire.take(2).await.try_into().unwrap()).into(),
            127 => u64::from_be_bytes(wire.take(8).await.try_into().unwrap()) as usize,
            length => length.into(),
        };
        let key = if masked { wire.take(4).await } else { vec![0; 4] };
        let mut payload = wire.take(length).await;
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        assert_eq!(head[0] & 0x30, 0, "RSV2 and RSV3 belong to no extension known here");
        Self {
            fin: head[0] & 0x80 != 0,
            rsv1: head[0] & 0x40 != 0,
            opcode: opcode(head[0] & 0x0f),
            masked,
            payload,
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = String::from_utf8_lossy(&self.payload[..self.payload.len().min(60)]);
        let Self { fin, rsv1, opcode, masked, payload } = self;
        let length = payload.len();
        write!(formatter, "{opcode:?} fin={fin} rsv1={rsv1} masked={masked} {length} bytes {shown:?}")
    }
}

fn opcode(number: u8) -> Opcode {
    match number {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xa => Opcode::Pong,
        _ => panic!("opcode {number:#x}"),
    }
}
