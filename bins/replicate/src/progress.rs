//! How fast copies become equal.

use crate::role::Resync;
use hotspare_core::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// What was left of each copy at the last look, and the rate since the one before.
#[derive(Default)]
pub struct Progress(BTreeMap<NodeId, (Duration, u64, u64)>);

impl Progress {
    /// Looks at what is left for each copy that is made equal; at most once a second.
    pub fn look(&mut self, now: Duration, left: &[(NodeId, u64)]) {
        self.0.retain(|node, _| left.iter().any(|(other, _)| other == node));
        for (node, left) in left {
            let seen = self.0.entry(*node).or_insert((now, *left, 0));
            let span = now.saturating_sub(seen.0);
            if *left > seen.1 {
                *seen = (now, *left, 0); // it began anew
            } else if span >= EVERY {
                let rate = u128::from(seen.1 - left) * 1000 / span.as_millis();
                *seen = (now, *left, u64::try_from(rate).unwrap_or(u64::MAX));
            }
        }
    }

    /// Where `node` stands, with `left` to go.
    pub fn of(&self, node: NodeId, left: u64) -> Resync {
        let rate = self.0.get(&node).map_or(0, |(.., rate)| *rate);
        Resync { bytes_left: left, bytes_per_second: rate, seconds_left: left.checked_div(rate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_second_or_so() {
        let (mut progress, node) = (Progress::default(), NodeId(7));
        let at = Duration::from_millis;
        progress.look(at(0), &[(node, 10_000)]);
        assert_eq!(progress.of(node, 10_000), Resync { bytes_left: 10_000, bytes_per_second: 0, seconds_left: None });
        progress.look(at(500), &[(node, 9000)]);
        assert_eq!(progress.of(node, 9000).bytes_per_second, 0, "too soon to tell");
        progress.look(at(2000), &[(node, 6000)]);
        assert_eq!(progress.of(node, 5000), Resync { bytes_left: 5000, bytes_per_second: 2000, seconds_left: Some(2) });
        progress.look(at(3500), &[(node, 6000)]);
        assert_eq!(progress.of(node, 6000).seconds_left, None, "it stands still");
        progress.look(at(4000), &[(node, 8000)]);
        assert_eq!(progress.of(node, 8000).bytes_per_second, 0, "it began anew");
        progress.look(at(5000), &[]);
        assert!(progress.0.is_empty());
    }
}
