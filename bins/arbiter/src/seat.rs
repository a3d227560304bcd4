//! The voter's seat in one group: its register on disk, its memory in /run, and whether it votes yet.

use crate::memory::Notes;
use crate::store::{Kept, Store, StoreError};
use hotspare_config::{Config, Group, Node};
use hotspare_core::id::fnv1a;
use hotspare_core::joining::{Joining, Stage};
use hotspare_core::message::Fellow;
use hotspare_core::timetable::LEASE_MAX;
use hotspare_core::voter::{Memory, Register, Voter, VoterCommand};
use hotspare_core::{NodeId, Stamp, Timetable};
use hotspare_daemon::{Exit, Failure, Priority, clock, message_id, record};
use std::path::Path;
use std::time::Duration;

/// What a voter does in a group.
pub enum Role {
    /// Its register is new: it finds out what it has to know.
    Joining(Box<Joining>),
    Voting(Box<Voter>),
}

pub struct Seat {
    pub group: Group,
    pub role: Role,
    pub store: Store,
    notes: Notes,
    era: u32,
    /// Until both clocks are here, a majority that an operator has just replaced may have a lease running.
    forced: Option<Stamp>,
    /// F3: the only other voter, where one that is proven to be off counts as granted.
    fellow: Option<NodeId>,
    /// F4: this voter was off, and until then it may owe a lease that it has forgotten.
    owed_until: Option<Stamp>,
}

impl Seat {
    /// Opens the register of `group`, and votes if it may.
    ///
    /// # Errors
    /// If the register must not be used.
    pub fn open(
        config: &Config,
        me: &Node,
        group: &Group,
        (state, run): (&Path, &Path),
        boot: u64,
    ) -> Result<Seat, Failure> {
        let owner = format!("{}\0{}", me.name, config.cluster);
        let store = Store::open(state, &group.name, &owner).map_err(store_failure)?;
        let era = config.era();
        let anew = config.forced.as_ref().is_some_and(|forced| forced.lost.contains(&me.name)) && store.kept.era < era;
        // What a node that was lost for good promised before that counts no more: it joins anew (decision 0015).
        let stage = if anew { Stage::Fresh } else { store.kept.stage };
        let mut voters = config.voter_ids();
        voters.sort_unstable();
        let digest = fnv1a(&voters.iter().flat_map(|voter| voter.0.to_be_bytes()).collect::<Vec<_>>());
        let notes = Notes::new(run.join(format!("{}.json", group.name)), (boot, digest));
        let wait = Timetable::new(LEASE_MAX).quarantine(); // the lease of a former configuration may have been longer
        let unjoined = if stage == Stage::Joined { Stage::Fresh } else { stage };
        let mut joining = Joining::new(me.id, &voters, unjoined, (clock::now(), wait), (boot, clock::seed()));
        let fellow = voters.iter().copied().find(|voter| config.fence_votes() && *voter != me.id);
        let returns = fellow.is_some() && stage == Stage::Joined && notes.recall().is_none();
        if fellow.is_some() {
            joining = joining.waits_for_all(returns.then_some(store.kept.register));
        }
        let owed = Timetable::new(store.kept.lease.max(group.timetable.lease));
        // What others have granted is bounded by now, not by the beginning of this machine's boot.
        let forced = (store.kept.era < era).then(|| clock::now().plus(owed.quarantine()));
        let (group, role) = (group.clone(), Role::Joining(Box::new(joining)));
        let mut seat = Seat { group, role, store, notes, era, forced, fellow, owed_until: None };
        if returns {
            seat.owed_until = Some(seat.quarantine(owed));
            let kept = Kept { boot, lease: owed.lease, ..seat.store.kept };
            seat.store.write(kept).map_err(Exit::IoErr.why("cannot write a register"))?;
        } else if stage == Stage::Joined {
            seat.role = Role::Voting(Box::new(seat.take_up_vote(owed)?));
        }
        Ok(seat)
    }

    /// When everything is over that a former life of this voter may have granted and forgotten.
    fn quarantine(&self, owed: Timetable) -> Stamp {
        let now = clock::now();
        if self.store.kept.boot == self.notes.life.0 {
            return now.plus(owed.quarantine());
        }
        // A new boot: no lease is older than it. Where its beginning is not known, now is late enough.
        let began = clock::started().map_or(now, |since| {
            let up = Duration::from_nanos(now.boot).saturating_sub(since);
            let back = |clock: u64| clock.saturating_sub(hotspare_core::time::nanos(up));
            Stamp { boot: back(now.boot), raw: back(now.raw) }
        });
        began.plus(owed.quarantine())
    }

    fn candidates(&self) -> Vec<NodeId> {
        self.group.candidates.iter().map(|name| NodeId::of(name)).collect()
    }

    /// Restart of a voter (lease.md 4.4): the same boot and a readable memory know exactly what is owed; anything else has
    /// to wait until every lease that might have been granted is over.
    fn take_up_vote(&mut self, owed: Timetable) -> Result<Voter, Failure> {
        let memory = self.notes.recall();
        let quarantine = memory.is_none().then(|| self.quarantine(owed));
        // A lease as long as any that may still be owed: it is lowered when the next value is accepted.
        let kept = Kept {
            boot: self.notes.life.0,
            lease: owed.lease,
            era: self.era.max(self.store.kept.era),
            ..self.store.kept
        };
        let memory = memory.unwrap_or_default();
        let memory = Memory { forced: self.forced.or(memory.forced), ..memory };
        let mut voter = Voter::new(self.candidates(), self.group.timetable, (kept.register, memory), quarantine);
        if let Some(fellow) = self.fellow {
            voter = voter.with_fence_vote(fellow, None);
        }
        // The memory first: a life that ends in between is in the old era still, and waits again.
        self.notes.keep(voter.memory());
        if kept != self.store.kept {
            let failed = Exit::IoErr.why("cannot write a register");
            self.store.write(kept).map_err(failed)?;
        }
        Ok(voter)
    }

    /// Keeps what the joining voter has learned; once it has joined, it votes.
    ///
    /// # Errors
    /// If the register cannot be written.
    pub fn keep(&mut self, stage: Stage, register: Register) -> Result<(), Failure> {
        let lease = self.owed_until.map_or(self.group.timetable.lease, |_| self.store.kept.lease);
        let kept = Kept { register, stage, boot: self.notes.life.0, lease, era: self.era };
        self.store.write(kept).map_err(Exit::IoErr.why("cannot write a register; this voter stops"))?;
        if stage != Stage::Joined {
            return Ok(());
        }
        let memory = Memory { forced: self.forced, ..Memory::default() };
        let mut voter = Voter::new(self.candidates(), self.group.timetable, (register, memory), self.owed_until.take());
        if let (Some(fellow), Role::Joining(joining)) = (self.fellow, &self.role) {
            voter = voter.with_fence_vote(fellow, joining.boot_of(fellow));
        }
        self.notes.keep(voter.memory());
        self.role = Role::Voting(Box::new(voter));
        let epoch = register.accepted.map_or(0, |(_, value)| value.epoch.0);
        let message = match epoch {
            0 => format!("{}: joined as a voter", self.group.name),
            _ => format!("{}: joined as a voter; the others know of epoch {epoch}", self.group.name),
        };
        let fields = [("GROUP", self.group.name.clone()), ("EPOCH", epoch.to_string())];
        record(message_id::ARBITER_JOINED, Priority::Info, message, &fields);
        Ok(())
    }

    /// What this voter says to a fellow that asks. Whoever asks is back: before it is answered, no credit is given for it any
    /// more (F4).
    #[must_use]
    pub fn recall(&mut self, question: &Fellow) -> Option<Fellow> {
        match &mut self.role {
            Role::Joining(joining) => Joining::answer(joining.known(), self.notes.life.0, question),
            Role::Voting(voter) => {
                if let Fellow::Recall { boot, .. } = question {
                    for command in voter.fellow_returned(*boot) {
                        if let VoterCommand::Remember(memory) = command {
                            self.notes.keep(&memory);
                        }
                    }
                }
                Joining::answer((Stage::Joined, *voter.register()), self.notes.life.0, question)
            }
        }
    }

    /// Writes what was promised or accepted, and returns once it is durable.
    ///
    /// # Errors
    /// If it could not be written: then nothing may be said.
    pub fn persist(&mut self, now: Stamp, register: Register) -> Result<(), Failure> {
        let longer = matches!(&self.role, Role::Voting(voter) if voter.owes_longer(now));
        let lease = match register.accepted == self.store.kept.register.accepted || longer {
            true => self.store.kept.lease,
            false => self.group.timetable.lease, // this value's lease takes the place of all former ones
        };
        let kept = Kept { register, lease, ..self.store.kept };
        self.store.write(kept).map_err(Exit::IoErr.why("cannot write a register; this voter stops"))
    }

    pub fn remember(&self, memory: &Memory) {
        self.notes.keep(memory);
    }

    /// Boot-clock time at which something is due.
    #[must_use]
    pub fn wake_at(&self, now: Stamp) -> Option<u64> {
        match &self.role {
            Role::Joining(joining) => Some(joining.wake_at()),
            Role::Voting(voter) => voter.wake_at(now),
        }
    }
}

fn store_failure(error: StoreError) -> Failure {
    let exit = match error {
        StoreError::Io { .. } => Exit::IoErr,
        StoreError::Damaged { .. } | StoreError::OtherVersion { .. } | StoreError::Foreign { .. } => Exit::DataErr,
    };
    Failure::new(exit, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_core::message::{FromVoter, ToVoter};
    use hotspare_core::{Ballot, Epoch, Incarnation, Value};

    fn opened(folder: &Path, boot: u64) -> Seat {
        let config = Config::parse("forced.kdl", include_str!("../../../kdl-examples/forced.kdl")).unwrap();
        let me = config.node("alpha").unwrap();
        Seat::open(&config, me, &config.groups[0], (folder, folder), boot).unwrap()
    }

    #[test]
    fn the_first_start_in_a_new_era_waits_for_leases_of_others_from_now_on() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::parse("forced.kdl", include_str!("../../../kdl-examples/forced.kdl")).unwrap();
        let mut store =
            Store::open(folder.path(), &config.groups[0].name, &format!("alpha\0{}", config.cluster)).unwrap();
        store.write(Kept { stage: Stage::Joined, boot: 1, ..Kept::default() }).unwrap();
        let waits = |seat: &Seat| matches!(&seat.role, Role::Voting(voter) if voter.in_quarantine(clock::now()));
        let seat = opened(folder.path(), 2);
        assert!(
            waits(&seat),
            "it accepted nothing and has booted since, and others may have granted a lease all the same"
        );
        assert_eq!(seat.store.kept.era, config.forced.unwrap().count);
        assert!(waits(&opened(folder.path(), 2)), "a restart does not forget it");
    }

    /// The voter accepts a value of alpha's one life under another ballot, and everything is kept that has to be.
    fn accepts(seat: &mut Seat, now: Stamp, counter: u64) {
        let alpha = NodeId::of("alpha");
        let ballot = Ballot { counter, node: alpha, nonce: 0 };
        let value = Value::tenure(Epoch(1), alpha, Incarnation { boot: 1, nonce: 1 });
        let Role::Voting(voter) = &mut seat.role else { panic!("it votes") };
        for command in voter.handle(now, alpha, ToVoter::Accept { ballot, value }) {
            match command {
                VoterCommand::Persist(register) => seat.persist(now, register).unwrap(),
                VoterCommand::Remember(memory) => seat.remember(&memory),
                VoterCommand::Reply { message, .. } => assert!(matches!(message, FromVoter::Accepted { .. })),
            }
        }
    }

    #[test]
    fn a_register_goes_on_saying_the_longer_lease_while_it_is_owed() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::parse("three-node.kdl", include_str!("../../../kdl-examples/three-node.kdl")).unwrap();
        let (me, mut group) = (config.node("alpha").unwrap(), config.groups[0].clone());
        let mut store = Store::open(folder.path(), &group.name, &format!("alpha\0{}", config.cluster)).unwrap();
        store.write(Kept { stage: Stage::Joined, boot: 2, ..Kept::default() }).unwrap();
        let open = |group: &Group| Seat::open(&config, me, group, (folder.path(), folder.path()), 2).unwrap();
        let [long, short] = [60, 2].map(Duration::from_secs);
        let now = clock::now();
        group.timetable = Timetable::new(long);
        accepts(&mut open(&group), now, 1);
        group.timetable = Timetable::new(short); // another configuration, and the voter is restarted
        let mut seat = open(&group);
        accepts(&mut seat, now.plus(short), 2);
        assert_eq!(seat.store.kept.lease, long, "after a power cut now it would have to wait as long");
        accepts(&mut seat, now.plus(long), 3);
        assert_eq!(seat.store.kept.lease, short, "what was longer is over");
    }
}
