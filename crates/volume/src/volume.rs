//! One copy of a volume: what it is in either role, its metadata, and where what happens goes.

use crate::bits::Bits;
use crate::event::Event;
use crate::fault::{VolumeFault, taken_out};
use crate::geometry::Geometry;
use crate::layout::{self, Superblock};
use crate::message::{Command, Durable, Input, Task};
use crate::primary::{Asking, Peer, Primary, Step};
use crate::replica::Replica;
use crate::verify::Digest;
use hotspare_core::{Epoch, NodeId};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the configuration says of a volume.
#[derive(Clone, Debug)]
pub struct VolumeConfig {
    /// How long a copy that counts and is away is waited for before the voters are asked to go on without it. Longer than an
    /// upgrade of its daemon takes; the service stands still as long.
    pub grace: Duration,
    /// The same at the beginning of a tenure, when the former primary is likely to be gone.
    pub takeover_grace: Duration,
    /// How often what is written is flushed, if its user does not: bounds what must be copied again after a crash.
    pub flush_every: Duration,
    /// A disk that has not answered for so long is taken for one that will not (peers.md, pain 7).
    pub disk_patience: Duration,
    /// What nobody has written to for so long is not taken for written to when the machine crashes.
    pub cool_after: Duration,
    /// The other copies that there should be. The superblock may name more, of nodes that are no candidates any more.
    pub others: Vec<NodeId>,
    /// Copies that nobody waits for.
    pub asynchronous: Vec<NodeId>,
    /// How far they may be behind before they are left behind.
    pub lag: Lag,
}

/// How far an asynchronous copy is behind, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Bytes that were written and that it has not answered for.
    pub bytes: u64,
    /// Since the oldest of them was written.
    pub span: Duration,
}

/// What a disk task or a metadata write was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// A write of this number, of this copy's own user.
    Write(u64),
    Read(u64),
    /// This copy's part of a flush; what was on its disk before.
    Flush {
        flush: u64,
        covers: u64,
    },
    CopyRead {
        peer: NodeId,
        copy: u64,
    },
    /// A look at a block before it is copied.
    CopyDigest {
        peer: NodeId,
        copy: u64,
    },
    /// A look at a block of this copy.
    DigestOwn(u64),
    /// The same for another copy's user.
    DigestWork(u64),
    /// Work for another copy's user.
    Apply(u64),
    ApplyFlush {
        session: u64,
        flush: u64,
    },
    Page {
        page: usize,
        version: u64,
    },
    Superblock(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Role {
    Replica(Replica),
    Primary(Box<Primary>),
}

/// One copy.
#[derive(Clone, Debug)]
pub struct Volume {
    pub(crate) config: VolumeConfig,
    pub(crate) now: Duration,
    /// Of all that there is room for.
    pub(crate) shape: Geometry,
    /// Bytes that the user sees.
    pub(crate) shown: u64,
    /// As it is, or is about to be, on disk.
    pub(crate) block: Superblock,
    /// Superblocks: the number of the newest content, of the last one written and of the one being written.
    block_wanted: u64,
    block_durable: u64,
    block_writing: Option<u64>,
    pub(crate) bits: Bits,
    /// Parts of each page's write that are under way, one for each other copy, and whether one of them has failed.
    page_parts: BTreeMap<usize, (usize, bool)>,
    pub(crate) doing: BTreeMap<u64, Doing>,
    /// What the disk was asked for and has not answered, and since when; also what nobody waits for any more.
    asked: BTreeMap<u64, Duration>,
    next: u64,
    pub(crate) role: Role,
    /// What was asked of the voters, while this copy is not written to.
    pub(crate) asking: Asking,
    /// The newest session with each other copy.
    pub(crate) links: BTreeMap<NodeId, u64>,
    pub(crate) out: Vec<Command>,
}

impl Volume {
    /// A copy whose superblock with number `sequence` and bits were read from disk.
    #[must_use]
    pub fn new(config: VolumeConfig, now: Duration, (sequence, block): (u64, Superblock), bits: Bits) -> Volume {
        Volume {
            config,
            now,
            shape: bits.shape(),
            shown: block.size,
            block,
            block_wanted: sequence,
            block_durable: sequence,
            block_writing: None,
            bits,
            page_parts: BTreeMap::new(),
            doing: BTreeMap::new(),
            asked: BTreeMap::new(),
            next: 0,
            role: Role::Replica(Replica::default()),
            asking: Asking::default(),
            links: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// Moves time to `now` (never back), takes `input` in and returns what must be done, in order.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Command> {
        assert!(now >= self.now, "the clock went backwards");
        self.now = now;
        match input {
            Input::Tick => self.bits.cool_idle(now.saturating_sub(self.config.cool_after)),
            Input::Request(request) => self.on_request(request),
            Input::Connected { peer, session } => self.on_connected(peer, session),
            Input::Disconnected { peer, session } => self.on_disconnected(peer, session),
            Input::FromPrimary { peer, session, message, bytes } => self.on_primary_says(peer, session, message, bytes),
            Input::FromReplica { peer, session, message } => self.on_replica_says(peer, session, message),
            Input::Done { id, ok } => self.on_done(id, ok),
            Input::Digested { id, digest } => self.on_digested(id, digest),
            Input::Verify => self.on_verify(),
            Input::Grow => self.on_grow(),
            Input::Promote { epoch, generation, alone } => self.on_promote(epoch, generation, alone),
            Input::AckSet { epoch, wish, acks, chosen } => self.on_ack_set(epoch, wish, (acks, chosen)),
            Input::Hold(on) => self.on_hold(on),
            Input::Seal => self.seal(),
            Input::Demote => self.on_demote(),
        }
        match self.role {
            Role::Primary(_) => self.step_primary(),
            Role::Replica(_) => self.step_replica(),
        }
        self.write_metadata();
        std::mem::take(&mut self.out)
    }

    /// The place of `peer`'s bits.
    pub(crate) fn slot(&self, peer: NodeId) -> Option<usize> {
        self.block.peers.iter().position(|node| *node == peer).filter(|_| peer != NodeId::default())
    }

    pub(crate) fn journal(&mut self, event: Event) {
        self.out.push(Command::Journal(event));
    }

    /// Since when the disk owes the oldest of its answers, if that is too long.
    pub(crate) fn disk_hangs(&self) -> Option<Duration> {
        let (_, since) = self.asked.first_key_value()?;
        Some(*since).filter(|since| self.now.saturating_sub(*since) >= self.config.disk_patience)
    }

    pub(crate) fn start(&mut self, doing: Doing, task: Task) {
        self.next += 1;
        self.asked.insert(self.next, self.now);
        self.doing.insert(self.next, doing);
        self.out.push(Command::Disk { id: self.next, task });
    }

    /// Whether a write may still land on this disk.
    pub(crate) fn writes_are_under_way(&self) -> bool {
        self.doing.values().any(|doing| matches!(doing, Doing::Write(_) | Doing::Apply(_)))
    }

    fn on_done(&mut self, id: u64, ok: bool) {
        self.asked.remove(&id);
        let Some(doing) = self.doing.remove(&id) else { return };
        match doing {
            Doing::Write(number) => self.on_written(number, ok),
            Doing::Read(tag) => self.on_read(tag, ok),
            Doing::Flush { flush, covers } => self.on_flushed(flush, covers, ok),
            Doing::CopyRead { peer, copy } => self.on_copy_read(peer, copy, id, ok),
            Doing::CopyDigest { peer, copy } => self.on_copy_digest(peer, copy, None),
            Doing::DigestOwn(check) => self.on_own_digest(check, None),
            Doing::DigestWork(work) => self.on_work_digest(work, None),
            Doing::Apply(work) => self.on_applied(work, ok),
            Doing::ApplyFlush { session, flush } => self.on_apply_flushed(session, flush, ok),
            Doing::Page { page, version } => self.on_page(page, version, ok),
            Doing::Superblock(number) => {
                self.block_writing = None;
                if ok {
                    self.block_durable = self.block_durable.max(number);
                } else {
                    self.journal(Event::MetaFailed);
                }
            }
        }
    }

    fn on_digested(&mut self, id: u64, digest: Digest) {
        self.asked.remove(&id);
        match self.doing.remove(&id) {
            Some(Doing::CopyDigest { peer, copy }) => self.on_copy_digest(peer, copy, Some(digest)),
            Some(Doing::DigestOwn(check)) => self.on_own_digest(check, Some(digest)),
            Some(Doing::DigestWork(work)) => self.on_work_digest(work, Some(digest)),
            _ => {}
        }
    }

    fn on_page(&mut self, page: usize, version: u64, ok: bool) {
        let Some((left, failed)) = self.page_parts.get_mut(&page) else { return };
        (*left, *failed) = (*left - 1, *failed || !ok);
        if *left > 0 {
            return;
        }
        if self.page_parts.remove(&page).is_some_and(|(_, failed)| failed) {
            self.bits.failed(page);
            self.journal(Event::MetaFailed);
        } else {
            self.bits.written(page, version);
        }
    }

    /// The superblock has changed; what it is worth counts from [`Volume::saved`] of this number on.
    pub(crate) fn save(&mut self) -> u64 {
        self.block_wanted += 1;
        self.block_wanted
    }

    /// The number of the newest content, on disk or on its way there.
    pub(crate) fn newest(&self) -> u64 {
        self.block_wanted
    }

    pub(crate) fn saved(&self, number: u64) -> bool {
        self.block_durable >= number || taken_out(VolumeFault::EpochNotKept)
    }

    fn write_metadata(&mut self) {
        if self.block_writing.is_none() && self.block_wanted > self.block_durable {
            let number = self.block_wanted;
            let (at, bytes) = layout::superblock(number, &self.block);
            self.block_writing = Some(number);
            self.write_sheet(Doing::Superblock(number), at, bytes);
        }
        for (page, version) in self.bits.due() {
            let peers = self.block.peer_count();
            self.page_parts.insert(page, (peers, false));
            for peer in 0..peers {
                let bytes = self.bits.page(self.block.volume, peer, page);
                self.write_sheet(Doing::Page { page, version }, layout::page_at(&self.shape, peer, page), bytes);
            }
        }
    }

    fn write_sheet(&mut self, doing: Doing, at: u64, bytes: Vec<u8>) {
        self.next += 1;
        self.asked.insert(self.next, self.now);
        self.doing.insert(self.next, doing);
        self.out.push(Command::Meta { id: self.next, at, bytes });
    }

    /// What the copies say of who has what on disk, as far as this copy may conclude from it (R4).
    pub(crate) fn clear_bits(&mut self, durable: &Durable, own: u64) {
        let size = if taken_out(VolumeFault::ClearsBeyond) { u64::MAX } else { durable.size };
        for (node, number) in durable.nodes.iter().filter(|(node, _)| *node != self.block.node) {
            let either = taken_out(VolumeFault::ClearedByEither);
            let both = if either { own.max(*number) } else { own.min(*number) };
            if let Some(slot) = self.slot(*node) {
                self.bits.clear_up_to(slot, both, size);
            }
        }
    }
}

/// Where a copy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The tenure in which it is written to.
    pub primary: Option<Epoch>,
    /// Requests are served.
    pub serving: bool,
    /// Nothing is acknowledged at the moment.
    pub frozen: bool,
    pub sealed: bool,
    pub whole: bool,
    /// Bytes that the user sees.
    pub size: u64,
    pub generation: u64,
    pub min_epoch: Epoch,
    /// Each other copy: whether it is equal, and how many bytes of it may differ.
    pub peers: Vec<(NodeId, bool, u64)>,
    /// Bytes that would be copied again if this machine lost its power now.
    pub after_a_crash: u64,
    /// Requests that wait.
    pub requests: usize,
}

impl Volume {
    /// Whether the data was created here and was never led from anywhere, and whether this copy can be promoted (D0, R3).
    #[must_use]
    pub fn worth(&self) -> (bool, bool) {
        (self.block.whole && self.block.generation == 0, self.block.whole && self.disk_hangs().is_none())
    }

    /// The blocks of an extent in which `peer` may differ.
    #[must_use]
    pub fn marked(&self, peer: NodeId, extent: usize) -> u64 {
        self.slot(peer).map_or(0, |slot| self.bits.of(slot)[extent])
    }

    /// Whether nothing is acknowledged here without `node`, for it counts or may come to.
    #[must_use]
    pub fn waits_for(&self, node: NodeId) -> bool {
        matches!(&self.role, Role::Primary(primary) if primary.members().is_some_and(|members| members.contains(node)))
    }

    /// Whether this copy and `peer` are equal, as far as this one knows.
    #[must_use]
    pub fn is_joined(&self, peer: NodeId) -> bool {
        match &self.role {
            Role::Primary(primary) => primary.is_joined(peer),
            Role::Replica(replica) => replica.is_joined_to(peer),
        }
    }

    /// How many blocks of what is shown may differ.
    fn differs(&self, slot: usize) -> u64 {
        self.bits.within(slot, &self.common()).iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Bytes that have yet to be copied, to each copy that is made equal.
    #[must_use]
    pub fn to_copy(&self) -> Vec<(NodeId, u64)> {
        let Role::Primary(primary) = &self.role else { return Vec::new() };
        let resyncing = |(node, peer): (&NodeId, &Peer)| {
            let left = peer.todo.left() + peer.copies.len() as u64;
            (peer.step == Step::Resyncing).then_some((*node, left * self.shape.block))
        };
        primary.peers.iter().filter_map(resyncing).collect()
    }

    /// How far each asynchronous copy is behind; one that is not written to: since when.
    #[must_use]
    pub fn lags(&self) -> Vec<(NodeId, Lag)> {
        let Role::Primary(primary) = &self.role else { return Vec::new() };
        let asynchronous = primary.peers.iter().filter(|(_, peer)| peer.asynchronous);
        let lag = |(node, peer): (&NodeId, &Peer)| {
            let away = Lag { bytes: 0, span: self.now.saturating_sub(peer.away_since) };
            (*node, if peer.step == Step::Joined { peer.lag(self.now) } else { away })
        };
        asynchronous.map(lag).collect()
    }

    /// Where this copy stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let peers = self
            .block
            .peers
            .iter()
            .take(self.block.peer_count())
            .enumerate()
            .map(|(slot, node)| (*node, self.is_joined(*node), self.differs(slot) * self.shape.block));
        let peers = peers.collect();
        let primary = match &self.role {
            Role::Primary(primary) => Some(primary),
            Role::Replica(_) => None,
        };
        Status {
            primary: primary.map(|primary| primary.epoch),
            serving: primary.is_some_and(|primary| primary.serving),
            frozen: primary.is_some_and(|primary| primary.is_frozen(self.block.node)),
            sealed: primary.is_some_and(|primary| primary.sealed),
            whole: self.block.whole,
            size: self.shown,
            generation: self.block.generation,
            min_epoch: self.block.min_epoch,
            peers,
            after_a_crash: self.bits.after_a_crash(0, &self.common()) * self.shape.block,
            requests: primary.map_or(0, |primary| primary.requests()),
        }
    }
}
