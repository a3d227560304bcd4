//! The promises, checked while a run goes on. Each panics with its own name first.
//!
//! | name | promise | rule |
//! |---|---|---|
//! | `flushed_is_kept` | every copy in the set that was chosen last has, on its platter, all that a completed flush covered | R1, I4 |
//! | `acked_is_kept` | and every acknowledged write, and whatever was read, flushed or not, unless it lost its power since | R1, R4, I5 |
//! | `serves_when_equal` | the first request of a tenure is served when all copies that count are equal | R4 |
//! | `members_are_whole` | and is marked as whole, and of the right generation | R3, R5 |
//! | `half_is_marked` | a copy that does not count and gets parts of what it missed is marked as not whole | R5 |
//! | `differences_are_marked` | where two copies differ one of them has that block marked, in memory and on disk | R2, R4 |
//! | `asynchronous_is_a_past` | an asynchronous copy that says it is whole is what a disk would be that lost its power a while ago: what was flushed before the newest thing in it was asked for is there | decision 0027 |
//! | `joined_are_equal` | joined copies that count are equal wherever nothing is under way | R5, R8 |
//! | `nothing_shrinks` | no tenure shows less than an earlier one has shown | decision 0028 |
//! | `completed_once` | a request ends once | |
//! | `sealed_is_silent` | nothing is completed after the seal | R10 |
//! | `heals` | when the faults end, somebody serves, and all copies are equal and count | I8 |

use crate::disk::{Cell, sectors};
use crate::user::Pending;
use crate::world::{GENERATION, VOLUME, World, id, index};
use hotspare_volume::{Range, Volume, layout};
use std::collections::HashMap;

/// What was promised.
pub struct Ledger {
    /// By sector: the oldest that may be there, on every copy that counts.
    floor: Vec<Cell>,
    /// By node and sector: what it was given before it was acknowledged, and has not lost its power since.
    acked: Vec<Vec<Cell>>,
    /// When each lost its power last.
    lost: Vec<u64>,
    /// The latest tenure that has begun.
    newest: u64,
    /// Counts what was asked for and what was promised, in their order.
    order: u64,
    /// When each request was asked for, by that count.
    asked: HashMap<Cell, u64>,
    /// By sector: when its floor was raised, by that count, in which tenure, and to what.
    raised: Vec<Vec<(u64, u64, Cell)>>,
}

impl Ledger {
    pub fn new(nodes: usize, sectors: usize) -> Ledger {
        Ledger {
            floor: vec![0; sectors],
            acked: vec![vec![0; sectors]; nodes],
            lost: vec![0; nodes],
            newest: 0,
            order: 0,
            asked: HashMap::new(),
            raised: vec![Vec::new(); sectors],
        }
    }

    /// A user asks for something new.
    pub fn asked(&mut self, tag: Cell) {
        self.order += 1;
        self.asked.insert(tag, self.order);
    }

    fn raise(&mut self, at: usize, cell: Cell, epoch: u64) {
        if self.floor[at] < cell {
            self.order += 1;
            self.floor[at] = cell;
            self.raised[at].push((self.order, epoch, cell));
        }
    }

    /// The oldest that whoever asked for `tag` could rely on in a sector.
    fn floor_before(&self, at: usize, tag: Cell) -> Cell {
        let asked = self.asked[&tag];
        let known = |(order, epoch, _): &&(u64, u64, Cell)| *order < asked && *epoch <= tag >> 32;
        self.raised[at].iter().rev().find(known).map_or(0, |(_, _, cell)| *cell)
    }

    /// A write is completed. What a copy had in its cache when it lost its power since, it need not have any more.
    pub fn written(&mut self, write: &Pending, (durable, epoch): (bool, u64), members: impl Iterator<Item = usize>) {
        let (range, tag) = (write.request.range, write.request.tag);
        for node in members.filter(|node| self.lost[*node] < write.since).collect::<Vec<_>>() {
            sectors(range).for_each(|at| self.acked[node][at] = self.acked[node][at].max(tag));
        }
        if durable {
            sectors(range).for_each(|at| self.raise(at, tag, epoch));
        }
    }

    /// Which sectors of what was `seen` are promised now, and were not before.
    pub fn flushed(&mut self, seen: &[(usize, Cell)], epoch: u64) -> Vec<usize> {
        let newer = seen.iter().filter(|(at, cell)| self.floor[*at] < *cell).copied().collect::<Vec<_>>();
        newer.iter().for_each(|(at, cell)| self.raise(*at, *cell, epoch));
        newer.into_iter().map(|(at, _)| at).collect()
    }

    /// What was read on a node that leads, its copies have.
    pub fn read(&mut self, read: &[(usize, Cell)], members: impl Iterator<Item = usize>) {
        for node in members {
            read.iter().for_each(|(at, cell)| self.acked[node][*at] = self.acked[node][*at].max(*cell));
        }
    }

    pub fn lost_power(&mut self, node: usize, now: u64) {
        self.lost[node] = now;
        self.acked[node].fill(0);
    }
}

/// `flushed_is_kept` for some sectors.
pub fn flushed_is_kept(world: &World, some: impl Iterator<Item = usize> + Clone) {
    if world.record.epoch.0 == 0 {
        return;
    }
    for node in world.record.set.iter().map(index) {
        let disk = &world.nodes[node].disk;
        for at in some.clone() {
            let (found, floor) = (disk.at_worst(at), world.ledger.floor[at]);
            assert!(
                found >= floor,
                "flushed_is_kept: node {node} counts and may have {found:x} in sector {at}, where {floor:x} was flushed"
            );
        }
    }
}

/// `flushed_is_kept`, `members_are_whole`.
pub fn set_is_good(world: &World) {
    if world.record.epoch.0 == 0 {
        return;
    }
    flushed_is_kept(world, 0..world.ledger.floor.len());
    for node in world.record.set.iter().map(index) {
        let disk = &world.nodes[node].disk;
        let content = layout::read_superblocks(&disk.meta).map(|(_, content)| content);
        let good = content.is_ok_and(|content| content.whole && [0, GENERATION].contains(&content.generation));
        assert!(good, "members_are_whole: node {node} counts and says of itself {content:?}");
    }
}

/// `asynchronous_is_a_past`. What is in its cache may be lost, and what is under way may land.
pub fn asynchronous_is_a_past(world: &World) {
    let nodes = (0..world.nodes.len()).filter(|node| world.profile.is_asynchronous(*node));
    for node in nodes.filter(|node| !world.record.set.contains(id(*node))) {
        let this = &world.nodes[node];
        let content = layout::read_superblocks(&this.disk.meta).map(|(_, content)| content);
        if !content.is_ok_and(|content| content.whole) {
            continue;
        }
        let under_way = this.running.values().flat_map(|running| running.data.iter().copied());
        let newest = this.disk.cells.iter().copied().chain(under_way).max();
        // What was on the disk before is no request's.
        let newest = newest.filter(|newest| world.ledger.asked.contains_key(newest));
        let Some(newest) = newest else { continue };
        for (at, cell) in this.disk.cells.iter().enumerate() {
            let (found, floor) = (this.disk.at_worst(at).min(*cell), world.ledger.floor_before(at, newest));
            assert!(
                found >= floor,
                "asynchronous_is_a_past: node {node} may have {found:x} in sector {at}, where {floor:x} was flushed before {newest:x} was asked for"
            );
        }
    }
}

/// `acked_is_kept`, on whoever leads and on every copy that counts with it.
pub fn acked_is_kept(world: &World, leader: usize) {
    let Some(client) = world.nodes[leader].client.filter(|client| client.epoch == world.record.epoch) else { return };
    for node in client.acks().iter().map(index).filter(|node| world.record.set.contains(id(*node))) {
        let cells = &world.nodes[node].disk.cells;
        for (at, (cell, acked)) in cells.iter().zip(&world.ledger.acked[node]).enumerate() {
            assert!(
                cell >= acked,
                "acked_is_kept: node {node} counts and has {cell:x} in sector {at}, where {acked:x} was acknowledged or read"
            );
        }
    }
}

/// `serves_when_equal`: a tenure begins to serve.
pub fn serves_when_equal(world: &World, leader: usize) {
    let Some(client) = world.nodes[leader].client.filter(|client| client.epoch == world.record.epoch) else { return };
    for node in client.acks().iter().map(index) {
        let shown = shown(world, leader);
        let same = world.nodes[node].disk.cells[..shown] == world.nodes[leader].disk.cells[..shown];
        assert!(same, "serves_when_equal: node {node} counts and is not what node {leader} serves");
    }
}

/// `half_is_marked`: a block arrives at a copy that does not count.
pub fn half_is_marked(world: &World, from: usize, to: usize) {
    // From whoever leads now: what a tenure that is over sends is not taken in.
    if world.nodes[from].client.is_none_or(|client| client.epoch != world.record.epoch) {
        return;
    }
    // Where its volume still waits for that copy, what the copy misses was not acknowledged without it, whether or not it counts.
    let waits = world.nodes[from].volume.as_ref().is_some_and(|volume| volume.waits_for(id(to)));
    if waits || world.record.set.contains(id(to)) {
        return;
    }
    // It was on its way from an earlier tenure of the same node, in which this copy counted: the word of the new one comes behind it.
    let heard = world.nodes[to].volume.as_ref().map(|volume| volume.status().min_epoch);
    if heard != Some(world.record.epoch) {
        return;
    }
    let content = layout::read_superblocks(&world.nodes[to].disk.meta).map(|(_, content)| content);
    assert!(
        content.is_ok_and(|content| !content.whole),
        "half_is_marked: node {to} is resynced and says that it is whole"
    );
}

/// A new history begins with what this node has, unless one of a later tenure has begun: it may lack what it had in its cache when it
/// lost its power, and the others become as it is.
pub fn history_begins(world: &mut World, node: usize, epoch: u64) {
    if epoch < world.ledger.newest {
        return;
    }
    world.ledger.newest = epoch;
    let cells = &world.nodes[node].disk.cells;
    for acked in &mut world.ledger.acked {
        acked.iter_mut().zip(cells).for_each(|(acked, cell)| *acked = (*acked).min(*cell));
    }
}

/// What is marked on the disk of `node` for `other`, by extents.
fn marked_on_disk(world: &World, node: usize, other: usize) -> Vec<u64> {
    let (meta, shape) = (&world.nodes[node].disk.meta, &world.shape);
    let slot = if other > node { other - 1 } else { other };
    let page = |page| {
        let at = usize::try_from(layout::page_at(shape, slot, page)).expect("small");
        let words = layout::read_page(VOLUME, slot, page, &meta[at..at + layout::SHEET]);
        words.unwrap_or_else(|| vec![u64::MAX; shape.page_extents]).into_iter().take(shape.page_extents)
    };
    (0..shape.pages()).flat_map(page).collect()
}

/// `differences_are_marked`.
pub fn pairs_are_covered(world: &World) {
    for one in 0..world.nodes.len() {
        for other in one + 1..world.nodes.len() {
            check_pair(world, one, other);
        }
    }
}

fn check_pair(world: &World, one: usize, other: usize) {
    let (first, second) = (&world.nodes[one], &world.nodes[other]);
    let differs = |at: &usize| {
        first.disk.cells[*at] != second.disk.cells[*at] || first.disk.at_worst(*at) != second.disk.at_worst(*at)
    };
    let shown = sectors(Range { at: 0, len: world.most_shown }).end;
    let mut differing = (0..shown).filter(differs).peekable();
    if differing.peek().is_none() {
        return;
    }
    let [mine, theirs] = [marked_on_disk(world, one, other), marked_on_disk(world, other, one)];
    for at in differing {
        let (extent, mask) = world.shape.touched(Range { at: at as u64 * 512, len: 512 }).next().expect("one");
        let disk = mine[extent] | theirs[extent];
        assert!(disk & mask != 0, "differences_are_marked: sector {at} of nodes {one} and {other}, on neither disk");
        let memory = |volume: &Option<Volume>, peer: usize, disk: u64| {
            volume.as_ref().map_or(disk, |volume| volume.marked(id(peer), extent))
        };
        let memory = memory(&first.volume, other, mine[extent]) | memory(&second.volume, one, theirs[extent]);
        assert!(
            memory & mask != 0,
            "differences_are_marked: sector {at} of nodes {one} and {other}, in neither memory"
        );
    }
}

/// `joined_are_equal`.
pub fn joined_are_equal(world: &World) {
    for leader in 0..world.nodes.len() {
        let this = &world.nodes[leader];
        let (Some(volume), Some(user)) = (&this.volume, &this.user) else { continue };
        let status = volume.status();
        if status.sealed || this.client.is_none_or(|client| client.epoch != world.record.epoch) {
            continue;
        }
        for (peer, joined, _) in &status.peers {
            let other = &world.nodes[index(*peer)];
            let both = other.volume.as_ref().is_some_and(|volume| volume.is_joined(id(leader)));
            if !*joined || !both || !world.record.set.contains(*peer) {
                continue;
            }
            let pairs = this.disk.cells.iter().zip(&other.disk.cells).take(shown(world, leader));
            for (at, (mine, theirs)) in pairs.enumerate() {
                assert!(
                    mine == theirs || user.writes_to(at, Cell::MAX),
                    "joined_are_equal: sector {at} is {mine:x} at node {leader} and {theirs:x} at {peer:?}"
                );
            }
        }
    }
}

/// The sectors that the user of `leader` sees.
fn shown(world: &World, leader: usize) -> usize {
    let size = world.nodes[leader].volume.as_ref().map_or(0, |volume| volume.status().size);
    sectors(Range { at: 0, len: size }).end
}

/// `nothing_shrinks`: `leader` begins to serve, or has grown.
pub fn nothing_shrinks(world: &mut World, leader: usize) {
    if world.nodes[leader].client.is_none_or(|client| client.epoch != world.record.epoch) {
        return;
    }
    let size = world.nodes[leader].volume.as_ref().map_or(0, |volume| volume.status().size);
    assert!(
        size >= world.most_shown,
        "nothing_shrinks: {size} bytes on {leader}, {} were shown before",
        world.most_shown
    );
    world.most_shown = size;
}

/// `heals`.
pub fn heals(world: &World) {
    let serving = |node: &crate::node::Node| node.volume.as_ref().is_some_and(|volume| volume.status().serving);
    let leader = world.nodes.iter().position(serving);
    let leader = leader.unwrap_or_else(|| panic!("heals: nobody serves"));
    let status = world.nodes[leader].volume.as_ref().expect("it serves").status();
    assert!(!status.frozen && !status.sealed, "heals: {status:?}");
    for (peer, joined, _) in &status.peers {
        assert!(*joined, "heals: {peer:?} has not joined: {status:?}");
        let counts = world.record.set.contains(*peer);
        let waited_for = !world.profile.is_asynchronous(index(*peer));
        assert!(counts == waited_for, "heals: {peer:?} counts: {counts}: {:?}", world.record);
    }
    let user = world.nodes[leader].user.as_ref();
    let stuck = user.and_then(|user| user.pending.keys().next());
    assert!(stuck.is_none(), "heals: request {stuck:x?} never ended");
    let shown = shown(world, leader);
    for node in &world.nodes {
        assert!(node.disk.cells[..shown] == world.nodes[leader].disk.cells[..shown], "heals: the copies differ");
    }
}
