//! UTF-8 of a text message (RFC 6455 §8.1), checked as it arrives.

use crate::Violation;

/// How much of a growing text has been checked. What is kept back is at most the beginning of one character.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    bytes: usize,
}

impl Checked {
    /// Checks what has been appended to `text` since the last call: wrong as soon as no continuation could
    /// make it right.
    pub(crate) fn check(&mut self, text: &[u8]) -> Result<(), Violation> {
        let new = text.get(self.bytes..).unwrap_or_default();
        match simdutf8::compat::from_utf8(new) {
            Ok(_) => self.bytes += new.len(),
            Err(error) if error.error_len().is_none() => self.bytes += error.valid_up_to(),
            Err(_) => return Err(Violation::TextNotUtf8),
        }
        Ok(())
    }
}

/// A whole text.
pub(crate) fn whole(text: &[u8]) -> Result<&str, Violation> {
    simdutf8::basic::from_utf8(text).map_err(|_| Violation::TextNotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the shortest prefix that is refused.
    fn refused_at(text: &[u8]) -> Option<usize> {
        let mut checked = Checked::default();
        (1..=text.len()).find(|&len| checked.check(&text[..len]).is_err())
    }

    #[test]
    fn fails_at_the_first_byte_that_cannot_be_right() {
        assert_eq!(refused_at("κόσμε, 𝄞 and ascii".as_bytes()), None);
        assert_eq!(refused_at(b"ab\xff"), Some(3));
        assert_eq!(refused_at(b"\xc0\x80"), Some(1), "overlong");
        assert_eq!(refused_at(b"\xe0\x9f\x80"), Some(2), "overlong");
        assert_eq!(refused_at(b"\xed\xa0\x80"), Some(2), "surrogate");
        assert_eq!(refused_at(b"\xf4\x90\x80\x80"), Some(2), "beyond U+10FFFF");
        assert_eq!(refused_at(b"\xe2\x82a"), Some(3), "cut short");
    }

    #[test]
    fn a_text_that_ends_inside_a_character_is_not_whole() {
        let mut checked = Checked::default();
        assert_eq!(checked.check(b"\xe2\x82"), Ok(()));
        assert_eq!(whole(b"\xe2\x82"), Err(Violation::TextNotUtf8));
        assert_eq!(whole("€".as_bytes()), Ok("€"));
    }
}
