//! The syntax of `Sec-WebSocket-Extensions` (RFC 6455 §9.1), read strictly.
//!
//! A list of `name; parameter; parameter=value; parameter="value"`, over any number of header lines. A
//! quoted value must be a token once it is unquoted.

/// One element of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: String,
    pub(super) parameters: Vec<(String, Option<String>)>,
}

/// All elements of all lines; `None` where one is not of the syntax.
pub(super) fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<Extension>> {
    let mut extensions = Vec::new();
    for line in lines {
        let mut rest = line;
        loop {
            // RFC 9110 §5.6.1.2: empty elements of a list are to be ignored.
            while take(&mut rest, b',') {}
            if rest.is_empty() {
                break;
            }
            extensions.push(extension(&mut rest)?);
            if !rest.is_empty() && !take(&mut rest, b',') {
                return None;
            }
        }
    }
    Some(extensions)
}

fn extension(rest: &mut &[u8]) -> Option<Extension> {
    let name = token(rest)?;
    let mut parameters = Vec::new();
    while take(rest, b';') {
        let name = token(rest)?;
        let value = if take(rest, b'=') { Some(value(rest)?) } else { None };
        parameters.push((name, value));
    }
    Some(Extension { name, parameters })
}

fn value(rest: &mut &[u8]) -> Option<String> {
    let Some(mut quoted) = rest.strip_prefix(b"\"") else { return token(rest) };
    let mut value = String::new();
    loop {
        let (&byte, mut after) = quoted.split_first()?;
        let byte = match byte {
            b'"' => {
                *rest = after.trim_ascii_start();
                return (!value.is_empty()).then_some(value);
            }
            b'\\' => {
                let (&escaped, rest) = after.split_first()?;
                after = rest;
                escaped
            }
            byte => byte,
        };
        if !is_token_char(byte) {
            return None;
        }
        value.push(byte.into());
        quoted = after;
    }
}

/// Takes a token and the white space around it.
fn token(rest: &mut &[u8]) -> Option<String> {
    let from = rest.trim_ascii_start();
    let len = from.iter().position(|&byte| !is_token_char(byte)).unwrap_or(from.len());
    let (token, after) = from.split_at_checked(len)?;
    *rest = after.trim_ascii_start();
    (!token.is_empty()).then(|| token.iter().map(|&byte| char::from(byte)).collect())
}

/// Takes a separator and the white space around it, if it comes next.
fn take(rest: &mut &[u8], separator: u8) -> bool {
    let found = rest.trim_ascii_start();
    match found.split_first() {
        Some((&byte, after)) if byte == separator => {
            *rest = after.trim_ascii_start();
            true
        }
        _ => {
            *rest = found;
            false
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Option<Vec<String>> {
        let extensions = parse([line.as_bytes()])?;
        let parameter = |(name, value): (String, Option<String>)| match value {
            None => format!(";{name}"),
            Some(value) => format!(";{name}={value}"),
        };
        let text = |extension: Extension| {
            extension.name + &extension.parameters.into_iter().map(parameter).collect::<String>()
        };
        Some(extensions.into_iter().map(text).collect())
    }

    fn accepted(line: &str, expected: &[&str]) {
        assert_eq!(
            names(line).as_deref(),
            Some(&expected.iter().map(|name| name.to_string()).collect::<Vec<_>>()[..]),
            "{line}"
        );
    }

    #[test]
    fn rfc6455_section_9_1_examples() {
        accepted("foo", &["foo"]);
        accepted("bar; baz=2", &["bar;baz=2"]);
        accepted("foo, bar; baz=2", &["foo", "bar;baz=2"]);
        accepted("deflate-stream", &["deflate-stream"]);
        accepted(
            "mux; max-channels=4; flow-control, deflate-stream",
            &["mux;max-channels=4;flow-control", "deflate-stream"],
        );
        accepted("private-extension", &["private-extension"]);
    }

    #[test]
    fn white_space_quotes_and_empty_elements() {
        accepted("", &[]);
        accepted(" , ,foo\t;  a = 1 ; b ,", &["foo;a=1;b"]);
        accepted(r#"foo; a="10""#, &["foo;a=10"]);
        accepted(r#"foo; a="1\0" , bar"#, &["foo;a=10", "bar"]);
    }

    #[test]
    fn what_is_not_of_the_syntax_is_refused_whole() {
        for line in [
            ";",
            "foo;",
            "foo;;a",
            "foo a",
            "foo;a=",
            "foo;a=;b",
            "foo;=1",
            "foo=1",
            "f(o)",
            r#"foo;a=""#,
            r#"foo;a="1"#,
            r#"foo;a="""#,
            r#"foo;a="1 2""#,
            r#"foo;a="1"2"#,
            r#"foo;a="\"#,
            "foo, bar;",
            "foo\u{e9}",
        ] {
            assert_eq!(names(line), None, "{line}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = [&b"foo; a"[..], b"", b"bar"];
        assert_eq!(parse(lines).map(|list| list.len()), Some(2));
    }
}
