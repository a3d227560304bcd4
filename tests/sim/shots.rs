//! Fencing: a power switch that works, fails, or works and does not say so (lease.md 4.7).

use crate::cluster::{Happening, World, id, index};
use crate::node::span;
use hotspare_core::NodeSet;
use hotspare_core::lease::{FenceConfig, Input};
use hotspare_core::message::Fenced;

impl World {
    pub fn fence_config(&self, node: usize) -> Option<FenceConfig> {
        let lease = self.timetable(node).lease;
        let rank = u32::try_from(node).expect("few nodes");
        self.profile.fences.then(|| FenceConfig {
            silence: if self.profile.fence_votes { lease / 4 } else { lease / 2 },
            delay: lease * rank / 8,
            votes: self.profile.fence_votes,
            devices: NodeSet::of(self.candidates()).expect("few nodes"),
        })
    }

    /// A node shoots: its agent takes a while.
    pub fn shoot(&mut self, by: usize, group: usize, target: Fenced) {
        crate::invariants::only_the_eligible_shoot::check(self, by, group);
        self.shot_begins(by, group, target);
    }

    pub fn shot_begins(&mut self, by: usize, group: usize, target: Fenced) {
        self.tell(|| format!("node {by}.{group}: shoots {target:?}"));
        self.stats.shots += 1;
        let (boot, takes) = (self.nodes[by].boot, self.rng.below(span(self.profile.lease)));
        let outcome = self.rng.below(6);
        self.at(self.now + takes, Happening::Shot { by, boot, group, target, outcome });
    }

    /// The agent is done: it failed (0), had an effect that it could not confirm (1), or has the proof.
    pub fn shot(&mut self, (by, boot): (usize, u64), group: usize, target: Fenced, outcome: u64) {
        if outcome != 0 {
            self.power_off(index(target.node));
        }
        if outcome > 1 {
            self.proofs.insert(target);
        }
        let proven = outcome > 1;
        if !self.rng.one_in(4) {
            return self.told_of_shot((by, boot), group, target, proven);
        }
        // It takes long to read that back, and somebody may have pressed the button meanwhile.
        let after = self.rng.below(span(self.profile.lease) * 6);
        self.at(self.now + after, Happening::ShotTold { by, boot, group, target, proven });
    }

    /// Whoever asked hears of it, when it can.
    pub fn told_of_shot(&mut self, (by, boot): (usize, u64), group: usize, target: Fenced, proven: bool) {
        let node = &self.nodes[by];
        let goes_on = node.stopped_until.max(node.asleep_until);
        if node.boot != boot || !node.powered {
            return;
        }
        if self.now < goes_on {
            return self.at(goes_on + 1, Happening::ShotTold { by, boot, group, target, proven });
        }
        self.tell(|| format!("node {by}.{group}: the shot at {:?} is proven: {proven}", index(target.node)));
        self.lease(by, group, Input::FenceEnded { target, proven });
        debug_assert!(id(by) != target.node);
    }
}
