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
