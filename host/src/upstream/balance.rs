//! Which server is next, of those that can be: pure but for whose turn it is.

use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};

use crate::config::Balance;

/// Weights are in thousandths, so that a server that starts slowly can have less than one.
pub const WEIGHT_UNIT: u64 = 1_000;

/// A server that can be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Its position in the upstream.
    pub at: usize,
    /// Its share now, in [`WEIGHT_UNIT`]s; at least 1.
    pub share: u64,
    /// Its weight in the long run.
    pub weight: u32,
    /// Sessions and requests in flight.
    pub load: u32,
    /// A hash of its name.
    pub hash: u64,
}

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns {
    /// What each server has gained and not spent yet.
    wealth: Vec<i64>,
    seed: RandomState,
    draws: u64,
}

/// Choose among `candidates`: by `key`, where requests that belong together have one, else by the policy.
pub fn choose(
    balance: &Balance,
    key: Option<u64>,
    candidates: &[Candidate],
    turns: &mut Turns,
) -> Option<Candidate> {
    if let Some(key) = key {
        return candidates.iter().copied().max_by(|a, b| a.score(key).total_cmp(&b.score(key)));
    }
    match balance {
        Balance::RoundRobin | Balance::IpHash | Balance::Hash(_) => turns.next(candidates.iter().copied()),
        Balance::LeastConnections => {
            let least = candidates.iter().map(Candidate::burden).min_by(f64::total_cmp)?;
            turns.next(candidates.iter().copied().filter(|candidate| candidate.burden() <= least))
        }
        Balance::RandomTwo => {
            let one = turns.draw(candidates.iter().copied())?;
            let other = turns.draw(candidates.iter().copied().filter(|other| other.at != one.at));
            Some(other.filter(|other| other.burden() < one.burden()).unwrap_or(one))
        }
    }
}

/// A key as [`choose`] takes it. The same in every process of a build.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

// === impl Candidate ===

impl Candidate {
    /// What it carries in proportion to its share.
    fn burden(&self) -> f64 {
        f64::from(self.load) / self.share as f64
    }

    /// Rendezvous hashing: each server has a score for each key, in proportion to its weight; the highest wins. When a
    /// server comes or goes, only keys that were or become its own move.
    fn score(&self, key: u64) -> f64 {
        let mut hasher = DefaultHasher::new();
        (key, self.hash).hash(&mut hasher);
        // Evenly in (0, 1): the upper 53 bits, halfway between steps.
        let unit = ((hasher.finish() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -f64::from(self.weight) / unit.ln()
    }
}

// === impl Turns ===

impl Turns {
    pub fn new(servers: usize) -> Self {
        Self { wealth: vec![0; servers], seed: RandomState::new(), draws: 0 }
    }

    /// Smooth weighted round-robin, as nginx does it: at each turn every candidate gains its share, and the richest is
    /// taken and pays the total. Of equals the first, so that the order of the configuration is the order of turns.
    fn next(&mut self, candidates: impl Iterator<Item = Candidate>) -> Option<Candidate> {
        let mut total = 0;
        let mut richest: Option<(Candidate, i64)> = None;
        for candidate in candidates {
            let Some(wealth) = self.wealth.get_mut(candidate.at) else { continue };
            let share = i64::try_from(candidate.share).unwrap_or(i64::MAX / 2);
            *wealth += share;
            total += share;
            if richest.is_none_or(|(_, most)| *wealth > most) {
                richest = Some((candidate, *wealth));
            }
        }
        let (richest, _) = richest?;
        if let Some(wealth) = self.wealth.get_mut(richest.at) {
            *wealth -= total;
        }
        Some(richest)
    }

    /// One of them, by weight.
    fn draw(&mut self, candidates: impl Iterator<Item = Candidate> + Clone) -> Option<Candidate> {
        let total: u64 = candidates.clone().map(|candidate| candidate.share).sum();
        self.draws = self.draws.wrapping_add(1);
        let mut drawn = self.seed.hash_one(self.draws).checked_rem(total)?;
        for candidate in candidates {
            match drawn.checked_sub(candidate.share) {
                Some(left) => drawn = left,
                None => return Some(candidate),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(weights: &[u32]) -> Vec<Candidate> {
        let candidate = |(at, weight): (usize, &u32)| Candidate {
            at,
            share: u64::from(*weight) * WEIGHT_UNIT,
            weight: *weight,
            load: 0,
            hash: hash(format!("192.0.2.{at}:80").as_bytes()),
        };
        weights.iter().enumerate().map(candidate).collect()
    }

    /// Takes `count` turns; whoever is chosen carries one more.
    fn play(balance: &Balance, candidates: &mut [Candidate], count: usize) -> Vec<usize> {
        let mut turns = Turns::new(candidates.len());
        let play = |_| {
            let at = choose(balance, None, candidates, &mut turns).unwrap().at;
            candidates[at].load += 1;
            at
        };
        (0..count).map(play).collect()
    }

    #[test]
    fn turns_are_in_proportion_and_evenly_mixed() {
        let play = |weights: &[u32], count| play(&Balance::RoundRobin, &mut candidates(weights), count);
        assert_eq!(play(&[1, 1, 1], 4), [0, 1, 2, 0]);
        assert_eq!(play(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(play(&[200, 100], 3), [0, 1, 0]);
    }

    #[test]
    fn the_turns_of_a_server_that_is_out_are_shared_by_the_others() {
        let all = candidates(&[1, 1, 1]);
        let mut turns = Turns::new(3);
        let two = [all[1], all[2]];
        let mut count = [0; 3];
        for _ in 0..100 {
            count[choose(&Balance::RoundRobin, None, &two, &mut turns).unwrap().at] += 1;
        }
        assert_eq!(count, [0, 50, 50]);
    }

    #[test]
    fn least_connections_are_in_proportion_to_weights() {
        let mut three = candidates(&[1, 1, 2]);
        three[0].load = 10;
        play(&Balance::LeastConnections, &mut three, 30);
        let loads: Vec<u32> = three.iter().map(|candidate| candidate.load).collect();
        assert_eq!(loads, [10, 10, 20]);
    }

    #[test]
    fn of_two_at_random_the_one_with_less() {
        let mut ten = candidates(&[1; 10]);
        play(&Balance::RandomTwo, &mut ten, 10_000);
        // By chance alone they would be some 30 from 1,000 and now and then 100 (the power of two choices).
        for candidate in &ten {
            assert!(candidate.load.abs_diff(1_000) < 25, "{ten:?}");
        }
        let mut unequal = candidates(&[1, 3]);
        play(&Balance::RandomTwo, &mut unequal, 4_000);
        assert!(unequal[0].load.abs_diff(1_000) < 100, "{unequal:?}");
    }

    #[test]
    fn a_key_keeps_its_server_and_a_lost_server_moves_only_its_own() {
        for servers in [2, 3, 5, 10] {
            let all = candidates(&vec![1; servers]);
            let rest = &all[..servers - 1];
            let mut turns = Turns::new(servers);
            let mut at = |key, candidates: &[Candidate]| {
                choose(&Balance::IpHash, Some(key), candidates, &mut turns).unwrap().at
            };
            let mut moved = 0;
            for key in 0..4_000 {
                let key = hash(format!("room-{key}").as_bytes());
                let before = at(key, &all);
                assert_eq!(before, at(key, &all));
                if before != at(key, rest) {
                    assert_eq!(before, servers - 1, "{key} moved though its server stayed");
                    moved += 1;
                }
            }
            let share = f64::from(moved) / 4_000.0;
            assert!((share - 1.0 / servers as f64).abs() < 0.05, "{servers}: {share}");
        }
    }

    #[test]
    fn keys_follow_weights() {
        let two = candidates(&[1, 3]);
        let mut turns = Turns::new(2);
        let first = (0..4_000u64)
            .filter(|key| choose(&Balance::IpHash, Some(*key), &two, &mut turns).unwrap().at == 0)
            .count();
        assert!(first.abs_diff(1_000) < 150, "{first}");
    }

    #[test]
    fn of_none_there_is_none() {
        let mut turns = Turns::new(0);
        for balance in [Balance::RoundRobin, Balance::LeastConnections, Balance::RandomTwo] {
            assert!(choose(&balance, None, &[], &mut turns).is_none());
            assert!(choose(&balance, Some(1), &[], &mut turns).is_none());
        }
    }
}
