//! What the volumes of a group want of its set of whole copies, as its lease client puts it together (D0): a node counts when it
//! has all that every volume has acknowledged.
//!
//! Each volume asks with a number, and goes on waiting for every copy that it has asked for until it hears that a later wish was
//! taken in ([`crate::Input::AckSet`]). So the set that follows from the last wishes never has a copy in it for which one
//! of the volumes does not wait, however long the way between the two programs is (decision 0039).

use crate::fault::{VolumeFault, taken_out};
use hotspare_core::lease::DataConfig;
use hotspare_core::{Epoch, NodeSet};
use std::collections::BTreeMap;

/// One volume, by what was heard from its program.
#[derive(Clone, Debug)]
struct One {
    data: DataConfig,
    /// In this tenure it wants these copies; how many wishes there were before.
    wish: Option<(Epoch, u64, NodeSet)>,
}

/// Nobody can promote a copy without its program.
const GONE: One = One { data: DataConfig { born_here: false, fit: false }, wish: None };

/// The volumes of a group, by name.
#[derive(Clone, Debug)]
pub struct Wishes(BTreeMap<String, One>);

impl Wishes {
    /// Nothing was heard of `volumes` yet.
    #[must_use]
    pub fn of<'a>(volumes: impl IntoIterator<Item = &'a str>) -> Wishes {
        Wishes(volumes.into_iter().map(|name| (name.to_owned(), GONE)).collect())
    }

    /// There is a new program that has `volume`, and it says what the copy here is worth. It knows of no wish: until it asks, what
    /// counts stays as it is for this volume. False: there is no such volume.
    pub fn attach(&mut self, volume: &str, data: DataConfig) -> bool {
        self.0.get_mut(volume).map(|one| *one = One { data, ..GONE }).is_some()
    }

    /// The same program says what the copy is worth now. False: there is no such volume.
    pub fn worth(&mut self, volume: &str, data: DataConfig) -> bool {
        self.0.get_mut(volume).map(|one| one.data = data).is_some()
    }

    /// It is gone.
    pub fn gone(&mut self, volume: &str) {
        self.attach(volume, GONE.data);
    }

    /// It wants these copies; `number` is higher with each wish.
    pub fn wish(&mut self, volume: &str, epoch: Epoch, number: u64, set: NodeSet) {
        if let Some(one) = self.0.get_mut(volume) {
            one.wish = Some((epoch, number, set));
        }
    }

    /// What this node's copies are worth together: a node leads with all of them or with none.
    #[must_use]
    pub fn data(&self) -> DataConfig {
        DataConfig {
            born_here: self.0.values().all(|one| one.data.born_here),
            fit: self.0.values().all(|one| one.data.fit),
        }
    }

    /// The first volume, by name, whose copy here cannot be promoted.
    #[must_use]
    pub fn unfit(&self) -> Option<&str> {
        self.0.iter().find(|(_, one)| !one.data.fit).map(|(name, _)| name.as_str())
    }

    /// The set to ask the voters for in `epoch`, where they have chosen `chosen` last; `None`: nobody has asked yet.
    #[must_use]
    pub fn wanted(&self, epoch: Epoch, chosen: NodeSet) -> Option<NodeSet> {
        let wishes = || self.0.values().map(|one| one.wish.filter(|wish| wish.0 == epoch).map(|(_, _, set)| set));
        if taken_out(VolumeFault::OneWishIsEnough) {
            return wishes().flatten().reduce(|all, set| all.union(&set));
        }
        wishes().any(|wish| wish.is_some()).then(|| {
            let all = |node: &_| wishes().all(|wish| wish.unwrap_or(chosen).contains(*node));
            NodeSet::of(wishes().flatten().next().iter().flat_map(NodeSet::iter).filter(all)).expect("a part of a set")
        })
    }

    /// What `volume` is to be told where a write must be on `acks` (D1): the last of its wishes that was taken in, and who must have
    /// its writes. Whom it has asked for is among them: the others may ask for the same at any moment.
    #[must_use]
    pub fn answer(&self, volume: &str, epoch: Epoch, acks: NodeSet) -> (u64, NodeSet) {
        match self.0.get(volume).and_then(|one| one.wish).filter(|wish| wish.0 == epoch) {
            Some((_, number, _)) if taken_out(VolumeFault::OwnWishIsForgotten) => (number, acks),
            Some((_, number, set)) => (number, acks.union(&set)),
            None => (0, acks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_core::NodeId;

    const NOW: Epoch = Epoch(7);

    fn set(nodes: &[u64]) -> NodeSet {
        NodeSet::of(nodes.iter().copied().map(NodeId)).unwrap()
    }

    #[test]
    fn a_copy_counts_when_all_volumes_want_it() {
        let mut wishes = Wishes::of(["data", "wal"]);
        assert_eq!(wishes.wanted(NOW, set(&[1, 2])), None);
        wishes.wish("data", NOW, 1, set(&[1, 2, 3]));
        assert_eq!(wishes.wanted(NOW, set(&[1, 2])), Some(set(&[1, 2])), "the other has not asked: as it is");
        wishes.wish("wal", NOW, 1, set(&[1, 3]));
        assert_eq!(wishes.wanted(NOW, set(&[1, 2])), Some(set(&[1, 3])));
        assert_eq!(wishes.wanted(NOW.next(), set(&[1, 2])), None, "that was in another tenure");
        wishes.gone("wal");
        assert_eq!(wishes.wanted(NOW, set(&[1])), Some(set(&[1])), "nobody comes in without its word");
    }

    #[test]
    fn a_volume_waits_for_whom_it_asked_for_until_it_asks_for_less() {
        let mut wishes = Wishes::of(["data", "wal"]);
        assert_eq!(wishes.answer("data", NOW, set(&[1])), (0, set(&[1])));
        wishes.wish("data", NOW, 4, set(&[1, 2]));
        assert_eq!(wishes.answer("data", NOW, set(&[1])), (4, set(&[1, 2])));
        assert_eq!(wishes.answer("wal", NOW, set(&[1])), (0, set(&[1])));
        wishes.wish("data", NOW, 5, set(&[1]));
        assert_eq!(wishes.answer("data", NOW, set(&[1, 3])), (5, set(&[1, 3])));
        assert_eq!(wishes.answer("data", NOW.next(), set(&[1])), (0, set(&[1])));
    }

    #[test]
    fn a_node_is_fit_with_all_of_its_copies() {
        let [none, both] = [false, true].map(|yes| DataConfig { born_here: yes, fit: yes });
        let mut wishes = Wishes::of(["data", "wal"]);
        assert!(wishes.attach("data", both) && !wishes.attach("dat", both));
        assert_eq!((wishes.data(), wishes.unfit()), (none, Some("wal")));
        wishes.attach("wal", both);
        assert_eq!((wishes.data(), wishes.unfit()), (both, None));
        wishes.wish("wal", NOW, 1, set(&[1]));
        wishes.worth("wal", both);
        assert_eq!(wishes.answer("wal", NOW, set(&[2])).0, 1, "the same program: its wish stays");
        wishes.gone("data");
        assert_eq!(wishes.data(), none);
    }
}
