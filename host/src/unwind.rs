//! Parsers and compilers assert what they expect of their input, and some of it is foreign. What such an assertion ends is one
//! attempt at one file, not the thread that made it.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

/// What panicked said why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(String);

/// What `attempt` comes to. What it has changed when it panics may be half done: it must be dropped then, or be of no account.
pub async fn caught<T>(attempt: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(attempt).catch_unwind().await.map_err(|payload| Panicked(text(&*payload)))
}

/// A panic with words has one of two types, by whether they were made up for the occasion.
fn text(payload: &(dyn Any + Send)) -> String {
    let fixed = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    fixed.or_else(|| payload.downcast_ref().cloned()).unwrap_or_else(|| "it does not say why".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_words_and_the_next_attempt_is_made() {
        let attempt = async |length: usize| {
            tokio::task::yield_now().await;
            assert!(length < 2, "a length of {length}");
            assert!(length < 1, "too long");
            length
        };
        assert_eq!(caught(attempt(2)).await.unwrap_err().to_string(), "a length of 2");
        assert_eq!(caught(attempt(1)).await.unwrap_err().to_string(), "too long");
        assert_eq!(caught(attempt(0)).await.unwrap(), 0);
        let wordless = caught(async { std::panic::panic_any(4711) }).await;
        assert_eq!(wordless.unwrap_err().to_string(), "it does not say why");
    }
}
