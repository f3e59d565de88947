//! `grants` of a `[[plugin]]`.

use super::field::Field;
use super::names::Names;
use super::text::quoted;
use super::types::Grants;

const GRANT: &str = concat!(
    r#""store", "http:UPSTREAM" with the name of one [[upstream]], "#,
    r#"or "env:NAME" with a name of letters, digits and "_""#,
);

/// An upstream that a grant names, before it is known which there are.
pub(super) struct GrantedUpstream<'a> {
    grant: Field<'a>,
    name: &'a str,
}

/// One grant, as it is written.
enum Grant<'a> {
    Store,
    Http(&'a str),
    Env(&'a str),
}

pub(super) fn read_grants<'a>(field: &Field<'a>, granted: &mut Vec<GrantedUpstream<'a>>) -> Option<Grants> {
    let mut grants = Grants::default();
    for item in field.list(&format!("a list of {GRANT}"))? {
        let Some(text) = item.text(GRANT) else { continue };
        let is_new = match parse(text) {
            Some(Grant::Store) => !std::mem::replace(&mut grants.store, true),
            Some(Grant::Env(name)) => add(&mut grants.env, name),
            Some(Grant::Http(name)) => add(&mut grants.http, name),
            None => {
                item.mismatch::<()>(GRANT);
                continue;
            }
        };
        if !is_new {
            item.refuse(format!("{} is listed twice: expected once", quoted(text)));
        } else if let Some(Grant::Http(name)) = parse(text) {
            granted.push(GrantedUpstream { grant: item, name });
        }
    }
    Some(grants)
}

/// Refuses those that are not there.
pub(super) fn check_upstreams(granted: &[GrantedUpstream<'_>], upstreams: &Names) {
    for GrantedUpstream { grant, name } in granted {
        upstreams.find_name(grant, name);
    }
}

fn parse(text: &str) -> Option<Grant<'_>> {
    match text.split_once(':') {
        None if text == "store" => Some(Grant::Store),
        Some(("http", name)) if !name.is_empty() => Some(Grant::Http(name)),
        Some(("env", name)) if is_variable(name) => Some(Grant::Env(name)),
        _ => None,
    }
}

/// Whether `name` is a variable's name, as POSIX has it (Base Definitions, 8.1); lower case is as good.
fn is_variable(name: &str) -> bool {
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_name_char) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// Whether it was not there.
fn add(names: &mut Vec<String>, name: &str) -> bool {
    let is_new = !names.iter().any(|known| known == name);
    if is_new {
        names.push(name.to_owned());
    }
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_grant() {
        assert!(matches!(parse("store"), Some(Grant::Store)));
        assert!(matches!(parse("http:auth"), Some(Grant::Http("auth"))));
        for name in ["TOKEN", "_", "a1", "A_B"] {
            assert!(
                matches!(parse(&format!("env:{name}")), Some(Grant::Env(found)) if found == name),
                "{name}"
            );
        }
        for text in
            ["", "Store", "store:", "http", "http:", "env", "env:", "env:1A", "env:A=B", "env:A B", "env:Ä"]
        {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
