//! The voters' record of a group, and what each node's lease client makes of it. What is simulated here is what the other simulator
//! and the models show of the real ones: at most one value is chosen per change, a change whose fate is unknown may still be
//! chosen until a newer one is, and any number of nodes may believe that they lead, for as long as they like.

use hotspare_core::{Epoch, NodeId, NodeSet};

/// What was chosen last.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub epoch: Epoch,
    pub holder: NodeId,
    pub set: NodeSet,
    /// The newest ballot that was granted: older ones come to nothing.
    ballot: u64,
}

/// A change on its way to the voters.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    Lead,
    Set(NodeSet),
}

/// What a node that leads, or believes so, knows.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub epoch: Epoch,
    chosen: NodeSet,
    wanted: NodeSet,
    /// Everything that was proposed since something was known to be chosen.
    maybe: NodeSet,
    /// Something was proposed, and its fate is not known.
    unsure: bool,
    /// A change is under way, since then.
    pub asking: Option<(u64, u64)>,
}

impl Client {
    pub fn new(epoch: Epoch, chosen: NodeSet) -> Client {
        Client { epoch, chosen, wanted: chosen, maybe: chosen, unsure: false, asking: None }
    }

    pub fn acks(&self) -> NodeSet {
        self.chosen.union(&self.wanted).union(&self.maybe)
    }

    pub fn chosen(&self) -> NodeSet {
        self.chosen
    }

    pub fn want(&mut self, set: NodeSet) {
        self.wanted = set;
    }

    /// Proposes what is wanted, if that is something new.
    pub fn propose(&mut self, ballot: u64, now: u64) -> Option<NodeSet> {
        let due = self.wanted != self.chosen || self.unsure;
        if !due || self.asking.is_some() {
            return None;
        }
        self.asking = Some((ballot, now));
        self.unsure = true;
        self.maybe = self.maybe.union(&self.wanted);
        Some(self.wanted)
    }

    /// The change with this ballot was chosen: nothing older can be any more.
    pub fn learn(&mut self, ballot: u64, set: NodeSet) {
        if self.asking.is_some_and(|(asked, _)| asked == ballot) {
            self.asking = None;
            (self.chosen, self.maybe, self.unsure) = (set, set, false);
        }
    }

    /// Its fate is unknown.
    pub fn give_up(&mut self) {
        self.asking = None;
    }
}

impl Record {
    pub fn born(on: NodeId) -> Record {
        Record { epoch: Epoch(0), holder: NodeId::default(), set: NodeSet::only(on), ballot: 0 }
    }

    /// A change of `node`, begun under `ballot` when the epoch was `seen`, arrives.
    pub fn change(&mut self, node: NodeId, ballot: u64, seen: Epoch, change: Change) -> bool {
        if ballot < self.ballot || self.epoch != seen {
            return false;
        }
        self.ballot = ballot;
        match change {
            Change::Lead if !self.set.contains(node) => return false, // D5
            Change::Lead => (self.epoch, self.holder) = (seen.next(), node),
            Change::Set(_) if self.holder != node => return false,
            Change::Set(set) => self.set = set,
        }
        true
    }
}
