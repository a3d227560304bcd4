//! A group's volumes and its lease client: what the copies here are worth, which copies count, which should.

use crate::control::Caller;
use hotspare_config::{Config, Group};
use hotspare_control::Tell;
use hotspare_core::lease::{DataConfig, Input, Lease};
use hotspare_core::{Epoch, NodeId, NodeSet};
use hotspare_volume::Wishes;
use std::collections::BTreeMap;
use tokio::sync::mpsc::Sender;

/// The program that has a volume, and what it was told last.
struct Follower {
    caller: Caller,
    answer: Sender<Tell>,
    told: Option<Tell>,
}

/// The programs that have the volumes, if they are there.
pub struct Followers {
    wishes: Wishes,
    there: BTreeMap<String, Follower>,
    /// What the core was asked for last, and whether somebody has asked since.
    asked: Option<(Epoch, NodeSet)>,
    again: bool,
}

impl Followers {
    pub fn of(group: &Group) -> Followers {
        let wishes = Wishes::of(group.volumes.iter().map(|volume| volume.name.as_str()));
        Followers { wishes, there: BTreeMap::new(), asked: None, again: false }
    }

    /// The program of `volume` says what its copy is worth, and wants to hear of the set from now on. `None`: the group has no such volume.
    pub fn attach(
        &mut self,
        volume: &str,
        (caller, answer): (Caller, Sender<Tell>),
        data: DataConfig,
    ) -> Option<Input> {
        let known =
            if self.is(caller, volume) { self.wishes.worth(volume, data) } else { self.wishes.attach(volume, data) };
        if known {
            self.there.insert(volume.to_owned(), Follower { caller, answer, told: None });
        }
        known.then(|| Input::Data(self.wishes.data()))
    }

    /// It wants these copies to count. What comes from a program that another one has taken the place of is not heard.
    pub fn wish(&mut self, caller: Caller, volume: &str, (epoch, wish): (Epoch, u64), set: &[String]) {
        let set = NodeSet::of(set.iter().map(|name| NodeId::of(name)));
        if let (Some(set), true) = (set, self.is(caller, volume)) {
            self.wishes.wish(volume, epoch, wish, set);
            self.again = true;
        }
    }

    fn is(&self, caller: Caller, volume: &str) -> bool {
        self.there.get(volume).is_some_and(|follower| follower.caller == caller)
    }

    /// A program is gone: nobody can promote its copy.
    pub fn hung_up(&mut self, caller: Caller) -> Option<Input> {
        let gone = self.there.extract_if(.., |_, follower| follower.caller == caller);
        let gone: Vec<String> = gone.map(|(volume, _)| volume).collect();
        gone.iter().for_each(|volume| self.wishes.gone(volume));
        (!gone.is_empty()).then(|| Input::Data(self.wishes.data()))
    }

    /// What to ask the voters for, where that is not what was asked before, or somebody asks again.
    pub fn wanted(&mut self, lease: &Lease) -> Option<Input> {
        let (chosen, epoch) = (lease.copies()?.insync, lease.status().tenure?.epoch);
        let wanted = (epoch, self.wishes.wanted(epoch, chosen)?);
        let due = std::mem::take(&mut self.again) || self.asked != Some(wanted);
        self.asked = Some(wanted);
        due.then_some(Input::InSync(wanted.1))
    }

    /// Tells each what is new.
    pub fn tell(&mut self, config: &Config, lease: &Lease) {
        let (Some(copies), Some(acks)) = (lease.copies(), lease.ack_set()) else { return };
        let Some(tenure) = lease.status().tenure else { return };
        let names = |set: &NodeSet| set.iter().map(|node| config.node_name(node).to_owned()).collect();
        for (volume, follower) in &mut self.there {
            let (wish, acks) = self.wishes.answer(volume, tenure.epoch, acks);
            let tell = Tell::Copies {
                epoch: tenure.epoch.0,
                wish,
                generation: copies.generation.to_string(),
                acks: names(&acks),
                chosen: names(&copies.insync),
            };
            if follower.told.as_ref() != Some(&tell) && follower.answer.try_send(tell.clone()).is_ok() {
                follower.told = Some(tell);
            }
        }
    }

    /// The first volume whose copy here cannot be used.
    pub fn unfit(&self) -> Option<&str> {
        self.wishes.unfit()
    }
}
