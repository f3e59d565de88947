//! Lines that end in CRLF and nothing else (RFC 9112 §2.2), and the field lines among them (§5).

use memchr::memchr2;

use super::rejection::Rejection;

/// Finds the lines of a head or a trailer section as its bytes come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where the line begins that is not complete yet.
    pub(super) begin: usize,
    /// Before this, that line has neither CR nor LF.
    unended: usize,
    /// Before this, no line has a control byte.
    clean: usize,
}

impl Lines {
    /// The next complete line of `section` without its CRLF; none: more bytes are needed. A forbidden byte
    /// is refused before its line is complete, so a peer that speaks another protocol is told at once.
    pub(super) fn next<'a>(&mut self, section: &'a [u8]) -> Result<Option<&'a [u8]>, Rejection> {
        // All that has come at once: lines are too short for vector instructions.
        self.clean += clean_prefix(section.get(self.clean..).unwrap_or_default());
        let unseen = section.get(self.unended..).unwrap_or_default();
        let end = self.unended + memchr2(b'\r', b'\n', unseen).unwrap_or(unseen.len());
        if self.clean < end {
            return Err(Rejection::ControlByte);
        }
        self.unended = end;
        match section.get(end..).unwrap_or_default() {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                let line = section.get(self.begin..end);
                self.begin = end + 2;
                self.unended = self.begin;
                Ok(line)
            }
            [b'\r', ..] => Err(Rejection::BareCr),
            _ => Err(Rejection::BareLf),
        }
    }
}

/// How many bytes come before the first control byte that may not be in a section at all.
fn clean_prefix(bytes: &[u8]) -> usize {
    // Without branches, so that a block is compiled to a few vector instructions.
    let is_control =
        |byte: u8| ((byte < b' ') & (byte != b'\t') & (byte != b'\r') & (byte != b'\n')) | (byte == 0x7f);
    let is_clean = |block: &[u8; 32]| !block.iter().fold(false, |found, byte| found | is_control(*byte));
    let (blocks, _) = bytes.as_chunks::<32>();
    let clean = blocks.iter().take_while(|block| is_clean(block)).count();
    // What is left is the end of a block that overlaps the one before.
    if clean == blocks.len() && bytes.last_chunk::<32>().is_some_and(is_clean) {
        return bytes.len();
    }
    let skipped = 32 * clean;
    let rest = bytes.get(skipped..).unwrap_or_default();
    skipped + rest.iter().position(|byte| is_control(*byte)).unwrap_or(rest.len())
}

/// The fields that decide where a message ends, whom it is for or what the connection becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldName {
    Connection,
    ContentLength,
    Expect,
    Host,
    TransferEncoding,
    Upgrade,
    /// Any other.
    Other,
}

impl FieldName {
    fn new(name: &[u8]) -> Self {
        // By length first: most fields of a request are of none of these.
        let (text, field): (&[u8], _) = match name.len() {
            4 => (b"host", Self::Host),
            6 => (b"expect", Self::Expect),
            7 => (b"upgrade", Self::Upgrade),
            10 => (b"connection", Self::Connection),
            14 => (b"content-length", Self::ContentLength),
            17 => (b"transfer-encoding", Self::TransferEncoding),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(text) { field } else { Self::Other }
    }
}

/// `field-line = field-name ":" OWS field-value OWS`. A line that begins with white space would continue the
/// one before it in the eyes of some (obs-fold, §5.2).
pub(super) fn split_field(line: &[u8]) -> Result<(FieldName, &[u8]), Rejection> {
    let length = token_length(line);
    let (name, rest) = line.split_at_checked(length).unwrap_or_default();
    match rest {
        // Of what `trim_ascii` takes away, only SP and HTAB can still be in a line.
        [b':', value @ ..] if length > 0 => Ok((FieldName::new(name), value.trim_ascii())),
        [b' ' | b'\t', ..] if length == 0 => Err(Rejection::FoldedLine),
        [b' ' | b'\t', rest @ ..] if rest.trim_ascii_start().starts_with(b":") => {
            Err(Rejection::SpaceBeforeColon)
        }
        _ if rest.contains(&b':') => Err(Rejection::FieldName),
        _ => Err(Rejection::MissingColon),
    }
}

/// The elements of a list-valued field (RFC 9110 §5.6.1).
pub(super) fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// `token = 1*tchar` (RFC 9110 §5.6.2).
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && token_length(text) == text.len()
}

fn token_length(text: &[u8]) -> usize {
    let is_tchar = |byte: &u8| TCHAR.get(usize::from(*byte)).is_some_and(|is| *is);
    text.iter().position(|byte| !is_tchar(byte)).unwrap_or(text.len())
}

/// `1*DIGIT`. The standard library's parsers would take a sign.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte] = matches!(byte as u8,
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
                | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_whatever_the_cuts() {
        let section = b"a: 1\r\n\r\nrest";
        for cut in 0..section.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for view in [&section[..cut], section] {
                while let Some(line) = lines.next(view).unwrap() {
                    found.push(line.to_vec());
                }
            }
            assert_eq!(found, [&b"a: 1"[..], b""], "cut at {cut}");
            assert_eq!(lines.begin, 8, "cut at {cut}");
        }
    }

    #[test]
    fn other_line_ends_and_control_bytes_are_refused() {
        for (section, rejection) in [
            (&b"a\n"[..], Rejection::BareLf),
            (b"a\rb\r\n", Rejection::BareCr),
            (b"a\r\r\n", Rejection::BareCr),
            (b"a\rb", Rejection::BareCr),
            (b"a\0", Rejection::ControlByte),
            (b"a\x7f\r\n", Rejection::ControlByte),
            (b"a\x1b\rb", Rejection::ControlByte),
        ] {
            assert_eq!(Lines::default().next(section), Err(rejection), "{}", section.escape_ascii());
        }
        assert_eq!(Lines::default().next(b"a\tb\r"), Ok(None));
    }

    #[test]
    fn field_lines() {
        assert_eq!(split_field(b"HOST:\t a b \t"), Ok((FieldName::Host, &b"a b"[..])));
        assert_eq!(split_field(b"x:"), Ok((FieldName::Other, &b""[..])));
        assert_eq!(split_field(b"x: \t "), Ok((FieldName::Other, &b""[..])));
        assert_eq!(split_field(b"Content-Length: :1"), Ok((FieldName::ContentLength, &b":1"[..])));
        for (line, rejection) in [
            (&b" x: 1"[..], Rejection::FoldedLine),
            (b"\tx: 1", Rejection::FoldedLine),
            (b"x", Rejection::MissingColon),
            (b"x : 1", Rejection::SpaceBeforeColon),
            (b"x\t: 1", Rejection::SpaceBeforeColon),
            (b": 1", Rejection::FieldName),
            (b"x y: 1", Rejection::FieldName),
            (b"x\x80: 1", Rejection::FieldName),
            (b"(x): 1", Rejection::FieldName),
        ] {
            assert_eq!(split_field(line), Err(rejection), "{}", line.escape_ascii());
        }
    }
}
