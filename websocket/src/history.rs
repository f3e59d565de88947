//! The end of what a sender has said so far: what its compressed messages may refer to (RFC 7692 §7.1.1).
//!
//! It is kept instead of the inflater that read it: a session that has said a hundred bytes holds a hundred, not
//! the 32 KiB and the tables that an inflater takes while it works.

use std::collections::VecDeque;

/// The smallest window that is kept: compressors that were asked for 8 bits are known to use 9.
const WINDOW_BITS_MIN: u8 = 9;

#[derive(Debug, Default)]
pub(crate) struct History {
    bytes: VecDeque<u8>,
}

impl History {
    /// Adds what follows, of which the last `1 << window_bits` bytes count.
    pub(crate) fn push(&mut self, said: &[u8], window_bits: u8) {
        let max = 1_usize << window_bits.max(WINDOW_BITS_MIN);
        let said = said.get(said.len().saturating_sub(max)..).unwrap_or_default();
        let len = (self.bytes.len() + said.len()).min(max);
        self.bytes.drain(..self.bytes.len() + said.len() - len);
        if self.bytes.capacity() < len {
            // Doubled, but never beyond the window.
            self.bytes.reserve_exact(len.next_power_of_two().min(max) - self.bytes.len());
        }
        self.bytes.extend(said);
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// In order, in two parts.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        self.bytes.as_slices().into()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_window_of_what_was_said_is_kept() {
        for steps in [&[1, 2, 3][..], &[500, 500], &[2000], &[511, 1, 1], &[512, 512], &[100; 50]] {
            let (mut history, mut all) = (History::default(), Vec::new());
            for (at, step) in steps.iter().enumerate() {
                let said: Vec<u8> = (0..*step).map(|byte| (byte * 7 + at) as u8).collect();
                history.push(&said, 8);
                all.extend(said);
            }
            let expected = &all[all.len().saturating_sub(512)..];
            assert_eq!(history.parts().concat(), expected, "{steps:?}");
            assert!(history.capacity() <= 512, "{}", history.capacity());
        }
    }

    #[test]
    fn little_is_held_for_little() {
        let mut history = History::default();
        history.push(&[7; 100], 15);
        assert_eq!(history.capacity(), 128);
    }
}
