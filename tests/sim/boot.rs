//! How a machine loses its power, boots, and starts its lease client.

use crate::cluster::{Happening, World, id};
use crate::node::ms;
use crate::systemd::{Kind, Mode, State};
use hotspare_core::lease::{DataConfig, Input, LeaseConfig};
use std::time::Duration;

impl World {
    pub fn power_off(&mut self, node: usize) {
        if !self.nodes[node].powered {
            return;
        }
        self.tell(|| format!("node {node}: power cut"));
        self.stats.crashes += 1;
        let units = self.units.clone();
        self.nodes[node].cut_power(&units);
        let off = self.rng.below(crate::node::span(self.profile.lease) * 4);
        self.at(self.now + off, Happening::PowerOn(node));
    }

    pub fn power_on(&mut self, node: usize) {
        if self.nodes[node].powered {
            return;
        }
        let (now, spread) = (self.now, self.profile.clock_spread_ppm);
        let (state, rng) = (&mut self.nodes[node], &mut self.rng);
        state.power_on(now, spread, rng);
        let boot = state.boot;
        self.tell(|| format!("node {node}: boots"));
        let (voter, lease) = (self.rng.below(ms(500)), self.rng.below(ms(500)));
        self.at(now + voter, Happening::StartVoter { node, boot });
        if self.nodes[node].candidate {
            self.at(now + lease, Happening::StartLease { node, boot });
            let volumes = if self.profile.data { self.profile.groups } else { 0 };
            for group in 0..volumes {
                self.at(now + lease, Happening::Write { node, group, boot });
            }
        }
    }

    pub fn start_lease(&mut self, node: usize, boot: u64) {
        if self.nodes[node].boot != boot || !self.nodes[node].powered {
            return;
        }
        let wakes = self.nodes[node].asleep_until;
        if self.now < wakes {
            return self.at(wakes + ms(1), Happening::StartLease { node, boot });
        }
        let units = self.units.clone();
        self.nodes[node].stopped_until = 0;
        self.tell(|| format!("node {node}: lease client starts"));
        for group in 0..self.profile.groups {
            let mut candidates = self.candidates();
            candidates.rotate_left(group % self.profile.candidates);
            let config = LeaseConfig {
                me: self.nodes[node].id,
                candidates,
                voters: (0..self.profile.voters).map(id).collect(),
                timetable: self.timetable(node),
                boot_grace: Duration::from_secs(5),
                hold_down: Duration::from_secs(3),
                failback: false,
                automatic: true,
                prepares: self.prepares,
                moves_per_hour: 0,
                epoch_floor: hotspare_core::Epoch(0),
                data: self
                    .profile
                    .data
                    .then(|| DataConfig { born_here: node == group % self.profile.candidates, fit: true }),
                abandoned: None,
                fence: self.fence_config(node),
            };
            let (seed, now) = (self.rng.bits(), self.now);
            let stamp = self.nodes[node].clock.read(now);
            let part = &mut self.nodes[node].parts[group];
            let lease = hotspare_core::lease::Lease::new(config, stamp, boot, seed).with_pause(part.pause);
            part.paused = part.pause.on;
            // As bins/leased does: a tenure without a claim has no gate, one with a proof is over.
            part.lease = Some(match part.page {
                Some(tenure) => {
                    let proven = part.proof.is_some_and(|(life, _)| life == tenure.value.incarnation);
                    lease.readopt(tenure, proven || part.claim.is_none())
                }
                None => lease,
            });
            (part.take, part.ordered) = (false, false);
            // process 1 pulls hotspare-enter.service in with leased; at boot it comes with multi-user.target
            if part.manager.state(units.multi_user) == State::Inactive {
                self.job((node, group), units.multi_user, Kind::Start, Mode::Replace);
            }
            self.settle(node, group);
            if !self.nodes[node].uplink {
                self.lease(node, group, Input::Uplink(false)); // its probes notice that it is back, and tell it again
            }
        }
    }
}
