//! A share of the clients that is the same in every instance, on every node and after every restart.

use sluicegate_sdk::ConfigureError;

/// Some percent of all client addresses. Shares of different upstreams are drawn independently, so that the
/// canary of one is not made of the same unlucky clients as that of another.
#[derive(Debug)]
pub(crate) struct Share {
    percent: f64,
    salt: u64,
}

impl Share {
    pub(crate) fn new(percent: f64, upstream: &str) -> Result<Self, ConfigureError> {
        if percent > 0.0 && percent <= 100.0 {
            Ok(Self { percent, salt: hash(0, upstream) })
        } else {
            Err(ConfigureError::new(format_args!(
                "percent: {percent} is no share; give more than 0 and at most 100"
            )))
        }
    }

    pub(crate) fn contains(&self, client_address: &str) -> bool {
        // The 53 bits that a float holds exactly, as a fraction of all.
        let fraction = (hash(self.salt, client_address) >> 11) as f64 / (1u64 << 53) as f64;
        fraction * 100.0 < self.percent
    }
}

/// FNV-1a, then MurmurHash3's finalizer: addresses that differ in a digit end up far apart. The standard
/// library's hasher may change from one Rust to the next, and every client's share with it.
fn hash(salt: u64, text: &str) -> u64 {
    let basis = 0xcbf2_9ce4_8422_2325 ^ salt;
    let folded =
        text.bytes().fold(basis, |folded, byte| (folded ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (folded ^ (folded >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> impl Iterator<Item = String> {
        (0..20_000u32).map(|n| format!("10.0.{}.{}", n / 250, n % 250))
    }

    #[test]
    fn the_share_is_about_as_large_as_asked() {
        for percent in [0.5, 10.0, 50.0] {
            let share = Share::new(percent, "canary").unwrap();
            let inside = addresses().filter(|address| share.contains(address)).count();
            let expected = 20_000.0 * percent / 100.0;
            let deviation = (inside as f64 - expected).abs();
            assert!(deviation < 4.0 * expected.sqrt(), "{percent} %: {inside} of {expected}");
        }
    }

    #[test]
    fn all_are_in_a_share_of_a_hundred_percent() {
        let share = Share::new(100.0, "canary").unwrap();
        assert!(addresses().all(|address| share.contains(&address)));
    }

    #[test]
    fn shares_of_different_upstreams_are_independent() {
        let (one, other) = (Share::new(10.0, "a").unwrap(), Share::new(10.0, "b").unwrap());
        let both = addresses().filter(|address| one.contains(address) && other.contains(address)).count();
        assert!((120..280).contains(&both), "{both} of about 200");
    }

    #[test]
    fn a_client_stays_where_it_was() {
        assert_eq!(hash(0, ""), 0xefd0_1f60_ba99_2926);
        let share = Share::new(10.0, "canary").unwrap();
        let first: Vec<_> = addresses().filter(|address| share.contains(address)).take(3).collect();
        assert_eq!(first, ["10.0.0.19", "10.0.0.22", "10.0.0.25"]);
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for percent in [0.0, -1.0, 100.1, f64::NAN] {
            assert!(Share::new(percent, "canary").is_err(), "{percent}");
        }
    }
}
