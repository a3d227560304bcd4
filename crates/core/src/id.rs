//! Names made into numbers: nodes, groups, epochs, incarnations, and the size of a majority.

use std::fmt;

/// A node, by its name in the configuration. Reordering the file does not change it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A group, by its name in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl NodeId {
    /// The id of the node called `name`. `hotspare check` refuses two names with one id.
    #[must_use]
    pub fn of(name: &str) -> NodeId {
        NodeId(fnv1a(name.as_bytes()))
    }
}

impl GroupId {
    /// The id of the group called `name`.
    #[must_use]
    pub fn of(name: &str) -> GroupId {
        GroupId(fnv1a(name.as_bytes()))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{:04x}", self.0 & 0xffff)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{:04x}", self.0 & 0xffff)
    }
}

/// The number of a holder's tenure: the fencing token. It only grows and is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.checked_add(1).expect("epochs do not run out"))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which life of a node a lease belongs to: a boot of the host and one acquisition in it (lease.md 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// A digest of the host's boot id.
    pub boot: u64,
    /// Random, new for every acquisition.
    pub nonce: u64,
}

/// The smallest number of `voters` that any two sets of that size share a member of.
#[must_use]
pub fn majority(voters: usize) -> usize {
    assert!(voters > 0, "a cluster without voters decides nothing");
    voters / 2 + 1
}

/// FNV-1a, 64 bits: stable across releases, because ids are stored in registers.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_majorities_meet() {
        for voters in 1..9 {
            assert!(2 * majority(voters) > voters, "{voters} voters");
        }
    }

    #[test]
    fn ids_are_stable() {
        // Stored in register files: a change here needs a new register version.
        assert_eq!(NodeId::of("alpha").0, 0x8ac6_25bb_85ed_202b);
        assert_ne!(NodeId::of("alpha"), NodeId::of("beta"));
    }
}
