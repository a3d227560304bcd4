//! Shots at other nodes. The core says at whom; `hotspare-fence`, which process 1 starts for this daemon because that has no
//! rights of its own, or which an operator started, does it and tells what is proven.
//!
//! ```text
//!  Command::Fence --> /run/hotspare/orders/NODE.fence/given --path unit--> hotspare-fence@NODE.service
//!                                                                  |  Ask::Fence: it begins (what is known now is what the
//!                                          an operator's own ------'              proof will be for), and the file goes
//!                                                                     Ask::Fenced: proven, or not; a hang-up: not
//! ```

use crate::NodeRun;
use crate::Outgoing;
use crate::control::Caller;
use crate::group::GroupRun;
use hotspare_config::{Config, Group, Node, Proof};
use hotspare_control::{FENCE_TESTS, FenceLine, FenceTest, Order};
use hotspare_core::lease::{FenceConfig, Input};
use hotspare_core::message::Fenced;
use hotspare_core::{GroupId, NodeId, NodeSet, Stamp};
use hotspare_daemon::clock;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// An order that nobody has taken up by then comes to nothing.
const PATIENCE: Duration = Duration::from_secs(15);

/// One that is under way.
struct Shot {
    caller: Caller,
    targets: Vec<(GroupId, Fenced)>,
}

#[derive(Default)]
pub struct Shots {
    /// Ordered, and not begun; until when that may take.
    orders: BTreeMap<NodeId, Stamp>,
    under_way: Vec<Shot>,
}

/// Whom this node may shoot, and when: after half a lease of silence (a quarter where two nodes decide alone), and the less a node is preferred
/// the later (F6).
pub fn fencing(config: &Config, me: &Node, group: &Group) -> Option<FenceConfig> {
    let others = config.fenceable().filter(|node| node.id != me.id && group.candidates.contains(&node.name));
    let devices = NodeSet::of(others.map(|node| node.id)).filter(|devices| devices.iter().next().is_some())?;
    let rank = group.candidates.iter().position(|name| *name == me.name).and_then(|rank| u32::try_from(rank).ok());
    let lease = group.timetable.lease;
    let delay = lease * rank.unwrap_or_default() / 8;
    // One of two needs the proof before its own lease is over: what its voter does not answer is evidence enough.
    let votes = config.fence_votes();
    let silence = if votes { lease / 4 } else { lease / 2 };
    Some(FenceConfig { silence, delay, votes, devices })
}

impl Shots {
    /// After a start: what was ordered by a former life is not wanted any more, or will be again.
    pub fn forget(names: impl Iterator<Item = String>) {
        names.for_each(|name| Order::new(&name, "fence").take_back());
    }
}

impl NodeRun {
    /// The core wants `node` to be switched off.
    pub fn order_shot(&mut self, node: NodeId) {
        if let Err(error) = Order::new(self.config.node_name(node), "fence").give() {
            tracing::error!("{error}; nobody is switched off");
        }
        self.shots.orders.insert(node, clock::now().plus(PATIENCE));
    }

    /// Somebody begins to switch `name` off; what for.
    pub fn shot_begins(&mut self, caller: Caller, name: &str, out: &mut Outgoing) -> Result<String, String> {
        let node = NodeId::of(name);
        if self.config.node(name).is_none() {
            return Err(format!("the configuration in force has no node \"{name}\""));
        }
        self.shots.orders.remove(&node);
        Order::new(name, "fence").take_back();
        let mut shot = Shot { caller, targets: Vec::new() };
        let mut names = Vec::new();
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            self.input(group, Input::FenceBegins { node }, out);
            let run = &self.groups[&group];
            if let Some(target) = run.fence_target().filter(|target| target.node == node) {
                shot.targets.push((group, target));
                names.push(run.config.name.clone());
            }
        }
        self.shots.under_way.retain(|other| other.caller != caller);
        self.shots.under_way.push(shot);
        Ok(match names.is_empty() {
            true => format!("no group waits for {name} here"),
            false => format!("a proof counts for {}", names.join(", ")),
        })
    }

    /// What became of the shot of `caller`. Each group says itself what it takes for a proof; what those say that do not take it.
    pub fn shot_ended(&mut self, caller: Caller, proof: Option<Proof>, out: &mut Outgoing) -> Vec<String> {
        let mut refused = Vec::new();
        let place = self.shots.under_way.iter().position(|shot| shot.caller == caller);
        let Some(place) = place else { return refused };
        for (group, target) in self.shots.under_way.remove(place).targets {
            let config = &self.groups[&group].config;
            let proven = proof.is_some_and(|proof| config.proofs.contains(&proof));
            if let Some(proof) = proof.filter(|_| !proven) {
                let (name, word) = (self.config.node_name(target.node), proof.word());
                refused.push(format!("{}: that {name} is off by {word} is not proof enough (`proof`)", config.name));
            }
            self.input(group, Input::FenceEnded { target, proven }, out);
        }
        refused.iter().for_each(|said| tracing::warn!("{said}"));
        refused
    }

    /// Orders that nobody took up.
    pub fn give_up_shots(&mut self, now: Stamp, out: &mut Outgoing) {
        let late: Vec<NodeId> =
            self.shots.orders.iter().filter(|(_, until)| now.any_past(**until)).map(|(node, _)| *node).collect();
        for node in late {
            self.shots.orders.remove(&node);
            let name = self.config.node_name(node).to_owned();
            Order::new(&name, "fence").take_back();
            tracing::error!(
                "hotspare-fence@{name}.service did not begin within {PATIENCE:?}: is hotspare-fence@{name}.path active?"
            );
            for group in self.groups.keys().copied().collect::<Vec<_>>() {
                if let Some(target) = self.groups[&group].fence_target().filter(|target| target.node == node) {
                    self.input(group, Input::FenceEnded { target, proven: false }, out);
                }
            }
        }
    }

    /// What of this node can switch others off.
    pub fn fence_lines(&self) -> Vec<FenceLine> {
        let now = Duration::from_nanos(clock::now().boot).as_secs();
        let mine = |node: &&Node| {
            node.id != self.me.id && self.groups.values().any(|run| run.config.candidates.contains(&node.name))
        };
        let line = |node: &Node| {
            let shooting = self.groups.values().filter_map(GroupRun::fence_target).any(|target| target.node == node.id);
            let test = std::fs::read(Path::new(FENCE_TESTS).join(&node.name)).ok();
            let test: Option<FenceTest> = test.and_then(|text| serde_json::from_slice(&text).ok());
            let tried_s = test.as_ref().map(|test| now.saturating_sub(test.at_s));
            FenceLine {
                node: node.name.clone(),
                shooting,
                tried_s,
                wrong: test.map_or_else(Vec::new, |test| test.wrong),
            }
        };
        self.config.fenceable().filter(mine).map(line).collect()
    }

    /// Boot-clock time at which an order comes to nothing.
    pub fn shots_wake_at(&self) -> u64 {
        self.shots.orders.values().map(|until| until.boot).min().unwrap_or(u64::MAX)
    }
}
