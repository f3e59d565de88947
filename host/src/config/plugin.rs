//! `[[plugin]]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::field::Field;
use super::grants::{self, GrantedUpstream};
use super::names::Names;
use super::reader::Section;
use super::types::{FailurePolicy, Isolation, OnFailure, Plugin};
use super::units::{GIB, KIB};
use super::{paths, settings, store};

const GUEST_TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const MEMORY: RangeInclusive<usize> = 64 * KIB..=4 * GIB;

const DIGEST: &str = r#""sha256:" and 64 hexadecimal digits"#;

/// `granted`: for the names of upstreams, which are read later.
pub(super) fn read_plugin<'a>(
    section: &mut Section<'a>,
    names: &mut Names,
    granted: &mut Vec<GrantedUpstream<'a>>,
) -> Plugin {
    let name = names.add(section);
    let file = section.required("file", "the path of a component", paths::file);
    let mut plugin = Plugin::new(name, file.unwrap_or_default());
    plugin.settings = section.optional("settings", settings::to_json);
    plugin.digest = section.optional("digest", |field| field.parsed(DIGEST, digest));
    section.set(&mut plugin.grants, "grants", |field| grants::read_grants(field, granted));
    section.set(&mut plugin.call_time_max, "call-time-max", |field| field.duration(GUEST_TIME));
    section.set(&mut plugin.configure_time_max, "configure-time-max", |field| field.duration(GUEST_TIME));
    section.set(&mut plugin.memory_bytes_max, "memory-max", |field| field.size(MEMORY));
    section.set(&mut plugin.isolation, "isolation", |field| {
        field.word(&[("session", Isolation::Session), ("shared", Isolation::Shared)])
    });
    section.set(&mut plugin.on_failure, "on-failure", failure_policy);
    section.set(&mut plugin.store_on_failure, "store-on-failure", |field| {
        let limits = field.entries()?.into_iter();
        Some(limits.filter_map(|(name, field)| Some((name.to_owned(), store::on_failure(&field)?))).collect())
    });
    section.set(&mut plugin.max_traps, "max-traps", Field::rate_or_off);
    section.set(&mut plugin.log_lines_max, "log-lines-max", Field::rate);
    section.set(&mut plugin.migrate, "migrate", Field::boolean);
    plugin.max_age = section.optional("max-age", Field::any_duration);
    plugin
}

/// A word for all hooks, or a table with a word for some.
fn failure_policy(field: &Field<'_>) -> Option<FailurePolicy> {
    let word = |field: &Field<'_>| field.word(&[("refuse", OnFailure::Refuse), ("pass", OnFailure::Pass)]);
    if !field.value().is_table() {
        return word(field).map(FailurePolicy::from);
    }
    field.table(|table| {
        let mut policy = FailurePolicy::from(OnFailure::Refuse);
        table.set(&mut policy.on_request, "on-request", word);
        table.set(&mut policy.on_response, "on-response", word);
        table.set(&mut policy.session, "session", word);
        policy
    })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?.as_bytes();
    let mut digest = [0; 32];
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(digest)
}

fn hex_digit(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        let digits = "00ff".repeat(16);
        let expected: Vec<u8> = [0x00, 0xff].repeat(16);
        assert_eq!(digest(&format!("sha256:{digits}")).unwrap().to_vec(), expected);
        assert_eq!(digest(&format!("sha256:{}", digits.to_uppercase())).unwrap().to_vec(), expected);
    }

    #[test]
    fn what_is_no_digest() {
        let odd = "0".repeat(63);
        for digits in ["", "00", "zz", &odd, &format!("{odd}g"), &"0".repeat(66), &format!("{odd}ü")] {
            assert_eq!(digest(&format!("sha256:{digits}")), None, "{digits:?}");
        }
        assert_eq!(digest(&"0".repeat(64)), None);
        assert_eq!(digest(&format!("sha512:{}", "0".repeat(64))), None);
    }
}
