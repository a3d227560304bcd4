//! What `bins/arbiter` does around the voter: its disk, its memory in /run, and how it joins.

use crate::cluster::{World, id};
use crate::node::Disk;
use crate::seeded::{ModelFault, out};
use hotspare_core::joining::{JoinCommand, Joining, Stage};
use hotspare_core::message::{Fellow, FromVoter, ToVoter};
use hotspare_core::voter::{Memory, Register, Voter, VoterCommand};
use hotspare_core::{NodeId, Stamp, Timetable};
use hotspare_wire::Body;
use hotspare_wire::register::{Kept, SLOT};

impl World {
    pub fn voter(&mut self, node: usize, group: usize, message: Option<(NodeId, ToVoter)>) {
        let now = self.now;
        if !self.nodes[node].runs(now) {
            return;
        }
        let stamp = self.nodes[node].clock.read(now);
        let part = &mut self.nodes[node].parts[group];
        if let Some(joining) = &mut part.joining {
            let commands = if message.is_none() { joining.tick(stamp) } else { Vec::new() };
            let wake = joining.wake_at();
            let when = self.nodes[node].clock.true_time_of(wake.max(stamp.boot + 1_000));
            self.wake_voter_at(node, group, when);
            return self.join(node, group, commands);
        }
        let Some(voter) = &mut part.voter else { return };
        let before = part.memory.and_then(|memory| memory.released);
        let commands = match message {
            Some((from, message)) => voter.handle(stamp, from, message),
            None => voter.tick(stamp),
        };
        if let Some(wake) = voter.wake_at(stamp) {
            let when = self.nodes[node].clock.true_time_of(wake.max(stamp.boot + 1_000));
            self.wake_voter_at(node, group, when);
        }
        let asked = message.map(|(_, message)| message);
        if let Some((from, message)) = &message {
            crate::invariants::promises_kept::release(self, node, group, *from, message);
        }
        for command in commands {
            // Power may fail between any two steps: what was not persisted is lost, what was not sent is not sent.
            if self.faults_on && self.rng.one_in(4000) {
                if let VoterCommand::Persist(register) = command {
                    self.persist(node, group, register, true);
                }
                self.power_off(node);
                return;
            }
            match command {
                VoterCommand::Persist(register) => self.persist(node, group, register, false),
                VoterCommand::Remember(memory) => {
                    crate::invariants::released_stays::check(before, memory.grant);
                    self.nodes[node].parts[group].memory = Some(memory);
                }
                VoterCommand::Reply { to, message } => {
                    crate::invariants::promises_kept::note(self, node, group, to, (asked, message));
                    if let (FromVoter::Accepted { ballot, .. }, Some(ToVoter::Accept { value, .. })) = (message, asked)
                    {
                        let majority = hotspare_core::majority(self.profile.voters);
                        self.ledger[group].note((node, self.now), ballot, value, majority);
                        if let FromVoter::Accepted { credit: true, .. } = message {
                            self.ledger[group].note((1 - node, self.now), ballot, value, majority);
                        }
                    }
                    if let FromVoter::Renewed { granted: true, credit: true, .. } = message
                        && let Some((ballot, value)) = self.nodes[node].parts[group].register.accepted
                    {
                        // F3: what it accepted before the other was proven to be off is chosen by its voice alone, too.
                        let majority = hotspare_core::majority(self.profile.voters);
                        self.ledger[group].note((1 - node, self.now), ballot, value, majority);
                    }
                    self.send(node, to, group, Body::FromVoter(message));
                }
            }
        }
    }

    /// Writes a register; `torn`: the power fails somewhere in the middle.
    fn persist(&mut self, node: usize, group: usize, register: Register, torn: bool) {
        let (boot, lease) = (self.nodes[node].boot, self.timetable(node).lease);
        let stamp = self.nodes[node].clock.read(self.now);
        let part = &mut self.nodes[node].parts[group];
        let only_promise = part.register.accepted == register.accepted;
        let longer = part.voter.as_ref().is_some_and(|voter| voter.owes_longer(stamp));
        if !only_promise {
            // The lease of another's value takes the place of the former, once somebody is told of it.
            part.owes.take_if(|((holder, _), _)| register.accepted.is_none_or(|(_, value)| value.holder != *holder));
        }
        let skip = if only_promise { ModelFault::PromiseNotSynced } else { ModelFault::ValueNotSynced };
        let tears = torn && part.disk.whole();
        let whole = if tears { usize::try_from(self.rng.below(SLOT as u64)).expect("small") } else { SLOT };
        let part_lease = if only_promise || longer { part.disk_lease } else { lease };
        if !out(skip) {
            part.disk_lease = part_lease;
            part.disk.write(&Kept { register, boot, lease: part_lease, stage: Stage::Joined, era: 0 }, whole);
        }
        if !torn {
            crate::invariants::registers_grow::check(&part.register, &register);
            self.stats.fsyncs += 1;
            part.register = register;
        }
    }

    pub fn start_voter(&mut self, node: usize, boot: u64) {
        if self.nodes[node].boot != boot || !self.nodes[node].powered {
            return;
        }
        let (candidates, table) = (self.candidates(), self.timetable(node));
        let stamp = self.nodes[node].clock.read(self.now);
        let fellow_boot = self.nodes.get(1 - node.min(1)).map_or(0, |fellow| fellow.boot);
        for group in 0..self.profile.groups {
            let part = &mut self.nodes[node].parts[group];
            let told = part.register;
            let kept = match part.open_disk() {
                Ok(kept) => kept,
                Err(why) => {
                    assert!(self.spoilt == Some(node), "a register was refused that nobody spoilt: {why:?}");
                    self.tell(|| format!("node {node}.{group}: the register is refused ({why:?})"));
                    continue;
                }
            };
            crate::invariants::registers_grow::check(&told, &kept.register);
            if let Some((ballot, value)) = kept.register.accepted {
                // The power may have failed after the write and before the answer: it was accepted all the same.
                self.ledger[group].note((node, self.now), ballot, value, hotspare_core::majority(self.profile.voters));
            }
            let part = &mut self.nodes[node].parts[group];
            let owed = Timetable::new(kept.lease.max(table.lease));
            let alone = self.profile.fence_votes;
            let returns =
                alone && part.memory.is_none() && kept.stage == Stage::Joined && !out(ModelFault::VotesUnjoined);
            if kept.stage != Stage::Joined || returns {
                let voters: Vec<NodeId> = (0..self.profile.voters).map(id).collect();
                let wait = Timetable::new(self.longest_lease()).quarantine();
                let stage = if returns { Stage::Fresh } else { kept.stage };
                let mut joining = Joining::new(id(node), &voters, stage, (stamp, wait), (boot, self.rng.bits()));
                if alone {
                    joining = joining.waits_for_all(returns.then_some(kept.register));
                }
                let began = if kept.boot == boot { stamp } else { Stamp::default() };
                let part = &mut self.nodes[node].parts[group];
                part.owed_until = returns.then(|| began.plus(owed.quarantine()));
                part.disk_lease = owed.lease;
                if returns {
                    // As any start of a voter does; it also mends a byte that has rotted meanwhile.
                    part.disk.write(&Kept { boot, lease: owed.lease, ..kept }, SLOT);
                }
                self.nodes[node].parts[group].joining = Some(joining);
                self.wake_voter_at(node, group, self.now);
                continue;
            }
            let quarantine = match part.memory {
                Some(_) => None,
                None if out(ModelFault::MemoryForgotten) => None,
                None if kept.boot == boot => Some(stamp.plus(owed.quarantine())),
                None => Some(Stamp::default().plus(owed.quarantine())),
            };
            part.disk_lease = owed.lease;
            part.disk.write(&Kept { boot, lease: owed.lease, ..kept }, SLOT);
            let memory = part.memory.filter(|_| !out(ModelFault::MemoryForgotten)).unwrap_or_default();
            let mut voter = Voter::new(candidates.clone(), table, (kept.register, memory), quarantine);
            if alone {
                let heard = out(ModelFault::VotesUnjoined).then_some(fellow_boot);
                voter = voter.with_fence_vote(id(1 - node), heard.filter(|_| part.memory.is_none()));
            }
            part.memory = Some(*voter.memory());
            part.voter = Some(voter);
        }
    }

    /// A voter that has not joined does what it has to.
    fn join(&mut self, node: usize, group: usize, commands: Vec<JoinCommand>) {
        for command in commands {
            match command {
                JoinCommand::Send { to, message } => self.send(node, to, group, Body::Fellow(message)),
                JoinCommand::Keep(stage, register) => self.keep(node, group, stage, register),
            }
        }
    }

    fn keep(&mut self, node: usize, group: usize, stage: Stage, register: Register) {
        let (candidates, table, boot) = (self.candidates(), self.timetable(node), self.nodes[node].boot);
        let owed = self.nodes[node].parts[group].owed_until;
        let lease = if owed.is_some() { self.nodes[node].parts[group].disk_lease } else { table.lease };
        self.stats.fsyncs += 1;
        // A byte that has rotted and a write that is torn are two faults at once: then a register is refused, and that is another story.
        let torn = self.faults_on && self.rng.one_in(40) && self.nodes[node].parts[group].disk.whole();
        let whole = if torn { usize::try_from(self.rng.below(SLOT as u64)).expect("small") } else { SLOT };
        let part = &mut self.nodes[node].parts[group];
        part.disk.write(&Kept { register, boot, lease, stage, era: 0 }, whole);
        if torn {
            return self.power_off(node);
        }
        let part = &mut self.nodes[node].parts[group];
        part.disk_lease = lease;
        if stage != Stage::Joined {
            return;
        }
        part.register = register;
        // Whoever is recorded now, its predecessor's tenure is over: a lease of that one which a former life granted is, too.
        part.owes.take_if(|((holder, _), _)| register.accepted.is_some_and(|(_, value)| value.holder != *holder));
        let fellow = id(1 - node.min(1));
        let heard = part.joining.take().and_then(|joining| joining.boot_of(fellow));
        let mut voter = Voter::new(candidates, table, (register, Memory::default()), part.owed_until.take());
        if self.profile.fence_votes {
            voter = voter.with_fence_vote(fellow, heard);
        }
        part.memory = Some(*voter.memory());
        part.voter = Some(voter);
        if let Some((ballot, value)) = register.accepted {
            // What it takes over it stands for: as if the accept had come late.
            self.ledger[group].note((node, self.now), ballot, value, hotspare_core::majority(self.profile.voters));
        }
        if self.spoilt == Some(node) && self.nodes[node].parts.iter().all(|part| part.voter.is_some()) {
            self.stats.rejoined += 1;
            self.spoilt = None; // the next one may be lost
        }
        self.tell(|| {
            format!("node {node}.{group}: joined as a voter ({:?})", register.accepted.map(|(_, value)| value))
        });
    }

    /// One voter tells another what it knows, or hears it.
    pub fn fellow(&mut self, node: usize, group: usize, from: NodeId, message: Fellow) {
        let part = &mut self.nodes[node].parts[group];
        let (stage, register) = match (&part.joining, &part.voter) {
            (Some(joining), _) => joining.known(),
            (None, Some(voter)) => (Stage::Joined, *voter.register()),
            (None, None) => return,
        };
        let own_boot = self.nodes[node].boot;
        let part = &mut self.nodes[node].parts[group];
        match message {
            Fellow::Recall { boot, .. } => {
                if let Some(voter) = &mut part.voter {
                    for command in voter.fellow_returned(boot) {
                        if let VoterCommand::Remember(memory) = command {
                            part.memory = Some(memory);
                        }
                    }
                }
                let answer = Joining::answer((stage, register), own_boot, &message).expect("it was asked");
                self.send(node, from, group, Body::Fellow(answer));
            }
            Fellow::Recalled { round, stage, register, boot } => {
                let Some(joining) = &mut part.joining else { return };
                let commands = joining.on_recalled(from, round, (stage, register), boot).into_iter().collect();
                self.join(node, group, commands);
            }
        }
    }

    /// The machine of a voter is replaced, or its disk was: it starts with nothing.
    pub fn replace_voter(&mut self, node: usize) {
        self.tell(|| format!("node {node}: its registers are lost for good, and it begins anew"));
        for part in &mut self.nodes[node].parts {
            (part.disk, part.memory, part.register) = (Disk::blank(), None, Register::default());
        }
    }

    /// Whether every voter but `node` votes in all groups: only then may `node` lose its registers.
    pub fn others_vote(&self, node: usize) -> bool {
        let voters = (0..self.profile.voters).filter(|voter| *voter != node);
        voters.flat_map(|voter| &self.nodes[voter].parts).all(|part| part.disk.stage == Stage::Joined)
    }
}
