//! Header field lines, with the host's rules on editing them.

use crate::error::EditError;
use crate::response::HeaderField;

/// Lines in order, names in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    lines: Vec<HeaderField>,
}

impl Fields {
    pub(super) fn push(&mut self, name: &str, value: &[u8]) {
        self.lines.push(HeaderField::new(name.to_ascii_lowercase(), value));
    }

    pub(super) fn all(&self) -> Vec<HeaderField> {
        self.lines.clone()
    }

    pub(super) fn values(&self, name: &str) -> Vec<Vec<u8>> {
        let of_this_name = self.lines.iter().filter(|line| line.name.eq_ignore_ascii_case(name));
        of_this_name.map(|line| line.value.clone()).collect()
    }

    pub(super) fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let separator: &[u8] = if name.eq_ignore_ascii_case("cookie") { b"; " } else { b", " };
        let values = self.values(name);
        (!values.is_empty()).then(|| values.join(separator))
    }

    pub(super) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        check(name, value)?;
        self.lines.retain(|line| !line.name.eq_ignore_ascii_case(name));
        self.push(name, value);
        Ok(())
    }

    pub(super) fn append(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        check(name, value)?;
        self.push(name, value);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<(), EditError> {
        check(name, b"")?;
        self.lines.retain(|line| !line.name.eq_ignore_ascii_case(name));
        Ok(())
    }
}

/// Fields about the connection or the message's framing (RFC 9110 §7.6.1), and the route's `host`.
const KEPT_BY_HOST: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

fn check(name: &str, value: &[u8]) -> Result<(), EditError> {
    let name = name.to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let field_value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if name.is_empty() || !name.bytes().all(token) || !value.iter().all(field_value) {
        Err(EditError::Invalid)
    } else if KEPT_BY_HOST.contains(&name.as_str()) || name.starts_with("sec-websocket-") {
        Err(EditError::Forbidden)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_name_are_joined_cookies_their_own_way() {
        let mut fields = Fields::default();
        for (name, value) in [("Accept", "a"), ("cookie", "a=1"), ("accept", "b"), ("Cookie", "b=2")] {
            fields.push(name, value.as_bytes());
        }
        assert_eq!(fields.joined("ACCEPT").unwrap(), b"a, b");
        assert_eq!(fields.joined("cookie").unwrap(), b"a=1; b=2");
        assert_eq!(fields.joined("host"), None);
    }

    #[test]
    fn setting_replaces_all_lines_and_removing_takes_all() {
        let mut fields = Fields::default();
        fields.push("a", b"1");
        fields.push("A", b"2");
        fields.set("a", b"3").unwrap();
        assert_eq!(fields.values("a"), [b"3"]);
        fields.append("a", b"4").unwrap();
        fields.remove("A").unwrap();
        assert!(fields.all().is_empty());
    }

    #[test]
    fn what_http_or_the_host_does_not_allow_is_refused() {
        let mut fields = Fields::default();
        assert_eq!(fields.set("", b"x"), Err(EditError::Invalid));
        assert_eq!(fields.set("a b", b"x"), Err(EditError::Invalid));
        assert_eq!(fields.append("a", b"x\r\ny: z"), Err(EditError::Invalid));
        assert_eq!(fields.set("Upgrade", b"x"), Err(EditError::Forbidden));
        assert_eq!(fields.remove("sec-websocket-key"), Err(EditError::Forbidden));
        assert_eq!(fields.set("host", b"x"), Err(EditError::Forbidden));
        assert!(fields.all().is_empty());
    }
}
