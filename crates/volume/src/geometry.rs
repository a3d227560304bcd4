//! Where a byte range lies: which blocks, which extents, which page of the metadata.
//!
//! ```text
//!  volume   |  extent 0            |  extent 1            | ...        an extent is 64 blocks: one word of a bitmap
//!           | b0 b1 b2 ... b63     | b0 ...               |            a block is what a resync copies at once (64 KiB)
//! ```

/// Blocks of an extent: the bits of a word.
pub const EXTENT_BLOCKS: u64 = 64;
/// The smallest unit of a request, in bytes.
pub const SECTOR: u64 = 512;
/// The longest write, discard or zeroing that the core takes in one piece, in blocks; frontends cut longer ones.
pub const PIECE_BLOCKS: u64 = EXTENT_BLOCKS;
/// The block of a new volume, in bytes.
pub const BLOCK: u64 = 64 * 1024;

/// Bytes of a volume, from `at` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    pub at: u64,
    pub len: u64,
}

impl Range {
    /// The byte after the last one.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at + self.len
    }

    #[must_use]
    pub fn overlaps(&self, other: &Range) -> bool {
        self.at < other.end() && other.at < self.end()
    }
}

/// The shape of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes that its user sees.
    pub size: u64,
    /// Bytes of a block: a power of two, at least a sector.
    pub block: u64,
    /// Extents whose bits share a page of the metadata.
    pub page_extents: usize,
}

impl Geometry {
    /// How many extents there are.
    #[must_use]
    pub fn extents(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.block * EXTENT_BLOCKS)).expect("bounded by the memory for its bits")
    }

    /// How many pages the bits for one other copy take.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.extents().div_ceil(self.page_extents)
    }

    /// Whether a request for `range` makes sense here.
    #[must_use]
    pub fn holds(&self, range: Range) -> bool {
        let whole = range.at.is_multiple_of(SECTOR) && range.len.is_multiple_of(SECTOR) && range.len > 0;
        whole && range.at.checked_add(range.len).is_some_and(|end| end <= self.size)
    }

    /// The extents that `range` touches, and which blocks of each.
    pub fn touched(&self, range: Range) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (first, last) = (range.at / self.block, (range.end() - 1) / self.block);
        (first / EXTENT_BLOCKS..=last / EXTENT_BLOCKS).map(move |extent| {
            let from = first.max(extent * EXTENT_BLOCKS) % EXTENT_BLOCKS;
            let to = last.min(extent * EXTENT_BLOCKS + EXTENT_BLOCKS - 1) % EXTENT_BLOCKS;
            let mask = (u64::MAX >> (EXTENT_BLOCKS - 1 - to)) & (u64::MAX << from);
            (usize::try_from(extent).expect("an extent of this volume"), mask)
        })
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    /// The bytes of the block with this number.
    #[must_use]
    pub fn block_at(&self, number: u64) -> Range {
        let at = number * self.block;
        Range { at, len: self.block.min(self.size - at) }
    }

    /// The bytes of one block; the last one may be shorter.
    #[must_use]
    pub fn block_range(&self, extent: usize, block: u32) -> Range {
        let at = (extent as u64 * EXTENT_BLOCKS + u64::from(block)) * self.block;
        Range { at, len: self.block.min(self.size - at) }
    }

    /// Which blocks of an extent exist.
    #[must_use]
    pub fn existing(&self, extent: usize) -> u64 {
        let blocks = self.size.div_ceil(self.block).saturating_sub(extent as u64 * EXTENT_BLOCKS);
        if blocks >= EXTENT_BLOCKS { u64::MAX } else { (1 << blocks) - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_bits_of_extents() {
        let shape = Geometry { size: 200 * 4096, block: 4096, page_extents: 2 };
        assert_eq!((shape.extents(), shape.pages()), (4, 2));
        let touched = |at, len| shape.touched(Range { at, len }).collect::<Vec<_>>();
        assert_eq!(touched(0, 512), [(0, 1)]);
        assert_eq!(touched(4095 - 511 + 511, 1), [(0, 1)]);
        assert_eq!(touched(62 * 4096, 4 * 4096), [(0, 3 << 62), (1, 3)]);
        assert_eq!(touched(64 * 4096, 64 * 4096), [(1, u64::MAX)]);
        assert_eq!(touched(63 * 4096 + 512, 4096), [(0, 1 << 63), (1, 1)]);
        assert_eq!(shape.existing(3), 0xff, "200 blocks are three words and eight bits");
        assert_eq!(shape.existing(0), u64::MAX);
        assert_eq!(shape.block_range(3, 7), Range { at: 199 * 4096, len: 4096 });
        assert!(shape.holds(Range { at: 199 * 4096, len: 4096 }) && !shape.holds(Range { at: 199 * 4096, len: 4608 }));
        assert!(!shape.holds(Range { at: 1, len: 512 }) && !shape.holds(Range { at: 0, len: 0 }));
        assert!(!shape.holds(Range { at: u64::MAX - 511, len: 1024 }), "no overflow");
    }
}
