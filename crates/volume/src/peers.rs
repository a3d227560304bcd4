//! The other copies, as the one that is written to sees them: sessions, and how a copy becomes equal again (R5, D4, D7).
//!
//! ```text
//!  Away --connected--> Greeted --Welcome--> Resyncing --all copied--> Flushing --Flushed--> Joining --Joined--> Joined
//!   ^                     '--Refused--> Refused (asked again)                                                     |
//!   '------------------------------------- the session ends ------------------------------------------------------'
//! ```
//! A copy that counts and was away for a moment goes the same way; what differs is only what has not been flushed yet.

use crate::bits::Todo;
use crate::event::Event;
use crate::fault::{VolumeFault, taken_out};
use crate::geometry::Geometry;
use crate::message::{Command, Durable, Refusal, Source, Task, Terms, ToPrimary, ToReplica};
use crate::primary::{Copying, Key, Peer, Step};
use crate::verify::Digest;
use crate::volume::{Doing, Role, Volume};
use hotspare_core::NodeId;
use std::time::Duration;

/// Blocks that are copied to one peer at a time,
const COPIES_MAX: usize = 8;
/// and while users ask for something, which then waits for one of them at most.
const COPIES_BUSY: usize = 1;
/// Users who have asked for something within this are at it.
const BUSY_FOR: Duration = Duration::from_millis(20);
/// One block of so many is compared before it is copied, where the last one was not the same.
const COMPARE_EVERY: u64 = 16;
/// A copy that refused is asked again after this.
const GREET_AGAIN: Duration = Duration::from_millis(500);

impl Volume {
    pub(crate) fn on_connected(&mut self, peer: NodeId, session: u64) {
        if self.slot(peer).is_none() {
            return self.close(peer, session);
        }
        self.session_ends(peer);
        self.links.insert(peer, session);
        self.greet(peer, session);
    }

    pub(crate) fn on_disconnected(&mut self, peer: NodeId, session: u64) {
        if self.links.get(&peer) == Some(&session) {
            self.links.remove(&peer);
            self.session_ends(peer);
        }
    }

    /// Hangs up: nothing more is said or heard in this session.
    pub(crate) fn close(&mut self, peer: NodeId, session: u64) {
        self.on_disconnected(peer, session);
        self.out.push(Command::Close { peer, session });
    }

    fn session_ends(&mut self, peer: NodeId) {
        match &mut self.role {
            Role::Primary(primary) => {
                if let Some(state) = primary.peers.get_mut(&peer) {
                    state.end_session(self.now);
                    self.end_copies(peer);
                    self.verify_without(peer);
                }
            }
            Role::Replica(replica) => {
                if replica.link.as_ref().is_some_and(|link| link.peer == peer) {
                    replica.link = None;
                    self.drop_work();
                }
            }
        }
    }

    /// Copies to `peer` that are under way come to nothing: others may have their turn.
    pub(crate) fn end_copies(&mut self, peer: NodeId) {
        let Role::Primary(primary) = &mut self.role else { return };
        let of_peer = |doing: &Doing| matches!(doing, Doing::CopyRead { peer: other, .. } | Doing::CopyDigest { peer: other, .. } if *other == peer);
        self.doing.retain(|_, doing| !of_peer(doing));
        let granted = primary.locks.release_all(|key| matches!(key, Key::Copy(other, _) if *other == peer));
        self.granted(granted);
    }

    /// Says hello, if this copy is the one that is written to.
    pub(crate) fn greet(&mut self, peer: NodeId, session: u64) {
        let (me, now) = (self.block.node, self.now);
        let Role::Primary(primary) = &mut self.role else { return };
        let counts = primary.counts(me);
        let may = |state: &&mut Peer| now >= state.left_alone_until;
        let Some(state) = primary.peers.get_mut(&peer).filter(|_| !primary.sealed).filter(may) else { return };
        let Some(counts) = counts else { return }; // the voters have not been heard yet: a tick greets again
        let terms = match (counts.contains(&peer), state.asynchronous) {
            (true, _) => Terms::Member,
            (false, true) => Terms::Asynchronous,
            (false, false) => Terms::Newcomer,
        };
        (state.session, state.step, state.greeted_at, state.terms) = (session, Step::Greeted, now, terms);
        let (volume, size, epoch, generation) =
            (self.block.volume, self.block.size, primary.epoch, self.block.generation);
        let message = ToReplica::Hello { volume, size, epoch, generation, terms };
        self.out.push(Command::ToReplica { peer, session, message, bytes: None });
    }

    /// Those that are connected and have not been asked, or said no, are asked (again).
    pub(crate) fn greet_again(&mut self) {
        let Role::Primary(primary) = &self.role else { return };
        let due = |(node, session): (&NodeId, &u64)| {
            let peer = primary.peers.get(node)?;
            let late = self.now.saturating_sub(peer.greeted_at) >= GREET_AGAIN;
            let asked = peer.session == *session && peer.step != Step::Away;
            (!asked || (peer.step == Step::Refused && late)).then_some((*node, *session))
        };
        for (node, session) in self.links.iter().filter_map(due).collect::<Vec<_>>() {
            self.greet(node, session);
        }
    }

    pub(crate) fn on_replica_says(&mut self, peer: NodeId, session: u64, message: ToPrimary) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(state) = primary.peers.get_mut(&peer) else { return };
        if state.session != session || state.step == Step::Away {
            return; // D7
        }
        match message {
            ToPrimary::Welcome { room, differs } => self.on_welcome(peer, room, &differs),
            ToPrimary::Grown { size } => self.on_grown(peer, size),
            ToPrimary::Refused { why } => self.on_refused(peer, why),
            ToPrimary::Wrote { number } => {
                state.has_answered(number);
            }
            ToPrimary::Copied { copy } => {
                state.copies.remove(&copy);
            }
            ToPrimary::Flushed { flush } => self.on_peer_flushed(peer, flush),
            ToPrimary::Joined => self.on_joined(peer),
            ToPrimary::Checked { check, same } if self.was_compared(peer, check, same) => {}
            ToPrimary::Checked { check, same } => self.on_checked(peer, check, same),
        }
    }

    /// What it misses is what either side says (D8).
    fn on_welcome(&mut self, node: NodeId, room: u64, differs: &[u64]) {
        let Some(slot) = self.slot(node) else { return };
        if !taken_out(VolumeFault::OwnBitsOnly) {
            self.bits.join(slot, differs);
        }
        let todo = self.bits.within(slot, &self.common());
        let blocks = todo.iter().map(|word| u64::from(word.count_ones())).sum();
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(peer) = primary.peers.get_mut(&node).filter(|peer| peer.step == Step::Greeted) else { return };
        (peer.room, peer.todo, peer.step) = (room, Todo::new(todo), Step::Resyncing);
        self.journal(Event::ResyncBegins { peer: node, blocks, bytes: blocks * self.shape.block });
    }

    fn on_refused(&mut self, node: NodeId, why: Refusal) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(peer) = primary.peers.get_mut(&node).filter(|peer| peer.step == Step::Greeted) else { return };
        peer.step = Step::Refused;
        peer.greeted_at = self.now;
        if why != Refusal::Busy {
            self.journal(Event::Refused { peer: node, why });
        }
        if let Refusal::LaterEpoch(epoch) = why {
            self.depose(epoch);
        }
    }

    /// Takes blocks that have to be copied, a few at a time; when there are none left, what was copied is flushed.
    pub(crate) fn copy_blocks(&mut self) {
        let Role::Primary(primary) = &self.role else { return };
        if primary.sealed {
            return;
        }
        let busy = |(node, peer): (&NodeId, &Peer)| (peer.step == Step::Resyncing).then_some(*node);
        for node in primary.peers.iter().filter_map(busy).collect::<Vec<_>>() {
            while self.copy_one(node) {}
            let Role::Primary(primary) = &mut self.role else { return };
            let (sent, next) = (primary.number, primary.next + 1);
            let Some(peer) = primary.peers.get_mut(&node) else { continue };
            let left = peer.todo.left() > 0 || !peer.copies.is_empty();
            if left && !taken_out(VolumeFault::JoinsTooEarly) {
                continue;
            }
            primary.next = next;
            peer.step = Step::Flushing { flush: next, at: peer.covers(sent) };
            if taken_out(VolumeFault::JoinsWithoutFlush) {
                self.tell_joined(node);
            } else {
                self.send_flush(node, next);
            }
        }
    }

    fn copy_one(&mut self, node: NodeId) -> bool {
        let (now, common) = (self.now, self.common().size);
        let Role::Primary(primary) = &mut self.role else { return false };
        let copy = primary.next + 1;
        let busy = now.saturating_sub(primary.asked_at) < BUSY_FOR;
        let most = if busy { COPIES_BUSY } else { COPIES_MAX };
        let Some(peer) = primary.peers.get_mut(&node).filter(|peer| peer.copies.len() < most) else { return false };
        // From now on what is written to it is sent.
        let Some((extent, block)) = peer.todo.take() else { return false };
        // The block that the volume ends in is copied as a whole, as far as both have room: its bit is for all of it.
        let both = Geometry { size: self.shape.size.min(peer.room).max(common), ..self.shape };
        let range = both.block_range(extent, block);
        primary.next = copy;
        // Where one block was the same the next one may be; where not, it is asked now and then.
        let compare = peer.lucky || copy.is_multiple_of(COMPARE_EVERY);
        peer.copies.insert(copy, Copying { range, since: now, compare });
        if primary.locks.take(Key::Copy(node, copy), range) || taken_out(VolumeFault::CopyWithoutLock) {
            self.read_copy(node, copy);
        }
        true
    }

    /// Nobody writes to the block now: it is read.
    pub(crate) fn read_copy(&mut self, node: NodeId, copy: u64) {
        let Role::Primary(primary) = &self.role else { return };
        let Some(copying) = primary.peers.get(&node).and_then(|peer| peer.copies.get(&copy)) else { return };
        let range = copying.range;
        if copying.compare {
            self.start(Doing::CopyDigest { peer: node, copy }, Task::Digest { range });
        } else {
            self.start(Doing::CopyRead { peer: node, copy }, Task::Read { range, tag: None });
        }
    }

    /// What the block comes to here: does it there as well? What is written to it from now on is sent, and comes behind the question.
    pub(crate) fn on_copy_digest(&mut self, node: NodeId, copy: u64, digest: Option<Digest>) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(peer) = primary.peers.get_mut(&node) else { return };
        let Some(copying) = peer.copies.get_mut(&copy) else { return };
        copying.since = self.now;
        let (session, range) = (peer.session, copying.range);
        let Some(digest) = digest else {
            return self.close(node, session); // it is tried again from the bits
        };
        let message = ToReplica::Check { check: copy, range, digest };
        self.out.push(Command::ToReplica { peer: node, session, message, bytes: None });
        let granted = primary.locks.release(Key::Copy(node, copy));
        self.granted(granted);
    }

    /// Whether a block that was to be copied is the same there; false: nothing was asked about that one.
    fn was_compared(&mut self, node: NodeId, copy: u64, same: bool) -> bool {
        let now = self.now;
        let Role::Primary(primary) = &mut self.role else { return false };
        let Some(peer) = primary.peers.get_mut(&node) else { return false };
        let Some(copying) = peer.copies.get_mut(&copy) else { return false };
        let range = copying.range;
        peer.lucky = same;
        if same || taken_out(VolumeFault::ComparedIsSame) {
            peer.copies.remove(&copy);
            return true;
        }
        *copying = Copying { range, since: now, compare: false };
        if primary.locks.take(Key::Copy(node, copy), range) {
            self.read_copy(node, copy);
        }
        true
    }

    pub(crate) fn on_copy_read(&mut self, node: NodeId, copy: u64, id: u64, ok: bool) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(peer) = primary.peers.get_mut(&node) else { return };
        let Some(copying) = peer.copies.get_mut(&copy) else { return };
        copying.since = self.now;
        let (session, last) = (peer.session, primary.number);
        if ok {
            let message = ToReplica::Copy { copy, last, range: copying.range };
            self.out.push(Command::ToReplica { peer: node, session, message, bytes: Some(Source::Read(id)) });
        } else {
            return self.close(node, session); // it is tried again from the bits
        }
        let granted = primary.locks.release(Key::Copy(node, copy));
        self.granted(granted);
    }

    fn on_peer_flushed(&mut self, node: NodeId, flush: u64) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(peer) = primary.peers.get_mut(&node) else { return };
        let Some((covers, _)) = peer.flushes.remove(&flush) else { return };
        if peer.step == Step::Joined {
            peer.durable = peer.durable.max(Some(covers));
        }
        if let Some(flush) = primary.flushes.get_mut(&flush) {
            flush.done.push(node);
        }
        if matches!(peer.step, Step::Flushing { flush: awaited, .. } if awaited == flush) {
            self.tell_joined(node);
        }
    }

    fn tell_joined(&mut self, node: NodeId) {
        let me = self.block.node;
        let Role::Primary(primary) = &mut self.role else { return };
        let others = primary.peers.iter().filter_map(|(node, peer)| Some((*node, peer.durable?)));
        let own = primary.durable.map(|number| (me, number));
        let durable = Durable { nodes: others.chain(own).collect(), size: self.block.size };
        let Some(peer) = primary.peers.get_mut(&node) else { return };
        let Step::Flushing { at, .. } = peer.step else { return };
        peer.step = Step::Joining { at };
        let (session, message) = (peer.session, ToReplica::Join { at, durable });
        self.out.push(Command::ToReplica { peer: node, session, message, bytes: None });
    }

    fn on_joined(&mut self, node: NodeId) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(peer) = primary.peers.get_mut(&node) else { return };
        let Step::Joining { at } = peer.step else { return };
        (peer.step, peer.durable, peer.proven_at) = (Step::Joined, Some(at), primary.number);
        // A flush under way that came before: what it is about is on that disk, or it is asked for there as well.
        let mut missed = Vec::new();
        for (id, flush) in primary.flushes.iter_mut().filter(|(_, flush)| !flush.done.contains(&node)) {
            if flush.upto <= at {
                flush.done.push(node);
            } else if !peer.flushes.contains_key(id) {
                missed.push(*id);
            }
        }
        missed.into_iter().for_each(|flush| self.send_flush(node, flush));
        self.flush(None); // what was written while it was joining, and may have been flushed without it
        self.journal(Event::Joined { peer: node });
    }

    /// Who does not answer for too long is hung up on: waiting for it would hold up everybody, or keep ever more for it.
    pub(crate) fn close_the_slow(&mut self) {
        let (now, grace, most) = (self.now, self.config.grace, self.config.lag);
        let Role::Primary(primary) = &self.role else { return };
        let slow = |(node, peer): (&NodeId, &Peer)| {
            let lag = peer.lag(now);
            let late =
                if peer.asynchronous { lag.span >= most.span || peer.kept() > most.bytes } else { lag.span >= grace };
            let why =
                if peer.asynchronous { Event::LeftBehind { peer: *node, lag } } else { Event::TooSlow { peer: *node } };
            (peer.hears() && late).then_some((*node, peer.session, why))
        };
        for (peer, session, why) in primary.peers.iter().filter_map(slow).collect::<Vec<_>>() {
            self.journal(why);
            let Role::Primary(primary) = &mut self.role else { return };
            if let Some(state) = primary.peers.get_mut(&peer) {
                state.left_alone_until = now + 2 * grace;
            }
            self.close(peer, session);
        }
    }
}
