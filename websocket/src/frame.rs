//! Frame headers (RFC 6455 §5.2): 2 to 14 bytes before each payload.

use crate::Violation;

/// A header's largest size: 2 bytes, a 64-bit length and a masking key.
pub const HEADER_BYTES_MAX: usize = 14;
/// RFC 6455 §5.5: the largest payload of a control frame.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;
/// A control frame's largest size: its length is always in the first 2 bytes.
pub const CONTROL_BYTES_MAX: usize = 2 + 4 + CONTROL_PAYLOAD_BYTES_MAX;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// RSV1 among the three reserved bits, as [`Header::reserved`] holds them.
pub const RSV1: u8 = 0b100;

/// RFC 6455 §11.8.
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

impl Opcode {
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    const fn new(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            other => return Err(Violation::ReservedOpcode(other)),
        })
    }
}

/// A frame's header. Parsing checks only what is wrong for everybody; who sent it and what came before
/// it is for the reader to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    /// RSV1 to RSV3 as a number: [`RSV1`] is 0b100.
    pub reserved: u8,
    pub opcode: Opcode,
    pub mask: Option<[u8; 4]>,
    pub payload_bytes: u64,
}

impl Header {
    /// A whole message's or control frame's header.
    pub const fn whole(opcode: Opcode, mask: Option<[u8; 4]>, payload_bytes: usize) -> Self {
        Self { fin: true, reserved: 0, opcode, mask, payload_bytes: payload_bytes as u64 }
    }

    /// The header at the start of `bytes` and its length, `None` where it is not all there yet.
    ///
    /// ```
    /// # use sluicegate_websocket::frame::{Header, Opcode};
    /// // RFC 6455 §5.7: "Hello" in a single-frame masked text message.
    /// let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    /// let (header, len) = Header::parse(&frame)?.expect("complete");
    /// assert_eq!((header.opcode, header.payload_bytes, len), (Opcode::Text, 5, 6));
    /// assert_eq!(Header::parse(&frame[..5])?, None);
    /// # Ok::<(), sluicegate_websocket::Violation>(())
    /// ```
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::new(first & 0x0f)?;
        let (payload_bytes, rest) = match second & 0x7f {
            126 => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (at_least(126, u16::from_be_bytes(*len).into())?, rest)
            }
            127 => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let len = u64::from_be_bytes(*len);
                if len >> 63 != 0 {
                    return Err(Violation::LengthTopBit);
                }
                (at_least(1 << 16, len)?, rest)
            }
            len => (len.into(), rest),
        };
        let (mask, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (Some(*key), rest)
        };
        let reserved = (first >> 4) & 0b111;
        let header = Self { fin: first & FIN != 0, reserved, opcode, mask, payload_bytes };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// The header as it goes on the wire, with its length in the shortest form.
    pub fn encode(&self) -> Encoded {
        let mut encoded = Encoded { bytes: [0; HEADER_BYTES_MAX], len: 0 };
        let fin = if self.fin { FIN } else { 0 };
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        let first = fin | (self.reserved << 4) | self.opcode as u8;
        match self.payload_bytes {
            len @ 0..126 => encoded.push(&[first, masked | len as u8]),
            len @ 126..=0xffff => {
                encoded.push(&[first, masked | 126]);
                encoded.push(&(len as u16).to_be_bytes());
            }
            len => {
                encoded.push(&[first, masked | 127]);
                encoded.push(&len.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            encoded.push(&key);
        }
        encoded
    }
}

/// An encoded header; dereferences to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl Encoded {
    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        if let Some(free) = self.bytes.get_mut(start..start + bytes.len()) {
            free.copy_from_slice(bytes);
            self.len += bytes.len() as u8;
        }
    }
}

impl std::ops::Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }
}

fn at_least(least: u64, len: u64) -> Result<u64, Violation> {
    if len < least { Err(Violation::LengthNotMinimal) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_section_5_7_examples() {
        let parse = |bytes: &[u8]| Header::parse(bytes).unwrap().unwrap();
        let text = Header { fin: false, ..Header::whole(Opcode::Text, None, 3) };
        assert_eq!(parse(b"\x01\x03Hel"), (text, 2));
        assert_eq!(parse(b"\x80\x02lo"), (Header::whole(Opcode::Continuation, None, 2), 2));
        let key = [0x37, 0xfa, 0x21, 0x3d];
        assert_eq!(parse(b"\x8a\x85\x37\xfa\x21\x3d"), (Header::whole(Opcode::Pong, Some(key), 5), 6));
        assert_eq!(parse(b"\x82\x7e\x01\x00"), (Header::whole(Opcode::Binary, None, 256), 4));
        assert_eq!(parse(b"\x82\x7f\0\0\0\0\0\x01\0\0"), (Header::whole(Opcode::Binary, None, 65536), 10));
    }

    #[test]
    fn rfc6455_section_5_2_lengths_use_the_shortest_form() {
        for (len, bytes) in [
            (125, &[0x82, 125][..]),
            (126, &[0x82, 126, 0, 126]),
            (65535, &[0x82, 126, 255, 255]),
            (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let header = Header::whole(Opcode::Binary, None, len);
            assert_eq!(&*header.encode(), bytes);
            assert_eq!(Header::parse(bytes), Ok(Some((header, bytes.len()))));
        }
        assert_eq!(Header::parse(&[0x82, 126, 0, 125]), Err(Violation::LengthNotMinimal));
        assert_eq!(Header::parse(&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]), Err(Violation::LengthNotMinimal));
        assert_eq!(Header::parse(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Violation::LengthTopBit));
    }

    #[test]
    fn rfc6455_section_5_2_reserved_opcodes() {
        for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
            assert_eq!(Header::parse(&[0x80 | opcode, 0]), Err(Violation::ReservedOpcode(opcode)));
        }
    }

    #[test]
    fn every_header_comes_back_and_none_is_read_from_a_part_of_it() {
        let lens = [0, 1, 125, 126, 127, 65535, 65536, u64::MAX >> 1];
        let opcodes =
            [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
        for (payload_bytes, opcode) in lens.into_iter().flat_map(|len| opcodes.map(|opcode| (len, opcode))) {
            for (fin, reserved, mask) in
                [(true, 0, None), (false, RSV1, Some([1, 2, 3, 4])), (true, 0b011, None)]
            {
                let header = Header { fin, reserved, opcode, mask, payload_bytes };
                let encoded = header.encode();
                assert_eq!(Header::parse(&encoded), Ok(Some((header, encoded.len()))));
                for cut in 0..encoded.len() {
                    assert_eq!(Header::parse(&encoded[..cut]), Ok(None));
                }
            }
        }
    }
}
