//! An inflater that has no more of a window than was agreed: miniz_oxide's, on a ring of that size.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

pub struct WindowInflater {
    state: Box<DecompressorOxide>,
    /// A reference farther back than this is long is an error.
    ring: Vec<u8>,
    at: usize,
}

impl WindowInflater {
    pub fn new(window_bits: u8) -> Self {
        Self { state: Box::default(), ring: vec![0; 1 << window_bits], at: 0 }
    }

    /// Inflates one message's payload, as it is on the wire.
    pub fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &[0x00, 0x00, 0xff, 0xff]].concat();
        let (mut input, mut message) = (&input[..], Vec::new());
        loop {
            let (status, read, written) =
                decompress(&mut self.state, input, &mut self.ring, self.at, TINFL_FLAG_HAS_MORE_INPUT);
            message.extend_from_slice(&self.ring[self.at..self.at + written]);
            self.at = (self.at + written) % self.ring.len();
            input = &input[read..];
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput if input.is_empty() => return message,
                status => panic!("{status:?} with {} bytes to go", input.len()),
            }
        }
    }
}
