//! A group of copies in virtual time: nodes, their disks, the links between them, the voters' record. One seed, one history.

use crate::disk::{Cell, sectors};
use crate::happening::Due;
pub use crate::happening::{Happening, Message};
use crate::invariants::{self, Ledger};
use crate::node::{Node, Running};
use crate::profile::Profile;
use crate::record::{Change, Client, Record};
use crate::socket::Way;
use crate::stats::Stats;
use crate::user::User;
use hotspare_core::rng::Rng;
use hotspare_core::{Epoch, NodeId, NodeSet};
use hotspare_volume::message::ToReplica;
use hotspare_volume::{Command, Event, Geometry, Input, Op, Range, Source, Task};
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

pub const MS: u64 = 1_000_000;
pub const GENERATION: u64 = 77;
pub const VOLUME: u64 = 0xB10C;

pub struct World {
    pub profile: Profile,
    pub rng: Rng,
    pub now: u64,
    pub shape: Geometry,
    pub nodes: Vec<Node>,
    /// Bytes that some user has seen.
    pub most_shown: u64,
    pub record: Record,
    pub ledger: Ledger,
    pub faults_on: bool,
    pub stats: Stats,
    pub story: Option<Vec<String>>,
    events: BinaryHeap<Due>,
    sequence: u64,
    /// The number of what happens now.
    turn: u64,
    pub(crate) session: u64,
    ballot: u64,
    pub sessions: BTreeMap<(usize, usize), u64>,
    pub down: BTreeMap<(usize, usize), u64>,
    pub(crate) last_arrival: BTreeMap<(usize, usize), u64>,
}

pub fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

pub fn index(node: NodeId) -> usize {
    usize::try_from(node.0 - 1).expect("a node of this world")
}

pub fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

impl World {
    pub fn new(profile: Profile, seed: u64, story: bool) -> World {
        let shape = Geometry { size: 200 * 1024 - 512, block: 1024, page_extents: 2 };
        let mut world = World {
            rng: Rng::new(seed),
            now: 0,
            shape,
            nodes: Vec::new(),
            most_shown: 0,
            record: Record::born(id(0)),
            ledger: Ledger::new(profile.nodes, usize::try_from(shape.size / 512).expect("small")),
            faults_on: true,
            stats: Stats::default(),
            story: story.then(Vec::new),
            events: BinaryHeap::new(),
            sequence: 0,
            turn: 0,
            session: 0,
            ballot: 0,
            sessions: BTreeMap::new(),
            down: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            profile,
        };
        for node in 0..world.profile.nodes {
            let made = world.create(node);
            world.nodes.push(made);
        }
        (0..world.profile.nodes).for_each(|node| world.power_on(node));
        world.at(0, Happening::Check);
        world
    }

    pub fn at(&mut self, time: u64, what: Happening) {
        self.sequence += 1;
        self.events.push(Due(time.max(self.now), self.sequence, what));
    }

    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            story.push(format!("{:>12.3} ms  {}", now as f64 / MS as f64, line()));
        }
    }

    /// Lets happen what is due until `until`.
    pub fn play(&mut self, until: u64) {
        while self.events.peek().is_some_and(|due| due.0 <= until) {
            let Due(time, sequence, what) = self.events.pop().expect("peeked");
            (self.now, self.turn) = (time, sequence);
            self.stats.events += 1;
            self.happen(what);
        }
        self.now = until;
    }

    /// A node whose processes stand still gets it later, and in its turn: stood still once more, it is not overtaken by what came meanwhile.
    fn stalled(&mut self, node: usize, what: Happening) -> Option<Happening> {
        let until = self.nodes[node].stalled_until;
        if self.now < until {
            self.events.push(Due(until, self.turn, what));
            return None;
        }
        Some(what)
    }

    fn alive(&self, node: usize, boot: u64) -> bool {
        self.nodes[node].boot == boot && self.nodes[node].volume.is_some()
    }

    fn happen(&mut self, what: Happening) {
        let node = match &what {
            Happening::Tick { node, .. } | Happening::Use { node, .. } | Happening::Bid { node, .. } => Some(*node),
            Happening::Message { to, .. } => Some(*to),
            Happening::Learn { node, .. } | Happening::Depose { node, .. } | Happening::Demote { node, .. } => {
                Some(*node)
            }
            Happening::Wish { node, .. } | Happening::Told { node, .. } => Some(*node),
            _ => None,
        };
        let what = match node {
            Some(node) => self.stalled(node, what),
            None => Some(what),
        };
        match what {
            Some(Happening::Tick { node, boot }) if self.alive(node, boot) => self.tick(node, boot),
            Some(Happening::Use { node, boot }) if self.alive(node, boot) => self.use_it(node, boot),
            Some(Happening::Disk { node, boot, id }) if self.alive(node, boot) => self.disk_done(node, id),
            Some(Happening::Meta { node, boot, id }) if self.alive(node, boot) => self.meta_done(node, id),
            Some(Happening::Message { from, to, boots, session, message, data }) if self.alive(to, boots.1) => {
                let _ = boots.0;
                self.arrive((from, to), session, message, data);
            }
            Some(Happening::Connect { one, other }) => self.connect(one, other),
            Some(Happening::Bid { node, boot }) if self.alive(node, boot) => self.bid(node, boot),
            Some(Happening::Change { node, boot, ballot, seen, change }) => {
                let chosen = self.record.change(id(node), ballot, seen, change);
                if chosen {
                    self.tell(|| format!("the voters: {change:?} of {node} is chosen"));
                    invariants::set_is_good(self);
                }
                // The answer may be lost, or come very late.
                let late = if self.faults_on && self.rng.one_in(12) { self.rng.below(900 * MS) } else { 0 };
                let later = self.now + self.delay() + late;
                if !(self.faults_on && self.rng.one_in(8)) {
                    let chosen = chosen.then_some(self.record.set);
                    self.at(later, Happening::Learn { node, boot, ballot, seen, change, chosen });
                }
            }
            Some(Happening::Learn { node, boot, ballot, seen, change, chosen }) if self.alive(node, boot) => {
                self.learn(node, (ballot, seen), change, chosen);
            }
            Some(Happening::Wish { node, boot, epoch, wish, set }) if self.alive(node, boot) => {
                self.wish(node, epoch, wish, set);
            }
            Some(Happening::Told { node, boot, sets }) if self.alive(node, boot) => self.told(node, sets),
            Some(Happening::Depose { node, boot, epoch }) if self.alive(node, boot) => self.depose(node, epoch),
            Some(Happening::Demote { node, boot, epoch })
                if self.alive(node, boot) && self.nodes[node].client.is_some_and(|client| client.epoch == epoch) =>
            {
                self.nodes[node].client = None;
                self.nodes[node].user = None;
                self.handle(node, Input::Demote);
            }
            Some(Happening::Hold { node, boot, on }) if self.alive(node, boot) => self.handle(node, Input::Hold(on)),
            Some(Happening::PowerOn { node }) if self.nodes[node].volume.is_none() => self.power_on(node),
            Some(Happening::LinkDown { one, other, span }) if one != other && self.faults_on => {
                self.stats.cuts += 1;
                self.tell(|| format!("nodes {one} and {other} are cut off from each other"));
                self.cut(one, other, span);
            }
            Some(Happening::LinkUp { one, other }) => {
                let key = pair(one, other);
                if self.down.get(&key).is_some_and(|until| *until <= self.now) {
                    self.down.remove(&key);
                    self.connect(one, other);
                }
            }
            Some(Happening::Check) => {
                invariants::pairs_are_covered(self);
                invariants::joined_are_equal(self);
                invariants::asynchronous_is_a_past(self);
                self.at(self.now + 20 * MS, Happening::Check);
            }
            Some(Happening::Fault) => crate::faults::strike(self),
            _ => {}
        }
    }

    pub fn delay(&mut self) -> u64 {
        let slow = self.faults_on && self.rng.one_in(250);
        self.rng.below(if slow { 100 * MS } else { MS / 2 }) + 1
    }

    fn tick(&mut self, node: usize, boot: u64) {
        self.at(self.now + 15 * MS, Happening::Tick { node, boot });
        let late = |client: &&mut Client| client.asking.is_some_and(|(_, since)| self.now - since > 60 * MS);
        if let Some(client) = self.nodes[node].client.as_mut().filter(late) {
            client.give_up();
        }
        self.sibling(node);
        self.propose(node);
        self.tell_sets(node);
        self.take_in(node);
        self.handle(node, Input::Tick);
    }

    pub(crate) fn propose(&mut self, node: usize) {
        self.ballot += 1;
        let (ballot, boot, now) = (self.ballot, self.nodes[node].boot, self.now);
        let Some(client) = &mut self.nodes[node].client else { return };
        let seen = client.epoch;
        if let Some(set) = client.propose(ballot, now) {
            let later = self.now + self.delay();
            self.at(later, Happening::Change { node, boot, ballot, seen, change: Change::Set(set) });
        }
    }

    fn bid(&mut self, node: usize, boot: u64) {
        let pause = 100 * MS + self.rng.below(400 * MS);
        self.at(self.now + pause, Happening::Bid { node, boot });
        let holder = self.record.holder;
        let leader_is_well = self.record.epoch.0 > 0
            && self.nodes[index(holder)].client.is_some()
            && !self.nodes[index(holder)].sealed
            && self.now >= self.nodes[index(holder)].stalled_until;
        if self.nodes[node].client.is_some() || (leader_is_well && !(self.faults_on && self.rng.one_in(12))) {
            return;
        }
        self.ballot += 1;
        let (ballot, seen) = (self.ballot, self.record.epoch);
        let later = self.now + self.delay();
        self.at(later, Happening::Change { node, boot, ballot, seen, change: Change::Lead });
    }

    fn learn(&mut self, node: usize, (ballot, seen): (u64, Epoch), change: Change, chosen: Option<NodeSet>) {
        match change {
            Change::Lead if chosen.is_some() && self.nodes[node].client.is_none() => {
                let set = chosen.expect("just seen");
                self.tell(|| format!("node {node} leads in epoch {}", seen.next()));
                self.nodes[node].client = Some(Client::new(seen.next(), set));
                let alone = set == NodeSet::only(id(node));
                self.handle(node, Input::Promote { epoch: seen.next(), generation: GENERATION, alone });
            }
            Change::Lead => {}
            Change::Set(set) => {
                let Some(client) = self.nodes[node].client.as_mut().filter(|client| client.epoch == seen) else {
                    return;
                };
                if chosen.is_some() {
                    client.learn(ballot, set);
                } else {
                    client.give_up();
                    if self.record.epoch > seen {
                        return self.depose(node, seen);
                    }
                }
                self.tell_sets(node);
            }
        }
    }

    /// The lease client has seen that its tenure is over: the kill step, and then the role goes.
    fn depose(&mut self, node: usize, epoch: Epoch) {
        if self.nodes[node].client.as_ref().is_some_and(|client| client.epoch == epoch) {
            self.tell(|| format!("node {node}: its tenure {epoch} is over"));
            self.handle(node, Input::Seal);
            let (boot, later) = (self.nodes[node].boot, self.now + self.rng.below(30 * MS));
            self.at(later, Happening::Demote { node, boot, epoch });
        }
    }

    fn use_it(&mut self, node: usize, boot: u64) {
        let rests = self.rng.one_in(100);
        let pause = self.rng.below(if rests { 150 * MS } else { 2 * MS }) + MS / 10;
        if rests && self.profile.cut_short {
            self.handle(node, Input::Grow); // an operator who tries again
        }
        self.at(self.now + pause, Happening::Use { node, boot });
        let overlaps = self.profile.overlaps;
        let this = &mut self.nodes[node];
        let shown = this.volume.as_ref().map_or(0, |volume| volume.status().size);
        let Some(user) = this.user.as_mut().filter(|user| !user.waits && !this.sealed && !this.quiet) else { return };
        let cells = &this.disk.cells[sectors(Range { at: 0, len: shown })];
        if let Some(request) = user.ask(&mut self.rng, cells, (overlaps, rests), self.now) {
            self.ledger.asked(request.tag);
            self.handle(node, Input::Request(request));
        }
    }

    /// Gives the volume of `node` something, and does what it asks for.
    pub fn handle(&mut self, node: usize, input: Input) {
        let now = Duration::from_nanos(self.now);
        if self.story.is_some() && !matches!(input, Input::Tick | Input::AckSet { .. } | Input::Done { .. }) {
            self.tell(|| format!("node {node} <- {input:?}"));
        }
        if matches!(input, Input::Seal | Input::Demote) {
            self.nodes[node].sealed = true;
        }
        let Some(volume) = &mut self.nodes[node].volume else { return };
        for command in volume.handle(now, input) {
            if self.story.is_some() && !matches!(command, Command::Meta { .. }) {
                self.tell(|| format!("node {node} -> {command:?}"));
            }
            self.carry_out(node, command);
        }
    }

    fn carry_out(&mut self, node: usize, command: Command) {
        let boot = self.nodes[node].boot;
        match command {
            Command::Disk { id, task } => {
                let data = match task {
                    Task::Write { range, source, .. } => self.bytes_of(node, range, source),
                    Task::Read { .. } | Task::Flush | Task::Digest { .. } => Vec::new(),
                };
                let cache = if task == Task::Flush { self.nodes[node].disk.cache() } else { (0, Vec::new()) };
                self.nodes[node].running.insert(id, Running { task, data, cache });
                let later = self.now + self.disk_time(node);
                self.at(later, Happening::Disk { node, boot, id });
            }
            Command::Meta { id, at, bytes } => {
                self.nodes[node].metas.insert(id, (at, bytes));
                let later = self.now + self.disk_time(node);
                self.at(later, Happening::Meta { node, boot, id });
            }
            Command::ToReplica { peer, session, message, bytes } => {
                let range = match &message {
                    ToReplica::Write { range, .. } | ToReplica::Copy { range, .. } => *range,
                    _ => Range { at: 0, len: 0 },
                };
                if self.profile.cut_short && matches!(message, ToReplica::Grow { .. }) && self.rng.one_in(2) {
                    // Some know the new size now; whoever told them does not show it yet.
                    let (at, span) = (self.now + self.rng.below(MS), self.rng.below(100 * MS));
                    self.at(at, Happening::LinkDown { one: node, other: self.profile.nodes - 1, span });
                }
                let data = bytes.map(|source| self.bytes_of(node, range, source)).unwrap_or_default();
                self.send((node, index(peer)), session, Message::Replica(message), data);
            }
            Command::ToPrimary { peer, session, message } => {
                self.send((node, index(peer)), session, Message::Primary(message), Vec::new());
            }
            Command::Close { peer, session } => self.hang_up(node, index(peer), session),
            Command::Complete { tag, ok } => self.complete(node, tag, ok),
            Command::Want { epoch, wish, set } => {
                let at = self.socket_delay(node, Way::ToClient);
                self.at(at, Happening::Wish { node, boot, epoch, wish, set });
            }
            Command::Journal(event) => self.on_event(node, event),
        }
    }

    fn disk_time(&mut self, node: usize) -> u64 {
        // A disk that is slow is slow now and then: what was asked for later may be done first.
        let slow = self.now < self.nodes[node].slow_disk_until && self.rng.one_in(3);
        self.rng.below(if slow { 30 * MS } else { MS / 2 }) + 1
    }

    fn bytes_of(&self, node: usize, range: Range, source: Source) -> Vec<Cell> {
        let this = &self.nodes[node];
        match source {
            Source::Request(tag) => {
                let cell = if tag >> 63 == 1 { 0 } else { tag }; // what it grows by is zeros
                vec![cell; sectors(range).len()]
            }
            Source::Read(id) => this.reads[&id].clone(),
            Source::Work(bytes) => this.works[&bytes].clone(),
        }
    }

    fn disk_done(&mut self, node: usize, id: u64) {
        let (boot, hangs_until) = (self.nodes[node].boot, self.nodes[node].disk_hangs_until);
        if self.now < hangs_until {
            return self.at(hangs_until, Happening::Disk { node, boot, id });
        }
        let fails = self.profile.disk_errors && self.faults_on && self.rng.one_in(4000);
        let this = &mut self.nodes[node];
        let Some(Running { task, data, cache }) = this.running.remove(&id) else { return };
        match task {
            Task::Read { range, tag } => {
                let read = this.disk.read(range);
                match tag {
                    Some(tag) => drop(this.answers.insert(tag, read)),
                    None => drop(this.reads.insert(id, read)),
                }
            }
            Task::Write { range, durable, source, .. } => {
                if !fails {
                    this.disk.write(range, &data, durable);
                }
                if let Source::Work(bytes) = source {
                    this.works.remove(&bytes);
                }
            }
            Task::Flush => this.disk.flushed(&cache),
            Task::Digest { range } => {
                let mut digest = [0; 32];
                let sum =
                    this.disk.read(range).iter().fold(0_u64, |sum, cell| sum.rotate_left(7).wrapping_mul(31) ^ cell);
                digest[..8].copy_from_slice(&sum.to_be_bytes());
                return self.handle(node, Input::Digested { id, digest });
            }
        }
        self.handle(node, Input::Done { id, ok: !fails || matches!(task, Task::Flush) });
        self.nodes[node].reads.retain(|other, _| *other + 64 > id);
    }

    fn meta_done(&mut self, node: usize, id: u64) {
        let (boot, hangs_until) = (self.nodes[node].boot, self.nodes[node].disk_hangs_until);
        if self.now < hangs_until {
            return self.at(hangs_until, Happening::Meta { node, boot, id });
        }
        let fails = self.profile.disk_errors && self.faults_on && self.rng.one_in(2000);
        let Some((at, bytes)) = self.nodes[node].metas.remove(&id) else { return };
        if !fails {
            self.nodes[node].disk.write_meta(at, &bytes);
        }
        self.handle(node, Input::Done { id, ok: !fails });
    }

    fn complete(&mut self, node: usize, tag: u64, ok: bool) {
        let acks = self.nodes[node].client.map(|client| client.acks());
        let epoch = tag >> 32;
        let sealed = self.nodes[node].sealed;
        let Some(user) = &mut self.nodes[node].user else { return };
        let pending = user.pending.remove(&tag);
        let pending = pending.unwrap_or_else(|| panic!("completed_once: request {tag:x} was not under way"));
        let answer = self.nodes[node].answers.remove(&tag);
        if !ok {
            return;
        }
        assert!(self.nodes[node].serving, "serves_when_equal: node {node} completed {tag:x} before that");
        assert!(!sealed, "sealed_is_silent: node {node} completed {tag:x} after its seal");
        match pending.request.op {
            Op::Read => {
                let this = &self.nodes[node];
                let Some(user) = &this.user else { return };
                let read = sectors(pending.request.range).zip(answer.expect("it was read"));
                // An older write may be asked again, of an engine that died before it answered, and come behind it.
                let settled = |(at, cell): &(usize, Cell)| !user.writes_to(*at, *cell);
                let read: Vec<(usize, Cell)> = read.filter(settled).collect();
                let joined = |peer: &NodeId| this.volume.as_ref().is_some_and(|volume| volume.is_joined(*peer));
                let members: Vec<usize> = acks.iter().flat_map(NodeSet::iter).filter(joined).map(index).collect();
                self.ledger.read(&read, members.into_iter().chain([node]));
                invariants::acked_is_kept(self, node);
            }
            Op::Write { durable, .. } => {
                self.stats.writes += 1;
                let members = acks.unwrap_or_else(|| NodeSet::only(id(node)));
                self.ledger.written(&pending, (durable, epoch), members.iter().map(index).chain([node]));
                if durable {
                    invariants::flushed_is_kept(self, sectors(pending.request.range));
                }
            }
            Op::Flush => {
                self.stats.flushes += 1;
                let raised = self.ledger.flushed(&pending.seen, epoch);
                invariants::flushed_is_kept(self, raised.into_iter());
            }
        }
    }

    fn on_event(&mut self, node: usize, event: Event) {
        match event {
            Event::GrowthBegins { .. } if self.profile.cut_short => {
                self.nodes[self.profile.nodes - 1].slow_disk_until = self.now + 200 * MS;
                // Whoever leads next may have heard of the new size already.
                let epoch = self.nodes[node].client.map(|client| client.epoch).filter(|_| self.rng.one_in(2));
                if let Some(epoch) = epoch {
                    let (boot, at) = (self.nodes[node].boot, self.now + self.rng.below(100 * MS));
                    self.at(at, Happening::Depose { node, boot, epoch });
                }
            }
            Event::Grown { .. } => {
                self.stats.growths += 1;
                invariants::nothing_shrinks(self, node);
            }
            Event::Serving { .. } => {
                self.nodes[node].serving = true;
                invariants::nothing_shrinks(self, node);
                invariants::serves_when_equal(self, node);
                // What a former life of the engine did not answer is asked again, in order.
                let waiting = self.nodes[node].user.as_mut().filter(|user| user.waits);
                let again: Vec<_> = waiting.map_or(Vec::new(), |user| {
                    user.waits = false;
                    user.pending.values().map(|pending| pending.request).collect()
                });
                again.into_iter().for_each(|request| self.handle(node, Input::Request(request)));
            }
            Event::Promoted { epoch } if self.nodes[node].user.as_ref().is_some_and(|user| user.epoch == epoch.0) => {
                invariants::acked_is_kept(self, node);
            }
            Event::Promoted { epoch } => {
                self.stats.tenures += 1;
                self.nodes[node].serving = false;
                self.nodes[node].sealed = false;
                self.nodes[node].user = Some(User::new(epoch.0));
                invariants::acked_is_kept(self, node);
                invariants::history_begins(self, node, epoch.0);
            }
            Event::PromotionRefused { .. } => {
                // The gate cannot open; somebody else will lead.
                self.nodes[node].client = None;
            }
            Event::Sealed { .. } => {
                self.nodes[node].sealed = true;
                if let Some(epoch) = self.nodes[node].client.map(|client| client.epoch) {
                    let (boot, later) = (self.nodes[node].boot, self.now + self.rng.below(30 * MS));
                    self.at(later, Happening::Depose { node, boot, epoch });
                    self.at(later, Happening::Demote { node, boot, epoch });
                }
            }
            Event::Differs { peer, at, .. } => {
                panic!("verify_is_honest: nothing on {peer:?} was changed, and the block at {at} is said to differ")
            }
            Event::Verified { compared, .. } => self.stats.compared += compared,
            Event::DiskHangs { .. } => self.stats.hangs += 1,
            Event::Joined { .. } => self.stats.joins += 1,
            Event::Dropped { .. } => self.stats.drops += 1,
            Event::LeftBehind { .. } => self.stats.left_behind += 1,
            Event::ResyncBegins { blocks, .. } => self.stats.copied += blocks,
            Event::DiskFailed if self.nodes[node].client.is_some() => {
                if let Some(epoch) = self.nodes[node].client.map(|client| client.epoch) {
                    let (boot, later) = (self.nodes[node].boot, self.now + MS);
                    self.at(later, Happening::Depose { node, boot, epoch });
                }
            }
            _ => {}
        }
    }
}
