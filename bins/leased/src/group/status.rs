//! What this node says of a group: on the bus, and to whoever asks for the status.

use super::GroupRun;
use crate::story;
use hotspare_bus::lease1::Lease1;
use hotspare_config::{Config, Group, Node};
use hotspare_control::{CandidateLine, GroupStatus, VoterLine};
use hotspare_core::lease::{PhaseName, Status};
use hotspare_core::{Epoch, NodeId};
use std::time::Duration;

impl GroupRun {
    pub fn bus_state(&self, config: &Config, me: &Node) -> Lease1 {
        let status = self.lease.status();
        Lease1 {
            role: role(&self.config, &status).into(),
            holder: self.holder(&status, me).map_or(String::new(), |id| config.node_name(id).to_owned()),
            epoch: status.epoch.0,
            quorum: status.quorum,
            state: self.state(config, &status, me),
        }
    }

    fn holder(&self, status: &Status, me: &Node) -> Option<NodeId> {
        match status.phase {
            PhaseName::Held | PhaseName::Yielding => Some(me.id),
            _ => status.live.map(|live| live.holder),
        }
    }

    /// What this node is doing in this group, or what blocks it.
    fn state(&self, config: &Config, status: &Status, me: &Node) -> String {
        let name = |id| config.node_name(id);
        let answering = status.voters.iter().filter(|voter| voter.answering).count();
        match status.phase {
            PhaseName::Held if !status.quorum => "holds the lease; too few voters answer to renew it".into(),
            PhaseName::Held if self.config.is_lock() => "held by a script".into(),
            PhaseName::Held if status.role_up && !status.uplink => {
                "leads; it does not reach its clients (uplink), and no other candidate that does is ready".into()
            }
            PhaseName::Held if status.role_up => "leads".into(),
            PhaseName::Held => "holds the lease; the role is starting".into(),
            PhaseName::Yielding => "the role is stopping, to hand over".into(),
            PhaseName::HandingOver => "handing over".into(),
            PhaseName::Lost => format!(
                "lost the lease; waiting for the proof that nothing of it runs here (systemctl start {} gives it)",
                if self.config.name == "default" {
                    "cluster-prove.service".into()
                } else {
                    format!("cluster-prove@{}.service", self.config.name)
                }
            ),
            _ if !status.quorum => format!("no quorum: {answering} of {} voters answer", status.voters.len()),
            PhaseName::Confirming => "named as successor; confirming".into(),
            _ if status.paused => "paused: takes nothing by itself (hotspare resume)".into(),
            _ if status.too_many_moves => {
                "took the role too often within an hour: waits to be asked (hotspare switchover)".into()
            }
            _ if self.config.is_lock() => "free, or held elsewhere".into(),
            _ if status.expects => "is about to take over: waits until the other has stopped, or its lease is over".into(),
            _ if self.stale => {
                "process 1 has yet to make the units of the configuration in force (systemctl start hotspare-refresh.service)".into()
            }
            _ if !status.standby => {
                let lacks = |what: &str| self.lacking.iter().flatten().find(|unit| unit.contains(what));
                match (lacks(".path"), lacks(".target"), lacks("cluster-disk-free-")) {
                    (Some(unit), ..) => {
                        format!("{unit} is not active, so no role could be started here (systemctl start {unit})")
                    }
                    (None, None, Some(unit)) => {
                        format!("a shared disk is not there, or still in use here: journalctl -b -u {unit}")
                    }
                    _ => "neither role is active here (systemctl start the standby target)".into(),
                }
            }
            _ => match (status.abstains_for, status.live) {
                (Some(left), _) => format!("abstains for another {}", story::span(left)),
                (None, Some(live)) if !status.uplink => {
                    format!("stands by for {}; it does not reach its clients (uplink)", name(live.holder))
                }
                (None, Some(live)) => format!("stands by for {}{}", name(live.holder), self.unfit(status, me)),
                (None, None) => format!("stands by; nobody leads{}", self.unfit(status, me)),
            },
        }
    }

    /// The part of `status` that is about this group.
    pub fn status(&self, config: &Config, me: &Node) -> GroupStatus {
        let status = self.lease.status();
        let holder = self.holder(&status, me);
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let voters = status.voters.iter().map(|voter| VoterLine {
            name: config.node_name(voter.node).into(),
            answering: voter.answering,
            silent_ms: voter.silent_for.map(ms),
        });
        let candidates = self.config.candidates.iter().map(|name| {
            let id = NodeId::of(name);
            let peer = status.peers.iter().find(|peer| peer.node == id);
            CandidateLine {
                name: name.clone(),
                ready: if id == me.id { self.ready_here(&status) } else { peer.is_some_and(|peer| peer.ready) },
                holder: holder == Some(id),
                silent_ms: peer.and_then(|peer| peer.silent_for).map(ms),
            }
        });
        GroupStatus {
            name: self.config.name.clone(),
            role: role(&self.config, &status).into(),
            state: self.state(config, &status, me),
            holder: holder.map(|id| config.node_name(id).into()),
            epoch: status.epoch.max(Epoch(0)).0,
            lease_ms: ms(self.config.timetable.lease),
            left_ms: status.left.or(status.live.map(|live| live.left)).map(ms),
            quorum: status.quorum,
            voters: voters.collect(),
            candidates: candidates.collect(),
            addresses: self
                .config
                .addresses
                .iter()
                .map(|address| format!("{}@{}", address.net, address.interface))
                .collect(),
            units: self.config.units.clone(),
            copies: (status.data.and_then(|data| data.copies).into_iter())
                .flat_map(|copies| {
                    copies.insync.iter().map(|node| config.node_name(node).to_owned()).collect::<Vec<_>>()
                })
                .collect(),
            if_this_node_died: self.what_if(config, me, &status, holder),
            why: self.why.clone(),
        }
    }

    /// Why this node could not lead for its copy of the data.
    fn unfit(&self, status: &Status, me: &Node) -> String {
        let Some(data) = status.data else { return String::new() };
        let asynchronous = || self.config.volumes.iter().any(|volume| volume.asynchronous.nodes.contains(&me.name));
        match (data.fit, data.counts) {
            (true, true) => String::new(),
            (true, false) if asynchronous() => {
                "; cannot lead: its copy of the data does not count (it is asynchronous: nobody waits for it)".into()
            }
            (true, false) => {
                "; cannot lead: its copy of the data does not count (it misses what was written last)".into()
            }
            (false, _) => format!(
                "; cannot lead: its copy of the data cannot be used (hotspare-replicate status {0}; journalctl -u hotspare-replicate@{0})",
                self.copies.unfit().unwrap_or_default()
            ),
        }
    }

    fn ready_here(&self, status: &Status) -> bool {
        let fit = status.data.is_none_or(|data| data.fit && data.counts);
        fit && status.uplink && status.standby && !status.paused && status.abstains_for.is_none() && status.quorum
    }

    fn what_if(&self, config: &Config, me: &Node, status: &Status, holder: Option<NodeId>) -> String {
        let left = status.voters.iter().filter(|voter| voter.answering && voter.node != me.id).count();
        let quorate = left >= hotspare_core::majority(status.voters.len());
        let within = story::span(self.config.outage_budget);
        if config.fence_votes() {
            return match (holder, status.peers.iter().find(|peer| peer.ready)) {
                (Some(id), Some(peer)) if id == me.id => {
                    format!("{} would lead once {} is proven to be off", config.node_name(peer.node), me.name)
                }
                (Some(id), _) if id != me.id => {
                    format!("{} would go on once {} is proven to be off", config.node_name(id), me.name)
                }
                (Some(_), _) => "nobody could lead: no other candidate is ready".into(),
                (None, _) => "nobody leads now".into(),
            };
        }
        let successor = status.peers.iter().find(|peer| peer.ready).map(|peer| config.node_name(peer.node));
        match (holder, successor, quorate) {
            (Some(id), Some(name), true) if id == me.id => format!("{name} would lead within {within}"),
            (Some(id), Some(_), false) if id == me.id => {
                "nobody could lead: no majority of the voters would be left".into()
            }
            (Some(id), None, _) if id == me.id => "nobody could lead: no other candidate is ready".into(),
            (Some(id), _, true) => format!("{} would go on, without this standby", config.node_name(id)),
            (Some(id), _, false) => format!("{} would lose its majority and stop", config.node_name(id)),
            (None, ..) => "nobody leads now".into(),
        }
    }
}

fn role(group: &Group, status: &Status) -> &'static str {
    match status.phase {
        PhaseName::Held if group.is_lock() => "holder",
        PhaseName::Held if status.role_up => "primary",
        PhaseName::Held | PhaseName::Confirming => "starting",
        PhaseName::Yielding | PhaseName::HandingOver | PhaseName::Lost => "stopping",
        PhaseName::Watching | PhaseName::Bidding if group.is_lock() => "lock",
        PhaseName::Watching | PhaseName::Bidding if status.expects => "starting",
        PhaseName::Watching | PhaseName::Bidding if status.standby => "standby",
        PhaseName::Watching | PhaseName::Bidding => "off",
    }
}
