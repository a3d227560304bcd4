//! A small seeded generator (splitmix64) for back-off and nonces: the core must replay from a seed.

use std::time::Duration;

/// Deterministic random numbers; the shell seeds it from the kernel, the simulator from the run's seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that will always repeat the same sequence for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        self.bits() % bound
    }

    /// A span between `low` (included) and `high` (excluded).
    pub fn span(&mut self, low: Duration, high: Duration) -> Duration {
        assert!(low < high);
        let width = crate::time::nanos(high - low);
        low + Duration::from_nanos(self.below(width))
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64_and_keeps_its_bounds() {
        // The first numbers of the reference implementation (Vigna) for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        let wanted = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([rng.bits(), rng.bits(), rng.bits()], wanted);
        let (low, high) = (Duration::from_nanos(10), Duration::from_nanos(14));
        let spans: std::collections::BTreeSet<_> = (0..200).map(|_| rng.span(low, high).as_nanos()).collect();
        assert_eq!(spans, (10..14).collect());
        let hits = (0..10_000).filter(|_| rng.one_in(10)).count();
        assert!((800..1200).contains(&hits), "{hits}");
    }
}
