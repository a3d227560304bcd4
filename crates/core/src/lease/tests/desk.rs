//! A few candidates and three voters on one desk: virtual time, messages that arrive at once, nothing lost unless a node is cut
//! off. A gate that does its work at once stands behind each candidate, unless a test takes its place.

use crate::lease::{Command, Ended, Event, Input, Lease, LeaseConfig, PhaseName, Request, Status, Tenure, Verdict};
use crate::message::{FromVoter, ToVoter};
use crate::time::Stamp;
use crate::timetable::Timetable;
use crate::voter::{Memory, Register, Voter, VoterCommand};
use crate::{Epoch, NodeId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub const A: NodeId = NodeId(1);
pub const B: NodeId = NodeId(2);
pub const C: NodeId = NodeId(3);
pub const VOTERS: [NodeId; 3] = [NodeId(11), NodeId(12), NodeId(13)];
/// A twelfth of it is 100 ms.
pub const LEASE: Duration = Duration::from_millis(1200);

pub fn at(ms: u64) -> Stamp {
    Stamp::default().plus(Duration::from_millis(ms))
}

pub fn config(me: NodeId, candidates: &[NodeId]) -> LeaseConfig {
    LeaseConfig {
        me,
        candidates: candidates.to_vec(),
        voters: VOTERS.to_vec(),
        timetable: Timetable::new(LEASE),
        boot_grace: Duration::from_secs(5),
        hold_down: Duration::from_secs(3),
        failback: false,
        automatic: true,
        prepares: true,
        epoch_floor: Epoch(0),
        data: None,
        abandoned: None,
        fence: None,
        moves_per_hour: 0,
    }
}

pub struct Desk {
    pub now: Stamp,
    pub leases: BTreeMap<NodeId, Lease>,
    pub voters: BTreeMap<NodeId, Voter>,
    /// Nobody hears these, and they hear nobody.
    pub cut: BTreeSet<NodeId>,
    /// No candidate hears another.
    pub deaf: bool,
    /// What voters have accepted is never heard of.
    pub accepted_is_lost: bool,
    /// Whether roles start and stop at once, with the proof.
    pub gates: bool,
    /// What was decided, by whom, at which millisecond.
    pub events: Vec<(NodeId, u64, Event)>,
    pub answers: Vec<(NodeId, u64, Verdict)>,
    /// Everything else that was commanded.
    pub commands: Vec<(NodeId, u64, Command)>,
    queue: VecDeque<(NodeId, Command)>,
}

impl Desk {
    /// All of `up` start now and stand by; `candidates` in order of preference.
    pub fn new(candidates: &[NodeId], up: &[NodeId], change: impl Fn(&mut LeaseConfig)) -> Desk {
        Desk::set_up(true, candidates, up, change)
    }

    /// The same, and a test does what gates do.
    pub fn without_gates(candidates: &[NodeId]) -> Desk {
        Desk::set_up(false, candidates, candidates, |_| {})
    }

    fn set_up(gates: bool, candidates: &[NodeId], up: &[NodeId], change: impl Fn(&mut LeaseConfig)) -> Desk {
        let table = Timetable::new(LEASE);
        let voter = || Voter::new(candidates.to_vec(), table, (Register::default(), Memory::default()), None);
        // A and B as the only two voters, for the tests that want it so (F3): each has heard the other in its first boot.
        let pair = [(A, B), (B, A)].map(|(id, fellow)| (id, voter().with_fence_vote(fellow, Some(fellow.0))));
        let mut desk = Desk {
            now: at(1000),
            leases: BTreeMap::new(),
            voters: VOTERS.map(|id| (id, voter())).into_iter().chain(pair).collect(),
            cut: BTreeSet::new(),
            deaf: false,
            accepted_is_lost: false,
            gates,
            events: Vec::new(),
            answers: Vec::new(),
            commands: Vec::new(),
            queue: VecDeque::new(),
        };
        for node in up {
            let mut config = config(*node, candidates);
            change(&mut config);
            desk.leases.insert(*node, Lease::new(config, desk.now, node.0, node.0));
        }
        up.iter().for_each(|node| desk.input(*node, Input::Standby(true)));
        desk
    }

    /// Two candidates, A preferred and leading since a while.
    pub fn led_by_a() -> Desk {
        let mut desk = Desk::new(&[A, B], &[A, B], |_| {});
        desk.run(2000);
        assert_eq!(desk.leader(), Some(A));
        desk
    }

    /// Milliseconds since the start.
    pub fn ms(&self) -> u64 {
        self.now.boot / 1_000_000 - 1000
    }

    pub fn input(&mut self, node: NodeId, input: Input) {
        let lease = self.leases.get_mut(&node).expect("is up");
        let commands = lease.handle(self.now, input);
        assert!(lease.wake_at() > self.now.boot, "a timer that is due at once fires for ever");
        self.queue.extend(commands.into_iter().map(|command| (node, command)));
        while let Some((from, command)) = self.queue.pop_front() {
            self.carry_out(from, command);
        }
    }

    fn feed(&mut self, node: NodeId, input: Input) {
        let Some(lease) = self.leases.get_mut(&node).filter(|_| !self.cut.contains(&node)) else { return };
        let commands = lease.handle(self.now, input);
        self.queue.extend(commands.into_iter().map(|command| (node, command)));
    }

    fn carry_out(&mut self, from: NodeId, command: Command) {
        let ms = self.ms();
        match command.clone() {
            Command::ToVoter { to, message } if !self.cut.contains(&from) && !self.cut.contains(&to) => {
                let commands = self.voters.get_mut(&to).expect("a voter").handle(self.now, from, message);
                self.voted(to, commands);
            }
            Command::ToPeer { to, message } if !self.cut.contains(&from) && !self.deaf => {
                self.feed(to, Input::Peer { from, message });
            }
            Command::Journal(event) => self.events.push((from, ms, event)),
            Command::Answer { verdict, .. } => self.answers.push((from, ms, verdict)),
            Command::TakeRole if self.gates => {
                let life = self.status(from).tenure.expect("held").incarnation;
                for input in [Input::Standby(false), Input::Claimed(life), Input::RoleUp(life)] {
                    self.own(from, input);
                }
            }
            Command::YieldRole if self.gates => self.stop(from, Ended::Stopped),
            _ => {}
        }
        self.commands.push((from, ms, command));
    }

    /// What happens on the node itself, cut off or not.
    pub fn own(&mut self, node: NodeId, input: Input) {
        let commands = self.leases.get_mut(&node).expect("is up").handle(self.now, input);
        self.queue.extend(commands.into_iter().map(|command| (node, command)));
    }

    /// The role of `node` has ended, and that is proven.
    pub fn stop(&mut self, node: NodeId, how: Ended) {
        let Some(tenure) = self.status(node).tenure else { return };
        self.own(node, Input::Standby(true));
        self.input(node, Input::Emptied { incarnation: tenure.incarnation, how });
    }

    fn voted(&mut self, voter: NodeId, commands: Vec<VoterCommand>) {
        for command in commands {
            if let VoterCommand::Reply { to, message } = command {
                if self.accepted_is_lost && matches!(message, FromVoter::Accepted { .. }) {
                    continue;
                }
                self.feed(to, Input::Voter { from: voter, message });
            }
        }
    }

    /// Lets `ms` milliseconds pass; every timer fires when it is due.
    pub fn run(&mut self, ms: u64) {
        let end = self.now.plus(Duration::from_millis(ms));
        let mut timers = 0;
        loop {
            timers += 1;
            assert!(timers < 100 + 2 * ms, "timers that fire without end");
            let leases = self.leases.iter().map(|(node, lease)| (lease.wake_at(), *node, false));
            let voters = self.voters.iter().filter_map(|(node, voter)| Some((voter.wake_at(self.now)?, *node, true)));
            let next = leases.chain(voters).min().filter(|(due, ..)| *due <= end.boot);
            let Some((due, node, votes)) = next else { break };
            let due = due.max(self.now.boot);
            self.now = Stamp { boot: due, raw: due };
            if votes {
                let voter = self.voters.get_mut(&node).expect("it has a timer");
                let commands = voter.tick(self.now);
                if commands.is_empty() {
                    self.now = Stamp { boot: due + 1_000, raw: due + 1_000 };
                }
                self.voted(node, commands);
                while let Some((from, command)) = self.queue.pop_front() {
                    self.carry_out(from, command);
                }
            } else {
                self.input(node, Input::Tick);
            }
        }
        self.now = end;
    }

    pub fn status(&self, node: NodeId) -> Status {
        self.leases[&node].status()
    }

    pub fn phase(&self, node: NodeId) -> PhaseName {
        self.status(node).phase
    }

    /// Who holds, if anybody does.
    pub fn leader(&self) -> Option<NodeId> {
        self.leases.keys().copied().find(|node| self.phase(*node) == PhaseName::Held)
    }

    /// What `node` decided, without the times.
    pub fn told(&self, node: NodeId) -> Vec<Event> {
        self.events.iter().filter(|(who, ..)| *who == node).map(|(.., event)| *event).collect()
    }

    /// When `node` first told of something like that.
    pub fn when(&self, node: NodeId, like: impl Fn(&Event) -> bool) -> Option<u64> {
        self.events.iter().find(|(who, _, event)| *who == node && like(event)).map(|(_, ms, _)| *ms)
    }

    /// When `node` was last given the role.
    pub fn acquired(&self, node: NodeId) -> Option<u64> {
        let mut all = self.events.iter().rev();
        all.find(|(who, _, event)| *who == node && matches!(event, Event::Acquired { .. })).map(|(_, ms, _)| *ms)
    }

    /// When `node` sent something like that to the first voter.
    pub fn sent(&self, node: NodeId, like: impl Fn(&ToVoter) -> bool) -> Vec<u64> {
        let sent = self.commands.iter().filter_map(|(who, ms, command)| match command {
            Command::ToVoter { to, message } if *who == node && *to == VOTERS[0] && like(message) => Some(*ms),
            _ => None,
        });
        sent.collect()
    }

    pub fn published(&self, node: NodeId) -> Option<Tenure> {
        let mut all = self.commands.iter().rev();
        all.find_map(|(who, _, command)| match command {
            Command::Publish(tenure) if *who == node => Some(*tenure),
            _ => None,
        })
    }

    /// An operator on `node` wants `to`; the answers that came at once.
    pub fn ask(&mut self, node: NodeId, to: Option<NodeId>) -> Vec<Verdict> {
        let before = self.answers.len();
        self.input(node, Input::Request(Request { id: 7, to, ask: true }));
        self.answers[before..].iter().map(|(.., verdict)| *verdict).collect()
    }

    pub fn last_answer(&self) -> Option<(NodeId, u64, Verdict)> {
        self.answers.last().copied()
    }
}
