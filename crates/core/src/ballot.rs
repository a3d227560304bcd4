//! What a register holds: a ballot (Paxos bookkeeping) and a value (who holds, in which epoch).
//!
//! The two numbers are kept apart on purpose: "epoch = ballot" is unsafe by accident (lease.md 0.2).

use crate::copies::Copies;
use crate::id::{Epoch, Incarnation, NodeId};

/// Orders proposals, lexicographically. A node never uses one ballot for two values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Higher than every counter its proposer has seen.
    pub counter: u64,
    /// The proposer.
    pub node: NodeId,
    /// Random per start of the proposer's daemon, so that a proposer needs no durable state.
    pub nonce: u64,
}

impl Default for NodeId {
    /// No node: names never hash to it (checked by `hotspare check`), so [`Ballot::default`] is below all others.
    fn default() -> NodeId {
        NodeId(0)
    }
}

/// The state of a group that the voters agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// Grows by one with every change of holder.
    pub epoch: Epoch,
    /// The node that may act.
    pub holder: NodeId,
    /// The life of that node that may act.
    pub incarnation: Incarnation,
    /// Where the data is.
    pub copies: Copies,
}

impl Value {
    /// The same tenure, whatever has become of the copies in it.
    #[must_use]
    pub fn is_of(&self, other: &Value) -> bool {
        (self.epoch, self.holder, self.incarnation) == (other.epoch, other.holder, other.incarnation)
    }

    /// The tenure of `holder` that this epoch and this life name; of its copies nothing is said.
    #[must_use]
    pub fn tenure(epoch: Epoch, holder: NodeId, incarnation: Incarnation) -> Value {
        Value { epoch, holder, incarnation, copies: Copies::default() }
    }
}
