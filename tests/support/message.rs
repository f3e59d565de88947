//! HTTP/1.1 messages as the wire has them: the first line and the fields in their order and spelling.

use std::fmt;

/// A message up to its empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The request line or the status line.
    pub first_line: String,
    /// Name and value, as sent but for white space around the value.
    pub fields: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub head: Head,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

// === impl Head ===

impl Head {
    /// Takes the bytes before the empty line.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("a head of text");
        let mut lines = text.split("\r\n");
        let first_line = lines.next().unwrap().to_owned();
        let fields = lines.filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a field in {text:?}"));
            (name.to_owned(), value.trim().to_owned())
        });
        Self { first_line, fields: fields.collect() }
    }

    /// The values of all lines of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the only line of this name, if there is one.
    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.all(name);
        assert!(lines.len() < 2, "{name} more than once in\n{self}");
        lines.first().copied()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// Of a response.
    pub fn status(&self) -> u16 {
        let status = self.first_line.strip_prefix("HTTP/").and_then(|line| line.split(' ').nth(1));
        status
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("a status line: {}", self.first_line))
    }

    /// Of a request: what stands between method and version.
    pub fn target(&self) -> &str {
        self.first_line.split(' ').nth(1).unwrap()
    }

    /// Of a request.
    pub fn method(&self) -> &str {
        self.first_line.split(' ').next().unwrap()
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.first_line)?;
        self.fields.iter().try_for_each(|(name, value)| writeln!(formatter, "{name}: {value}"))
    }
}

// === impl Request, Response ===

impl Request {
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}
