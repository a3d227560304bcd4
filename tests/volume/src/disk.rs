//! A disk with a volatile cache. What was written and not flushed may be lost when the power goes, each sector on its own; a
//! write that is under way then may be torn. Metadata is written through, and may be torn as well.

use hotspare_core::rng::Rng;
use hotspare_volume::geometry::SECTOR;
use hotspare_volume::{Range, layout};

/// What a sector holds: the request that wrote it last; 0: nothing yet.
pub type Cell = u64;

#[derive(Clone, Debug)]
pub struct Disk {
    /// As it is read.
    pub cells: Vec<Cell>,
    /// What is there if the power goes and the cache is lost.
    platter: Vec<Cell>,
    /// Which write of this disk reached each sector in the cache last; 0: it is on the platter.
    cached: Vec<u64>,
    /// Up to which write what was written to a sector is on the platter.
    safe: Vec<u64>,
    writes: u64,
    pub meta: Vec<u8>,
}

pub fn sectors(range: Range) -> std::ops::Range<usize> {
    usize::try_from(range.at / SECTOR).expect("small")..usize::try_from(range.end() / SECTOR).expect("small")
}

impl Disk {
    pub fn new(size: u64, meta: u64) -> Disk {
        let cells = vec![0; usize::try_from(size / SECTOR).expect("small")];
        let meta = vec![0; usize::try_from(meta).expect("small")];
        Disk { platter: cells.clone(), cached: cells.clone(), safe: cells.clone(), writes: 0, cells, meta }
    }

    /// What is on the platter before anything begins.
    pub fn fill(&mut self, range: Range, cell: Cell) {
        sectors(range).for_each(|at| (self.cells[at], self.platter[at]) = (cell, cell));
    }

    pub fn read(&self, range: Range) -> Vec<Cell> {
        self.cells[sectors(range)].to_vec()
    }

    pub fn write(&mut self, range: Range, data: &[Cell], durable: bool) {
        self.writes += 1;
        let now = self.writes;
        for (at, cell) in sectors(range).zip(data) {
            self.cells[at] = *cell;
            if durable {
                (self.platter[at], self.cached[at], self.safe[at]) = (*cell, 0, now);
            } else {
                self.cached[at] = now;
            }
        }
    }

    /// What a flush that begins now makes durable, after so many writes.
    pub fn cache(&self) -> (u64, Vec<(usize, Cell)>) {
        let cached = self.cached.iter().enumerate().filter(|(_, at)| **at != 0);
        (self.writes, cached.map(|(sector, _)| (sector, self.cells[sector])).collect())
    }

    /// A flush that began after `began` writes, with `cache` in the cache, is done.
    pub fn flushed(&mut self, (began, cache): &(u64, Vec<(usize, Cell)>)) {
        for (sector, cell) in cache {
            if self.safe[*sector] >= *began {
                continue;
            }
            (self.safe[*sector], self.platter[*sector]) = (*began, *cell);
            if self.cached[*sector] <= *began {
                self.cached[*sector] = 0;
            }
        }
    }

    /// What a sector holds if the power goes and the cache is lost.
    pub fn at_worst(&self, sector: usize) -> Cell {
        self.platter[sector]
    }

    /// The power goes; `under_way` are writes that had not ended.
    pub fn power_cut(&mut self, rng: &mut Rng, under_way: &[(Range, Vec<Cell>)]) {
        for (range, data) in under_way {
            for (at, cell) in sectors(*range).zip(data) {
                if rng.one_in(2) {
                    (self.cells[at], self.cached[at]) = (*cell, 1);
                }
            }
        }
        for sector in 0..self.cells.len() {
            if self.cached[sector] != 0 && rng.one_in(2) {
                self.cells[sector] = self.platter[sector];
            }
        }
        self.platter.clone_from(&self.cells);
        self.cached.fill(0);
    }

    pub fn write_meta(&mut self, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).expect("small");
        self.meta[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A write of metadata was under way: some sectors of it are there, and the next one is spoilt.
    pub fn tear_meta(&mut self, rng: &mut Rng, at: u64, bytes: &[u8]) {
        let whole = usize::try_from(rng.below(bytes.len() as u64 / SECTOR + 1)).expect("small") * 512;
        self.write_meta(at, &bytes[..whole]);
        if whole < bytes.len() && rng.one_in(2) {
            self.write_meta(at + whole as u64, &[0x5a; 512]);
        }
    }

    /// A byte of a bitmap page rots.
    pub fn rot(&mut self, rng: &mut Rng) {
        let first = 2 * layout::SHEET as u64;
        let at = first + rng.below(self.meta.len() as u64 - first);
        self.meta[usize::try_from(at).expect("small")] ^= 1 << rng.below(8);
    }
}
