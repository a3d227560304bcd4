//! The way between a volume and its node's lease client: in order, late now and then, and not alone on it.

use crate::happening::{Happening, Told};
use crate::world::{MS, World, id};
use hotspare_core::lease::DataConfig;
use hotspare_core::{Epoch, NodeSet};
use hotspare_volume::{Input, Wishes};

/// The volume that is simulated, and the one that only has wishes.
const OWN: &str = "own";
const SIBLING: &str = "sibling";
const FIT: DataConfig = DataConfig { born_here: false, fit: true };

pub enum Way {
    ToClient,
    ToVolume,
}

/// At one node.
pub struct Socket {
    wishes: Wishes,
    /// What arrived at the volume last: it is taken in when there is somebody to take it.
    told: Option<Told>,
    /// What was said to it last.
    said: Option<Told>,
    /// When the last word arrives, each way: nothing overtakes.
    busy_until: [u64; 2],
    /// How often the sibling has asked for something.
    asked: u64,
}

impl Socket {
    pub fn new(siblings: bool) -> Socket {
        let volumes = [OWN, SIBLING];
        let wishes = Wishes::of(volumes.into_iter().take(if siblings { 2 } else { 1 }));
        Socket { wishes, told: None, said: None, busy_until: [0; 2], asked: 0 }
    }

    /// A new life of the volume's program.
    pub fn attach(&mut self) {
        self.wishes.attach(OWN, FIT);
        (self.told, self.said) = (None, None);
    }
}

impl World {
    /// When a word that is said now arrives.
    pub fn socket_delay(&mut self, node: usize, way: Way) -> u64 {
        let late = self.profile.late_words && self.faults_on && self.rng.one_in(6);
        let delay = self.rng.below(if late { 500 * MS } else { MS / 10 }) + 1;
        let busy = &mut self.nodes[node].socket.busy_until[way as usize];
        *busy = (*busy + 1).max(self.now + delay);
        *busy
    }

    /// A wish of the volume has arrived at the lease client.
    pub fn wish(&mut self, node: usize, epoch: Epoch, wish: u64, set: NodeSet) {
        self.nodes[node].socket.wishes.wish(OWN, epoch, wish, set);
        self.decide(node);
    }

    fn decide(&mut self, node: usize) {
        let this = &mut self.nodes[node];
        let Some(client) = &mut this.client else { return };
        if let Some(set) = this.socket.wishes.wanted(client.epoch, client.chosen()) {
            client.want(set);
        }
        self.propose(node);
        self.tell_sets(node);
    }

    /// Says what counts, where that is something new.
    pub fn tell_sets(&mut self, node: usize) {
        let this = &mut self.nodes[node];
        let Some(client) = &this.client else { return };
        let (wish, acks) = this.socket.wishes.answer(OWN, client.epoch, client.acks());
        let sets = Told { epoch: client.epoch, wish, acks, chosen: client.chosen() };
        if this.socket.said != Some(sets) {
            this.socket.said = Some(sets);
            let (boot, at) = (this.boot, self.socket_delay(node, Way::ToVolume));
            self.at(at, Happening::Told { node, boot, sets });
        }
    }

    /// That has arrived at the volume.
    pub fn told(&mut self, node: usize, sets: Told) {
        self.nodes[node].socket.told = Some(sets);
        self.take_in(node);
    }

    /// It is said again with each turn of the engine.
    pub fn take_in(&mut self, node: usize) {
        if let Some(Told { epoch, wish, acks, chosen }) = self.nodes[node].socket.told {
            self.handle(node, Input::AckSet { epoch, wish, acks, chosen });
        }
    }

    /// The other volume wants whom it wants, and its program comes and goes.
    pub fn sibling(&mut self, node: usize) {
        let rare = if self.faults_on { self.rng.one_in(4) } else { true };
        let Some(epoch) = self.nodes[node].client.map(|client| client.epoch).filter(|_| rare) else { return };
        let faults_on = self.faults_on;
        let others: Vec<usize> = (0..self.profile.nodes).filter(|other| *other != node).collect();
        let wants = others.into_iter().filter(|_| !faults_on || !self.rng.one_in(3)).collect::<Vec<_>>();
        let set = NodeSet::of(wants.into_iter().chain([node]).map(id)).expect("few nodes");
        let gone = self.faults_on && self.rng.one_in(10);
        let socket = &mut self.nodes[node].socket;
        socket.asked += 1;
        if gone {
            socket.wishes.gone(SIBLING);
        } else {
            socket.wishes.wish(SIBLING, epoch, socket.asked, set);
        }
        self.decide(node);
    }
}
