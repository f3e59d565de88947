//! A peer that sends: frames of any kind, right or wrong, and compressed messages.

use flate2::{Compress, Compression as Level, FlushCompress};
use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, compress, create_comp_flags_from_zip_params,
};
use sluicegate_websocket::{Compression, Side};

use super::{KEY, Received};

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

/// A frame, written as it says, whether that is allowed or not.
#[derive(Clone, Debug)]
pub struct Frame {
    pub fin: bool,
    pub reserved: u8,
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(sender: Side, opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        let mask = (sender == Side::Client).then_some(KEY);
        Self { fin: true, reserved: 0, opcode, mask, payload: payload.as_ref().to_vec() }
    }

    pub fn fragment(self) -> Self {
        Self { fin: false, ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode];
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match self.payload.len() {
            len @ 0..=125 => bytes.push(masked | len as u8),
            len @ 126..=65535 => {
                bytes.push(masked | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(masked | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        let key = self.mask.unwrap_or_default();
        if self.mask.is_some() {
            bytes.extend(key);
        }
        bytes.extend(self.payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        bytes
    }
}

pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Sends messages, compressed as agreed or not.
pub struct Sender {
    side: Side,
    compression: Option<Compression>,
    compressor: Option<Compressor>,
}

enum Compressor {
    Zlib(Compress),
    /// Codes only, no reference back: fits a window of any size, of 8 bits too.
    Codes(Box<CompressorOxide>),
}

impl Sender {
    pub fn new(side: Side, compression: Option<Compression>) -> Self {
        Self { side, compression, compressor: None }
    }

    /// A message in that many frames.
    pub fn frames(&mut self, message: &Received, compressed: bool, fragments: usize) -> Vec<Vec<u8>> {
        let (opcode, bytes) = match message {
            Received::Text(text) => (TEXT, text.as_bytes()),
            Received::Binary(bytes) => (BINARY, &bytes[..]),
            other => panic!("{other:?} is no data message"),
        };
        let compressed = compressed && self.compression.is_some();
        let payload = if compressed { self.deflate(bytes) } else { bytes.to_vec() };
        let size = (payload.len() / fragments + 1).min(payload.len().max(1));
        let mut parts: Vec<&[u8]> = payload.chunks(size).collect();
        parts.resize(fragments.max(parts.len()), &[]);
        let last = parts.len() - 1;
        let frame = |(at, part): (usize, &&[u8])| {
            let mut frame = Frame::new(self.side, if at == 0 { opcode } else { CONTINUATION }, part);
            frame.fin = at == last;
            frame.reserved = if compressed && at == 0 { 0b100 } else { 0 };
            frame.bytes()
        };
        parts.iter().enumerate().map(frame).collect()
    }

    pub fn ping(&self, payload: &[u8]) -> Vec<u8> {
        Frame::new(self.side, PING, payload).bytes()
    }

    fn deflate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Compression { context_takeover, window_bits } = self.compression.unwrap();
        let compressor = self.compressor.get_or_insert_with(|| match window_bits {
            8 => {
                let huffman_only = CompressionStrategy::HuffmanOnly as i32;
                let flags = create_comp_flags_from_zip_params(6, -15, huffman_only);
                Compressor::Codes(Box::new(CompressorOxide::new(flags)))
            }
            bits => Compressor::Zlib(Compress::new_with_window_bits(Level::best(), false, bits)),
        });
        let mut out = vec![0; bytes.len() * 2 + 1024];
        let len = match compressor {
            Compressor::Zlib(zlib) => {
                let before = zlib.total_out();
                zlib.compress(bytes, &mut out, FlushCompress::Sync).unwrap();
                (zlib.total_out() - before) as usize
            }
            Compressor::Codes(codes) => compress(codes, bytes, &mut out, TDEFLFlush::Sync).2,
        };
        out.truncate(len);
        // RFC 7692 §7.2.1; and §7.2.3.6, as a second flush in a row gives nothing.
        match out.strip_suffix(&[0x00, 0x00, 0xff, 0xff]) {
            Some(stripped) => out.truncate(stripped.len()),
            None => out = vec![0x00],
        }
        if !context_takeover {
            self.compressor = None;
        }
        out
    }
}
