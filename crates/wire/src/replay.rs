//! A sliding window over packet counters: each is taken once, in any order, and not if it is too old (RFC 6479).

/// Remembers the last [`ReplayWindow::WIDTH`] counters.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    /// One above the highest counter taken.
    next: u64,
    seen: [u64; 16],
}

impl ReplayWindow {
    /// How far behind the newest a packet may be.
    pub const WIDTH: u64 = 16 * 64;

    /// True if `counter` was not taken before and is not too old; it is taken then.
    pub fn take(&mut self, counter: u64) -> bool {
        if counter == u64::MAX || counter + Self::WIDTH < self.next {
            return false;
        }
        while self.next <= counter {
            if counter - self.next >= Self::WIDTH {
                self.seen = [0; 16]; // a jump beyond the window: nothing of the old one remains
                self.next = counter;
            }
            self.clear(self.next);
            self.next += 1;
        }
        let (word, bit) = Self::place(counter);
        let fresh = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        fresh
    }

    fn clear(&mut self, counter: u64) {
        let (word, bit) = Self::place(counter);
        self.seen[word] &= !bit;
    }

    fn place(counter: u64) -> (usize, u64) {
        let slot = counter % Self::WIDTH;
        (usize::try_from(slot / 64).expect("below 16"), 1 << (slot % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_counter_is_taken_at_most_once(counters in proptest::collection::vec(0..5000_u64, 1..400)) {
            let (mut window, mut taken) = (ReplayWindow::default(), std::collections::BTreeSet::new());
            let mut newest = 0;
            for counter in counters {
                let fresh = window.take(counter);
                let expected = !taken.contains(&counter) && counter + ReplayWindow::WIDTH > newest;
                prop_assert_eq!(fresh, expected, "counter {} newest {}", counter, newest);
                if fresh { taken.insert(counter); newest = newest.max(counter); }
            }
        }
    }
}
