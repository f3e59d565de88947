//! The store, as far as a test needs it: of this thread, unbounded, and by its clock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::host::clock;
use crate::store::StoreError;

const KEY_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// By key; with the time it expires at.
type Values = HashMap<String, (Vec<u8>, Option<u64>)>;

thread_local! {
    static VALUES: RefCell<Values> = RefCell::default();
    static LOST: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    with_values(key, |values| Ok(values.get(key).map(|(value, _)| value.clone())))
}

pub(crate) fn set(key: &str, value: &[u8], expires_ms: Option<u64>) -> Result<(), StoreError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(StoreError::TooLarge);
    }
    with_values(key, |values| {
        values.insert(key.to_owned(), (value.to_owned(), expiry_ms(expires_ms)));
        Ok(())
    })
}

pub(crate) fn delete(key: &str) -> Result<(), StoreError> {
    with_values(key, |values| {
        values.remove(key);
        Ok(())
    })
}

pub(crate) fn increment(key: &str, by: i64, expires_ms: Option<u64>) -> Result<i64, StoreError> {
    with_values(key, |values| {
        let held = values.get(key);
        let number = held.map_or(Some(0), |(value, _)| str::from_utf8(value).ok()?.parse::<i64>().ok());
        let sum = number.and_then(|number| number.checked_add(by)).ok_or(StoreError::NotANumber)?;
        let expiry_ms = held.map_or_else(|| expiry_ms(expires_ms), |(_, expiry_ms)| *expiry_ms);
        values.insert(key.to_owned(), (sum.to_string().into_bytes(), expiry_ms));
        Ok(sum)
    })
}

pub(crate) fn lose() {
    LOST.set(true);
}

pub(crate) fn reset() {
    LOST.set(false);
    VALUES.with_borrow_mut(HashMap::clear);
}

/// Without what has expired.
fn with_values<T>(
    key: &str,
    call: impl FnOnce(&mut Values) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(StoreError::TooLarge);
    }
    if LOST.get() {
        return Err(StoreError::Unavailable);
    }
    VALUES.with_borrow_mut(|values| {
        values.retain(|_, (_, expiry_ms)| expiry_ms.is_none_or(|expiry_ms| expiry_ms > now_ms()));
        call(values)
    })
}

fn expiry_ms(expires_ms: Option<u64>) -> Option<u64> {
    expires_ms.map(|expires_ms| now_ms().saturating_add(expires_ms))
}

fn now_ms() -> u64 {
    clock::monotonic_ns() / 1_000_000
}
