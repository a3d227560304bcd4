//! What the copy that is written to knows: its requests, and how far each other copy is.

use crate::bits::Todo;
use crate::fault::{VolumeFault, taken_out};
use crate::geometry::Range;
use crate::growth::Growth;
use crate::locks::Locks;
use crate::message::{Durable, Request, Terms};
use crate::verify::Verify;
use crate::volume::Lag;
use hotspare_core::{Epoch, NodeId, NodeSet};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Writes that a copy may have to answer for at a time; more wait.
const UNACKED_MAX: usize = 128;
/// What a write that is not answered takes at least, in bytes of a lag: there must not be very many of them either.
const KEPT_LEAST: u64 = 4096;

/// Who holds a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Request(u64),
    Copy(NodeId, u64),
    Check(u64),
}

/// A write that has begun and has no number yet: it waits for its turn, then for its intent.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub request: Request,
    /// Its turn has come, and this must be on disk first.
    pub needs: Option<Vec<(usize, u64)>>,
}

/// A write on its way to the disks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub request: Request,
    pub local: bool,
}

/// A flush on its way to the disks; without a tag it is this program's own.
#[derive(Clone, Debug)]
pub(crate) struct Flush {
    pub tag: Option<u64>,
    /// The last write that was sent before it.
    pub upto: u64,
    pub local: bool,
    pub done: Vec<NodeId>,
}

/// How far another copy is (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// No session, since then.
    Away,
    /// It was said hello to.
    Greeted,
    /// It said no; it is asked again.
    Refused,
    /// Blocks are copied to it.
    Resyncing,
    /// All are copied; this flush makes them durable, up to this write.
    Flushing { flush: u64, at: u64 },
    /// It was told that it is whole up to this write.
    Joining { at: u64 },
    /// It is equal: every write reaches it before it is acknowledged.
    Joined,
}

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub session: u64,
    pub step: Step,
    /// Nobody waits for it, ever.
    pub asynchronous: bool,
    /// What it was told in this session.
    pub terms: Terms,
    /// Not joined since then.
    pub away_since: Duration,
    /// A tenure begins with it; the former primary is likely to be gone.
    pub fresh: bool,
    /// Asked again after a refusal.
    pub greeted_at: Duration,
    /// It was hung up on for being slow, and is left alone until then.
    pub left_alone_until: Duration,
    /// Sent in this session and not answered: since when, and what it takes to keep it.
    pub unacked: BTreeMap<u64, (Duration, u64)>,
    /// What all of that takes.
    pub unacked_bytes: u64,
    /// Flushes under way: what they cover, and since when.
    pub flushes: BTreeMap<u64, (u64, Duration)>,
    /// Everything up to this write is on its disk; only while it is joined.
    pub durable: Option<u64>,
    /// What was written when it joined: flushes may have passed it by up to there.
    pub proven_at: u64,
    /// Bytes that it has room for.
    pub room: u64,
    /// Blocks that have to be copied.
    pub todo: Todo,
    /// Blocks on their way.
    pub copies: BTreeMap<u64, Copying>,
    /// The block that was compared last was the same there: the next one may be as well.
    pub lucky: bool,
}

/// A block on its way to another copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copying {
    pub range: Range,
    pub since: Duration,
    /// Whether it is the same there is asked first.
    pub compare: bool,
}

impl Peer {
    pub(crate) fn new(now: Duration, asynchronous: bool) -> Peer {
        Peer {
            session: 0,
            step: Step::Away,
            asynchronous,
            terms: Terms::Newcomer,
            away_since: now,
            fresh: true,
            greeted_at: now,
            left_alone_until: Duration::ZERO,
            unacked: BTreeMap::new(),
            unacked_bytes: 0,
            flushes: BTreeMap::new(),
            durable: None,
            proven_at: 0,
            room: 0,
            todo: Todo::default(),
            copies: BTreeMap::new(),
            lucky: true,
        }
    }

    /// Whether it has said welcome in this session: what is written is sent to it.
    pub(crate) fn hears(&self) -> bool {
        !matches!(self.step, Step::Away | Step::Greeted | Step::Refused)
    }

    /// Whether it may be asked for: it is equal, and has on its disk whatever was flushed while it did not count.
    pub(crate) fn may_count(&self) -> bool {
        let proven = self.durable >= Some(self.proven_at) || taken_out(VolumeFault::CountsTooEarly);
        self.step == Step::Joined && proven && !self.asynchronous
    }

    /// Whether a flush is for it as well. To a copy that takes things in order it is a mark between what came before it and what comes
    /// after, and none may be missing once it calls itself whole.
    pub(crate) fn is_flushed(&self) -> bool {
        let nearly = matches!(self.step, Step::Flushing { .. } | Step::Joining { .. });
        self.step == Step::Joined || (nearly && self.asynchronous && !taken_out(VolumeFault::FlushPassesBy))
    }

    /// A write goes out to it.
    pub(crate) fn owes(&mut self, number: u64, now: Duration, bytes: u64) {
        let bytes = bytes.max(KEPT_LEAST);
        self.unacked.insert(number, (now, bytes));
        self.unacked_bytes += bytes;
    }

    /// It has answered for it.
    pub(crate) fn has_answered(&mut self, number: u64) {
        if let Some((_, bytes)) = self.unacked.remove(&number) {
            self.unacked_bytes -= bytes;
        }
    }

    /// How far it is behind.
    pub(crate) fn lag(&self, now: Duration) -> Lag {
        let since = self.waits_since().unwrap_or(now);
        Lag { bytes: self.unacked_bytes, span: now.saturating_sub(since) }
    }

    /// What is kept for it. Flushes as well: a user who does little else must not fill the memory of both sides.
    pub(crate) fn kept(&self) -> u64 {
        self.unacked_bytes + self.flushes.len() as u64 * KEPT_LEAST
    }

    /// The last write up to which it has answered all, if `sent` was the last one sent.
    pub(crate) fn covers(&self, sent: u64) -> u64 {
        self.unacked.keys().next().map_or(sent, |oldest| oldest - 1)
    }

    /// Since when the oldest question has not been answered.
    pub(crate) fn waits_since(&self) -> Option<Duration> {
        let writes = self.unacked.values().next().map(|(since, _)| *since);
        // Sent in the order of their numbers; there may be thousands on the way to a copy far away.
        let flushes = self.flushes.values().next().map(|(_, since)| *since);
        let copies = self.copies.values().map(|copying| copying.since).min();
        [writes, flushes, copies].into_iter().flatten().min()
    }

    /// The session is over: nothing that was said in it counts (D7).
    pub(crate) fn end_session(&mut self, now: Duration) {
        if self.step == Step::Joined {
            self.away_since = now;
            self.fresh = false;
        }
        self.step = Step::Away;
        self.unacked.clear();
        self.unacked_bytes = 0;
        self.flushes.clear();
        self.copies.clear();
        self.todo = Todo::default();
        self.durable = None;
    }
}

/// A read. What it finds must not be gone if another copy leads next, and no older than what was found before: so it begins when the
/// writes before it are completed, and is answered when those are that came while the disk was at it (decision 0037).
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub range: Range,
    /// Writes that are not completed, by tag.
    pub waits_for: Vec<u64>,
    /// The disk has answered.
    pub landed: bool,
}

/// A tenure.
#[derive(Clone, Debug)]
pub(crate) struct Primary {
    pub epoch: Epoch,
    pub began: Duration,
    /// Every copy that counts was equal once (R4).
    pub serving: bool,
    pub sealed: bool,
    /// The lease is about to run out: nothing is completed.
    pub held: bool,
    pub frozen_since: Option<Duration>,
    /// What the lease client said last: who must have a write, and who counts. `None`: nothing yet.
    pub sets: Option<(NodeSet, NodeSet)>,
    /// What was asked of the voters last, and when.
    pub wanted: Option<(NodeSet, Duration)>,
    pub asking: Asking,
    /// The last write that was sent.
    pub number: u64,
    /// Requests that came while nothing may begin.
    pub queue: VecDeque<Request>,
    pub waiting: BTreeMap<u64, Waiting>,
    pub writes: BTreeMap<u64, Write>,
    pub reads: BTreeMap<u64, Read>,
    /// When a user asked for something last.
    pub asked_at: Duration,
    pub flushes: BTreeMap<u64, Flush>,
    /// Completed, but for the lease.
    pub ready: Vec<(u64, bool)>,
    pub locks: Locks<Key>,
    pub peers: BTreeMap<NodeId, Peer>,
    /// Everything up to this write is on this disk, with all that was there before.
    pub durable: Option<u64>,
    /// The durable state that the others know of.
    pub told: Durable,
    pub next_flush: Duration,
    pub next: u64,
    pub disk_failed: bool,
    pub disk_hung: bool,
    pub verify: Option<Verify>,
    pub growth: Option<Growth>,
}

/// What was asked of the voters by way of the lease client, in one tenure: it outlives a promotion that is taken back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking {
    pub epoch: Epoch,
    /// The number of the last wish; never used again in the life of this program.
    pub wish: u64,
    /// Wishes that are not known to be taken in: one that was taken back may still be on its way.
    pub open: BTreeMap<NodeSet, u64>,
}

impl Asking {
    /// A tenure begins. What was asked for in an earlier one counts for nothing.
    pub(crate) fn begin(&mut self, epoch: Epoch) {
        if self.epoch != epoch {
            (self.epoch, self.open) = (epoch, BTreeMap::new());
        }
    }

    pub(crate) fn ask(&mut self, set: NodeSet) -> u64 {
        self.wish += 1;
        self.open.insert(set, self.wish);
        self.wish
    }
}

impl Primary {
    /// `peers`: the other copies, and whether nobody waits for them.
    pub(crate) fn new(asking: Asking, now: Duration, peers: impl Iterator<Item = (NodeId, bool)>) -> Primary {
        Primary {
            epoch: asking.epoch,
            began: now,
            serving: false,
            sealed: false,
            held: false,
            frozen_since: None,
            sets: None,
            wanted: None,
            asking,
            number: 0,
            queue: VecDeque::new(),
            waiting: BTreeMap::new(),
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            asked_at: Duration::ZERO,
            flushes: BTreeMap::new(),
            ready: Vec::new(),
            locks: Locks::default(),
            peers: peers.map(|(peer, asynchronous)| (peer, Peer::new(now, asynchronous))).collect(),
            durable: None,
            told: Durable::default(),
            next_flush: now,
            next: 0,
            disk_failed: false,
            disk_hung: false,
            verify: None,
            growth: None,
        }
    }

    pub(crate) fn is_joined(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.step == Step::Joined)
    }

    /// What may be chosen: what the lease client said, and what was asked for since (D1, D4).
    pub(crate) fn members(&self) -> Option<NodeSet> {
        let (acks, chosen) = self.sets?;
        if taken_out(VolumeFault::OnlyChosenCounts) {
            return Some(chosen);
        }
        if taken_out(VolumeFault::LastWishOnly) {
            return Some(self.wanted.map_or(acks, |(wanted, _)| acks.union(&wanted)));
        }
        Some(self.asking.open.keys().fold(acks, |all, wish| all.union(wish)))
    }

    /// Who must have a write before it is acknowledged: what may be chosen, and what is about to be asked for (D4). A copy that is
    /// equal counts from that moment on, so that no flush passes it by.
    pub(crate) fn counts(&self, me: NodeId) -> Option<Vec<NodeId>> {
        let members = self.members()?;
        let counts = |node: &NodeId| {
            let waited_for = self.peers.get(node).is_some_and(|peer| peer.step == Step::Joined && !peer.asynchronous);
            members.contains(*node) || (waited_for && !taken_out(VolumeFault::OnlyChosenCounts))
        };
        Some(self.peers.keys().copied().filter(|node| *node != me && counts(node)).collect())
    }

    /// The copy that counts and is not equal, if there is one.
    pub(crate) fn lacks(&self, me: NodeId) -> Option<Option<NodeId>> {
        let counts = self.counts(me)?;
        Some(counts.into_iter().find(|node| !self.is_joined(*node)))
    }

    /// Whether nothing may begin (R2): a copy that counts is not there.
    pub(crate) fn is_frozen(&self, me: NodeId) -> bool {
        self.sealed || !matches!(self.lacks(me), Some(None))
    }

    /// Whether a copy is so far behind that writes wait for it: what is under way must stay bounded. One that does not move at all is
    /// hung up on. (An asynchronous one is left behind instead.)
    pub(crate) fn is_choked(&self) -> bool {
        self.peers.values().any(|peer| peer.hears() && !peer.asynchronous && peer.unacked.len() >= UNACKED_MAX)
    }

    /// Whether `node` has the write with this number.
    pub(crate) fn has(&self, node: NodeId, number: u64) -> bool {
        let Some(peer) = self.peers.get(&node) else { return false };
        peer.step == Step::Joined && !peer.unacked.contains_key(&number)
    }

    /// Writes to some of `range` that are not completed.
    pub(crate) fn writes_to(&self, range: Range) -> Vec<u64> {
        if taken_out(VolumeFault::ReadsUnacked) {
            return Vec::new();
        }
        let waiting = self.waiting.values().map(|waiting| waiting.request);
        let all = waiting.chain(self.writes.values().map(|write| write.request));
        all.filter(|write| write.range.overlaps(&range)).map(|write| write.tag).collect()
    }

    /// Reads that have nothing to wait for any more: those that may begin, and those that may be answered.
    pub(crate) fn reads_due(&mut self) -> (Vec<u64>, Vec<u64>) {
        let (waiting, writes, mut due) = (&self.waiting, &self.writes, (Vec::new(), Vec::new()));
        for (tag, read) in self.reads.iter_mut().filter(|(_, read)| !read.waits_for.is_empty()) {
            let under_way =
                |tag: &u64| waiting.contains_key(tag) || writes.values().any(|write| write.request.tag == *tag);
            read.waits_for.retain(under_way);
            if read.waits_for.is_empty() {
                if read.landed { due.1.push(*tag) } else { due.0.push(*tag) }
            }
        }
        due
    }

    /// The last write up to which all have reached this disk.
    pub(crate) fn covers(&self) -> u64 {
        let oldest = self.writes.iter().find(|(_, write)| !write.local).map(|(number, _)| *number);
        oldest.map_or(self.number, |oldest| oldest - 1)
    }

    pub(crate) fn requests(&self) -> usize {
        let flushes = self.flushes.values().filter(|flush| flush.tag.is_some()).count();
        self.queue.len() + self.waiting.len() + self.writes.len() + self.reads.len() + flushes + self.ready.len()
    }
}
