//! Which ranges are being worked on: requests that overlap go one after the other, in the order in which they came (R8).

use crate::geometry::Range;
use std::collections::VecDeque;

/// Ranges that are held, and requests that wait for some of them.
#[derive(Clone, Debug)]
pub struct Locks<K> {
    held: Vec<(K, Range)>,
    waiting: VecDeque<(K, Range)>,
}

impl<K> Default for Locks<K> {
    fn default() -> Locks<K> {
        Locks { held: Vec::new(), waiting: VecDeque::new() }
    }
}

impl<K: Copy + PartialEq> Locks<K> {
    /// Asks for `range`; true: it is held from now on. Otherwise a later [`Locks::release`] returns `key`.
    pub fn take(&mut self, key: K, range: Range) -> bool {
        let taken = |(_, other): &(K, Range)| other.overlaps(&range);
        let free = !self.held.iter().any(taken) && !self.waiting.iter().any(taken);
        if free {
            self.held.push((key, range));
        } else {
            self.waiting.push_back((key, range));
        }
        free
    }

    /// Lets go of what `key` holds or waits for; returns whose turn it is now.
    pub fn release(&mut self, key: K) -> Vec<K> {
        self.release_all(|other| *other == key)
    }

    /// The same for all keys that are `meant`.
    pub fn release_all(&mut self, meant: impl Fn(&K) -> bool) -> Vec<K> {
        self.held.retain(|(key, _)| !meant(key));
        self.waiting.retain(|(key, _)| !meant(key));
        let (mut granted, mut still) = (Vec::new(), VecDeque::new());
        for (key, range) in std::mem::take(&mut self.waiting) {
            let taken = |(_, other): &(K, Range)| other.overlaps(&range);
            if self.held.iter().any(taken) || still.iter().any(taken) {
                still.push_back((key, range));
            } else {
                self.held.push((key, range));
                granted.push(key);
            }
        }
        self.waiting = still;
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_ranges_take_turns_in_the_order_they_came() {
        let mut locks = Locks::default();
        let range = |at, len| Range { at, len };
        assert!(locks.take(1, range(0, 10)));
        assert!(!locks.take(2, range(5, 10)));
        assert!(!locks.take(3, range(12, 10)), "behind the second, though the first does not touch it");
        assert!(locks.take(4, range(30, 1)));
        assert_eq!(locks.release(1), [2]);
        assert_eq!(locks.release(2), [3]);
        assert!(!locks.take(5, range(12, 1)) && !locks.take(6, range(12, 1)));
        assert_eq!(locks.release(6), [0; 0], "who stops waiting frees nobody");
        assert_eq!(locks.release(3), [5]);
    }
}
