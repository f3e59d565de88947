//! Texts from the host: kept as long as they are lent, and read for cookies and query parameters.

use elsa::FrozenVec;

/// What the host said so far of one request, answer or connection, so that a hook can borrow it.
#[derive(Default)]
pub(crate) struct Texts {
    kept: FrozenVec<String>,
}

impl Texts {
    pub(crate) fn keep(&self, text: String) -> &str {
        self.kept.push_get(text)
    }
}

/// Octets as text, reusing the buffer where they are UTF-8.
pub(crate) fn lossy(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The first cookie of this name in a `cookie` field (RFC 6265 §4.2.1). Names are case-sensitive.
pub(crate) fn cookie<'a>(field: &'a str, name: &str) -> Option<&'a str> {
    field
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The first parameter of this name in a query, decoded as forms encode it: `+` and `%XX`.
pub(crate) fn query_parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lossy_keeps_what_is_readable() {
        assert_eq!(lossy(b"caf\xc3\xa9".to_vec()), "café");
        assert_eq!(lossy(b"caf\xe9!".to_vec()), "caf\u{fffd}!");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let field = "theme=dark; room=a=b ;flag; Room=B";
        assert_eq!(cookie(field, "theme"), Some("dark"));
        assert_eq!(cookie(field, "room"), Some("a=b"));
        assert_eq!(cookie(field, "Room"), Some("B"));
        assert_eq!(cookie(field, "flag"), None);
        assert_eq!(cookie(field, "oom"), None);
    }

    #[test]
    fn a_query_parameter_is_decoded() {
        let query = "a=1&room=caf%C3%A9+noir&room=second&bare";
        assert_eq!(query_parameter(query, "room").as_deref(), Some("café noir"));
        assert_eq!(query_parameter(query, "bare").as_deref(), Some(""));
        assert_eq!(query_parameter(query, "b"), None);
    }
}
