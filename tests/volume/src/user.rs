//! Whoever uses the volume on the node that leads: writes, reads, flushes; and the ledger of what it was promised.
//!
//! A request's tag orders all that was ever written: tenure first, then when it was asked for. So "not older than" is a comparison.

use crate::disk::{Cell, sectors};
use hotspare_core::rng::Rng;
use hotspare_volume::geometry::SECTOR;
use hotspare_volume::{Op, Range, Request, What};
use std::collections::BTreeMap;

/// Requests of one user at a time.
const DEPTH: usize = 12;

#[derive(Clone, Debug, Default)]
pub struct User {
    pub epoch: u64,
    count: u64,
    pub pending: BTreeMap<u64, Pending>,
    /// The engine has died: what was not answered is asked again when there is another one.
    pub waits: bool,
}

#[derive(Clone, Debug)]
pub struct Pending {
    pub request: Request,
    /// When it was asked for.
    pub since: u64,
    /// Of a flush: what could be seen when it was asked for, and nobody was writing to.
    pub seen: Vec<(usize, Cell)>,
}

impl User {
    pub fn new(epoch: u64) -> User {
        User { epoch, ..User::default() }
    }

    /// The next request, if there are not too many under way. `overlaps`: also where another is under way; `flush`: it is one.
    pub fn ask(&mut self, rng: &mut Rng, cells: &[Cell], (overlaps, flush): (bool, bool), now: u64) -> Option<Request> {
        if self.pending.len() >= DEPTH {
            return None;
        }
        self.count += 1;
        let tag = (self.epoch << 32) | self.count;
        let most = if rng.one_in(20) { 128 } else { 6 };
        let total = cells.len() as u64;
        let len = (1 + rng.below(most)).min(total);
        // Half of all goes to a few places, so that things meet.
        let spread = if rng.one_in(2) { total } else { total.min(16) };
        let at = rng.below(spread).min(total - len);
        let range = Range { at: at * SECTOR, len: len * SECTOR };
        let busy =
            self.pending.values().any(|other| other.request.op != Op::Flush && other.request.range.overlaps(&range));
        let (op, range) = match if flush { 0 } else { rng.below(20) } {
            0..4 => (Op::Flush, Range { at: 0, len: 0 }),
            4 => (Op::Read, range),
            _ if busy && !overlaps => return None,
            5 => (Op::Write { what: What::Zeroes, durable: rng.one_in(4) }, range),
            6 => (Op::Write { what: What::Discard, durable: false }, range),
            _ => (Op::Write { what: What::Data, durable: rng.one_in(6) }, range),
        };
        let request = Request { tag, op, range };
        let seen = if op == Op::Flush { self.at_rest(cells) } else { Vec::new() };
        self.pending.insert(tag, Pending { request, since: now, seen });
        Some(request)
    }

    /// The sectors that nobody is writing to, and what is there.
    fn at_rest(&self, cells: &[Cell]) -> Vec<(usize, Cell)> {
        let mut busy = vec![false; cells.len()];
        for other in self.pending.values().filter(|other| matches!(other.request.op, Op::Write { .. })) {
            sectors(other.request.range).for_each(|sector| busy[sector] = true);
        }
        (0..cells.len()).filter(|sector| !busy[*sector]).map(|sector| (sector, cells[sector])).collect()
    }

    /// Whether a write to this sector that came before `tag` is under way.
    pub fn writes_to(&self, sector: usize, tag: Cell) -> bool {
        let write = |other: &Pending| {
            matches!(other.request.op, Op::Write { .. }) && sectors(other.request.range).contains(&sector)
        };
        self.pending.range(..tag).any(|(_, other)| write(other))
    }
}
