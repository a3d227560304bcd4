//! Shooting a holder that is gone, so that nobody has to wait for the end of its lease (F1, F2, F6). The lease runs on
//! meanwhile, and what is over first decides.
//!
//! Nobody is shot who renews: a holder that this node alone does not hear is the voters' business. And nobody shoots who may not
//! lead: it would shoot the only whole copy again and again (found by the first simulator of this protocol; that a bid which is parked hears nothing of the
//! copies was found by the second).

use super::view::Outlook;
use super::{Command, Event, Lease, Phase};
use crate::copies::NodeSet;
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
    /// F3: there are two voters, and one that is proven to be off counts as granted.
    pub votes: bool,
    /// Who can be shot at all.
    pub devices: NodeSet,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fencing {
    /// The shell is at it.
    asked: Option<Fenced>,
    proof: Option<Fenced>,
    not_before: Stamp,
}

impl Lease {
    pub(super) fn fence_votes(&self) -> bool {
        self.config.fence.is_some_and(|config| config.votes)
    }

    /// Whether somebody is to be shot now.
    pub(super) fn consider_fence(&mut self) {
        let Some(config) = self.config.fence else { return };
        if self.fencing.asked.is_some() || !self.now.any_past(self.fencing.not_before) {
            return;
        }
        let target = match &self.phase {
            Phase::Held(_) if config.votes => self.silent_voter(config),
            Phase::Watching | Phase::Bidding(_) => self.gone_holder(config),
            _ => None,
        };
        let may = |target: &Fenced| config.devices.contains(target.node) && !self.is_proven(*target);
        let Some(target) = target.filter(may) else { return };
        let heard = self.peers.get(&target.node).map_or(self.started, |peer| peer.heard);
        let left = self.left_of(target.node);
        self.fencing.asked = Some(target);
        self.journal(Event::Shoots { node: target.node, silent: self.now.longest_since(heard), left });
        self.out.push(Command::Fence(target));
    }

    /// How much longer the lease of `node` runs, if it has one.
    fn left_of(&self, node: NodeId) -> Option<Duration> {
        match self.outlook() {
            Outlook::Live(live) if live.holder == node => Some(live.left),
            _ => None,
        }
    }

    /// Somebody begins to shoot at `node`: this client's own order is carried out, or an operator does it. What is known of that
    /// node now is what a proof will be for, and nothing that is learned later (F1).
    pub(super) fn on_fence_begins(&mut self, node: NodeId) {
        let Some(config) = self.config.fence else { return };
        let known = match self.outlook() {
            Outlook::Live(live) if live.holder == node => self.life_of(live),
            _ if config.votes => self.other_voter().filter(|target| target.node == node),
            _ => None,
        };
        self.fencing.asked = known.or(self.fencing.asked);
    }

    /// What is being shot at, and a proof would be for.
    #[must_use]
    pub fn fence_target(&self) -> Option<Fenced> {
        self.fencing.asked
    }

    /// A voter that is missing is known by its boot, and a proof of any life in it will do.
    fn is_proven(&self, target: Fenced) -> bool {
        let of_boot = |proof: Fenced| (proof.node, proof.incarnation.boot) == (target.node, target.incarnation.boot);
        self.fencing.proof.is_some_and(|proof| proof == target || (target.incarnation.nonce == 0 && of_boot(proof)))
    }

    fn is_silent(&self, node: NodeId, config: FenceConfig) -> bool {
        let heard = self.peers.get(&node).map_or(self.started, |peer| peer.heard);
        let long_ago = |stamp: Stamp| self.now.longest_since(stamp) > config.silence + config.delay;
        // One of two that has just come back was heard by this node's voter first; and a machine whose voter answers is alive.
        let back = self.voters.get(&self.config.me).and_then(|view| view.fellow_since);
        let voted = self.voters.get(&node).and_then(|view| view.heard);
        long_ago(heard) && back.is_none_or(long_ago) && voted.is_none_or(long_ago)
    }

    /// The holder, if it neither renews nor speaks, and this node may and would lead (F2).
    fn gone_holder(&self, config: FenceConfig) -> Option<Fenced> {
        let eligible = (self.willing() && self.was_told()) || taken_out(Fault::IneligibleShoots);
        let target = match self.outlook() {
            Outlook::Live(live) if live.left <= self.config.timetable.lease / 2 => self.life_of(live),
            // Nobody leads, and the other one of two voters is missing.
            Outlook::Free if config.votes => self.missing_voter(),
            Outlook::Live(_) | Outlook::Free | Outlook::Unknown => None,
        };
        target.filter(|target| eligible && self.is_silent(target.node, config))
    }

    /// F3: a holder needs the other one of two voters, or the proof that it is off, before its lease is over.
    fn silent_voter(&self, config: FenceConfig) -> Option<Fenced> {
        let Phase::Held(held) = &self.phase else { return None };
        let late = self.now.any_past(held.tenure.sent.plus(held.timetable().lease * 5 / 12));
        self.missing_voter().filter(|target| late && held.ending.is_none() && self.is_silent(target.node, config))
    }

    /// The other one of two voters, unless this node's own knows already that it is off, and speaks for it.
    fn missing_voter(&self) -> Option<Fenced> {
        self.other_voter().filter(|_| !self.voters.values().any(|view| view.credit))
    }

    /// The other one of two voters, in the boot in which this node's voter heard it last, which is the one that a proof has to name; the life that led in that boot, if one is recorded: a voter
    /// that was off may have forgotten its lease.
    fn other_voter(&self) -> Option<Fenced> {
        let node = self.config.voters.iter().copied().find(|voter| *voter != self.config.me)?;
        let told = self.voters.get(&self.config.me).and_then(|view| view.fellow);
        let boot = told.or_else(|| Some(self.peers.get(&node)?.sent.boot))?;
        let recorded = self.voters.values().filter_map(|view| view.accepted).map(|(_, value)| value);
        let led = recorded.filter(|value| value.holder == node && value.incarnation.boot == boot);
        let led = led.max_by_key(|value| value.epoch).map(|value| value.incarnation);
        Some(Fenced { node, incarnation: led.unwrap_or(Incarnation { boot, nonce: 0 }) })
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
        if taken_out(Fault::ProofForWhatCameLater) {
            self.on_fence_begins(target.node);
        }
        let target = self.fencing.asked.unwrap_or(target);
        self.fencing.asked = None;
        if proven || taken_out(Fault::UnprovenCounts) {
            self.journal(Event::Fenced { node: target.node, left: self.left_of(target.node) });
            self.fencing.proof = Some(target);
            self.bid_not_before = self.now;
            self.ask_at_once();
        } else {
            self.fencing.not_before = self.now.plus(self.config.timetable.lease);
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
