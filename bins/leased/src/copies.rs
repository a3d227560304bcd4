//! A group's volume and its lease client: what the copy here is worth, which copies count, which should.

use crate::control::Caller;
use hotspare_config::Config;
use hotspare_control::Tell;
use hotspare_core::lease::{DataConfig, Input, Lease};
use hotspare_core::{NodeId, NodeSet};
use tokio::sync::mpsc::Sender;

/// The program that has the volume, if it is there.
#[derive(Default)]
pub struct Follower {
    caller: Option<(Caller, Sender<Tell>)>,
    told: Option<Tell>,
}

impl Follower {
    /// It says what its copy is worth, and wants to hear of the set from now on.
    pub fn attach(&mut self, caller: Caller, answer: Sender<Tell>, born_here: bool, fit: bool) -> Input {
        (self.caller, self.told) = (Some((caller, answer)), None);
        Input::Data(DataConfig { born_here, fit })
    }

    /// It is gone: nobody can promote the copy.
    pub fn hung_up(&mut self, caller: Caller) -> Option<Input> {
        self.caller.take_if(|(follower, _)| *follower == caller)?;
        Some(Input::Data(DataConfig { born_here: false, fit: false }))
    }

    /// Tells it what is new.
    pub fn tell(&mut self, config: &Config, lease: &Lease) {
        let Some((_, answer)) = &self.caller else { return };
        let (Some(copies), Some(acks)) = (lease.copies(), lease.ack_set()) else { return };
        let Some(tenure) = lease.status().tenure else { return };
        let names = |set: &NodeSet| set.iter().map(|node| config.node_name(node).to_owned()).collect();
        let tell = Tell::Copies {
            epoch: tenure.epoch.0,
            generation: copies.generation.to_string(),
            acks: names(&acks),
            chosen: names(&copies.insync),
        };
        if self.told.as_ref() != Some(&tell) && answer.try_send(tell.clone()).is_ok() {
            self.told = Some(tell);
        }
    }
}

/// The set that was asked for, if it is for the tenure that this node has.
pub fn wanted(lease: &Lease, epoch: u64, set: &[String]) -> Option<Input> {
    let current = lease.status().tenure.is_some_and(|tenure| tenure.epoch.0 == epoch);
    let set = NodeSet::of(set.iter().map(|name| NodeId::of(name)))?;
    current.then_some(Input::InSync(set))
}
