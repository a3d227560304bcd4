//! A copy that is written to from elsewhere: whom it hears, what it takes in, when it is equal (R4, R5, R6, R8, D6, D7).

use crate::event::Event;
use crate::fault::{VolumeFault, taken_out};
use crate::geometry::Range;
use crate::locks::Locks;
use crate::message::{Command, Durable, Refusal, Source, Task, Terms, ToPrimary, ToReplica, What};
use crate::order::{Item, Order};
use crate::verify::Digest;
use crate::volume::{Doing, Role, Volume};
use hotspare_core::{Epoch, NodeId};
use std::collections::BTreeMap;

/// Promotion is under way: when the superblock with this number is on disk, it is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promotion {
    pub epoch: Epoch,
    pub saved: u64,
}

/// The session with the copy that is written to.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub peer: NodeId,
    pub session: u64,
    /// What is heard is taken in in order.
    pub ordered: bool,
    /// It was said welcome to.
    open: bool,
    /// The superblock with this number must be on disk before the next word.
    saved: u64,
    /// What it was told of its being equal, until that is on disk.
    joining: Option<Box<(u64, Durable)>>,
    /// This copy is equal, up to this write on disk.
    joined: Option<u64>,
    /// The last write that was heard of.
    top: u64,
}

/// What is to be written here for the user of another copy.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    session: u64,
    answer: ToPrimary,
    range: Range,
    what: What,
    pub durable: bool,
    /// The number of the last write in it.
    number: u64,
    bytes: u64,
    /// Its turn has come, and this must be on disk first.
    needs: Option<Vec<(usize, u64)>>,
    issued: bool,
    /// Nothing is written: this is what the block should come to.
    digest: Option<Digest>,
}

impl Work {
    fn new(session: u64, answer: ToPrimary, range: Range) -> Work {
        let (number, bytes, durable, what) = (0, 0, false, What::Data);
        Work { session, answer, range, what, durable, number, bytes, needs: None, issued: false, digest: None }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Replica {
    pub link: Option<Link>,
    pub promotion: Option<Promotion>,
    locks: Locks<u64>,
    pub works: BTreeMap<u64, Work>,
    pub order: Box<Order>,
    next: u64,
}

impl Replica {
    pub(crate) fn is_joined_to(&self, node: NodeId) -> bool {
        self.link.as_ref().is_some_and(|link| link.peer == node && link.joined.is_some())
    }
}

impl Volume {
    pub(crate) fn on_primary_says(&mut self, peer: NodeId, session: u64, message: ToReplica, bytes: u64) {
        if self.links.get(&peer) != Some(&session) {
            return;
        }
        if let ToReplica::Hello { volume, size, epoch, generation, terms } = message {
            return self.on_hello((peer, session), (volume, size), epoch, (generation, terms));
        }
        let Role::Replica(replica) = &mut self.role else { return };
        let open = |link: &&mut Link| (link.peer, link.session, link.open) == (peer, session, true);
        let Some(link) = replica.link.as_mut().filter(open) else { return };
        match message {
            ToReplica::Hello { .. } => unreachable!("taken above"),
            ToReplica::Write { number, what, range, durable } => {
                link.top = link.top.max(number);
                let answer = ToPrimary::Wrote { number };
                let work = Work { number, bytes, durable, ..Work::new(session, answer, range) };
                self.take_in(Work { what, ..work });
            }
            ToReplica::Copy { copy, last, range } => {
                link.top = link.top.max(last);
                let answer = ToPrimary::Copied { copy };
                self.take_in(Work { number: last, bytes, ..Work::new(session, answer, range) });
            }
            ToReplica::Check { check, range, digest } => {
                let answer = ToPrimary::Checked { check, same: true };
                self.take_in(Work { digest: Some(digest), ..Work::new(session, answer, range) });
            }
            ToReplica::Flush { flush } => {
                if taken_out(VolumeFault::FlushedTooEarly) {
                    self.answer(session, ToPrimary::Flushed { flush });
                }
                self.hear(Item::Flush(flush));
            }
            ToReplica::Join { at, durable } => {
                link.joining = Some(Box::new((at, durable)));
                let changed = !std::mem::replace(&mut self.block.whole, true);
                let saved = if changed { self.save() } else { self.newest() };
                let Role::Replica(Replica { link: Some(link), .. }) = &mut self.role else { return };
                link.saved = saved;
            }
            ToReplica::Durable(durable) => self.on_durable(&durable),
            ToReplica::Grow { size } => self.hear(Item::Grow(size)),
        }
    }

    /// So much is shown from now on; answered when that is on disk.
    pub(crate) fn take_size(&mut self, size: u64) {
        (self.block.size, self.shown) = (size.min(self.shape.size), size.min(self.shape.size));
        let saved = self.save();
        if let Role::Replica(replica) = &mut self.role {
            replica.order.grows = Some((size, saved));
        }
    }

    fn grown_here(&mut self) {
        let Role::Replica(Replica { link: Some(link), order, .. }) = &self.role else { return };
        let Some((size, _)) = order.grows.filter(|(_, saved)| self.saved(*saved)) else { return };
        let session = link.session;
        if let Role::Replica(replica) = &mut self.role {
            replica.order.grows = None;
        }
        self.answer(session, ToPrimary::Grown { size });
    }

    fn on_hello(&mut self, from: (NodeId, u64), of: (u64, u64), epoch: Epoch, (generation, terms): (u64, Terms)) {
        let ((peer, session), member) = (from, terms == Terms::Member);
        if let Some(why) = self.refusal(of, epoch, (generation, member)) {
            self.out.push(Command::ToPrimary { peer, session, message: ToPrimary::Refused { why } });
            return self.depose(epoch); // whoever leads later than we do
        }
        let Role::Replica(replica) = &mut self.role else { return };
        let mut changed = replica.promotion.take().is_some() || self.block.min_epoch < epoch;
        self.block.min_epoch = self.block.min_epoch.max(epoch);
        if !member && !taken_out(VolumeFault::TargetStaysWhole) {
            // What it has is overwritten piece by piece, from a later time (R5).
            changed |= self.block.whole || self.block.generation != generation;
            if std::mem::replace(&mut self.block.whole, false) {
                self.journal(Event::NotWhole { peer });
            }
        }
        if self.block.generation == 0 {
            (self.block.generation, changed) = (generation, true);
        }
        if !taken_out(VolumeFault::SizeNotTaken) {
            changed |= self.block.size != of.1;
            (self.block.size, self.shown) = (of.1, of.1);
        }
        // Also if nothing has changed: what an older session changed may not be there yet (simulator, storm 5129).
        let saved = if changed { self.save() } else { self.newest() };
        let Role::Replica(replica) = &mut self.role else { return };
        let ordered = terms == Terms::Asynchronous;
        replica.link = Some(Link { peer, session, ordered, open: false, saved, joining: None, joined: None, top: 0 });
        self.drop_work();
    }

    fn refusal(&self, of: (u64, u64), epoch: Epoch, (generation, member): (u64, bool)) -> Option<Refusal> {
        let own = self.block.generation;
        if of.0 != self.block.volume {
            Some(Refusal::OtherVolume)
        } else if of.1 > self.shape.size {
            Some(Refusal::NoRoom(self.shape.size))
        } else if self.block.min_epoch > epoch && !taken_out(VolumeFault::OldEpochsWrite) {
            Some(Refusal::LaterEpoch(self.block.min_epoch))
        } else if matches!(self.role, Role::Primary(_)) {
            Some(Refusal::Busy)
        } else if own != generation && (own != 0 || member || self.block.whole) {
            Some(Refusal::OtherGeneration(own))
        } else if member && !self.block.whole {
            Some(Refusal::NotWhole)
        } else {
            None
        }
    }

    /// What an old session wanted and has not begun is forgotten; what has begun will land.
    pub(crate) fn drop_work(&mut self) {
        let Role::Replica(replica) = &mut self.role else { return };
        replica.works.retain(|_, work| work.issued);
        (replica.locks, replica.order) = (Locks::default(), Box::default());
    }

    fn take_in(&mut self, work: Work) {
        let Role::Replica(replica) = &mut self.role else { return };
        if !self.shape.holds(work.range) {
            let Some(link) = replica.link.clone() else { return };
            return self.close(link.peer, link.session);
        }
        self.hear(Item::Work(Box::new(work)));
    }

    /// Begins with `work` as soon as nothing else is written to its range. Returns its number.
    pub(crate) fn begin_work(&mut self, work: Work) -> u64 {
        let Role::Replica(replica) = &mut self.role else { unreachable!("only a replica has works") };
        replica.next += 1;
        let (id, range, digest) = (replica.next, work.range, work.digest.is_some());
        replica.works.insert(id, work);
        let out_of_turn = digest && taken_out(VolumeFault::VerifyOutOfTurn);
        if replica.locks.take(id, range) || taken_out(VolumeFault::NoLocksAtReplica) || out_of_turn {
            self.intend_work(id);
        }
        id
    }

    fn intend_work(&mut self, id: u64) {
        let Role::Replica(replica) = &mut self.role else { return };
        let digest = replica.works.get_mut(&id).filter(|work| work.digest.is_some());
        if let Some(work) = digest {
            let range = work.range;
            work.issued = true;
            return self.start(Doing::DigestWork(id), Task::Digest { range });
        }
        let Role::Replica(replica) = &mut self.role else { return };
        if let Some(work) = replica.works.get_mut(&id) {
            let needs = self.bits.enter(work.range, self.now);
            work.needs = Some(if taken_out(VolumeFault::NoIntentAtReplica) { Vec::new() } else { needs });
        }
    }

    fn issue_works(&mut self) {
        let Role::Replica(replica) = &mut self.role else { return };
        let mut tasks = Vec::new();
        for (id, work) in replica.works.iter_mut().filter(|(_, work)| !work.issued) {
            if work.needs.as_ref().is_some_and(|needs| self.bits.met(needs)) {
                work.issued = true;
                self.bits.mark(work.range, work.number);
                let (what, range, durable) = (work.what, work.range, work.durable);
                tasks.push((*id, Task::Write { what, range, durable, source: Source::Work(work.bytes) }));
            }
        }
        for (id, task) in tasks {
            self.start(Doing::Apply(id), task);
        }
    }

    pub(crate) fn on_applied(&mut self, id: u64, ok: bool) {
        let Role::Replica(replica) = &mut self.role else { return };
        let Some(work) = replica.works.remove(&id) else { return };
        replica.order.landed(id);
        self.bits.leave(work.range);
        let granted = replica.locks.release(id);
        if ok {
            self.answer(work.session, work.answer);
        } else if let Some(link) = replica.link.clone().filter(|link| link.session == work.session) {
            // It is not equal any more; a new session finds out what it lacks.
            self.journal(Event::DiskFailed);
            return self.close(link.peer, link.session);
        }
        granted.into_iter().for_each(|id| self.intend_work(id));
    }

    /// `digest`: none if the block cannot be read, which is a difference as well.
    pub(crate) fn on_work_digest(&mut self, id: u64, digest: Option<Digest>) {
        let Role::Replica(replica) = &mut self.role else { return };
        let Some(Work { session, answer: ToPrimary::Checked { check, .. }, digest: wanted, .. }) =
            replica.works.remove(&id)
        else {
            return;
        };
        let granted = replica.locks.release(id);
        self.answer(session, ToPrimary::Checked { check, same: digest.is_some() && digest == wanted });
        granted.into_iter().for_each(|id| self.intend_work(id));
    }

    pub(crate) fn on_apply_flushed(&mut self, session: u64, flush: u64, ok: bool) {
        let Role::Replica(replica) = &mut self.role else { return };
        if ok {
            replica.order.flushed((session, flush));
            return self.answer(session, ToPrimary::Flushed { flush });
        }
        if let Some(link) = replica.link.clone().filter(|link| link.session == session) {
            self.journal(Event::DiskFailed);
            self.close(link.peer, session);
        }
    }

    fn answer(&mut self, session: u64, message: ToPrimary) {
        let Role::Replica(replica) = &self.role else { return };
        if let Some(link) = replica.link.as_ref().filter(|link| link.session == session) {
            self.out.push(Command::ToPrimary { peer: link.peer, session, message });
        }
    }

    /// What time and the disk have brought about.
    pub(crate) fn step_replica(&mut self) {
        self.step_promotion();
        self.welcome();
        self.join();
        self.grown_here();
        self.go_on_in_order();
        self.issue_works();
    }

    /// The epoch is on disk and nothing of an older session is under way: a new one begins (D6, D7).
    fn welcome(&mut self) {
        let landed = !self.writes_are_under_way() || taken_out(VolumeFault::NoDrain);
        let Role::Replica(replica) = &self.role else { return };
        let Some(link) = replica.link.as_ref().filter(|link| !link.open) else { return };
        let (peer, session) = (link.peer, link.session);
        let Some(slot) = self.slot(peer).filter(|_| landed && self.saved(link.saved)) else { return };
        self.bits.begin_session(None);
        let (room, differs) = (self.shape.size, self.bits.within(slot, &self.common()));
        let Role::Replica(Replica { link: Some(link), .. }) = &mut self.role else { return };
        link.open = true;
        self.out.push(Command::ToPrimary { peer, session, message: ToPrimary::Welcome { room, differs } });
    }

    /// It was told that it is equal, and that is on disk.
    fn join(&mut self) {
        let Role::Replica(Replica { link: Some(link), .. }) = &self.role else { return };
        if !self.saved(link.saved) {
            return;
        }
        let Role::Replica(Replica { link: Some(link), .. }) = &mut self.role else { return };
        let Some((at, durable)) = link.joining.take().map(|joining| *joining) else { return };
        link.joined = Some(at);
        let (session, top) = (link.session, link.top.max(at));
        self.bits.know(top);
        self.answer(session, ToPrimary::Joined);
        self.on_durable(&durable);
    }

    fn on_durable(&mut self, durable: &Durable) {
        let me = self.block.node;
        let Role::Replica(Replica { link: Some(link), .. }) = &mut self.role else { return };
        let Some(joined) = link.joined.as_mut() else { return };
        let own = durable.nodes.iter().find(|(node, _)| *node == me).map(|(_, number)| *number);
        *joined = (*joined).max(own.unwrap_or(0));
        let own = *joined;
        self.clear_bits(durable, own);
    }
}
