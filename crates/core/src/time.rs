//! Time as the protocol sees it: two clocks read together, never one.
//!
//! `CLOCK_BOOTTIME` counts through suspend but may be slewed by NTP; `CLOCK_MONOTONIC_RAW` is never slewed but
//! stops in suspend. A holder counts with whichever ran faster, a voter with whichever ran slower, so
//! that suspend or slewing can only shorten a belief and lengthen a promise (lease.md V7, H3).

use std::time::Duration;

/// One reading of both clocks, in nanoseconds since an origin of this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `CLOCK_BOOTTIME`, nanoseconds. Also the clock that timers are set on.
    pub boot: u64,
    /// `CLOCK_MONOTONIC_RAW`, nanoseconds.
    pub raw: u64,
}

impl Stamp {
    /// The stamp that both clocks show `span` after this one, if neither is disturbed.
    #[must_use]
    pub fn plus(self, span: Duration) -> Stamp {
        let ns = nanos(span);
        Stamp { boot: self.boot.saturating_add(ns), raw: self.raw.saturating_add(ns) }
    }

    /// True as soon as *either* clock has reached `deadline`: how a holder counts (H3).
    #[must_use]
    pub fn any_past(self, deadline: Stamp) -> bool {
        self.boot >= deadline.boot || self.raw >= deadline.raw
    }

    /// True once *both* clocks have reached `deadline`: how a voter counts (V7).
    #[must_use]
    pub fn both_past(self, deadline: Stamp) -> bool {
        self.boot >= deadline.boot && self.raw >= deadline.raw
    }

    /// The stamp that both clocks have reached once they have reached both of these.
    #[must_use]
    pub fn later(self, other: Stamp) -> Stamp {
        Stamp { boot: self.boot.max(other.boot), raw: self.raw.max(other.raw) }
    }

    /// Time since `earlier`, by the clock that ran faster; zero if `earlier` lies ahead.
    #[must_use]
    pub fn longest_since(self, earlier: Stamp) -> Duration {
        let boot = self.boot.saturating_sub(earlier.boot);
        let raw = self.raw.saturating_sub(earlier.raw);
        Duration::from_nanos(boot.max(raw))
    }

    /// Time left until both clocks reach `deadline`: the voter's view of what it still owes.
    #[must_use]
    pub fn longest_until(self, deadline: Stamp) -> Duration {
        deadline.longest_since(self)
    }

    /// The boot-clock instant (nanoseconds) at which both clocks will have reached `deadline`, were they undisturbed.
    #[must_use]
    pub fn wake_for(self, deadline: Stamp) -> u64 {
        self.boot.saturating_add(nanos(self.longest_until(deadline)))
    }

    /// The boot-clock instant (nanoseconds) at which the *first* clock will have reached `deadline`, were they undisturbed:
    /// when a holder has to look again. A boot clock that is being slewed would wake it late.
    #[must_use]
    pub fn wake_before(self, deadline: Stamp) -> u64 {
        let left = deadline.boot.saturating_sub(self.boot).min(deadline.raw.saturating_sub(self.raw));
        self.boot.saturating_add(left)
    }
}

/// Whole nanoseconds of `span`; five centuries are enough for anybody.
#[must_use]
pub fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspend_ends_a_belief_and_lengthens_a_promise() {
        let granted = Stamp { boot: 10, raw: 10 };
        let deadline = granted.plus(Duration::from_nanos(100));
        let after_suspend = Stamp { boot: 500, raw: 20 };
        assert!(after_suspend.any_past(deadline), "the holder must count the suspend");
        assert!(!after_suspend.both_past(deadline), "the voter must not");
        assert_eq!(after_suspend.longest_until(deadline), Duration::from_nanos(90));
    }
}
