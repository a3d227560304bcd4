//! Where the data of a group is: which nodes have every acknowledged write (lease.md 4.6). A part of the value that the
//! voters agree on, so that it needs no clock: whoever leads next was in the set that was chosen last.
//!
//! The rules, and where they are: D0 [`Copies::may_lead`] of a group without data; D1 to D4 [`crate::lease::copies`]; D5 the
//! bid and the hand-over ask [`Copies::may_lead`]; D8 [`Copies::next_tenure`]. D6, D7 and D9 are the replicas' business.

use crate::id::NodeId;

/// How many nodes may have a copy: as many as a group may have candidates.
pub const COPIES_MAX: usize = 7;

/// A set of nodes, in order; the rest is zeros.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeSet([NodeId; COPIES_MAX]);

impl NodeSet {
    /// The set of these nodes; `None` if there are too many.
    pub fn of(nodes: impl IntoIterator<Item = NodeId>) -> Option<NodeSet> {
        let all: std::collections::BTreeSet<NodeId> = nodes.into_iter().collect();
        let mut set = NodeSet::default();
        if all.len() > COPIES_MAX {
            return None;
        }
        for (place, node) in set.0.iter_mut().zip(all) {
            *place = node;
        }
        Some(set)
    }

    /// The set of one node.
    #[must_use]
    pub fn only(node: NodeId) -> NodeSet {
        NodeSet::of([node]).expect("one is not too many")
    }

    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.iter().any(|member| member == node)
    }

    pub fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.iter().copied().filter(|node| *node != NodeId::default())
    }

    /// The nodes of both.
    #[must_use]
    pub fn union(&self, other: &NodeSet) -> NodeSet {
        NodeSet::of(self.iter().chain(other.iter())).expect("both are of one group's candidates")
    }
}

impl std::fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Which copies of a group's data are whole. The default is a group without data, which any candidate may lead (D0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copies {
    /// Names the data since its birth, or since an operator gave some of it up; 0: there is none.
    pub generation: u64,
    /// Grows by one with every change of the set under one holder.
    pub rev: u64,
    /// These nodes have every write that was acknowledged.
    pub insync: NodeSet,
}

impl Copies {
    /// The data is born on this node; `generation` is random.
    #[must_use]
    pub fn born(generation: u64, on: NodeId) -> Copies {
        Copies { generation: generation.max(1), rev: 0, insync: NodeSet::only(on) }
    }

    /// D0, D5: whether `node` has all that was acknowledged.
    #[must_use]
    pub fn may_lead(&self, node: NodeId) -> bool {
        self.generation == 0 || self.insync.contains(node)
    }

    /// D8, H5: what the next tenure begins with, whether it was handed over or taken. The set stays: every node in it has all that
    /// was acknowledged so far, and nothing more is acknowledged without all of it until the voters have agreed on less. (A node
    /// that takes over and cannot start must not shut out the others: decision 0018.)
    #[must_use]
    pub fn next_tenure(&self) -> Copies {
        Copies { rev: 0, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_ordered_and_bounded() {
        let [a, b] = [NodeId(7), NodeId(3)];
        assert_eq!(NodeSet::of([a, b, a]), NodeSet::of([b, a]), "no order, nothing twice");
        assert_eq!(NodeSet::of((1..=7).map(NodeId)).map(|set| set.iter().count()), Some(7));
        assert_eq!(NodeSet::of((1..=8).map(NodeId)), None);
        assert!(NodeSet::only(a).union(&NodeSet::only(b)).contains(b));
        assert!(!NodeSet::default().contains(NodeId::default()), "zeros are nobody");
    }

    #[test]
    fn only_a_whole_copy_leads_and_a_new_tenure_begins_with_the_same_set() {
        let [a, b] = [NodeId(1), NodeId(2)];
        assert!(Copies::default().may_lead(a), "no data, no rule");
        let both = Copies { generation: 9, rev: 4, insync: NodeSet::of([a, b]).unwrap() };
        assert!(both.may_lead(a) && both.may_lead(b) && !Copies::born(9, a).may_lead(b));
        assert_eq!(both.next_tenure(), Copies { rev: 0, ..both });
        assert_eq!(Copies::born(0, a).generation, 1, "0 means that there is none");
    }
}
