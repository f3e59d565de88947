//! Bytes to be written into by a decompressor.

/// A growing buffer whose free part is initialised, and stays so: it can be handed to flate2 as it is.
/// (flate2's `decompress_vec` overwrites all of a vector's spare capacity with zeroes at every call.)
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    pub(crate) fn free(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// Counts what has been written at the beginning of the free part.
    pub(crate) fn fill(&mut self, written: usize) {
        self.filled = (self.filled + written).min(self.bytes.len());
    }

    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Makes the free part larger by exactly so much.
    pub(crate) fn grow(&mut self, by: usize) {
        self.bytes.reserve_exact(by);
        self.bytes.resize(self.bytes.len() + by, 0);
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
