//! One ballot on its way through the voters: promises first, then one value.

use crate::ballot::{Ballot, Value};
use crate::fault::{Fault, taken_out};
use crate::id::NodeId;
use crate::time::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// F3: how many voters `answers` stand for. Only one of two voters ever gives credit for the other, so that one live answer meets every earlier majority.
pub(super) fn votes(answers: usize, credit: bool) -> usize {
    if answers == 1 && credit { 2 } else { answers }
}

#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub ballot: Ballot,
    promises: BTreeMap<NodeId, Option<(Ballot, Value)>>,
    refused: BTreeSet<NodeId>,
    /// The last promise counts for two (F3).
    credit: bool,
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
        Proposal { ballot, promises, refused, credit: false, accept: None, next_send: now, began: now }
    }

    pub fn on_promise(&mut self, from: NodeId, accepted: Option<(Ballot, Value)>, credit: bool) {
        self.credit = credit;
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
        if votes(self.promises.len(), self.credit) < majority || self.is_stale(now, lease) {
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
    pub fn on_accepted(&mut self, from: NodeId, lease: Duration, credit: bool, majority: usize) -> Option<Duration> {
        let accept = self.accept.as_mut()?;
        let again = accept.acks.insert(from, lease).is_some();
        let twice = usize::from(again && taken_out(Fault::VotesCountTwice));
        (votes(accept.acks.len(), credit) + twice >= majority)
            .then(|| accept.acks.values().copied().min().expect("not empty"))
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
        proposal.on_promise(NodeId(3), None, false);
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
        proposal.on_promise(NodeId(2), Some((ballot(3), value(5))), false);
        assert_eq!(proposal.promised_by(2, now, lease), None);
        proposal.on_promise(NodeId(3), Some((ballot(4), value(2))), false);
        assert_eq!(proposal.promised_by(2, now, lease), Some(Some(value(2))), "by ballot, not by epoch");
        assert_eq!(proposal.on_accepted(NodeId(2), lease, false, 2), None, "nothing was proposed");
        proposal.propose(value(6), now);
        assert_eq!(proposal.on_accepted(NodeId(2), lease, false, 2), None);
        assert_eq!(proposal.on_accepted(NodeId(2), lease, false, 2), None, "twice is once");
        assert_eq!(proposal.on_accepted(NodeId(3), lease / 2, false, 2), Some(lease / 2));
    }

    #[test]
    fn promises_count_for_one_lease() {
        let (lease, began) = (Duration::from_secs(2), Stamp::default());
        let ballot = Ballot { counter: 1, node: NodeId(1), nonce: 0 };
        let mut proposal = Proposal::new(ballot, began);
        proposal.on_promise(NodeId(2), None, false);
        let late = began.plus(lease * 2);
        proposal.on_promise(NodeId(3), None, false);
        assert_eq!(proposal.promised_by(2, began.plus(lease / 2), lease), Some(None));
        assert_eq!(proposal.promised_by(2, late, lease), None, "H10: one of the two may have lost its register since");
        assert!(proposal.is_stale(late, lease));
    }
}
