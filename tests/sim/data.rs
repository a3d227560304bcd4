//! Data of a group: a log on each candidate, written by the holder and copied to the others. Small on purpose: what is tested
//! here is the set of whole copies in the register (`hotspare_core::copies`), and that it needs no clock. What is on disk stays
//! there; frames are lost, late and out of order like everything else.

use crate::cluster::{Happening, World, id, index};
use crate::node::span;
use crate::seeded::{ModelFault, out};
use hotspare_core::lease::Input;
use hotspare_core::{Copies, NodeSet};
use std::collections::BTreeMap;

/// A copy, on disk.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    pub log: Vec<u64>,
    /// D6, D7: the epoch and the number of the frame that was taken in last; older ones are refused.
    last: (u64, u64),
}

/// What the holder knows of the copies; gone with it.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    epoch: u64,
    frame: u64,
    /// When it began.
    since: u64,
    /// So many writes of the log are acknowledged.
    acked: usize,
    /// What was asked of the voters.
    wanted: Option<NodeSet>,
    /// How much each other copy has, and since when it has not had more.
    has: BTreeMap<usize, (usize, u64)>,
}

/// From the holder to a copy: the log from some place on. And back.
#[derive(Clone, Debug)]
pub enum Frame {
    Copy { epoch: u64, frame: u64, from: usize, writes: Vec<u64> },
    Has { epoch: u64, length: usize },
}

/// Everything that was acknowledged in a group, in order, and the copies that were chosen, and until when each.
#[derive(Debug, Default)]
pub struct Acknowledged(pub Vec<u64>);

impl World {
    /// The loop of the holder's volume.
    pub fn write(&mut self, node: usize, group: usize, boot: u64) {
        let pause = span(self.profile.lease) / 5 + self.rng.below(span(self.profile.lease) / 5);
        if self.nodes[node].boot != boot || !self.nodes[node].powered {
            return;
        }
        self.at(self.now + pause, Happening::Write { node, group, boot });
        let now = self.now;
        if !self.nodes[node].runs(now) {
            return;
        }
        let part = &mut self.nodes[node].parts[group];
        let ready = part.lease.as_ref().and_then(|lease| lease.ack_set()).zip(part.page.filter(|page| page.held));
        let Some((_, page)) = ready.filter(|_| part.gate.is_some()) else {
            part.writer = Writer::default();
            return;
        };
        let epoch = page.value.epoch.0;
        if part.replica.last.0 > epoch {
            return; // D6: its own copy has heard of a later one
        }
        if part.writer.epoch != epoch {
            // What its predecessor wrote last and did not acknowledge, it makes its own.
            part.writer = Writer { epoch, since: now, ..Writer::default() };
            part.replica.last = part.replica.last.max((epoch, 0));
        }
        self.written += 1;
        let write = self.written;
        self.nodes[node].parts[group].replica.log.push(write);
        for other in (0..self.profile.candidates).filter(|other| *other != node) {
            let part = &mut self.nodes[node].parts[group];
            part.writer.frame += 1;
            let (log, frame) = (&part.replica.log, part.writer.frame);
            let from = part.writer.has.get(&other).map_or(0, |(length, _)| *length).min(log.len());
            let frame = Frame::Copy { epoch, frame, from, writes: log[from..].to_vec() };
            self.send_frame(node, other, group, frame);
        }
        self.acknowledge(node, group);
        self.adjust(node, group);
    }

    fn send_frame(&mut self, from: usize, to: usize, group: usize, frame: Frame) {
        if let Some(delay) = self.way(from, to) {
            let boots = (self.nodes[from].boot, self.nodes[to].boot);
            self.at(self.now + delay, Happening::Data { from, to, group, boots, frame });
        }
    }

    /// A frame arrives.
    pub fn data(&mut self, (from, to): (usize, usize), group: usize, boots: (u64, u64), frame: Frame) {
        // Frames of an old connection arrive too: sessions of the network do not protect the data, epochs do.
        if self.nodes[to].boot != boots.1 || !self.nodes[to].runs(self.now) {
            return;
        }
        let part = &mut self.nodes[to].parts[group];
        match frame {
            Frame::Copy { epoch, frame, from: place, writes } => {
                let stale = (epoch, frame) <= part.replica.last;
                let leads = part.writer.epoch != 0;
                if (stale && !out(ModelFault::OldEpochsWrite)) || (leads && part.writer.epoch >= epoch) {
                    return;
                }
                if place > part.replica.log.len() {
                    // It has less than the holder thinks: from the beginning.
                    return self.send_frame(to, from, group, Frame::Has { epoch, length: 0 });
                }
                part.replica.last = (epoch, frame);
                part.replica.log.truncate(place);
                part.replica.log.extend(writes);
                let length = part.replica.log.len();
                self.send_frame(to, from, group, Frame::Has { epoch, length });
            }
            Frame::Has { epoch, length } => {
                if part.writer.epoch != epoch {
                    return;
                }
                let known = part.writer.has.entry(from).or_insert((0, self.now));
                if length > known.0 || length == 0 {
                    *known = (length, self.now);
                }
                self.acknowledge(to, group);
                self.adjust(to, group);
            }
        }
    }

    /// D2: acknowledges what all of the set have.
    fn acknowledge(&mut self, node: usize, group: usize) {
        let part = &mut self.nodes[node].parts[group];
        let Some(set) = part.lease.as_ref().and_then(|lease| lease.ack_set()) else { return };
        let length = part.replica.log.len();
        let has = |member| {
            if member == id(node) { length } else { part.writer.has.get(&index(member)).map_or(0, |(n, _)| *n) }
        };
        let all = set.iter().map(has).min().unwrap_or(0);
        if all > part.writer.acked {
            part.writer.acked = all;
            self.stats.writes += 1;
            crate::invariants::acked_is_kept::on_ack(self, node, group, all);
        }
    }

    /// D3, D4: asks for a smaller set when a copy falls behind, for a larger one when it has caught up.
    fn adjust(&mut self, node: usize, group: usize) {
        let (now, patience) = (self.now, span(self.profile.lease) / 2);
        let part = &self.nodes[node].parts[group];
        let Some(chosen) = part.lease.as_ref().and_then(|lease| lease.copies()) else { return };
        let length = part.replica.log.len();
        let keeps = |member: &hotspare_core::NodeId| {
            let (has, since) = part.writer.has.get(&index(*member)).copied().unwrap_or((0, part.writer.since));
            let whole = has + 1 >= length && has >= part.writer.acked; // D4: everything that is acknowledged, first
            *member == id(node) || whole || (chosen.insync.contains(*member) && now.saturating_sub(since) < patience)
        };
        let members = (0..self.profile.candidates).map(id).filter(keeps);
        let wanted = NodeSet::of(members).expect("few candidates");
        if part.writer.wanted.unwrap_or(chosen.insync) != wanted {
            self.nodes[node].parts[group].writer.wanted = Some(wanted);
            self.tell(|| format!("node {node}.{group}: wants {wanted:?} in sync"));
            self.lease(node, group, Input::InSync(wanted));
        }
    }

    /// The voters agreed on a set.
    pub fn copies(&mut self, node: usize, group: usize, copies: Copies) {
        self.tell(|| format!("node {node}.{group}: {copies:?}"));
        self.stats.sets += 1;
        self.acknowledge(node, group);
    }
}
