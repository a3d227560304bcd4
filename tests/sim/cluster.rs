//! The world: nodes, the network between them, the queue of what happens next.

use crate::node::{Gate, Node, ms};
use crate::profile::Profile;
use crate::run::Stats;
use hotspare_core::lease::{Command, Ended, Event as CoreEvent, Input, LeaseConfig, Request};
use hotspare_core::message::ToVoter;
use hotspare_core::rng::Rng;
use hotspare_core::voter::VoterCommand;
use hotspare_core::{GroupId, NodeId, Timetable};
use hotspare_wire::{Body, Frame, decode, encode};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What happens next.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A packet arrives; it belongs to the session between two boots.
    Deliver {
        from: usize,
        to: usize,
        boots: (u64, u64),
        packet: Vec<u8>,
    },
    WakeLease(usize),
    WakeVoter(usize),
    /// The job that starts the role has come to the gate.
    GateStarts {
        node: usize,
        boot: u64,
    },
    RoleUp {
        node: usize,
        serial: u64,
    },
    /// The services have stopped and the gate has proven it.
    RoleStopped {
        node: usize,
        serial: u64,
        how: Ended,
    },
    GateLooks {
        node: usize,
        serial: u64,
    },
    Fault,
    PowerOn(usize),
    StartLease {
        node: usize,
        boot: u64,
    },
    StartVoter {
        node: usize,
        boot: u64,
    },
    Heal,
}

/// A cluster at an instant.
pub struct World {
    pub profile: Profile,
    pub now: u64,
    pub rng: Rng,
    pub nodes: Vec<Node>,
    /// `cut[a][b]`: what a sends does not reach b.
    pub cut: Vec<Vec<bool>>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    pending: std::collections::HashMap<u64, Happening>,
    order: u64,
    pub faults_on: bool,
    pub stats: Stats,
    /// The story of the run, if somebody wants to read it.
    pub story: Option<Vec<String>>,
    pub acquired: Vec<(usize, hotspare_core::Value)>,
}

impl World {
    pub fn new(profile: Profile, seed: u64, story: bool) -> World {
        let mut rng = Rng::new(seed);
        let n = profile.voters;
        let nodes = (0..n).map(|i| Node::new(id(i), i < profile.candidates, &mut rng)).collect();
        let mut world = World {
            profile,
            now: 0,
            rng,
            nodes,
            cut: vec![vec![false; n]; n],
            queue: BinaryHeap::new(),
            pending: std::collections::HashMap::new(),
            order: 0,
            faults_on: true,
            stats: Stats::default(),
            story: story.then(Vec::new),
            acquired: Vec::new(),
        };
        for node in 0..n {
            let at = world.rng.below(ms(3000));
            world.at(at, Happening::PowerOn(node));
        }
        world
    }

    pub fn timetable(&self) -> Timetable {
        Timetable::new(self.profile.lease)
    }

    pub fn at(&mut self, when: u64, what: Happening) {
        self.order += 1;
        self.queue.push(Reverse((when.max(self.now), self.order)));
        self.pending.insert(self.order, what);
    }

    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            story.push(format!("{:>10.3} ms  {}", now as f64 / 1e6, text()));
        }
    }

    /// Takes the next happening off the queue and moves time to it.
    pub fn advance(&mut self, until: u64) -> Option<Happening> {
        let Reverse((when, order)) = *self.queue.peek()?;
        if when > until {
            self.now = until;
            return None;
        }
        self.queue.pop();
        self.now = when;
        self.pending.remove(&order)
    }

    pub fn apply(&mut self, what: Happening) {
        match what {
            Happening::Deliver { from, to, boots, packet } => self.deliver(from, to, boots, &packet),
            Happening::WakeLease(node) if self.nodes[node].lease_wake == self.now => self.lease(node, Input::Tick),
            Happening::WakeVoter(node) if self.nodes[node].voter_wake == self.now => self.voter(node, None),
            Happening::WakeLease(_) | Happening::WakeVoter(_) => {}
            Happening::GateStarts { node, boot } => self.gate_starts(node, boot),
            Happening::RoleUp { node, serial } => self.role_up(node, serial),
            Happening::RoleStopped { node, serial, how } => self.role_stopped(node, serial, how),
            Happening::GateLooks { node, serial } => self.gate_looks(node, serial),
            Happening::Fault => crate::faults::inject(self),
            Happening::PowerOn(node) => self.power_on(node),
            Happening::StartLease { node, boot } => self.start_lease(node, boot),
            Happening::StartVoter { node, boot } => self.start_voter(node, boot),
            Happening::Heal => {
                self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
                self.tell(|| "the network heals".into());
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, boots: (u64, u64), packet: &[u8]) {
        // A datagram of another boot's session does not decrypt.
        if (self.nodes[from].boot, self.nodes[to].boot) != boots || !self.nodes[to].runs(self.now) {
            return;
        }
        let sender = self.nodes[from].id;
        for frame in decode(packet).expect("what the production codec wrote, it reads") {
            match frame.body {
                Body::ToVoter(message) => self.voter(to, Some((sender, message))),
                Body::FromVoter(message) => self.lease(to, Input::Voter { from: sender, message }),
                Body::Peer(message) => self.lease(to, Input::Peer { from: sender, message }),
            }
        }
    }

    pub fn send(&mut self, from: usize, to: NodeId, body: Body) {
        let to = index(to);
        let lossy = self.faults_on && from != to && self.profile.loss_one_in > 0;
        if from != to && (self.cut[from][to] || (lossy && self.rng.one_in(self.profile.loss_one_in))) {
            return;
        }
        let boots = (self.nodes[from].boot, self.nodes[to].boot);
        let packet = encode(&[Frame { group: GroupId(1), body }]);
        let copies = if self.faults_on && self.rng.one_in(50) { 2 } else { 1 };
        for _ in 0..copies {
            let mut delay = 50_000 + self.rng.below(1_000_000);
            if self.faults_on && self.rng.one_in(30) {
                delay = self.rng.below(crate::node::span(self.profile.lease));
            }
            let packet = packet.clone();
            self.at(self.now + delay, Happening::Deliver { from, to, boots, packet });
        }
    }

    fn voter(&mut self, node: usize, message: Option<(NodeId, ToVoter)>) {
        let now = self.now;
        let state = &mut self.nodes[node];
        if !state.runs(now) {
            return;
        }
        let stamp = state.clock.read(now);
        let Some(voter) = &mut state.voter else { return };
        let commands = match message {
            Some((from, message)) => voter.handle(stamp, from, message),
            None => voter.tick(stamp),
        };
        if let Some(wake) = voter.wake_at(stamp) {
            let when = state.clock.true_time_of(wake.max(stamp.boot + 1_000));
            self.wake_voter_at(node, when);
        }
        for command in commands {
            // Power may fail between any two steps: what was not persisted is lost, what was not sent is not sent.
            if self.faults_on && self.rng.one_in(4000) {
                self.power_off(node);
                return;
            }
            match command {
                VoterCommand::Persist(register) => {
                    crate::invariants::registers_grow::check(&self.nodes[node].register, &register);
                    self.stats.fsyncs += 1;
                    self.nodes[node].register = register;
                }
                VoterCommand::Remember(memory) => self.nodes[node].memory = memory,
                VoterCommand::Reply { to, message } => self.send(node, to, Body::FromVoter(message)),
            }
        }
    }

    pub fn lease(&mut self, node: usize, input: Input) {
        let now = self.now;
        let state = &mut self.nodes[node];
        if !state.runs(now) || now < state.stopped_until {
            return; // a stopped process takes nothing in; the kernel's buffers overflow
        }
        let stamp = state.clock.read(now);
        let standby = state.standby_input();
        let Some(lease) = &mut state.lease else { return };
        // systemd tells of the target's state sooner or later, also if the daemon was stopped when it changed.
        let mut commands = lease.handle(stamp, standby);
        if let Some((incarnation, how)) = state.proof {
            // The proof is a file in /run: the daemon finds it even if it was stopped when the gate left it.
            commands.extend(lease.handle(stamp, Input::Emptied { incarnation, how }));
        }
        commands.extend(lease.handle(stamp, input));
        let wake = state.clock.true_time_of(lease.wake_at());
        self.wake_lease_at(node, wake);
        for command in commands {
            self.carry_out(node, command);
        }
    }

    pub fn wake_lease_at(&mut self, node: usize, when: u64) {
        self.nodes[node].lease_wake = when;
        self.at(when, Happening::WakeLease(node));
    }

    pub fn wake_voter_at(&mut self, node: usize, when: u64) {
        self.nodes[node].voter_wake = when;
        self.at(when, Happening::WakeVoter(node));
    }

    fn carry_out(&mut self, node: usize, command: Command) {
        match command {
            Command::ToVoter { to, message } => self.send(node, to, Body::ToVoter(message)),
            Command::ToPeer { to, message } => self.send(node, to, Body::Peer(message)),
            Command::Publish(tenure) => {
                self.nodes[node].page = Some(tenure);
            }
            Command::TakeRole => {
                self.nodes[node].taking = true;
                let (boot, delay) = (self.nodes[node].boot, ms(1) + self.rng.below(ms(20)));
                self.at(self.now + delay, Happening::GateStarts { node, boot });
                self.lease(node, Input::Standby(false));
            }
            Command::YieldRole => {
                if let Some(gate) = &self.nodes[node].gate {
                    let (serial, delay) = (gate.serial, self.rng.below(ms(3000)));
                    self.at(self.now + delay, Happening::RoleStopped { node, serial, how: Ended::Stopped });
                }
            }
            Command::Answer { .. } => self.stats.answers += 1,
            Command::Journal(event) => self.journal(node, event),
        }
    }

    fn journal(&mut self, node: usize, event: CoreEvent) {
        self.tell(|| format!("node {node}: {event:?}"));
        if let CoreEvent::Acquired { epoch, .. } = event {
            self.stats.acquisitions += 1;
            let value = self.nodes[node].page.expect("published before it is told").value;
            assert_eq!(value.epoch, epoch);
            crate::invariants::epochs_grow::check(&self.acquired, value);
            self.acquired.push((node, value));
        }
    }

    fn gate_starts(&mut self, node: usize, boot: u64) {
        if self.put_off(node, Happening::GateStarts { node, boot }) {
            return;
        }
        let now = self.now;
        if self.nodes[node].boot != boot || !self.nodes[node].runs(now) || !self.nodes[node].taking {
            return;
        }
        self.nodes[node].taking = false;
        let stamp = self.nodes[node].clock.read(now);
        let page = self.nodes[node].page.filter(|page| page.held && self.nodes[node].gate.is_none());
        let open = page.filter(|page| !stamp.any_past(page.sent.plus(Timetable::new(page.lease).begin_stop())));
        let Some(page) = open else {
            self.tell(|| format!("node {node}: the gate stays shut"));
            let standby = self.nodes[node].standby_input();
            return self.lease(node, standby);
        };
        self.nodes[node].serial += 1;
        let serial = self.nodes[node].serial;
        let incarnation = page.value.incarnation;
        self.nodes[node].proof = None;
        self.nodes[node].gate = Some(Gate { incarnation, active: true, up: false, serial });
        self.tell(|| format!("node {node}: gate open, role starts (epoch {})", page.value.epoch));
        self.lease(node, Input::Claimed(incarnation));
        let start = ms(1) + self.rng.below(ms(1500));
        self.at(now + start, Happening::RoleUp { node, serial });
        self.at(self.nodes[node].gate_due().unwrap_or(now), Happening::GateLooks { node, serial });
    }

    fn gate_of(&mut self, node: usize, serial: u64) -> Option<&mut Gate> {
        let now = self.now;
        let state = &mut self.nodes[node];
        let runs = state.runs(now);
        state.gate.as_mut().filter(|gate| runs && gate.serial == serial)
    }

    /// Whether the node sleeps: then `what` happens as soon as it wakes up.
    fn put_off(&mut self, node: usize, what: Happening) -> bool {
        let wakes = self.nodes[node].asleep_until;
        let asleep = self.nodes[node].powered && self.now < wakes;
        if asleep {
            self.at(wakes + ms(1), what);
        }
        asleep
    }

    fn role_up(&mut self, node: usize, serial: u64) {
        if self.put_off(node, Happening::RoleUp { node, serial }) {
            return;
        }
        let Some(gate) = self.gate_of(node, serial) else { return };
        gate.up = gate.active;
        let incarnation = gate.incarnation;
        if gate.up {
            self.lease(node, Input::RoleUp(incarnation));
        }
    }

    fn role_stopped(&mut self, node: usize, serial: u64, how: Ended) {
        if self.put_off(node, Happening::RoleStopped { node, serial, how }) {
            return;
        }
        let Some(gate) = self.gate_of(node, serial) else { return };
        let incarnation = gate.incarnation;
        self.nodes[node].gate = None;
        self.nodes[node].proof = Some((incarnation, how));
        self.tell(|| format!("node {node}: role stopped ({how:?})"));
        let standby = self.nodes[node].standby_input();
        self.lease(node, standby);
    }

    fn gate_looks(&mut self, node: usize, serial: u64) {
        if self.now < self.nodes[node].asleep_until {
            return; // it looks when it wakes up: see `faults::sleep`
        }
        if self.gate_of(node, serial).is_none_or(|gate| !gate.active) {
            return;
        }
        if self.nodes[node].gate_must_kill(self.now) {
            self.tell(|| format!("node {node}: gate kills"));
            self.stats.kills += 1;
            self.gate_of(node, serial).expect("just seen").active = false;
            let proof = self.rng.below(ms(20));
            self.at(self.now + proof, Happening::RoleStopped { node, serial, how: Ended::Expired });
        } else if let Some(due) = self.nodes[node].gate_due() {
            let step = self.now + ms(20); // the gate looks at the page at least this often
            self.at(due.min(step).max(self.now + ms(1)), Happening::GateLooks { node, serial });
        }
    }

    pub fn power_off(&mut self, node: usize) {
        if !self.nodes[node].powered {
            return;
        }
        self.tell(|| format!("node {node}: power cut"));
        self.stats.crashes += 1;
        self.nodes[node].cut_power();
        let off = self.rng.below(crate::node::span(self.profile.lease) * 4);
        self.at(self.now + off, Happening::PowerOn(node));
    }

    fn power_on(&mut self, node: usize) {
        if self.nodes[node].powered {
            return;
        }
        let now = self.now;
        let (state, rng) = (&mut self.nodes[node], &mut self.rng);
        state.power_on(now, rng);
        let boot = state.boot;
        self.tell(|| format!("node {node}: boots"));
        let (voter, lease) = (self.rng.below(ms(500)), self.rng.below(ms(500)));
        self.at(now + voter, Happening::StartVoter { node, boot });
        if self.nodes[node].candidate {
            self.at(now + lease, Happening::StartLease { node, boot });
        }
    }

    fn start_voter(&mut self, node: usize, boot: u64) {
        if self.nodes[node].boot != boot || !self.nodes[node].powered {
            return;
        }
        // The first start of a boot finds nothing in /run; a later one finds what the former life left there.
        let same_boot = self.nodes[node].voter_restarts_in(boot);
        let (candidates, table) = (self.candidates(), self.timetable());
        self.nodes[node].start_voter(candidates, table, same_boot);
    }

    fn start_lease(&mut self, node: usize, boot: u64) {
        if self.nodes[node].boot != boot || !self.nodes[node].powered {
            return;
        }
        let config = LeaseConfig {
            me: self.nodes[node].id,
            candidates: self.candidates(),
            voters: (0..self.profile.voters).map(id).collect(),
            timetable: self.timetable(),
            boot_grace: Duration::from_secs(5),
            hold_down: Duration::from_secs(3),
            failback: false,
            automatic: true,
        };
        let seed = self.rng.bits();
        let now = self.now;
        self.nodes[node].start_lease(config, now, seed);
        self.tell(|| format!("node {node}: lease client starts"));
        let standby = self.nodes[node].standby_input();
        self.lease(node, standby);
    }

    fn candidates(&self) -> Vec<NodeId> {
        (0..self.profile.candidates).map(id).collect()
    }

    pub fn operator_asks(&mut self, node: usize, to: Option<usize>) {
        let request = self.rng.bits();
        self.tell(|| format!("node {node}: an operator asks for {to:?}"));
        self.lease(node, Input::Request(Request { id: request, to: to.map(id), ask: true }));
    }
}

/// The id of the `index`th node.
#[must_use]
pub fn id(index: usize) -> NodeId {
    NodeId(u64::try_from(index).expect("few nodes") + 1)
}

fn index(node: NodeId) -> usize {
    usize::try_from(node.0 - 1).expect("few nodes")
}
