//! Shooting a holder that is gone, so that nobody has to wait for the end of its lease (F1, F2, F6). The lease runs on
//! meanwhile, and what is over first decides.
//!
//! Nobody is shot who renews: a holder that this node alone does not hear is the voters' business. And nobody shoots who may not
//! lead: it would shoot the only whole copy again and again (found by the first simulator of this protocol; that a bid which is parked hears nothing of the
//! copies was found by the second).

use super::view::Outlook;
use super::{Command, Lease, Phase};
use crate::fault::{Fault, taken_out};
use crate::id::{Incarnation, NodeId};
use crate::message::{Fenced, LiveLease};
use crate::time::Stamp;
use std::time::Duration;

/// When this node may shoot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceConfig {
    /// After so long without a word of the holder.
    pub silence: Duration,
    /// And so much later: the less a node is preferred the more, so that two that cannot hear each other do not shoot at once.
    pub delay: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fencing {
    /// The shell is at it.
    asked: Option<Fenced>,
    proof: Option<Fenced>,
    not_before: Stamp,
}

impl Lease {
    /// Whether the holder is to be shot now.
    pub(super) fn consider_fence(&mut self) {
        let Some(config) = self.config.fence else { return };
        let idle = matches!(self.phase, Phase::Watching | Phase::Bidding(_));
        let eligible = (idle && self.willing() && self.was_told()) || taken_out(Fault::IneligibleShoots);
        if !eligible || self.fencing.asked.is_some() || !self.now.any_past(self.fencing.not_before) {
            return;
        }
        let Outlook::Live(live) = self.outlook() else { return };
        let heard = self.peers.get(&live.holder).map_or(self.started, |peer| peer.heard);
        let renews = live.left > self.config.timetable.lease / 2;
        if renews || self.now.longest_since(heard) <= config.silence + config.delay {
            return;
        }
        let Some(target) = self.life_of(live).filter(|target| self.fencing.proof != Some(*target)) else { return };
        self.fencing.asked = Some(target);
        self.out.push(Command::Fence(target));
    }

    /// The life that a majority says holds a lease.
    fn life_of(&self, live: LiveLease) -> Option<Fenced> {
        let recorded = self.voters.values().filter_map(|view| view.accepted).map(|(_, value)| value);
        let mut lives = recorded.filter(|value| value.holder == live.holder && value.epoch == live.epoch);
        lives.next().map(|value| Fenced { node: value.holder, incarnation: value.incarnation })
    }

    /// What became of [`Command::Fence`].
    pub(super) fn on_fence_ended(&mut self, target: Fenced, proven: bool) {
        if self.fencing.asked != Some(target) {
            return;
        }
        self.fencing.asked = None;
        self.fencing.not_before = self.now.plus(self.config.timetable.lease);
        if proven || taken_out(Fault::UnprovenCounts) {
            self.fencing.proof = Some(target);
            self.bid_not_before = self.now;
            self.ask_at_once();
        }
    }

    /// The proof that goes with a bid: the voters compare it with the life they have recorded.
    pub(super) fn proof(&self) -> Option<Fenced> {
        self.fencing.proof
    }

    /// Whether the lease that the voters report is one that a proof has ended.
    pub(super) fn is_fenced(&self, holder: NodeId, live: LiveLease) -> bool {
        let life: Option<Incarnation> = self.life_of(live).map(|target| target.incarnation);
        self.fencing.proof.is_some_and(|proof| life.is_some_and(|life| proof.ends(holder, life)))
    }

    /// F1: no proof outlives what it was for.
    pub(super) fn forget_proof(&mut self) {
        self.fencing.proof = None;
    }
}
