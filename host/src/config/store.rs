//! `[store]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::field::Field;
use super::reader::Section;
use super::types::{OnFailure, Store, StoreUrl};
use super::units::{GIB, MIB};

const CALL_TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);
const ENTRIES: RangeInclusive<usize> = 16..=100_000_000;
/// A shard of the least takes the largest value.
const BYTES: RangeInclusive<usize> = 2 * MIB..=64 * GIB;
const PREFIX_BYTES_MAX: usize = 64;

const URL: &str =
    r#"a URL such as "redis://:password@10.0.0.5:6379/0" or "unix:///run/redis.sock", not over TLS"#;
const PREFIX: &str = "a text of at most 64 bytes without control characters";

pub(super) fn read_store(section: &mut Section<'_>) -> Store {
    let mut store = Store { url: section.optional("url", read_url), ..Store::default() };
    section.set(&mut store.timeout, "timeout", |field| field.duration(CALL_TIME));
    section.set(&mut store.on_failure, "on-failure", on_failure);
    section.set(&mut store.prefix, "prefix", |field| {
        let fits = |text: &str| text.len() <= PREFIX_BYTES_MAX && !text.chars().any(char::is_control);
        field.parsed(PREFIX, |text| fits(text).then(|| text.to_owned()))
    });
    section.set(&mut store.slot_lease, "slot-lease", |field| field.duration(LEASE));
    section.table("memory", |memory| {
        memory.set(&mut store.entries_max, "entries-max", |field| field.whole_number(ENTRIES));
        memory.set(&mut store.bytes_max, "bytes-max", |field| field.size(BYTES));
    });
    store
}

pub(super) fn on_failure(field: &Field<'_>) -> Option<OnFailure> {
    field.word(&[("refuse", OnFailure::Refuse), ("pass", OnFailure::Pass)])
}

/// What is refused is not shown: there may be a password in it.
fn read_url(field: &Field<'_>) -> Option<StoreUrl> {
    let text = field.text(URL)?;
    let url = StoreUrl::parse(text);
    if url.is_none() {
        let found = match text.split_once("://") {
            Some(("rediss", _)) => "one over TLS, which is not spoken to the store",
            Some(_) => "another",
            None => "no URL",
        };
        field.refuse(format!("expected {URL}, found {found}"));
    }
    url
}
