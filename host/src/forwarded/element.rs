//! The elements of a `Forwarded` line (RFC 7239 §4).

use crate::guard::is_token;

/// What one proxy wrote of its own sender; parameters other than these are nobody's here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) sender: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
    pub(super) proto: Option<&'a [u8]>,
}

/// All elements of a line in its order; none where it breaks the grammar anywhere: what stands before a quote that never
/// closes, and what behind it, is anybody's guess then. White space is let pass around `;`, too.
pub(super) fn parse(line: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    let mut rest = line;
    loop {
        let (element, after) = parse_element(rest)?;
        elements.extend(element);
        match after.split_first() {
            Some((_, after)) => rest = after,
            None => return Some(elements),
        }
    }
}

/// The first element, if it is not empty, and what follows on it: nothing, or a comma and more.
fn parse_element(mut rest: &[u8]) -> Option<(Option<Element<'_>>, &[u8])> {
    let mut element = None;
    loop {
        rest = rest.trim_ascii_start();
        match rest.split_first() {
            None | Some((b',', _)) => return Some((element, rest)),
            Some((b';', after)) => rest = after,
            Some(_) => {
                let (name, value, after) = parse_pair(rest)?;
                element.get_or_insert_with(Element::default).set(name, value)?;
                rest = after.trim_ascii_start();
                if !matches!(rest.first(), None | Some(b',' | b';')) {
                    return None;
                }
            }
        }
    }
}

/// `token "=" ( token / quoted-string )`, and what follows.
fn parse_pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = text.split_at_checked(text.iter().position(|byte| *byte == b'=')?)?;
    let rest = rest.get(1..)?;
    let (value, after) = match rest.strip_prefix(b"\"") {
        Some(quoted) => {
            let (value, after) = quoted.split_at_checked(end_of_quoted(quoted)?)?;
            (value, after.get(1..)?)
        }
        None => {
            let ends = |byte: &u8| matches!(byte, b',' | b';' | b' ' | b'\t');
            let (value, after) = rest.split_at_checked(rest.iter().position(ends).unwrap_or(rest.len()))?;
            (is_token(value).then_some(value)?, after)
        }
    };
    is_token(name).then_some((name, value, after))
}

/// Where the closing quote stands. Escaped characters (`\x`) are left as they are: no address, host or scheme has any.
fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

// === impl Element ===

impl<'a> Element<'a> {
    /// None where it is there already: "Each parameter MUST NOT occur more than once per field-value" (RFC 7239 §4).
    fn set(&mut self, name: &[u8], value: &'a [u8]) -> Option<()> {
        let parameter = match name {
            _ if name.eq_ignore_ascii_case(b"for") => &mut self.sender,
            _ if name.eq_ignore_ascii_case(b"host") => &mut self.host,
            _ if name.eq_ignore_ascii_case(b"proto") => &mut self.proto,
            _ => return Some(()),
        };
        parameter.replace(value).is_none().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn senders(line: &str) -> Option<Vec<Option<&str>>> {
        let text = |value| str::from_utf8(value).unwrap();
        Some(parse(line.as_bytes())?.into_iter().map(|element| element.sender.map(text)).collect())
    }

    #[test]
    fn rfc7239_4_elements_and_their_parameters() {
        let line = br#"For="[2001:db8::7]:4711";proto=https;host="a.example:8080";by=_x, ,for=192.0.2.7; proto=http"#;
        let expected = [
            Element {
                sender: Some(b"[2001:db8::7]:4711"),
                host: Some(b"a.example:8080"),
                proto: Some(b"https"),
            },
            Element { sender: Some(b"192.0.2.7"), host: None, proto: Some(b"http") },
        ];
        assert_eq!(parse(line).unwrap(), expected);
        assert_eq!(senders("proto=http"), Some(vec![None]));
        assert_eq!(senders(""), Some(vec![]));
        assert_eq!(senders(r#"for="a\",for=b""#), Some(vec![Some(r#"a\",for=b"#)]));
    }

    #[test]
    fn rfc7239_4_a_line_with_anything_else_in_it_has_no_elements() {
        for line in [
            "for",
            "for=",
            "=a",
            "for=a b",
            "for=a=b",
            "for=[::1]",
            "for=192.0.2.7:80",
            "for=\"a",
            "for=\"a\"b",
            "for=a;for=b",
            "f or=a",
            "for =a",
            "for= a",
            "for=\"a\\\"",
            // A quote of the client's own, and behind it what a proxy added.
            "for=\"evil, for=192.0.2.7;host=\"a.example\"",
        ] {
            assert_eq!(senders(line), None, "{line}");
        }
    }
}
