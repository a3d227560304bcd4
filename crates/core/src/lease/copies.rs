//! Who has the data: the holder changes the set of whole copies through the voters (D1 to D4, H4), one change at a time.
//!
//! The volume asks with [`super::Input::InSync`] and acknowledges a write when every node of [`Lease::ack_set`] has it. A copy that is
//! asked to go is waited for until the voters have agreed; one that is asked to come is waited for from the question on. A
//! change that fails or whose fate is unknown is asked for again under a higher ballot, after a new phase 1: what may have been
//! chosen stays in the set until something newer is.

use super::hold::Held;
use super::{Command, DataConfig, Lease, Phase};
use crate::ballot::Value;
use crate::copies::{Copies, NodeSet};
use crate::fault::{Fault, taken_out};

/// What is wanted of the set, and what of it may be so already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// What the volume asked for last.
    set: Option<NodeSet>,
    /// Everything that was proposed since something was known to be chosen.
    maybe: NodeSet,
    /// A change was proposed and its fate is not known: it may stand at the voters.
    unsure: bool,
}

impl Held {
    /// The copies that were chosen last, as far as this daemon knows; after a restart, or when a predecessor named this node,
    /// it has to ask first.
    fn known(&self) -> Option<Copies> {
        Some(self.tenure.value.copies).filter(|copies| copies.generation != 0)
    }

    /// Whether the voters have to be asked: for what they know, or for a change.
    pub(super) fn set_is_due(&self, data: bool) -> bool {
        let unmet = |copies: Copies| self.wanted.set.is_some_and(|wanted| wanted != copies.insync);
        data && (self.wanted.unsure || self.known().is_none_or(unmet))
    }

    /// What to propose, given what a majority has promised to know nothing newer than.
    pub(super) fn next_value(&mut self, base: Value) -> Value {
        let copies = match self.wanted.set {
            Some(insync) if insync != base.copies.insync => Copies { rev: base.copies.rev + 1, insync, ..base.copies },
            _ => base.copies,
        };
        self.wanted.unsure |= copies != self.tenure.value.copies;
        self.wanted.maybe = self.wanted.maybe.union(&copies.insync).union(&base.copies.insync);
        Value { copies, ..base }
    }

    /// `value` is chosen, and with that nothing older can be any more.
    pub(super) fn set_is_chosen(&mut self, value: Value) {
        self.tenure.value = value;
        (self.wanted.maybe, self.wanted.unsure) = (value.copies.insync, false);
    }
}

impl Lease {
    /// What is known of the copy on this node has changed; only of a group that has data.
    pub(super) fn on_data(&mut self, data: DataConfig) {
        if self.config.data.is_some_and(|known| known != data) {
            self.config.data = Some(data);
            self.next_hello = self.now; // whether it is ready may have changed with it
        }
    }

    /// The volume wants these nodes, and no others, to be waited for.
    pub(super) fn on_in_sync(&mut self, set: NodeSet) {
        let sane = set.contains(self.config.me) && set.iter().all(|node| self.config.candidates.contains(&node));
        if let (Phase::Held(held), true) = (&mut self.phase, sane && self.config.data.is_some()) {
            held.wanted.set = Some(set);
            held.refresh_not_before = self.now;
        }
    }

    /// D1, D2: a write is acknowledged when each of these nodes has it. `None`: nothing may be acknowledged here.
    #[must_use]
    pub fn ack_set(&self) -> Option<NodeSet> {
        let Phase::Held(held) = &self.phase else { return None };
        let chosen = held.known()?.insync;
        let wanted = held.wanted.set.unwrap_or(chosen);
        if taken_out(Fault::OnlyChosenCounts) {
            return Some(chosen);
        }
        if taken_out(Fault::DropsAtOnce) {
            return Some(wanted);
        }
        Some(chosen.union(&wanted).union(&held.wanted.maybe))
    }

    /// The copies that the voters agreed on last, while this node holds and has heard of it.
    #[must_use]
    pub fn copies(&self) -> Option<Copies> {
        let Phase::Held(held) = &self.phase else { return None };
        held.known()
    }

    /// The newest value that any voter is known to have accepted.
    pub(super) fn newest_heard(&self) -> Option<Value> {
        let heard = self.voters.values().filter_map(|view| view.accepted.as_ref());
        heard.max_by_key(|(ballot, _)| *ballot).map(|(_, value)| *value)
    }

    /// Whether an operator has given up what `copies` names, and if so, whether this node's copy takes its place.
    fn abandoned(&self, copies: Copies) -> Option<bool> {
        let (generation, here) = self.config.abandoned?;
        (copies.generation == generation).then_some(here && self.config.data.is_some_and(|data| data.born_here))
    }

    /// D5, as far as an operator has not said otherwise.
    pub(super) fn counts(&self, copies: Copies) -> bool {
        self.abandoned(copies).unwrap_or_else(|| copies.may_lead(self.config.me)) || taken_out(Fault::AnyCopyLeads)
    }

    /// D5, H0: whether this node has a whole copy, by what the voters said last, and one that can be promoted, by what it says itself.
    pub(super) fn is_whole(&self) -> bool {
        if self.config.data.is_some_and(|data| !data.fit) {
            return false;
        }
        let born_here = self.config.data.is_none_or(|data| data.born_here);
        self.newest_heard().map_or(born_here || taken_out(Fault::AnyCopyLeads), |value| self.counts(value.copies))
    }

    /// What a bid proposes for the copies, given the newest value there is; `None`: this node may not lead (D0, D5, D8).
    pub(super) fn copies_to_bid(&mut self, current: Option<Value>) -> Option<Copies> {
        let me = self.config.me;
        match (current, self.config.data) {
            (None, None) => Some(Copies::default()),
            (None, Some(data)) if data.born_here => Some(Copies::born(self.rng.bits(), me)),
            (None, Some(_)) => None,
            (Some(value), _) => match (self.counts(value.copies), self.abandoned(value.copies)) {
                (false, _) => None,
                (true, None) => Some(value.copies.next_tenure()),
                (true, Some(_)) => Some(Copies::born(self.rng.bits(), me)),
            },
        }
    }

    /// Tells the volume what is chosen.
    pub(super) fn tell_copies(&mut self) {
        self.out.extend(self.copies().map(Command::Copies));
    }
}
