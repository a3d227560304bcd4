//! A request's way at the copy that is written to: its turn, its intent, the disks, its end (R1, R4, R8, R10).

use crate::event::Event;
use crate::fault::{VolumeFault, taken_out};
use crate::growth::INTERNAL;
use crate::message::{Command, Durable, Op, Request, Source, Task, ToReplica, What};
use crate::primary::{Flush, Key, Read, Step, Waiting, Write};
use crate::volume::{Doing, Role, Volume};
use hotspare_core::NodeId;
use std::time::Duration;

impl Volume {
    pub(crate) fn on_request(&mut self, request: Request) {
        let fits = matches!(request.op, Op::Flush) || self.shown().holds(request.range);
        let Role::Primary(primary) = &mut self.role else {
            return self.out.push(Command::Complete { tag: request.tag, ok: false });
        };
        primary.asked_at = self.now;
        if primary.sealed || !fits {
            return self.out.push(Command::Complete { tag: request.tag, ok: false });
        }
        let waits = match request.op {
            Op::Read => !primary.serving && !taken_out(VolumeFault::ServesBeforeEqual),
            Op::Write { .. } | Op::Flush => {
                primary.is_frozen(self.block.node) || primary.is_choked() || !primary.queue.is_empty()
            }
        };
        if waits {
            primary.queue.push_back(request);
        } else {
            self.begin(request);
        }
    }

    /// What waited begins, in order, when nothing is in its way any more.
    pub(crate) fn begin_queued(&mut self) {
        loop {
            let Role::Primary(primary) = &mut self.role else { return };
            let frozen = primary.is_frozen(self.block.node) || primary.is_choked();
            let may = |request: &Request| if request.op == Op::Read { primary.serving } else { !frozen };
            if !primary.queue.front().is_some_and(may) {
                return;
            }
            let request = primary.queue.pop_front().expect("looked at");
            self.begin(request);
        }
    }

    pub(crate) fn begin(&mut self, request: Request) {
        let Role::Primary(primary) = &mut self.role else { return };
        match request.op {
            Op::Read => {
                let (range, waits_for) = (request.range, primary.writes_to(request.range));
                let at_once = waits_for.is_empty();
                primary.reads.insert(request.tag, Read { range, waits_for, landed: false });
                if at_once {
                    self.read(request.tag);
                }
            }
            Op::Write { .. } => {
                primary.waiting.insert(request.tag, Waiting { request, needs: None });
                let turn = primary.locks.take(Key::Request(request.tag), request.range);
                if turn || taken_out(VolumeFault::NoLocks) {
                    self.intend(request.tag);
                }
            }
            Op::Flush => self.flush(Some(request.tag)),
        }
    }

    /// No write is in its way.
    fn read(&mut self, tag: u64) {
        let Role::Primary(primary) = &self.role else { return };
        let Some(range) = primary.reads.get(&tag).map(|read| read.range) else { return };
        self.start(Doing::Read(tag), Task::Read { range, tag: Some(tag) });
    }

    /// Its turn has come: its intent goes to disk, if it is not there.
    pub(crate) fn intend(&mut self, tag: u64) {
        let Role::Primary(primary) = &mut self.role else { return };
        if let Some(waiting) = primary.waiting.get_mut(&tag).filter(|waiting| waiting.needs.is_none()) {
            waiting.needs = Some(self.bits.enter(waiting.request.range, self.now));
        }
    }

    /// Whose intent is on disk goes out.
    pub(crate) fn issue_writes(&mut self) {
        let Role::Primary(primary) = &mut self.role else { return };
        let met = |waiting: &Waiting| waiting.needs.as_ref().is_some_and(|needs| self.bits.met(needs));
        let due: Vec<u64> = primary.waiting.iter().filter(|(_, waiting)| met(waiting)).map(|(tag, _)| *tag).collect();
        for tag in due {
            self.issue(tag);
        }
    }

    fn issue(&mut self, tag: u64) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(Waiting { request, .. }) = primary.waiting.remove(&tag) else { return };
        let Op::Write { what, durable } = request.op else { unreachable!("only writes wait for intents") };
        primary.number += 1;
        let (number, range) = (primary.number, request.range);
        primary.writes.insert(number, Write { request, local: false });
        self.bits.mark(range, number);
        for (node, peer) in &mut primary.peers {
            // A block that has yet to be copied is copied with this write in it.
            let copied_later = |(extent, mask): (usize, u64)| peer.todo.has(extent, mask);
            if !peer.hears() || self.shape.touched(range).all(copied_later) {
                continue;
            }
            peer.owes(number, self.now, if what == What::Data { range.len } else { 0 });
            let message = ToReplica::Write { number, what, range, durable };
            let (peer, session, bytes) = (*node, peer.session, Some(Source::Request(tag)));
            self.out.push(Command::ToReplica { peer, session, message, bytes });
        }
        let source = Source::Request(tag);
        self.start(Doing::Write(number), Task::Write { what, range, durable, source });
    }

    pub(crate) fn on_written(&mut self, number: u64, ok: bool) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(write) = primary.writes.get_mut(&number) else { return }; // of a former tenure, or sealed
        let request = write.request;
        if ok {
            write.local = true;
        } else {
            primary.writes.remove(&number);
        }
        self.bits.leave(request.range);
        let granted = primary.locks.release(Key::Request(request.tag));
        self.granted(granted);
        if !ok {
            self.complete(request.tag, false);
            self.disk_failed();
        }
    }

    /// Whose turn has come.
    pub(crate) fn granted(&mut self, keys: Vec<Key>) {
        for key in keys {
            match key {
                Key::Request(tag) => self.intend(tag),
                Key::Copy(peer, copy) => self.read_copy(peer, copy),
                Key::Check(check) => self.digest_own(check),
            }
        }
    }

    pub(crate) fn on_read(&mut self, tag: u64, ok: bool) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(range) = primary.reads.get(&tag).map(|read| read.range) else { return };
        let waits_for = if ok { primary.writes_to(range) } else { Vec::new() };
        if !waits_for.is_empty() {
            primary.reads.insert(tag, Read { range, waits_for, landed: true });
            return;
        }
        primary.reads.remove(&tag);
        self.complete(tag, ok);
        if !ok {
            self.disk_failed();
        }
    }

    /// Begins a flush everywhere: for a request, or of our own accord.
    pub(crate) fn flush(&mut self, tag: Option<u64>) {
        let Role::Primary(primary) = &mut self.role else { return };
        primary.next += 1;
        let (flush, upto) = (primary.next, primary.number);
        primary.flushes.insert(flush, Flush { tag, upto, local: false, done: Vec::new() });
        primary.next_flush = self.now + self.config.flush_every;
        let flushed = primary.peers.iter().filter(|(_, peer)| peer.is_flushed());
        let flushed: Vec<NodeId> = flushed.map(|(node, _)| *node).collect();
        let covers = primary.covers();
        for node in flushed {
            self.send_flush(node, flush);
        }
        self.start(Doing::Flush { flush, covers }, Task::Flush);
    }

    /// Asks `node` to flush; what that will cover is fixed now.
    pub(crate) fn send_flush(&mut self, node: NodeId, flush: u64) {
        let Role::Primary(primary) = &mut self.role else { return };
        let number = primary.number;
        let Some(peer) = primary.peers.get_mut(&node) else { return };
        peer.flushes.insert(flush, (peer.covers(number), self.now));
        let (session, message) = (peer.session, ToReplica::Flush { flush });
        self.out.push(Command::ToReplica { peer: node, session, message, bytes: None });
    }

    pub(crate) fn on_flushed(&mut self, flush: u64, covers: u64, ok: bool) {
        let Role::Primary(primary) = &mut self.role else { return };
        if !ok {
            let tag = primary.flushes.remove(&flush).and_then(|flush| flush.tag);
            if let Some(tag) = tag {
                self.complete(tag, false);
            }
            return self.disk_failed();
        }
        if let Some(flush) = primary.flushes.get_mut(&flush) {
            flush.local = true;
        }
        if !primary.disk_failed {
            primary.durable = primary.durable.max(Some(covers));
        }
    }

    /// What every copy that counts has is completed (R1).
    pub(crate) fn settle(&mut self) {
        let me = self.block.node;
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(counts) = primary.counts(me) else { return };
        let all_have = |number| counts.iter().all(|node| primary.has(*node, number));
        let written = |number: u64, write: &Write| {
            (write.local || taken_out(VolumeFault::AckWithoutLocal))
                && (all_have(number) || taken_out(VolumeFault::AckWithoutPeers))
        };
        let done: Vec<u64> =
            primary.writes.iter().filter(|(number, write)| written(**number, write)).map(|(n, _)| *n).collect();
        let flushed = |flush: &Flush| {
            let all = counts.iter().all(|node| flush.done.contains(node) && primary.is_joined(*node));
            (flush.local || taken_out(VolumeFault::FlushWithoutLocal))
                && (all || taken_out(VolumeFault::FlushWithoutPeers))
        };
        let flushes: Vec<u64> = primary.flushes.iter().filter(|(_, flush)| flushed(flush)).map(|(id, _)| *id).collect();
        for number in done {
            let Role::Primary(primary) = &mut self.role else { return };
            let tag = primary.writes.remove(&number).map(|write| write.request.tag);
            tag.into_iter().for_each(|tag| self.complete(tag, true));
        }
        for id in flushes {
            let Role::Primary(primary) = &mut self.role else { return };
            let tag = primary.flushes.remove(&id).and_then(|flush| flush.tag);
            tag.into_iter().for_each(|tag| self.complete(tag, true));
        }
        let Role::Primary(primary) = &mut self.role else { return };
        let (begin, answer) = primary.reads_due();
        answer.iter().for_each(|tag| _ = primary.reads.remove(tag));
        begin.into_iter().for_each(|tag| self.read(tag));
        answer.into_iter().for_each(|tag| self.complete(tag, true));
    }

    pub(crate) fn complete(&mut self, tag: u64, ok: bool) {
        if tag & INTERNAL != 0 {
            return self.grew(ok);
        }
        let Role::Primary(primary) = &mut self.role else { return };
        if primary.held {
            primary.ready.push((tag, ok));
        } else {
            self.out.push(Command::Complete { tag, ok });
        }
    }

    pub(crate) fn on_hold(&mut self, on: bool) {
        let Role::Primary(primary) = &mut self.role else { return };
        primary.held = on;
        if !on {
            let ready = std::mem::take(&mut primary.ready);
            self.out.extend(ready.into_iter().map(|(tag, ok)| Command::Complete { tag, ok }));
        }
    }

    /// R10: every request fails, those under way and those to come. What is under way to the disks may still land there, and is marked.
    pub(crate) fn seal(&mut self) {
        if let Role::Replica(replica) = &mut self.role {
            replica.promotion = None; // what has not begun does not begin any more
        }
        let Role::Primary(primary) = &mut self.role else { return };
        if std::mem::replace(&mut primary.sealed, true) {
            return;
        }
        // A write that failed here alone may be why: this copy is not the agreed side of anything any more.
        (primary.verify, primary.growth) = (None, None);
        let requests = primary.requests();
        let mut tags: Vec<u64> = primary.ready.drain(..).map(|(tag, _)| tag).collect();
        tags.extend(primary.queue.drain(..).map(|request| request.tag));
        tags.extend(std::mem::take(&mut primary.waiting).into_keys());
        tags.extend(std::mem::take(&mut primary.reads).into_keys());
        if !taken_out(VolumeFault::AcksAfterSeal) {
            tags.extend(std::mem::take(&mut primary.writes).into_values().map(|write| write.request.tag));
            tags.extend(std::mem::take(&mut primary.flushes).into_values().filter_map(|flush| flush.tag));
        }
        tags.retain(|tag| tag & INTERNAL == 0);
        self.out.extend(tags.into_iter().map(|tag| Command::Complete { tag, ok: false }));
        self.journal(Event::Sealed { requests });
    }

    /// This copy is not what it should be any more. If there is a better one, this tenure is over: nothing more is acknowledged here, and
    /// the role should move (peers.md, pain 7). The last copy goes on as a bad disk does: the request fails, no other.
    fn disk_failed(&mut self) {
        let me = self.block.node;
        let Role::Primary(primary) = &mut self.role else { return };
        if std::mem::replace(&mut primary.disk_failed, true) {
            return;
        }
        let others = primary.counts(me).is_some_and(|counts| !counts.is_empty());
        self.journal(Event::DiskFailed);
        if others {
            self.seal();
        }
    }

    /// A disk that hangs is worse than one that fails: nobody is told. With another copy that counts this tenure is over; the last
    /// one waits, as everybody does for a disk.
    pub(crate) fn watch_disk(&mut self) {
        let (me, hangs) = (self.block.node, self.disk_hangs());
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(since) = hangs else {
            primary.disk_hung = false;
            return;
        };
        if primary.sealed || std::mem::replace(&mut primary.disk_hung, true) {
            return;
        }
        let sealed = primary.counts(me).is_some_and(|counts| !counts.is_empty());
        self.journal(Event::DiskHangs { after: self.now.saturating_sub(since), sealed });
        if sealed {
            self.seal();
        }
    }

    /// Flushes now and then, so that little has to be copied again after a crash; tells the others how far all are.
    pub(crate) fn flush_of_our_own(&mut self) {
        let Role::Primary(primary) = &mut self.role else { return };
        let idle = primary.flushes.is_empty() && !primary.sealed && !primary.disk_failed;
        let joined = primary.peers.values().filter(|peer| peer.step == Step::Joined);
        let behind = joined.map(|peer| peer.durable).chain([primary.durable]).any(|at| at < Some(primary.number));
        if idle && behind && self.now >= primary.next_flush {
            self.flush(None);
        }
    }

    /// When a copy or this one has more on disk, bits go here, and the others hear of it.
    pub(crate) fn tell_durable(&mut self) {
        let me = self.block.node;
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(own) = primary.durable else { return };
        let joined = |(node, peer): (&NodeId, &crate::primary::Peer)| {
            let counted =
                if taken_out(VolumeFault::ClearedWhenAcked) { Some(peer.covers(primary.number)) } else { peer.durable };
            Some((*node, counted.filter(|_| peer.step == Step::Joined)?))
        };
        let nodes = primary.peers.iter().filter_map(joined).chain([(me, own)]).collect();
        let durable = Durable { nodes, size: self.block.size };
        if primary.told == durable {
            return;
        }
        primary.told.clone_from(&durable);
        for (node, peer) in primary.peers.iter().filter(|(_, peer)| peer.step == Step::Joined) {
            let message = ToReplica::Durable(durable.clone());
            self.out.push(Command::ToReplica { peer: *node, session: peer.session, message, bytes: None });
        }
        self.clear_bits(&durable, own);
    }

    /// How long requests have been waiting for a copy.
    pub(crate) fn note_frozen(&mut self) {
        let me = self.block.node;
        let Role::Primary(primary) = &mut self.role else { return };
        if !primary.serving || primary.sealed {
            return;
        }
        match (primary.lacks(me), primary.frozen_since) {
            (Some(Some(peer)), None) => {
                primary.frozen_since = Some(self.now);
                self.journal(Event::Frozen { peer });
            }
            (Some(None), Some(since)) => {
                primary.frozen_since = None;
                let after: Duration = self.now.saturating_sub(since);
                self.journal(Event::Thawed { after });
            }
            _ => {}
        }
    }
}
