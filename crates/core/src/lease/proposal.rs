//! One ballot on its way through the voters: promises first, then one value.

use crate::ballot::{Ballot, Value};
use crate::fault::{Fault, taken_out};
use crate::id::NodeId;
use crate::time::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub ballot: Ballot,
    promises: BTreeMap<NodeId, Option<(Ballot, Value)>>,
    refused: BTreeSet<NodeId>,
    pub accept: Option<AcceptPhase>,
    pub next_send: Stamp,
    pub began: Stamp,
}

/// Phase 2. The value of a ballot never changes once it was sent.
#[derive(Clone, Debug)]
pub(super) struct AcceptPhase {
    pub value: Value,
    pub first_sent: Stamp,
    acks: BTreeMap<NodeId, Duration>,
}

impl Proposal {
    pub fn new(ballot: Ballot, now: Stamp) -> Proposal {
        let (promises, refused) = (BTreeMap::new(), BTreeSet::new());
        Proposal { ballot, promises, refused, accept: None, next_send: now, began: now }
    }

    pub fn on_promise(&mut self, from: NodeId, accepted: Option<(Ballot, Value)>) {
        self.refused.remove(&from);
        self.promises.insert(from, accepted);
    }

    /// True once so many voters refused for good that no majority is left.
    pub fn on_refused(&mut self, from: NodeId, voters: usize, majority: usize) -> bool {
        self.refused.insert(from);
        voters - self.refused.len() < majority
    }

    /// H10: promises count for one lease from the first question on. A voter that loses its register counts on that
    /// when it joins again (V8).
    pub fn is_stale(&self, now: Stamp, lease: Duration) -> bool {
        self.accept.is_none() && now.any_past(self.began.plus(lease)) && !taken_out(Fault::PromisesCountForEver)
    }

    /// The value to build on, once a majority promised in time: the one accepted under the highest ballot.
    pub fn promised_by(&self, majority: usize, now: Stamp, lease: Duration) -> Option<Option<Value>> {
        if self.promises.len() < majority || self.is_stale(now, lease) {
            return None;
        }
        let newest = if taken_out(Fault::OldestValueWins) {
            self.promises.values().flatten().min_by_key(|(ballot, _)| *ballot)
        } else {
            self.promises.values().flatten().max_by_key(|(ballot, _)| *ballot)
        };
        Some(newest.map(|(_, value)| *value))
    }

    pub fn propose(&mut self, value: Value, now: Stamp) {
        assert!(self.accept.is_none(), "a ballot carries one value");
        self.accept = Some(AcceptPhase { value, first_sent: now, acks: BTreeMap::new() });
        self.refused.clear();
        self.next_send = now;
    }

    /// Counts an `Accepted`; the shortest lease among the majority once it is complete.
    pub fn on_accepted(&mut self, from: NodeId, lease: Duration, majority: usize) -> Option<Duration> {
        let accept = self.accept.as_mut()?;
        let again = accept.acks.insert(from, lease).is_some();
        let twice = usize::from(again && taken_out(Fault::VotesCountTwice));
        (accept.acks.len() + twice >= majority).then(|| accept.acks.values().copied().min().expect("not empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ballot_is_hopeless_when_no_majority_is_left() {
        let ballot = Ballot { counter: 1, node: NodeId(1), nonce: 0 };
        let mut proposal = Proposal::new(ballot, Stamp::default());
        assert!(!proposal.on_refused(NodeId(2), 5, 3));
        assert!(!proposal.on_refused(NodeId(3), 5, 3), "three of five are left");
        proposal.on_promise(NodeId(3), None);
        assert!(!proposal.on_refused(NodeId(4), 5, 3), "one has thought better of it");
        assert!(proposal.on_refused(NodeId(5), 5, 3));
        let mut three = Proposal::new(ballot, Stamp::default());
        assert!(!three.on_refused(NodeId(2), 3, 2));
        assert!(three.on_refused(NodeId(3), 3, 2));
    }

    #[test]
    fn the_newest_value_is_built_on_and_the_shortest_lease_counts_once_a_majority_is_there() {
        let life = crate::Incarnation { boot: 1, nonce: 1 };
        let value = |epoch| Value::tenure(crate::Epoch(epoch), NodeId(1), life);
        let ballot = |counter| Ballot { counter, node: NodeId(1), nonce: 0 };
        let (now, lease) = (Stamp::default(), Duration::from_secs(2));
        let mut proposal = Proposal::new(ballot(9), now);
        proposal.on_promise(NodeId(2), Some((ballot(3), value(5))));
        assert_eq!(proposal.promised_by(2, now, lease), None);
        proposal.on_promise(NodeId(3), Some((ballot(4), value(2))));
        assert_eq!(proposal.promised_by(2, now, lease), Some(Some(value(2))), "by ballot, not by epoch");
        assert_eq!(proposal.on_accepted(NodeId(2), lease, 2), None, "nothing was proposed");
        proposal.propose(value(6), now);
        assert_eq!(proposal.on_accepted(NodeId(2), lease, 2), None);
        assert_eq!(proposal.on_accepted(NodeId(2), lease, 2), None, "twice is once");
        assert_eq!(proposal.on_accepted(NodeId(3), lease / 2, 2), Some(lease / 2));
    }

    #[test]
    fn promises_count_for_one_lease() {
        let (lease, began) = (Duration::from_secs(2), Stamp::default());
        let ballot = Ballot { counter: 1, node: NodeId(1), nonce: 0 };
        let mut proposal = Proposal::new(ballot, began);
        proposal.on_promise(NodeId(2), None);
        let late = began.plus(lease * 2);
        proposal.on_promise(NodeId(3), None);
        assert_eq!(proposal.promised_by(2, began.plus(lease / 2), lease), Some(None));
        assert_eq!(proposal.promised_by(2, late, lease), None, "H10: one of the two may have lost its register since");
        assert!(proposal.is_stale(late, lease));
    }
}
