//! What may differ between this copy and each other one, and how much of that is on disk.
//!
//! Before a write reaches this disk or the wire, its extent is *hot*: on disk every block of it "may differ" (write intent, R4). In
//! memory the bits are exact. An extent that has been left alone cools: the exact bits take the place of the intent, at
//! leisure. So one structure is the write-intent log and the bitmap of what a copy that is away has missed (R2).
//!
//! Invariant: what is on disk is never less than what is in memory, for every block that a write may have reached.

use crate::fault::{VolumeFault, taken_out};
use crate::geometry::{Geometry, Range};
use crate::layout;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Extents that are hot at a time: with 4 MiB each, 4 GiB of a volume are written to without another write of metadata.
pub const HOT_MAX: usize = 1024;

/// The number of a write of another session: above all numbers of this one.
const UNKNOWN: u64 = u64::MAX;

/// What is kept of one extent that is written to.
#[derive(Clone, Copy, Debug)]
struct Hot {
    /// The version of its page that has the intent.
    version: u64,
    /// Writes to it under way.
    users: u32,
    /// When it was entered last.
    used: Duration,
}

/// How far the pages with one number, one for each other copy, have got.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    wanted: u64,
    durable: u64,
    writing: bool,
    /// More is on disk than need be.
    lazy: bool,
}

/// Blocks that have to be copied, taken in order; none comes back.
#[derive(Clone, Debug, Default)]
pub struct Todo {
    words: Vec<u64>,
    /// No block is left before this extent.
    from: usize,
    /// How many are left.
    left: u64,
}

impl Todo {
    /// What is marked in `words`.
    #[must_use]
    pub fn new(words: Vec<u64>) -> Todo {
        let left = words.iter().map(|word| u64::from(word.count_ones())).sum();
        Todo { words, from: 0, left }
    }

    /// Takes the next block: its extent, and which one of it.
    pub fn take(&mut self) -> Option<(usize, u32)> {
        let extent = self.from + self.words[self.from.min(self.words.len())..].iter().position(|word| *word != 0)?;
        let block = self.words[extent].trailing_zeros();
        self.words[extent] &= self.words[extent] - 1;
        (self.from, self.left) = (extent, self.left - 1);
        Some((extent, block))
    }

    /// Whether all blocks of `mask` have yet to be copied.
    #[must_use]
    pub fn has(&self, extent: usize, mask: u64) -> bool {
        self.words.get(extent).is_some_and(|word| word & mask == mask)
    }

    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }
}

/// The bits of all other copies.
#[derive(Clone, Debug)]
pub struct Bits {
    shape: Geometry,
    hot_max: usize,
    /// By other copy, by extent.
    words: Vec<Vec<u64>>,
    /// Extents in which a block of some copy is marked: few, unless one is away.
    marked: BTreeSet<usize>,
    /// By extent: the number of the write that reached it last in this session; 0: an earlier one.
    last: Vec<u64>,
    hot: BTreeMap<usize, Hot>,
    pages: Vec<Page>,
}

impl Bits {
    /// Bits as they were read from disk; a page that could not be read is `None`: all of it may differ.
    #[must_use]
    pub fn new(shape: Geometry, peers: usize, mut read: impl FnMut(usize, usize) -> Option<Vec<u64>>) -> Bits {
        let mut words = Vec::with_capacity(peers);
        for peer in 0..peers {
            let mut all = Vec::with_capacity(shape.extents());
            for page in 0..shape.pages() {
                let found = read(peer, page);
                for place in 0..shape.page_extents.min(shape.extents() - page * shape.page_extents) {
                    let word = found.as_ref().and_then(|words| words.get(place).copied()).unwrap_or(u64::MAX);
                    all.push(word & shape.existing(page * shape.page_extents + place));
                }
            }
            words.push(all);
        }
        let pages = vec![Page::default(); shape.pages()];
        let last = vec![0; shape.extents()];
        let marked = (0..shape.extents()).filter(|extent| words.iter().any(|words| words[*extent] != 0)).collect();
        Bits { shape, hot_max: HOT_MAX, words, marked, last, hot: BTreeMap::new(), pages }
    }

    /// The same with room for so many hot extents.
    #[must_use]
    pub fn with_hot_max(self, hot_max: usize) -> Bits {
        Bits { hot_max, ..self }
    }

    #[must_use]
    pub fn of(&self, peer: usize) -> &[u64] {
        &self.words[peer]
    }

    #[must_use]
    pub fn shape(&self) -> Geometry {
        self.shape
    }

    /// How many blocks of the copy `peer` may differ.
    #[must_use]
    pub fn count(&self, peer: usize) -> u64 {
        self.words[peer].iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// What is marked of `peer`, as far as `shown` goes.
    #[must_use]
    pub fn within(&self, peer: usize, shown: &Geometry) -> Vec<u64> {
        let words = self.words[peer].iter().take(shown.extents()).enumerate();
        words.map(|(extent, word)| word & shown.existing(extent)).collect()
    }

    /// A write with this number reaches `range` now.
    pub fn mark(&mut self, range: Range, number: u64) {
        for (extent, mask) in self.shape.touched(range) {
            self.words.iter_mut().for_each(|words| words[extent] |= mask);
            self.marked.insert(extent);
            self.last[extent] = self.last[extent].max(number); // an unknown one stays unknown
        }
    }

    /// A block of the copy `peer` alone is not what it should be; `number` is the newest write there is.
    pub fn mark_one(&mut self, peer: usize, range: Range, number: u64) {
        for (extent, mask) in self.shape.touched(range) {
            self.words[peer][extent] |= mask;
            self.last[extent] = self.last[extent].max(number);
            self.marked.insert(extent);
            self.pages[extent / self.shape.page_extents].lazy = true; // on disk at leisure: it can be found again
        }
    }

    /// What another copy says may differ.
    pub fn join(&mut self, peer: usize, words: &[u64]) {
        let existing = (0..).map(|extent| self.shape.existing(extent));
        for (extent, ((word, other), existing)) in self.words[peer].iter_mut().zip(words).zip(existing).enumerate() {
            *word |= other & existing;
            if *word != 0 {
                self.marked.insert(extent);
            }
        }
    }

    /// A new tenure, or a new session with the copy that is written to. What is marked already is from before, and cannot be told by a
    /// number: here (`at` is known) it counts as old as `at`, elsewhere nothing is cleared until [`Bits::know`].
    pub fn begin_session(&mut self, at: Option<u64>) {
        self.last.fill(at.unwrap_or(UNKNOWN));
        self.hot.values_mut().for_each(|hot| hot.users = 0);
    }

    /// Nothing that is marked is younger than the write with this number.
    pub fn know(&mut self, number: u64) {
        self.last.iter_mut().filter(|last| **last == UNKNOWN).for_each(|last| *last = number);
    }

    /// This copy and `peer` both have on disk whatever the writes up to `number` made of the first `size` bytes.
    pub fn clear_up_to(&mut self, peer: usize, number: u64, size: u64) {
        let known = Geometry { size: size.min(self.shape.size), ..self.shape };
        let (last, words, pages) = (&self.last, &mut self.words, &mut self.pages);
        let mut clean = Vec::new();
        for &extent in self.marked.range(..known.extents()) {
            let word = words[peer][extent];
            if word & known.existing(extent) != 0 && last[extent] <= number {
                words[peer][extent] = word & !known.existing(extent);
                pages[extent / self.shape.page_extents].lazy = true;
            }
            if words.iter().all(|words| words[extent] == 0) {
                clean.push(extent);
            }
        }
        clean.iter().for_each(|extent| _ = self.marked.remove(extent));
    }

    /// A write to `range` is about to begin. Returns the version that each page named must have on disk first; ends with
    /// [`Bits::leave`].
    pub fn enter(&mut self, range: Range, now: Duration) -> Vec<(usize, u64)> {
        let mut needs = Vec::new();
        for (extent, _) in self.shape.touched(range) {
            let page = extent / self.shape.page_extents;
            if !self.hot.contains_key(&extent) {
                self.cool_one();
                self.pages[page].wanted += 1;
                let version = self.pages[page].wanted;
                self.hot.insert(extent, Hot { version, users: 0, used: now });
            }
            let hot = self.hot.get_mut(&extent).expect("it is there now");
            hot.users += 1;
            hot.used = now;
            if self.pages[page].durable < hot.version && !taken_out(VolumeFault::NoIntent) {
                needs.push((page, hot.version));
            }
        }
        needs
    }

    /// A write to `range` has reached this disk.
    pub fn leave(&mut self, range: Range) {
        for (extent, _) in self.shape.touched(range) {
            if let Some(hot) = self.hot.get_mut(&extent) {
                hot.users = hot.users.saturating_sub(1);
            }
        }
    }

    /// What nobody has written to since `before` cools, and what is more on disk than need be is written as it is: less is copied
    /// again after a crash.
    pub fn cool_idle(&mut self, before: Duration) {
        let idle: Vec<usize> =
            self.hot.iter().filter(|(_, hot)| hot.users == 0 && hot.used < before).map(|(extent, _)| *extent).collect();
        for extent in idle {
            self.hot.remove(&extent);
            self.pages[extent / self.shape.page_extents].lazy = true;
        }
        for page in self.pages.iter_mut().filter(|page| page.lazy && page.durable == page.wanted) {
            page.wanted += 1;
        }
    }

    /// How many blocks of what is `shown` would be copied again if this machine lost its power now: those of hot extents, and those
    /// that differ.
    #[must_use]
    pub fn after_a_crash(&self, peer: usize, shown: &Geometry) -> u64 {
        let word = |(extent, word): (usize, u64)| {
            let word = if self.hot.contains_key(&extent) { shown.existing(extent) } else { word };
            u64::from(word.count_ones())
        };
        self.within(peer, shown).into_iter().enumerate().map(word).sum()
    }

    /// Makes room for one more hot extent, if there is one that nobody writes to.
    fn cool_one(&mut self) {
        if self.hot.len() < self.hot_max {
            return;
        }
        let oldest = self.hot.iter().filter(|(_, hot)| hot.users == 0).min_by_key(|(_, hot)| hot.used);
        if let Some(extent) = oldest.map(|(extent, _)| *extent) {
            self.hot.remove(&extent);
            self.pages[extent / self.shape.page_extents].lazy = true;
        }
    }

    /// Everything cools, for a clean end: what is on disk becomes exact once [`Bits::settled`].
    pub fn cool_all(&mut self) {
        for (extent, _) in std::mem::take(&mut self.hot) {
            self.pages[extent / self.shape.page_extents].lazy = true;
        }
        for page in self.pages.iter_mut().filter(|page| page.lazy) {
            page.wanted += 1;
        }
    }

    /// Whether each page has on disk what it needs.
    #[must_use]
    pub fn met(&self, needs: &[(usize, u64)]) -> bool {
        needs.iter().all(|(page, version)| self.pages[*page].durable >= *version)
    }

    /// Nothing is left to be written.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.pages.iter().all(|page| page.durable == page.wanted)
    }

    /// Pages to be written now, with their versions; each ends with [`Bits::written`] or [`Bits::failed`].
    pub fn due(&mut self) -> Vec<(usize, u64)> {
        let due = |(at, page): (usize, &mut Page)| {
            let due = page.wanted > page.durable && !page.writing;
            due.then(|| {
                (page.writing, page.lazy) = (true, false);
                (at, page.wanted)
            })
        };
        self.pages.iter_mut().enumerate().filter_map(due).collect()
    }

    pub fn written(&mut self, page: usize, version: u64) {
        let state = &mut self.pages[page];
        (state.writing, state.durable) = (false, state.durable.max(version));
    }

    /// It did not reach the disk: it is due again.
    pub fn failed(&mut self, page: usize) {
        self.pages[page].writing = false;
    }

    /// The bytes of a page of one other copy, as they should be on disk.
    #[must_use]
    pub fn page(&self, volume: u64, peer: usize, page: usize) -> Vec<u8> {
        let first = page * self.shape.page_extents;
        let extents = first..(first + self.shape.page_extents).min(self.shape.extents());
        let hot = |extent: &usize| self.hot.contains_key(extent);
        let words = extents.map(|extent| if hot(&extent) { u64::MAX } else { self.words[peer][extent] });
        layout::page(volume, peer, page, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Geometry = Geometry { size: 64 * 512 * 4, block: 512, page_extents: 2 };

    fn extent(at: u64) -> Range {
        Range { at: at * 64 * 512, len: 512 }
    }

    fn clean() -> Bits {
        Bits::new(SHAPE, 1, |_, _| Some(vec![0; 2]))
    }

    fn write_pages(bits: &mut Bits) -> usize {
        let due = bits.due();
        due.iter().for_each(|(page, version)| bits.written(*page, *version));
        due.len()
    }

    #[test]
    fn a_page_that_cannot_be_read_means_that_all_may_differ() {
        let bits = Bits::new(SHAPE, 2, |peer, page| (peer == 0 || page == 1).then(|| vec![0; 2]));
        assert_eq!((bits.count(0), bits.count(1)), (0, 128));
    }

    #[test]
    fn an_extent_is_on_disk_before_it_is_written_to_and_stays_hot() {
        let mut bits = clean();
        let needs = bits.enter(extent(1), Duration::from_secs(1));
        assert_eq!(needs, [(0, 1)]);
        assert!(!bits.met(&needs));
        let due = bits.due();
        assert_eq!(due, [(0, 1)]);
        assert_eq!(bits.enter(extent(0), Duration::from_secs(2)), [(0, 2)], "too late for the write under way");
        assert!(bits.due().is_empty(), "one write of a page at a time");
        bits.written(0, 1);
        assert!(bits.met(&needs) && !bits.settled());
        assert_eq!(write_pages(&mut bits), 1);
        bits.leave(extent(1));
        assert!(bits.enter(extent(1), Duration::from_secs(3)).is_empty(), "hot: nothing to wait for");
        let words = layout::read_page(5, 0, 0, &bits.page(5, 0, 0)).unwrap();
        assert_eq!(words[..2], [u64::MAX; 2], "the intent is for all of the extent");
    }

    #[test]
    fn what_cools_is_written_as_it_is_and_never_under_a_write() {
        let mut bits = clean().with_hot_max(1);
        bits.enter(extent(0), Duration::from_secs(4));
        bits.mark(extent(0), 1);
        bits.enter(extent(2), Duration::from_secs(5));
        assert_eq!(bits.hot.len(), 2, "both are in use");
        bits.leave(extent(0));
        bits.leave(extent(2));
        bits.enter(extent(3), Duration::from_secs(6));
        assert!(!bits.hot.contains_key(&0), "the one that was entered first");
        bits.leave(extent(3));
        bits.cool_all();
        write_pages(&mut bits);
        assert!(bits.settled());
        let words = layout::read_page(5, 0, 0, &bits.page(5, 0, 0)).unwrap();
        assert_eq!(words[..2], [1, 0]);
    }

    #[test]
    fn what_is_left_alone_cools_and_less_is_copied_again_after_a_crash() {
        let mut bits = clean();
        bits.enter(extent(0), Duration::from_secs(1));
        bits.mark(extent(0), 1);
        bits.enter(extent(1), Duration::from_secs(5));
        bits.enter(extent(2), Duration::from_secs(1));
        bits.leave(extent(0));
        bits.leave(extent(1));
        write_pages(&mut bits);
        assert_eq!((bits.count(0), bits.after_a_crash(0, &SHAPE)), (1, 192));
        bits.cool_idle(Duration::from_secs(3));
        assert_eq!(bits.hot.keys().copied().collect::<Vec<_>>(), [1, 2], "one is too young, one is written to");
        assert_eq!(bits.after_a_crash(0, &SHAPE), 129);
        assert_eq!(bits.after_a_crash(0, &Geometry { size: 64 * 512, ..SHAPE }), 1);
        assert_eq!(write_pages(&mut bits), 1);
        let words = layout::read_page(5, 0, 0, &bits.page(5, 0, 0)).unwrap();
        assert_eq!(words[..2], [1, u64::MAX]);
        bits.cool_idle(Duration::from_secs(3));
        assert!(bits.due().is_empty(), "nothing is written twice");
    }

    #[test]
    fn blocks_to_be_copied_are_taken_in_order_and_once() {
        let mut todo = Todo::new(vec![0, 0b101, 0, 1 << 63]);
        assert_eq!(todo.left(), 3);
        assert!(todo.has(1, 0b101) && !todo.has(1, 0b111) && !todo.has(9, 1));
        assert_eq!(todo.take(), Some((1, 0)));
        assert!(!todo.has(1, 1) && todo.has(1, 0b100));
        assert_eq!([todo.take(), todo.take(), todo.take(), todo.take()], [Some((1, 2)), Some((3, 63)), None, None]);
        assert_eq!((todo.left(), Todo::default().take()), (0, None));
    }

    #[test]
    fn bits_go_when_all_writes_to_their_extent_are_on_both_disks() {
        let mut bits = clean();
        bits.mark(extent(0), 7);
        bits.mark(extent(1), 9);
        bits.clear_up_to(0, 8, SHAPE.size);
        assert_eq!(bits.of(0)[..2], [0, 1]);
        bits.begin_session(None);
        bits.mark(extent(2), 3);
        bits.clear_up_to(0, 1000, SHAPE.size);
        assert_eq!(bits.of(0)[1..3], [1, 1], "how old they are is not known");
        bits.know(12);
        bits.clear_up_to(0, 11, SHAPE.size);
        assert_eq!(bits.count(0), 2);
        bits.clear_up_to(0, 12, SHAPE.size);
        assert_eq!(bits.count(0), 0);
        bits.join(0, &[u64::MAX, 0, 0, u64::MAX]);
        assert_eq!(bits.count(0), 128);
        bits.clear_up_to(0, 12, SHAPE.size);
        assert_eq!((bits.count(0), bits.marked.len()), (0, 0), "what another copy said goes the same way");
    }

    #[test]
    fn bits_beyond_what_was_made_equal_stay() {
        let mut bits = clean();
        bits.mark(Range { at: 0, len: SHAPE.size }, 7);
        bits.clear_up_to(0, 7, 65 * 512 + 1);
        assert_eq!(
            bits.of(0),
            [0, u64::MAX << 2, u64::MAX, u64::MAX],
            "the block that it ends in was copied as a whole"
        );
        bits.clear_up_to(0, 7, u64::MAX);
        assert_eq!((bits.count(0), bits.marked.len()), (0, 0));
    }
}
