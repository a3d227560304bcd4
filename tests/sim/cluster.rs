//! The world: nodes, the network between them, the queue of what happens next.

use crate::leased::{notice_gate, overdue};
use crate::node::{Node, ms};
use crate::profile::Profile;
use crate::role::Step;
use crate::run::Stats;
use crate::systemd::Unit;
use crate::units::Units;
use hotspare_core::lease::{Command, Event as CoreEvent, Input, PhaseName, Request, Tenure};
use hotspare_core::message::{Fenced, ToVoter};
use hotspare_core::rng::Rng;
use hotspare_core::{Ballot, GroupId, NodeId, Timetable, Value};
use hotspare_wire::{Body, Frame, decode, encode};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
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
    WakeLease(usize, usize),
    WakeVoter(usize, usize),
    Unit {
        node: usize,
        group: usize,
        unit: Unit,
        boot: u64,
        serial: u64,
        step: Step,
    },
    Paths {
        node: usize,
        group: usize,
        boot: u64,
    },
    Give {
        node: usize,
        group: usize,
        boot: u64,
    },
    LookForFailures {
        node: usize,
        group: usize,
        boot: u64,
    },
    GateLooks {
        node: usize,
        group: usize,
        serial: u64,
    },
    Fault,
    /// Somebody takes a voter whose register was refused for what it is: lost.
    ReplaceVoter(usize),
    /// A node that is off is made to stand by again.
    Rejoin {
        node: usize,
        group: usize,
        boot: u64,
    },
    /// An operator lets it move again, a second time: the first may have come while it slept.
    /// An operator who sees that nobody leads, and that this node abstains, asks for it.
    OperatorHelps {
        node: usize,
        group: usize,
    },
    Resume {
        node: usize,
        group: usize,
    },
    Everyday,
    PowerOn(usize),
    /// The holder's volume has something to do.
    Write {
        node: usize,
        group: usize,
        boot: u64,
    },
    Data {
        from: usize,
        to: usize,
        group: usize,
        boots: (u64, u64),
        frame: crate::data::Frame,
    },
    /// A fence agent is done.
    Shot {
        by: usize,
        boot: u64,
        group: usize,
        target: Fenced,
        outcome: u64,
    },
    ShotTold {
        by: usize,
        boot: u64,
        group: usize,
        target: Fenced,
        proven: bool,
    },
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
    pub units: Rc<Units>,
    /// Whether gates may wait for a lease that was announced.
    pub prepares: bool,
    pub nodes: Vec<Node>,
    /// `cut[a][b]`: what a sends does not reach b.
    pub cut: Vec<Vec<bool>>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    /// What is to happen, in the order in which it was thought of; what has happened is `None` until it is first.
    pending: VecDeque<Option<Happening>>,
    /// How many have left `pending`.
    past: u64,
    pub faults_on: bool,
    pub stats: Stats,
    /// The story of the run, if somebody wants to read it.
    pub story: Option<Vec<String>>,
    /// Every tenure that was acquired, for each group.
    pub acquired: Vec<Vec<crate::invariants::no_churn::Acquired>>,
    pub ledger: Vec<crate::invariants::chosen_once::Ledger>,
    pub proposals: Vec<crate::invariants::proposed_once::Proposals>,
    /// What was proposed last: an impostor uses it.
    pub last_accept: Option<(usize, Ballot, Value)>,
    /// Lives that are over, and proven to be.
    pub proofs: std::collections::BTreeSet<Fenced>,
    pub acknowledged: Vec<crate::data::Acknowledged>,
    /// Names the writes.
    pub written: u64,
    /// The voter whose disk was spoilt for good: one at most.
    pub spoilt: Option<usize>,
    depth: u32,
}

impl World {
    pub fn new(profile: Profile, seed: u64, story: bool) -> World {
        let mut rng = Rng::new(seed);
        let (n, groups) = (profile.voters, profile.groups);
        let units = Rc::new(Units::load(seed % 4 != 3));
        let nodes = (0..n).map(|i| Node::new(id(i), i < profile.candidates, groups, &units, &mut rng)).collect();
        let ledger = (0..groups).map(|_| crate::invariants::chosen_once::Ledger::default()).collect();
        let proposals = (0..groups).map(|_| crate::invariants::proposed_once::Proposals::default()).collect();
        let mut world = World {
            prepares: (seed / 4).is_multiple_of(2),
            profile,
            now: 0,
            rng,
            units,
            nodes,
            cut: vec![vec![false; n]; n],
            queue: BinaryHeap::new(),
            pending: VecDeque::new(),
            past: 0,
            faults_on: true,
            stats: Stats::default(),
            story: story.then(Vec::new),
            acquired: vec![Vec::new(); groups],
            ledger,
            proposals,
            last_accept: None,
            proofs: Default::default(),
            acknowledged: (0..groups).map(|_| Default::default()).collect(),
            written: 0,
            spoilt: None,
            depth: 0,
        };
        for node in 0..n {
            let at = world.rng.below(ms(3000));
            world.at(at, Happening::PowerOn(node));
        }
        world
    }

    /// The timetable in `node`'s configuration.
    pub fn timetable(&self, node: usize) -> Timetable {
        Timetable::new(if self.nodes[node].new_config { self.longest_lease() } else { self.profile.lease })
    }

    /// The longest lease that any node's configuration says.
    pub fn longest_lease(&self) -> Duration {
        self.profile.lease * 3
    }

    pub fn at(&mut self, when: u64, what: Happening) {
        let order = self.past + self.pending.len() as u64;
        self.queue.push(Reverse((when.max(self.now), order)));
        self.pending.push_back(Some(what));
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
        let place = usize::try_from(order - self.past).expect("it is still there");
        let what = self.pending[place].take();
        while self.pending.front().is_some_and(Option::is_none) {
            self.pending.pop_front();
            self.past += 1;
        }
        what
    }

    pub fn apply(&mut self, what: Happening) {
        match what {
            Happening::Deliver { from, to, boots, packet } => self.deliver(from, to, boots, &packet),
            Happening::WakeLease(node, group) if self.nodes[node].parts[group].lease_wake == self.now => {
                let goes_on = self.nodes[node].stopped_until.max(self.nodes[node].asleep_until);
                if self.now < goes_on {
                    return self.wake_lease_at(node, group, goes_on + 1);
                }
                self.lease(node, group, Input::Tick);
            }
            // One timer serves all groups of an arbiter: a tick that is early for a group is no harm.
            Happening::WakeVoter(node, group) if self.nodes[node].parts[group].voter_wake == self.now => {
                (0..self.profile.groups).for_each(|group| self.voter(node, group, None));
            }
            Happening::WakeLease(..) | Happening::WakeVoter(..) => {}
            Happening::Unit { node, group, unit, boot, serial, step } => {
                self.unit((node, group), unit, (boot, serial), step);
            }
            Happening::Paths { node, group, boot } => self.paths(node, group, boot),
            Happening::Give { node, group, boot } => self.give(node, group, boot),
            Happening::GateLooks { node, group, serial } => self.gate_looks(node, group, serial),
            Happening::Fault => crate::faults::inject(self),
            Happening::Rejoin { node, group, boot } => {
                if self.nodes[node].boot == boot {
                    crate::faults::rejoin(self, node, group);
                }
            }
            Happening::ReplaceVoter(node) => {
                // Where clocks are not what leases take them for, nobody may be replaced without a pause.
                if self.spoilt == Some(node) && self.others_vote(node) && self.profile.clocks_hold() {
                    self.replace_voter(node);
                    crate::faults::restart_voter(self, node);
                }
            }
            Happening::LookForFailures { node, group, boot } => self.look_for_failures((node, group), boot),
            Happening::OperatorHelps { node, group } => {
                let leads = |node: &Node| node.parts[group].phase() == Some(PhaseName::Held);
                let abstains = self.nodes[node].parts[group].abstains_until > self.now;
                if abstains && !self.nodes.iter().any(leads) {
                    self.operator_asks(node, group, None);
                }
            }
            Happening::Resume { node, group } => self.lease(node, group, Input::Pause(false)),
            Happening::Everyday => crate::faults::everyday_thing(self),
            Happening::PowerOn(node) => self.power_on(node),
            Happening::Write { node, group, boot } => self.write(node, group, boot),
            Happening::Data { from, to, group, boots, frame } => self.data((from, to), group, boots, frame),
            Happening::Shot { by, boot, group, target, outcome } => self.shot((by, boot), group, target, outcome),
            Happening::ShotTold { by, boot, group, target, proven } => {
                self.told_of_shot((by, boot), group, target, proven);
            }
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
            let group = usize::try_from(frame.group.0).expect("few groups");
            match frame.body {
                Body::ToVoter(message) => {
                    self.voter(to, group, Some((sender, message)));
                    if self.faults_on && self.rng.one_in(50) {
                        self.voter(to, group, None);
                    }
                    if let ToVoter::Accept { ballot, value } = message {
                        self.last_accept = Some((group, ballot, value));
                    }
                }
                Body::Fellow(message) => self.fellow(to, group, sender, message),
                Body::FromVoter(message) => self.lease(to, group, Input::Voter { from: sender, message }),
                Body::Peer(message) => {
                    self.lease(to, group, Input::Peer { from: sender, message: message.clone() });
                    crate::invariants::later_epoch_stops::check(self, to, group, &message);
                }
            }
        }
    }

    pub fn send(&mut self, from: usize, to: NodeId, group: usize, body: Body) {
        let to = index(to);
        if self.is_lost(from, to) {
            return;
        }
        let boots = (self.nodes[from].boot, self.nodes[to].boot);
        let packet = encode(&[Frame { group: GroupId(group as u64), body }]);
        let copies = if self.faults_on && self.rng.one_in(50) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.delay();
            let packet = packet.clone();
            self.at(self.now + delay, Happening::Deliver { from, to, boots, packet });
        }
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        let lossy = self.faults_on && from != to && self.profile.loss_one_in > 0;
        from != to && (self.cut[from][to] || (lossy && self.rng.one_in(self.profile.loss_one_in)))
    }

    fn delay(&mut self) -> u64 {
        let delay = 50_000 + self.rng.below(1_000_000);
        if self.faults_on && self.rng.one_in(30) {
            return self.rng.below(crate::node::span(self.profile.lease));
        }
        delay
    }

    /// How long something takes from one node to another; `None`: it does not get there.
    pub fn way(&mut self, from: usize, to: usize) -> Option<u64> {
        (!self.is_lost(from, to)).then(|| self.delay())
    }

    pub fn lease(&mut self, node: usize, group: usize, input: Input) {
        let now = self.now;
        let units = self.units.clone();
        let input_is_claim = matches!(input, Input::Claimed(_));
        let uplinks = self.profile.uplinks;
        let state = &mut self.nodes[node];
        let uplink = uplinks.then_some(state.uplink);
        if !state.runs(now) || now < state.stopped_until {
            return; // a stopped process takes nothing in; the kernel's buffers overflow
        }
        let stamp = state.clock.read(now);
        let part = &mut state.parts[group];
        // systemd tells of the target's state sooner or later, also if the daemon was stopped when it changed.
        let standby = part.standby_input(&units);
        notice_gate(part, &units, stamp);
        let overdue = overdue(part, stamp);
        let Some(lease) = &mut part.lease else { return };
        part.named = lease.phase() == PhaseName::Confirming;
        part.held = matches!(lease.phase(), PhaseName::Held | PhaseName::Yielding);
        let mut commands = lease.handle(stamp, standby);
        // A gate that hung up while the daemon was stopped is noticed when it goes on.
        commands.extend(lease.handle(stamp, Input::GateWaiting(part.shell.waiting.is_some())));
        // What an uplink says waits in its connection for one that was stopped or slept.
        if let Some(there) = uplink {
            commands.extend(lease.handle(stamp, Input::Uplink(there)));
        }
        if let Some((incarnation, how)) = part.proof.filter(|_| lease.phase() == PhaseName::Lost) {
            // The proof is a file in /run: the daemon finds it even if it was stopped when the gate left it.
            commands.extend(lease.handle(stamp, Input::Emptied { incarnation, how }));
        }
        if let Some(overdue) = overdue {
            commands.extend(lease.handle(stamp, overdue));
        }
        commands.extend(lease.handle(stamp, input));
        let mut wake = lease.wake_at();
        crate::invariants::taken_or_given_back::check(part, now, input_is_claim);
        if !part.shell.attached && part.claim.is_some() {
            wake = wake.min(stamp.boot + ms(200)); // the loop turns twice a second at least
        }
        let wake = state.clock.true_time_of(wake);
        self.wake_lease_at(node, group, wake);
        self.depth += 1;
        assert!(self.depth < 60, "the daemons feed each other without end");
        for command in commands {
            self.carry_out(node, group, command);
        }
        self.depth -= 1;
        let units = self.units.clone();
        let part = &mut self.nodes[node].parts[group];
        part.could = part.could_lead(&units);
    }

    pub fn wake_lease_at(&mut self, node: usize, group: usize, when: u64) {
        let when = when.max(self.now + 1_000); // no timer fires twice without time passing
        self.nodes[node].parts[group].lease_wake = when;
        self.at(when, Happening::WakeLease(node, group));
    }

    pub fn wake_voter_at(&mut self, node: usize, group: usize, when: u64) {
        let when = when.max(self.now + 1_000);
        self.nodes[node].parts[group].voter_wake = when;
        self.at(when, Happening::WakeVoter(node, group));
    }

    fn carry_out(&mut self, node: usize, group: usize, command: Command) {
        if !self.nodes[node].powered {
            return;
        }
        match command {
            Command::ToVoter { to, message } => {
                crate::invariants::proof_first::check(self, node, group, &message);
                if let ToVoter::Accept { ballot, value } = message {
                    let chosen = self.ledger[group].is_chosen(value);
                    self.proposals[group].note(ballot, value, chosen);
                }
                self.send(node, to, group, Body::ToVoter(message));
            }
            Command::ToPeer { to, message } => self.send(node, to, group, Body::Peer(message)),
            Command::Publish(tenure) => {
                crate::invariants::belief_is_covered::check(self, node, group, &tenure);
                let part = &mut self.nodes[node].parts[group];
                // The page tells the gate who holds; what it says of the copies a restarted daemon has to ask for.
                let value = Value::tenure(tenure.value.epoch, tenure.value.holder, tenure.value.incarnation);
                part.show(Tenure { value, ..tenure });
                part.take &= tenure.held;
                part.ordered &= tenure.held;
            }
            // A gate that waits already will be told; the target is on its way then.
            Command::TakeRole if self.nodes[node].parts[group].shell.waiting.is_some() => {}
            Command::ForgetRole => {
                let part = &mut self.nodes[node].parts[group];
                (part.take, part.ordered) = (false, false);
            }
            Command::TakeRole | Command::PrepareRole => {
                let part = &mut self.nodes[node].parts[group];
                part.take = true;
                part.prepared |= command == Command::PrepareRole;
                part.ordered |= command == Command::PrepareRole;
                let (boot, delay) = (self.nodes[node].boot, self.rng.below(ms(5)));
                self.at(self.now + delay, Happening::Paths { node, group, boot });
            }
            Command::YieldRole => {
                let (boot, delay) = (self.nodes[node].boot, self.rng.below(ms(5)));
                self.at(self.now + delay, Happening::Give { node, group, boot });
            }
            Command::Answer { request, verdict } => {
                self.stats.answers += 1;
                self.answered(node, group, request, verdict);
            }
            Command::LookForFailures => {
                let (boot, delay) = (self.nodes[node].boot, self.rng.below(ms(50)));
                self.at(self.now + delay, Happening::LookForFailures { node, group, boot });
            }
            Command::Copies(copies) => self.copies(node, group, copies),
            Command::Fence(target) => self.shoot(node, group, target),
            Command::Keep(pause) => self.nodes[node].parts[group].pause = pause,
            Command::Journal(event) => self.journal(node, group, event),
        }
    }

    fn journal(&mut self, node: usize, group: usize, event: CoreEvent) {
        self.tell(|| format!("node {node}.{group}: {event:?}"));
        match event {
            CoreEvent::Acquired { epoch, .. } => {
                self.stats.acquisitions += 1;
                let value = self.nodes[node].parts[group].page.expect("published before it is told").value;
                assert_eq!(value.epoch, epoch);
                crate::invariants::epochs_grow::check(&self.acquired[group], value);
                crate::invariants::only_the_willing::check(self, node, group);
                self.ledger[group].check_holds(value);
                crate::invariants::acked_is_kept::check_copy(self, node, group);
                self.acquired[group].push((node, value, self.now));
                crate::invariants::no_churn::check(self, group);
                let part = &mut self.nodes[node].parts[group];
                part.untaken_since = Some(self.now);
                if std::mem::take(&mut part.asked) {
                    part.abstains_until = 0; // an operator's wish ends it
                }
            }
            CoreEvent::Readopted { .. } => {
                let part = &self.nodes[node].parts[group];
                let over = part.proof.map(|(life, _)| life) == part.page.map(|page| page.value.incarnation);
                assert!(!over, "readopts_the_living: node {node} takes up a tenure that is proven over");
                assert!(!self.nodes[node].past_belief(group, self.now), "readopts_the_living: node {node}, past U");
            }
            CoreEvent::Paused => self.nodes[node].parts[group].paused = true,
            CoreEvent::Resumed => self.nodes[node].parts[group].paused = false,
            CoreEvent::Abstains { span } => {
                // By the node's own clocks, whichever is faster: at least this long in true time.
                let least = crate::node::span(span) * 9 / 10;
                self.nodes[node].parts[group].abstains_until = self.now + least;
            }
            _ => {}
        }
    }

    pub fn candidates(&self) -> Vec<NodeId> {
        (0..self.profile.candidates).map(id).collect()
    }

    pub fn operator_asks(&mut self, node: usize, group: usize, to: Option<usize>) {
        let request = self.rng.bits();
        self.tell(|| format!("node {node}.{group}: an operator asks for {to:?}"));
        for other in &mut self.nodes {
            other.parts[group].asked = true;
        }
        self.lease(node, group, Input::Request(Request { id: request, to: to.map(id), ask: true }));
    }
}

/// The id of the `index`th node.
#[must_use]
pub fn id(index: usize) -> NodeId {
    NodeId(u64::try_from(index).expect("few nodes") + 1)
}

#[must_use]
pub fn index(node: NodeId) -> usize {
    usize::try_from(node.0 - 1).expect("few nodes")
}
