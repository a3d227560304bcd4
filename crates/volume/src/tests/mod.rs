//! The volume rule by rule: two copies, A and B, on a perfect network, disks that answer at once unless a test holds them up.

mod asynchronous;
mod degrade;
mod growth;
mod requests;
mod sessions;
mod verify;

use crate::bits::Bits;
use crate::layout::{PEERS_MAX, Superblock};
use crate::*;
use hotspare_core::{Epoch, NodeId, NodeSet};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const GENERATION: u64 = 42;
const SIZE: u64 = 4 << 20;

fn range(at: u64, len: u64) -> Range {
    Range { at, len }
}

fn write(tag: u64) -> Request {
    Request { tag, op: Op::Write { what: What::Data, durable: false }, range: range(4096, 4096) }
}

fn flush(tag: u64) -> Request {
    Request { tag, op: Op::Flush, range: range(0, 0) }
}

fn read(tag: u64) -> Request {
    Request { tag, op: Op::Read, range: range(0, 512) }
}

/// A copy that is equal to a clean other one, or one that has nothing (`generation` 0, not whole).
fn copy(me: NodeId, other: NodeId, change: impl Fn(&mut Superblock)) -> Volume {
    copy_with_room(me, other, SIZE, change)
}

fn copy_with_room(me: NodeId, other: NodeId, room: u64, change: impl Fn(&mut Superblock)) -> Volume {
    let mut peers = [NodeId::default(); PEERS_MAX];
    peers[0] = other;
    let min_epoch = Epoch(0);
    let mut block = Superblock {
        volume: 7,
        node: me,
        peers,
        size: SIZE,
        block: 65536,
        generation: GENERATION,
        min_epoch,
        whole: true,
    };
    change(&mut block);
    let clean = block.generation != 0;
    let bits = Bits::new(block.geometry(room), 1, |_, _| clean.then(|| vec![0; layout::PAGE_WORDS]));
    let config = VolumeConfig {
        grace: Duration::from_secs(2),
        takeover_grace: Duration::from_millis(200),
        flush_every: Duration::from_secs(1),
        disk_patience: Duration::from_secs(5),
        cool_after: Duration::from_secs(5),
        others: vec![other],
        asynchronous: Vec::new(),
        lag: Lag { bytes: 1 << 20, span: Duration::from_secs(10) },
    };
    Volume::new(config, Duration::ZERO, (1, block), bits)
}

struct Desk {
    now: Duration,
    copies: BTreeMap<NodeId, Volume>,
    session: u64,
    connected: bool,
    /// Disk tasks of these are kept until [`Desk::release`]; metadata is never held up.
    held: BTreeSet<NodeId>,
    kept: VecDeque<(NodeId, u64, Task)>,
    /// Disk tasks and metadata of these fail.
    failing: BTreeSet<NodeId>,
    /// Blocks that begin there are not what they should be.
    odd: BTreeSet<(NodeId, u64)>,
    completed: Vec<(u64, bool)>,
    wants: Vec<NodeSet>,
    events: Vec<(NodeId, Event)>,
    tasks: Vec<(NodeId, Task)>,
    sent: Vec<ToReplica>,
    queue: VecDeque<(NodeId, Command)>,
}

impl Desk {
    fn new(a: Volume, b: Volume) -> Desk {
        Desk {
            now: Duration::from_secs(1),
            copies: BTreeMap::from([(A, a), (B, b)]),
            session: 0,
            connected: false,
            held: BTreeSet::new(),
            kept: VecDeque::new(),
            failing: BTreeSet::new(),
            odd: BTreeSet::new(),
            completed: Vec::new(),
            wants: Vec::new(),
            events: Vec::new(),
            tasks: Vec::new(),
            sent: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    /// Both whole and equal, connected, A written to in epoch 1, B counts.
    fn both() -> Desk {
        let mut desk = Desk::new(copy(A, B, |_| {}), copy(B, A, |_| {}));
        desk.connect();
        desk.promote(A, 1);
        desk.sets(1, &[A, B], &[A, B]);
        assert!(desk.copies[&A].status().serving);
        desk
    }

    fn input(&mut self, node: NodeId, input: Input) {
        let commands = self.copies.get_mut(&node).expect("a copy").handle(self.now, input);
        self.queue.extend(commands.into_iter().map(|command| (node, command)));
        while let Some((node, command)) = self.queue.pop_front() {
            self.carry_out(node, command);
        }
    }

    fn feed(&mut self, node: NodeId, input: Input) {
        let commands = self.copies.get_mut(&node).expect("a copy").handle(self.now, input);
        self.queue.extend(commands.into_iter().map(|command| (node, command)));
    }

    fn carry_out(&mut self, node: NodeId, command: Command) {
        let ok = !self.failing.contains(&node);
        match command {
            Command::Disk { id, task } => {
                self.tasks.push((node, task));
                if self.held.contains(&node) {
                    self.kept.push_back((node, id, task));
                } else {
                    let done = self.done(node, id, task);
                    self.feed(node, done);
                }
            }
            Command::Meta { id, .. } => self.feed(node, Input::Done { id, ok }),
            Command::ToReplica { peer, session, message, .. } => {
                self.sent.push(message.clone());
                if self.connected {
                    self.feed(peer, Input::FromPrimary { peer: node, session, message, bytes: 0 });
                }
            }
            Command::ToPrimary { peer, session, message } if self.connected => {
                self.feed(peer, Input::FromReplica { peer: node, session, message });
            }
            Command::ToPrimary { .. } => {}
            Command::Close { .. } => self.disconnect(),
            Command::Complete { tag, ok } => self.completed.push((tag, ok)),
            Command::Want { set, .. } => self.wants.push(set),
            Command::Journal(event) => self.events.push((node, event)),
        }
    }

    /// What became of a task.
    fn done(&self, node: NodeId, id: u64, task: Task) -> Input {
        let ok = !self.failing.contains(&node);
        match task {
            Task::Digest { range } if ok => {
                Input::Digested { id, digest: [u8::from(self.odd.contains(&(node, range.at))); 32] }
            }
            _ => Input::Done { id, ok },
        }
    }

    fn connect(&mut self) {
        self.session += 1;
        self.connected = true;
        let session = self.session;
        self.feed(A, Input::Connected { peer: B, session }); // both know before either is heard
        self.input(B, Input::Connected { peer: A, session });
    }

    fn disconnect(&mut self) {
        let session = self.session;
        if std::mem::replace(&mut self.connected, false) {
            self.feed(A, Input::Disconnected { peer: B, session });
            self.feed(B, Input::Disconnected { peer: A, session });
        }
    }

    fn promote(&mut self, node: NodeId, epoch: u64) {
        self.input(node, Input::Promote { epoch: Epoch(epoch), generation: GENERATION, alone: false });
    }

    fn sets(&mut self, epoch: u64, acks: &[NodeId], chosen: &[NodeId]) {
        let set = |nodes: &[NodeId]| NodeSet::of(nodes.iter().copied()).expect("few");
        let node = if self.copies[&A].status().primary == Some(Epoch(epoch)) { A } else { B };
        self.input(node, Input::AckSet { epoch: Epoch(epoch), wish: u64::MAX, acks: set(acks), chosen: set(chosen) });
    }

    fn ask(&mut self, request: Request) {
        self.input(A, Input::Request(request));
    }

    /// Lets time pass, in ticks of 100 ms.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now += Duration::from_millis(100);
            self.input(A, Input::Tick);
            self.input(B, Input::Tick);
        }
    }

    /// What was held up of `node`'s disk is done now.
    fn release(&mut self, node: NodeId) {
        self.held.remove(&node);
        let (due, rest) = self.kept.drain(..).partition(|(of, ..)| *of == node);
        self.kept = rest;
        for (node, id, task) in Vec::from(due) {
            let done = self.done(node, id, task);
            self.input(node, done);
        }
    }

    fn last_event(&self, node: NodeId) -> Option<Event> {
        self.events.iter().rev().find(|(of, _)| *of == node).map(|(_, event)| *event)
    }

    fn happened(&self, like: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| like(event))
    }
}
