//! I1: at most one value is ever chosen for an epoch, and values are chosen in the order of their epochs (lease.md 4.10;
//! CASPaxos, Rystsov 2018). Holds whatever the clocks do.

use hotspare_core::{Ballot, Copies, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Who accepted what, and what has been chosen.
#[derive(Debug, Default)]
pub struct Ledger {
    accepted: BTreeMap<Ballot, (Value, BTreeSet<usize>)>,
    chosen: BTreeMap<Ballot, Value>,
    /// When each was chosen, in true time.
    when: Vec<(u64, Copies)>,
}

impl Ledger {
    /// Notes that `voter` said it accepted `value` under `ballot`.
    pub fn note(&mut self, (voter, now): (usize, u64), ballot: Ballot, value: Value, majority: usize) {
        let (known, voters) = self.accepted.entry(ballot).or_insert_with(|| (value, BTreeSet::new()));
        assert!(*known == value, "chosen_once: {ballot:?} carries {known:?} and {value:?}");
        voters.insert(voter);
        if voters.len() >= majority && self.chosen.insert(ballot, value).is_none() {
            self.when.push((now, value.copies));
            self.check();
        }
    }

    fn check(&self) {
        for ((one_ballot, one), (other_ballot, other)) in self.chosen.iter().zip(self.chosen.iter().skip(1)) {
            let later = other.is_of(one) && other.copies.rev > one.copies.rev;
            let follows = one == other || other.epoch > one.epoch || later;
            assert!(follows, "chosen_once: {one:?} ({one_ballot:?}), then {other:?} ({other_ballot:?})");
        }
    }

    /// Whether the tenure of `value` has been chosen, under one ballot: a majority put together from two is none.
    #[must_use]
    pub fn is_chosen(&self, value: Value) -> bool {
        self.chosen.values().any(|chosen| chosen.is_of(&value))
    }

    /// The copies that were the newest at some time since `since`.
    pub fn copies_since(&self, since: u64) -> impl Iterator<Item = &Copies> {
        let last_before = self.when.iter().rposition(|(when, _)| *when < since).unwrap_or(0);
        self.when[last_before..].iter().map(|(_, copies)| copies)
    }

    /// Nobody holds what was not chosen.
    pub fn check_holds(&self, value: Value) {
        assert!(self.is_chosen(value), "chosen_once: {value:?} is held and was not chosen");
    }

    /// The value chosen under the highest ballot.
    #[must_use]
    pub fn newest(&self) -> Option<Value> {
        self.chosen.values().next_back().copied()
    }
}
