//! A node: made, switched on, killed, and cut off from its power.

use crate::disk::{Cell, Disk};
use crate::invariants;
use crate::record::Client;
use crate::socket::Socket;
use crate::user::User;
use crate::world::{GENERATION, Happening, MS, VOLUME, World, id, pair};
use hotspare_core::{Epoch, NodeId, NodeSet};
use hotspare_volume::bits::Bits;
use hotspare_volume::layout::{self, PEERS_MAX, Superblock};
use hotspare_volume::{Input, Lag, Range, Task, Volume, VolumeConfig};
use std::collections::BTreeMap;
use std::time::Duration;

/// Extents that may be hot at a time: few, so that they cool.
const HOT: usize = 2;

/// A disk task under way.
#[derive(Clone, Debug)]
pub struct Running {
    pub(crate) task: Task,
    pub(crate) data: Vec<Cell>,
    /// Of a flush: what it will make durable.
    pub(crate) cache: (u64, Vec<(usize, Cell)>),
}

pub struct Node {
    pub boot: u64,
    pub volume: Option<Volume>,
    pub disk: Disk,
    pub(crate) running: BTreeMap<u64, Running>,
    pub(crate) metas: BTreeMap<u64, (u64, Vec<u8>)>,
    pub client: Option<Client>,
    pub socket: Socket,
    pub user: Option<User>,
    pub sealed: bool,
    /// Its tenure has begun to serve.
    pub serving: bool,
    /// Bytes that came with messages, and that were read for copies.
    pub(crate) works: BTreeMap<u64, Vec<Cell>>,
    pub(crate) reads: BTreeMap<u64, Vec<Cell>>,
    /// What the user's reads have found, by tag.
    pub(crate) answers: BTreeMap<u64, Vec<Cell>>,
    pub(crate) next_bytes: u64,
    pub stalled_until: u64,
    pub slow_disk_until: u64,
    /// Its disk answers nothing until then.
    pub disk_hangs_until: u64,
    /// Its user asks for nothing more.
    pub quiet: bool,
}

impl World {
    pub(crate) fn create(&self, node: usize) -> Node {
        let mut peers = [NodeId::default(); PEERS_MAX];
        let others = (0..self.profile.nodes).filter(|other| *other != node);
        peers.iter_mut().zip(others).for_each(|(peer, other)| *peer = id(other));
        let (room, block, whole) = (self.shape.size, self.shape.block, node == 0);
        // A copy that is made takes all the room there is; what counts is the size of the one with the data.
        let size = if self.profile.grows && whole { room / 1024 * 512 } else { room };
        let content = Superblock {
            volume: VOLUME,
            node: id(node),
            peers,
            size,
            block,
            generation: 0,
            min_epoch: Epoch(0),
            whole,
        };
        let mut disk = Disk::new(room, layout::metadata_bytes(&self.shape, self.profile.nodes - 1));
        for sequence in [1, 2] {
            let (at, bytes) = layout::superblock(sequence, &content);
            disk.write_meta(at, &bytes);
        }
        // What is not shown is whatever was on the disk before, and older than everything.
        if self.profile.grows {
            disk.fill(Range { at: room / 1024 * 512, len: room - room / 1024 * 512 }, node as u64 + 1);
        }
        Node {
            boot: 0,
            volume: None,
            disk,
            running: BTreeMap::new(),
            metas: BTreeMap::new(),
            client: None,
            socket: Socket::new(self.profile.siblings),
            user: None,
            sealed: false,
            serving: false,
            works: BTreeMap::new(),
            reads: BTreeMap::new(),
            answers: BTreeMap::new(),
            next_bytes: 0,
            stalled_until: 0,
            slow_disk_until: 0,
            disk_hangs_until: 0,
            quiet: false,
        }
    }

    /// The machine has power: its daemon reads what is on its disk.
    pub(crate) fn power_on(&mut self, node: usize) {
        self.nodes[node].boot += 1;
        let boot = self.nodes[node].boot;
        let meta = &self.nodes[node].disk.meta;
        let (sequence, content) = layout::read_superblocks(meta).expect("whole_metadata: a superblock is damaged");
        let shape = self.shape;
        let read = |peer, page| {
            let at = usize::try_from(layout::page_at(&shape, peer, page)).expect("small");
            layout::read_page(content.volume, peer, page, &meta[at..at + layout::SHEET])
        };
        let bits = Bits::new(shape, content.peer_count(), read).with_hot_max(HOT);
        let span = |ms| Duration::from_nanos(ms * MS);
        let config = VolumeConfig {
            grace: span(200),
            takeover_grace: span(40),
            flush_every: span(100),
            disk_patience: span(150),
            cool_after: span(60),
            others: (0..self.profile.nodes).filter(|other| *other != node).map(id).collect(),
            asynchronous: (0..self.profile.nodes).filter(|n| self.profile.is_asynchronous(*n)).map(id).collect(),
            lag: Lag { bytes: 128 << 10, span: span(120) },
        };
        let now = Duration::from_nanos(self.now);
        self.nodes[node].volume = Some(Volume::new(config, now, (sequence, content), bits));
        self.tell(|| format!("node {node} is up: epoch {}, whole {}", content.min_epoch, content.whole));
        self.nodes[node].socket.attach();
        self.at(self.now, Happening::Tick { node, boot });
        let first = self.now + self.rng.below(300 * MS);
        self.at(first, Happening::Bid { node, boot });
        self.at(self.now, Happening::Use { node, boot });
        if let Some(client) = self.nodes[node].client {
            self.stats.resumed += 1;
            let alone = client.chosen() == NodeSet::only(id(node));
            self.handle(node, Input::Promote { epoch: client.epoch, generation: GENERATION, alone });
        }
        for other in (0..self.profile.nodes).filter(|other| *other != node) {
            let later = self.now + self.rng.below(5 * MS);
            self.at(later, Happening::Connect { one: node, other });
        }
    }

    /// The daemon dies, with the machine (`power`) or alone.
    pub fn crash(&mut self, node: usize, power: bool) {
        if self.nodes[node].volume.take().is_none() {
            return;
        }
        self.tell(|| format!("node {node}: {}", if power { "its power is gone" } else { "its daemon was killed" }));
        let this = &mut self.nodes[node];
        let writes = |running: Running| match running.task {
            Task::Write { range, .. } => Some((range, running.data)),
            Task::Read { .. } | Task::Flush | Task::Digest { .. } => None,
        };
        let under_way: Vec<_> = std::mem::take(&mut this.running).into_values().filter_map(writes).collect();
        let metas = std::mem::take(&mut this.metas);
        if power {
            this.disk.power_cut(&mut self.rng, &under_way);
            for (at, bytes) in metas.into_values() {
                this.disk.tear_meta(&mut self.rng, at, &bytes);
            }
            self.stats.power_cuts += 1;
            self.ledger.lost_power(node, self.now);
        } else {
            // What the kernel was given lands before the next life begins, or never.
            for (range, data) in under_way {
                if self.rng.one_in(2) {
                    this.disk.write(range, &data, false);
                }
            }
            for (at, bytes) in metas.into_values() {
                if self.rng.one_in(2) {
                    this.disk.write_meta(at, &bytes);
                }
            }
            self.stats.kills += 1;
        }
        // The holder may live on, with what was not answered, and the lease client with its tenure.
        if power || this.sealed || this.user.is_none() || self.rng.one_in(2) {
            (this.client, this.user, this.sealed) = (None, None, false);
        } else if let Some(user) = &mut this.user {
            user.waits = true;
        }
        this.serving = false;
        this.disk_hangs_until = 0;
        this.works.clear();
        this.reads.clear();
        this.answers.clear();
        for other in (0..self.profile.nodes).filter(|other| *other != node) {
            if let Some(session) = self.sessions.remove(&pair(node, other)) {
                self.handle(other, Input::Disconnected { peer: id(node), session });
            }
        }
        invariants::asynchronous_is_a_past(self);
        if power {
            invariants::set_is_good(self);
        }
    }
}
