//! One number in, every time out: the grid of twelfths of lease.md section 5.
//!
//! ```text
//!  0        4/12  5  6  7     8/12       9/12     10/12    U=0.905      12/12
//!  |---------|----|--|--|------|----------|---------|---------|-----------|
//!  sent     renew  retries   begin stop  kill   self-fence  nothing runs  voters may grant
//! ```

use std::time::Duration;

/// The bound on how far two clocks may run apart, in percent (rho of lease.md 3).
pub const RHO_PERCENT: u32 = 5;
/// The shortest lease on offer.
pub const LEASE_MIN: Duration = Duration::from_millis(500);
/// The longest lease on offer.
pub const LEASE_MAX: Duration = Duration::from_secs(60);
/// What a group gets that says nothing: a power cut costs at most this, plus the start of the service.
pub const BUDGET_DEFAULT: Duration = Duration::from_secs(2);

/// Every time of a group, derived from its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// L: how long a voter promises.
    pub lease: Duration,
}

impl Timetable {
    /// The timetable for a lease of `lease`.
    #[must_use]
    pub fn new(lease: Duration) -> Timetable {
        assert!((LEASE_MIN..=LEASE_MAX).contains(&lease), "lease {lease:?} outside {LEASE_MIN:?}..{LEASE_MAX:?}");
        Timetable { lease }
    }

    /// The timetable whose worst power cut fits `budget`: one lease and a tenth of it for the vote and the jobs.
    /// `None` when the lease that follows is not on offer.
    #[must_use]
    pub fn for_budget(budget: Duration) -> Option<Timetable> {
        let lease = Duration::from_millis(u64::try_from(budget.as_millis()).ok()? * 10 / 11);
        (LEASE_MIN..=LEASE_MAX).contains(&lease).then(|| Timetable::new(lease))
    }

    fn twelfths(self, n: u32) -> Duration {
        self.lease * n / 12
    }

    /// A twelfth of the lease: the grid, the time between two tries.
    #[must_use]
    pub fn step(self) -> Duration {
        self.twelfths(1)
    }

    /// When, after the last good round was sent, attempt `n` (0 = the renewal, 1.. = retries) goes out: on the grid, and
    /// four times as often in the step in which the addresses are off already, so that a cut that ends there restarts
    /// nothing. `None`: there are no more.
    #[must_use]
    pub fn attempt(self, n: u32) -> Option<Duration> {
        match n {
            0..=4 => Some(self.twelfths(4 + n)),
            5..=7 => Some(self.begin_stop() + self.step() * (n - 4) / 4),
            _ => None,
        }
    }

    /// The reversible step: the address drops traffic.
    #[must_use]
    pub fn begin_stop(self) -> Duration {
        self.twelfths(8)
    }

    /// The irreversible step: everything in the group's slice is killed.
    #[must_use]
    pub fn kill(self) -> Duration {
        self.twelfths(9)
    }

    /// The last step: something is left, the machine reboots.
    #[must_use]
    pub fn self_fence(self) -> Duration {
        self.twelfths(10)
    }

    /// How much is left of a lease, by a voter's clock, when its holder has killed what it ran and had its last try to renew.
    #[must_use]
    pub fn nearly_over(self) -> Duration {
        self.step() * 5 / 2
    }

    /// U: a holder believes in its lease until this long after it sent the round that was granted (H2).
    #[must_use]
    pub fn believed(self) -> Duration {
        self.lease * (100 - RHO_PERCENT) / (100 + RHO_PERCENT)
    }

    /// How long after its start a voter that lost its memory may still owe a lease (lease.md 4.4).
    #[must_use]
    pub fn quarantine(self) -> Duration {
        self.lease * (100 + 2 * RHO_PERCENT) / 100
    }

    /// How often a candidate reads the voters and repeats what it parked there.
    #[must_use]
    pub fn read_every(self) -> Duration {
        self.twelfths(2)
    }

    /// How often candidates tell each other whether they are ready: as often as a holder renews, so that one wake-up does for both.
    #[must_use]
    pub fn hello_every(self) -> Duration {
        self.twelfths(4)
    }

    /// Whole seconds that the kernel keeps an address that nobody renews: a backstop, not the rule.
    #[must_use]
    pub fn address_lifetime(self) -> Duration {
        Duration::from_secs(self.lease.as_secs() + u64::from(self.lease.subsec_nanos() > 0) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_in_order_and_the_last_leaves_room() {
        for ms in [500, 1000, 1818, 2000, 5000, 60_000] {
            let t = Timetable::new(Duration::from_millis(ms));
            let steps = [
                t.attempt(0).unwrap(),
                t.attempt(1).unwrap(),
                t.attempt(2).unwrap(),
                t.attempt(3).unwrap(),
                t.begin_stop(),
                t.attempt(5).unwrap(),
                t.attempt(7).unwrap(),
                t.kill(),
                t.self_fence(),
                t.believed(),
                t.lease,
            ];
            assert!(steps.is_sorted_by(|a, b| a < b), "{steps:?}");
            assert_eq!(t.attempt(4), Some(t.begin_stop()));
            assert_eq!(t.attempt(8), None);
            // The whole argument: the slowest holder's belief ends before the fastest voter's promise does.
            assert!(t.believed() * (100 + RHO_PERCENT) <= t.lease * (100 - RHO_PERCENT));
        }
    }

    #[test]
    fn the_whole_table_of_a_lease_of_1200_ms() {
        let ms = Duration::from_millis;
        let t = Timetable::new(ms(1200));
        let attempts: Vec<Option<Duration>> = (0..9).map(|n| t.attempt(n)).collect();
        let wanted = [400, 500, 600, 700, 800, 825, 850, 875].map(|at| Some(ms(at)));
        assert_eq!(attempts, [&wanted[..], &[None]].concat());
        assert_eq!([t.step(), t.begin_stop(), t.kill(), t.self_fence()], [100, 800, 900, 1000].map(ms));
        assert_eq!([t.quarantine(), t.read_every(), t.hello_every()], [1320, 200, 400].map(ms));
        assert_eq!(t.believed().as_micros(), 1_085_714);
        let lifetime = |lease| Timetable::new(ms(lease)).address_lifetime().as_secs();
        assert_eq!([500, 1000, 1818, 2000].map(lifetime), [2, 2, 3, 3], "whole seconds, and one to spare");
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn a_lease_that_is_not_on_offer() {
        let _ = Timetable::new(Duration::from_millis(499));
    }

    #[test]
    fn budgets() {
        assert_eq!(Timetable::for_budget(Duration::from_secs(67)), None);
        assert_eq!(Timetable::for_budget(Duration::from_secs(66)).unwrap().lease, LEASE_MAX);
        assert_eq!(Timetable::for_budget(BUDGET_DEFAULT).unwrap().lease, Duration::from_millis(1818));
        assert_eq!(Timetable::for_budget(Duration::from_millis(550)).unwrap().lease, Duration::from_millis(500));
        assert_eq!(Timetable::for_budget(Duration::from_millis(540)), None);
    }
}
