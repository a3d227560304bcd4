//! A volume becomes larger while it is used (decision 0028).
//!
//! Every backing was made larger before, so each copy has *room* for more than its user sees. What is new must be the same on all of
//! them before anybody sees it, and whoever leads next must not show less:
//!
//! ```text
//!  zeros to all copies, as any other write --> a flush --> Grow to all --> each has it on disk --> so has this one --> shown
//! ```
//! It takes all copies to be there and equal, and stops if one goes away: nothing has been shown then, and the next try begins anew.
//! Whoever is said hello to takes the size of the one that is written to, and has it on disk before it is equal.

use crate::event::{Event, NoGrowth};
use crate::fault::{VolumeFault, taken_out};
use crate::geometry::{Geometry, PIECE_BLOCKS, Range};
use crate::message::{Command, Op, Request, ToReplica, What};
use crate::primary::Step;
use crate::volume::{Role, Volume};
use hotspare_core::NodeId;
use std::collections::BTreeSet;

/// A bit in the tags of requests that nobody outside has asked for.
pub(crate) const INTERNAL: u64 = 1 << 63;

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// All before this is zeros, everywhere; a piece is under way, or not.
    Zeroing { at: u64, under_way: bool },
    /// What was written is made durable.
    Flushing,
    /// These have not said that they have the new size on disk.
    Telling(BTreeSet<NodeId>),
    /// This copy has it when the superblock with this number is on disk.
    Saving(u64),
}

/// On the way from one size to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    pub to: u64,
    pub stage: Stage,
}

impl Volume {
    /// What a user sees of it, as a shape.
    pub(crate) fn shown(&self) -> Geometry {
        Geometry { size: self.shown, ..self.shape }
    }

    /// What the copies have in common: as much as is shown, or more, just before that is shown.
    pub(crate) fn common(&self) -> Geometry {
        Geometry { size: self.block.size, ..self.shape }
    }

    /// Bytes of a copy's own part that its user may see.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.shape.size
    }

    pub(crate) fn on_grow(&mut self) {
        match self.may_grow() {
            Ok(to) => {
                let (from, stage) = (self.block.size, Stage::Zeroing { at: self.block.size, under_way: false });
                let Role::Primary(primary) = &mut self.role else { return };
                primary.growth = Some(Growth { to, stage });
                self.journal(Event::GrowthBegins { from, to });
            }
            Err(why) => self.journal(Event::NotGrown { why }),
        }
    }

    /// How large it can be.
    fn may_grow(&self) -> Result<u64, NoGrowth> {
        let Role::Primary(primary) = &self.role else { return Err(NoGrowth::NotHere) };
        if !primary.serving || primary.sealed {
            return Err(NoGrowth::NotHere);
        }
        if primary.growth.is_some() {
            return Err(NoGrowth::UnderWay);
        }
        if let Some(node) = self.missing() {
            return Err(NoGrowth::Missing(node));
        }
        let peers = self.config.others.iter().filter_map(|node| Some((primary.peers.get(node)?.room, *node)));
        let (to, node) = peers.chain([(self.shape.size, self.block.node)]).min().expect("one at least");
        if to <= self.block.size { Err(NoGrowth::NoRoom(node)) } else { Ok(to) }
    }

    /// The next step, if one is due.
    pub(crate) fn go_on_growing(&mut self) {
        let Role::Primary(primary) = &self.role else { return };
        let Some(growth) = primary.growth.clone() else { return };
        if let Stage::Saving(number) = growth.stage {
            if self.saved(number) {
                self.grown(growth.to);
            }
            return;
        }
        if let Some(node) = self.missing() {
            return self.stop_growing(NoGrowth::Missing(node));
        }
        let next = match growth.stage {
            Stage::Zeroing { at, under_way: false } if at == growth.to || taken_out(VolumeFault::GrowsUnzeroed) => {
                self.flush(Some(INTERNAL));
                Stage::Flushing
            }
            Stage::Zeroing { at, under_way: false } => {
                let piece = self.shape.block * PIECE_BLOCKS;
                let range = Range { at, len: (at / piece * piece + piece).min(growth.to) - at };
                let op = Op::Write { what: What::Discard, durable: false };
                self.begin(Request { tag: INTERNAL | 1, op, range });
                self.issue_writes();
                Stage::Zeroing { at: range.end(), under_way: true }
            }
            Stage::Telling(waits) if waits.is_empty() => {
                self.block.size = growth.to;
                Stage::Saving(self.save())
            }
            _ => return,
        };
        if let Role::Primary(primary) = &mut self.role
            && let Some(growth) = &mut primary.growth
        {
            growth.stage = next;
        }
    }

    /// A request of its own has ended.
    pub(crate) fn grew(&mut self, ok: bool) {
        let me = self.block.node;
        let Role::Primary(primary) = &mut self.role else { return };
        let counts = primary.counts(me).unwrap_or_default();
        let Some(growth) = &mut primary.growth else { return };
        if !ok {
            return self.stop_growing(NoGrowth::Failed);
        }
        match &mut growth.stage {
            Stage::Zeroing { under_way, .. } => *under_way = false,
            stage @ Stage::Flushing => {
                let unheard = taken_out(VolumeFault::GrowsUnheard);
                *stage = Stage::Telling(counts.into_iter().filter(|_| !unheard).collect());
                let size = growth.to;
                for (peer, state) in primary.peers.iter().filter(|(_, state)| state.step == Step::Joined && !unheard) {
                    let (peer, session, message) = (*peer, state.session, ToReplica::Grow { size });
                    self.out.push(Command::ToReplica { peer, session, message, bytes: None });
                }
            }
            Stage::Telling(_) | Stage::Saving(_) => {}
        }
    }

    /// Another copy has this size on its disk.
    pub(crate) fn on_grown(&mut self, node: NodeId, size: u64) {
        let Role::Primary(primary) = &mut self.role else { return };
        if let Some(Growth { to, stage: Stage::Telling(waits) }) = &mut primary.growth
            && *to == size
        {
            waits.remove(&node);
        }
    }

    fn grown(&mut self, size: u64) {
        let Role::Primary(primary) = &mut self.role else { return };
        primary.growth = None;
        self.shown = size;
        self.journal(Event::Grown { size });
    }

    /// A copy that there should be and that is not equal, if there is one.
    fn missing(&self) -> Option<NodeId> {
        let Role::Primary(primary) = &self.role else { return None };
        self.config.others.iter().copied().find(|node| !primary.is_joined(*node))
    }

    pub(crate) fn stop_growing(&mut self, why: NoGrowth) {
        let Role::Primary(primary) = &mut self.role else { return };
        if primary.growth.take().is_some() {
            self.journal(Event::NotGrown { why });
        }
    }
}
