//! What a link is asked for: each call one command, each command's answer one call's. Who calls bounds its time.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, ScriptInvocation, cmd};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::link::Link;
use super::slots::SharedSlot;
use crate::limits::{Exhausted, Rate};
use crate::store::Unavailable;

/// The longest a value lives, if not for ever: past it Redis' own reckoning ends.
const EXPIRY_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Microseconds that a number of Lua's still tells apart, added to the present.
const BUCKET_US_MAX: f64 = (1_u64 << 51) as f64;

impl Link {
    /// Take `cost` tokens from the bucket of `key` among those of `owner` and `name`.
    pub async fn take(
        &self,
        owner: &str,
        name: &str,
        key: &str,
        rate: Rate,
        cost: u32,
    ) -> Result<Result<(), Exhausted>, Unavailable> {
        if cost == 0 {
            return Ok(Ok(()));
        }
        let (gain_us, full_us) = match bucket(rate) {
            Some(each_us) if cost <= rate.burst => {
                (each_us * f64::from(cost), each_us * f64::from(rate.burst))
            }
            _ => return Ok(Err(Exhausted(None))),
        };
        let of_rate = format!("{}/{}/{}", rate.tokens, rate.period.as_millis(), rate.burst);
        let key = self.limit_key("rate", owner, &[name, key, &of_rate]);
        let mut script = self.shared.scripts.take.key(key);
        let wait_us: u64 = self.invoke(script.arg(gain_us).arg(full_us)).await?;
        Ok(match wait_us {
            0 => Ok(()),
            wait_us => Err(Exhausted(Some(Duration::from_micros(wait_us)))),
        })
    }

    /// Take a place among the `max` of `key` in the group `name` of `owner`; none when all are taken.
    pub async fn acquire(
        self: &Arc<Self>,
        owner: &str,
        name: &str,
        key: &str,
        max: u32,
    ) -> Result<Option<SharedSlot>, Unavailable> {
        if max == 0 {
            return Ok(None);
        }
        self.acquire_slot(self.limit_key("slots", owner, &[name, key]).into(), max).await
    }

    /// The same without asking, while nobody can be asked: it counts from when Redis is back.
    pub fn acquire_unasked(self: &Arc<Self>, owner: &str, name: &str, key: &str) -> SharedSlot {
        self.slot_unasked(self.limit_key("slots", owner, &[name, key]).into())
    }

    pub async fn get(&self, owner: &str, key: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        self.query(cmd("GET").arg(self.value_key(owner, key))).await
    }

    pub async fn set(
        &self,
        owner: &str,
        key: &str,
        value: Vec<u8>,
        expires: Option<Duration>,
    ) -> Result<(), Unavailable> {
        let mut command = cmd("SET");
        command.arg(self.value_key(owner, key)).arg(value);
        match expires.map(expiry_ms) {
            // What expires at once was never there.
            Some(0) => return self.delete(owner, key).await,
            Some(expires_ms) => drop(command.arg("PX").arg(expires_ms)),
            None => {}
        }
        self.query(&command).await
    }

    pub async fn delete(&self, owner: &str, key: &str) -> Result<(), Unavailable> {
        self.query(cmd("DEL").arg(self.value_key(owner, key))).await
    }

    /// None where there is no number, or the sum would be none.
    pub async fn increment(
        &self,
        owner: &str,
        key: &str,
        by: i64,
        expires: Option<Duration>,
    ) -> Result<Option<i64>, Unavailable> {
        let mut script = self.shared.scripts.increment.key(self.value_key(owner, key));
        script.arg(by);
        if let Some(expires) = expires {
            script.arg(expiry_ms(expires));
        }
        self.invoke(&script).await
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Unavailable> {
        let _waiting = self.watch();
        let mut connection = self.connection().await?;
        self.judge(command.query_async(&mut connection).await)
    }

    async fn invoke<T: FromRedisValue>(&self, invocation: &ScriptInvocation<'_>) -> Result<T, Unavailable> {
        let _waiting = self.watch();
        let mut connection = self.connection().await?;
        self.judge(invocation.invoke_async(&mut connection).await)
    }

    fn value_key(&self, owner: &str, key: &str) -> String {
        format!("{}value:{owner}:{key}", self.shared.prefix)
    }

    /// Of a length that does not depend on what `parts` hold.
    fn limit_key(&self, kind: &str, owner: &str, parts: &[&str]) -> String {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let (half, _) = hash.split_at(16);
        format!("{}{kind}:{owner}:{}", self.shared.prefix, URL_SAFE_NO_PAD.encode(half))
    }
}

/// Microseconds in which a bucket of this rate gains one token; none for a rate that never gives anything. No faster than one in each
/// microsecond, as nothing shorter can be told apart.
fn bucket(rate: Rate) -> Option<f64> {
    if rate.tokens == 0 || rate.period.is_zero() {
        return None;
    }
    let each_us = (rate.period.as_secs_f64() * 1e6 / f64::from(rate.tokens)).max(1.0);
    (each_us * f64::from(rate.burst) < BUCKET_US_MAX).then_some(each_us)
}

/// Rounded up: nothing expires before its time.
fn expiry_ms(expires: Duration) -> u64 {
    let ms = expires.min(EXPIRY_MAX).as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn buckets() {
        let rate = |tokens, period, burst| Rate { tokens, period, burst };
        assert_eq!(bucket(rate(10, SECOND, 20)), Some(100_000.0));
        assert_eq!(bucket(rate(3, SECOND, 1)).map(f64::round), Some(333_333.0));
        assert_eq!(bucket(rate(u32::MAX, SECOND, 1)), Some(1.0));
        for nothing in [rate(0, SECOND, 1), rate(1, Duration::ZERO, 1), rate(1, SECOND * 3600, u32::MAX)] {
            assert_eq!(bucket(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn expiries() {
        assert_eq!(expiry_ms(Duration::ZERO), 0);
        assert_eq!(expiry_ms(Duration::from_nanos(1)), 1);
        assert_eq!(expiry_ms(SECOND), 1_000);
        assert_eq!(expiry_ms(Duration::MAX), 3_153_600_000_000);
    }

    #[test]
    fn no_two_limits_have_one_key() {
        let url = crate::config::StoreUrl::parse("redis://127.0.0.1").unwrap();
        let redis = super::super::Redis::new(&url, &crate::config::Store::default(), 1);
        let link = redis.link(0).unwrap();
        let limits = [
            ("rate", "p", ["a", "b", "c"]),
            ("slots", "p", ["a", "b", "c"]),
            ("rate", "q", ["a", "b", "c"]),
            ("rate", "p", ["ab", "", "c"]),
            ("rate", "p", ["", "ab", "c"]),
            ("rate", "p", ["a", "bc", ""]),
            ("rate", "p", ["a", "b\u{1}", "c"]),
        ];
        let keys = limits.map(|(kind, owner, parts)| link.limit_key(kind, owner, &parts));
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len(), "{keys:?}");
        assert!(keys.iter().all(|key| key.starts_with("sluicegate:") && key.len() < 60), "{keys:?}");
    }
}
