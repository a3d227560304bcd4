//! The voter of one group: a durable register, a volatile grant, one parked request (lease.md 4.3, 4.4).
//!
//! The shell carries the commands out in order and does not send a reply before the persist in front of it is on
//! disk. That order is the whole durability argument: `promised` before a promise, the value before `Accepted`,
//! nothing for a renewal.

use crate::ballot::{Ballot, Value};
use crate::fault::{Fault, taken_out};
use crate::id::{Epoch, Incarnation, NodeId};
use crate::message::{Fenced, FromVoter, LiveLease, Refusal, ToVoter};
use crate::time::Stamp;
use crate::timetable::Timetable;

/// What survives a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Register {
    /// The highest ballot this voter has promised.
    pub promised: Ballot,
    /// The value it accepted last, and under which ballot.
    pub accepted: Option<(Ballot, Value)>,
}

/// What survives a restart of the daemon within one boot: kept in /run, never synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The lease this voter owes.
    pub grant: Option<Grant>,
    /// The tenure that was released last: a late datagram must not revive it. Not its epoch alone, because a
    /// value that was never chosen may carry a higher epoch than one that is chosen after it.
    pub released: Option<Value>,
    /// Until both clocks are here, leases of a former life may still be running: a second restart must not forget that
    /// the first one was waiting.
    pub quarantine: Option<Stamp>,
    /// Until both clocks are here, leases may still be running that this voter had no part in: an operator said that a
    /// majority is gone for good, and that majority may have granted one (decision 0015).
    pub forced: Option<Stamp>,
    /// F3: the only other voter is proven to be off, and counts as granted.
    pub credit: bool,
    /// The boot in which that one was heard last: a proof is for a boot.
    pub fellow_boot: u64,
}

/// A promise to let nobody but `holder` take over before both clocks have reached `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub holder: NodeId,
    pub incarnation: Incarnation,
    pub epoch: Epoch,
    pub until: Stamp,
}

/// What the shell must do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoterCommand {
    /// Write the register and wait until it is durable.
    Persist(Register),
    /// Put the memory into /run; no sync.
    Remember(Memory),
    /// Send an answer.
    Reply { to: NodeId, message: FromVoter },
}

#[derive(Clone, Copy, Debug)]
struct Parked {
    from: NodeId,
    ballot: Ballot,
    fenced: Option<Fenced>,
    at: Stamp,
}

/// The voter of one group.
#[derive(Clone, Debug)]
pub struct Voter {
    candidates: Vec<NodeId>,
    timetable: Timetable,
    register: Register,
    memory: Memory,
    parked: Option<Parked>,
    /// Where a fenced voter counts as granted: the other one of the two.
    fellow: Option<NodeId>,
}

impl Voter {
    /// A voter as it stands after a start. `quarantine` is the stamp before which it may owe a lease that it does not
    /// remember; `None` when `memory` is exact.
    #[must_use]
    pub fn new(
        candidates: Vec<NodeId>,
        timetable: Timetable,
        (register, mut memory): (Register, Memory),
        quarantine: Option<Stamp>,
    ) -> Voter {
        memory.quarantine = quarantine.or(memory.quarantine);
        // A voter that never accepted a value never granted a lease: it owes nothing, whatever it forgot.
        memory.quarantine.take_if(|_| register.accepted.is_none() || taken_out(Fault::NoQuarantine));
        Voter { candidates, timetable, register, memory, parked: None, fellow: None }
    }

    /// F3, F4: one of two voters, where the other counts as granted once it is proven to be off; `boot`: the one in which it was
    /// heard last, if that was just now.
    #[must_use]
    pub fn with_fence_vote(mut self, fellow: NodeId, boot: Option<u64>) -> Voter {
        self.fellow = Some(fellow);
        self.memory.fellow_boot = boot.unwrap_or(self.memory.fellow_boot);
        self
    }

    /// F4: the fellow is back, in this boot. From before it is answered on, its own voice is needed again.
    pub fn fellow_returned(&mut self, boot: u64) -> Vec<VoterCommand> {
        if self.fellow.is_none() || taken_out(Fault::CreditOutlivesReturn) {
            return Vec::new();
        }
        (self.memory.credit, self.memory.fellow_boot) = (false, boot);
        vec![VoterCommand::Remember(self.memory)]
    }

    /// Whether an answer to `from` counts for the fellow too: not if it is that one which asks.
    fn credit(&self, from: NodeId) -> bool {
        self.memory.credit && Some(from) != self.fellow
    }

    /// F3: takes a proof that the fellow is off for its vote; of the boot that it was heard in last, and of no other.
    fn note_proof(&mut self, fenced: Option<Fenced>) -> Option<VoterCommand> {
        let proof = fenced.filter(|proof| Some(proof.node) == self.fellow && !self.memory.credit)?;
        if proof.incarnation.boot != self.memory.fellow_boot && !taken_out(Fault::CreditForAnyBoot) {
            return None;
        }
        self.memory.credit = true;
        Some(VoterCommand::Remember(self.memory))
    }

    /// What a restart within this boot has to find.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The durable part, for `status`.
    #[must_use]
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// The lease this voter is bound by at `now`.
    #[must_use]
    pub fn live(&self, now: Stamp) -> Option<LiveLease> {
        let grant = self.owed(now)?;
        Some(LiveLease { holder: grant.holder, epoch: grant.epoch, left: now.longest_until(grant.until) })
    }

    fn owed(&self, now: Stamp) -> Option<Grant> {
        let over = |until| if taken_out(Fault::VoterCountsFast) { now.any_past(until) } else { now.both_past(until) };
        self.memory.grant.filter(|grant| !over(grant.until))
    }

    /// Whether this voter may owe a lease that is longer than what it grants now: one that it has forgotten, or one of a former
    /// configuration. A register that says how long to wait after a power cut goes on saying the longer time.
    #[must_use]
    pub fn owes_longer(&self, now: Stamp) -> bool {
        let granted = now.plus(self.timetable.lease);
        self.in_quarantine(now) || self.memory.grant.is_some_and(|grant| !granted.both_past(grant.until))
    }

    /// True while the voter may owe a lease that it has forgotten, or stands in for a majority that may have granted one.
    #[must_use]
    pub fn in_quarantine(&self, now: Stamp) -> bool {
        is_ahead(self.memory.quarantine, now) || is_ahead(self.memory.forced, now)
    }

    /// Boot-clock time at which [`Voter::tick`] has something to do: a parked request can be answered.
    #[must_use]
    pub fn wake_at(&self, now: Stamp) -> Option<u64> {
        self.parked?;
        let grant = self.memory.grant.map(|grant| now.wake_for(grant.until));
        let [quarantine, forced] = [self.memory.quarantine, self.memory.forced].map(|end| Some(now.wake_for(end?)));
        grant.max(quarantine).max(forced).or(Some(now.boot))
    }

    /// Answers what was parked if nothing stands in its way any more.
    pub fn tick(&mut self, now: Stamp) -> Vec<VoterCommand> {
        self.memory.quarantine.take_if(|end| now.both_past(*end));
        self.memory.forced.take_if(|end| now.both_past(*end));
        let Some(parked) = self.parked else { return Vec::new() };
        if now.longest_since(parked.at) > self.timetable.lease / 2 {
            self.parked = None; // its sender stopped repeating it
            return Vec::new();
        }
        if self.gate(now, parked.from, parked.fenced).is_some() {
            return Vec::new();
        }
        self.parked = None;
        self.prepare(now, parked.from, parked.ballot, (false, parked.fenced))
    }

    /// Handles `message`, which the session layer has proven to come from `from`.
    pub fn handle(&mut self, now: Stamp, from: NodeId, message: ToVoter) -> Vec<VoterCommand> {
        match message {
            ToVoter::Read => {
                let Register { promised, accepted } = self.register;
                let fellow = self.fellow.map(|_| self.memory.fellow_boot);
                vec![reply(from, FromVoter::State { promised, accepted, live: self.live(now), fellow })]
            }
            ToVoter::Prepare { ballot, park, fenced } => self.prepare(now, from, ballot, (park, fenced)),
            ToVoter::Accept { ballot, value } => self.accept(now, from, ballot, value),
            ToVoter::Renew { epoch, incarnation, round } => self.renew(now, from, (epoch, incarnation), round),
            ToVoter::Release { epoch, incarnation } => self.release(now, from, (epoch, incarnation)),
        }
    }

    /// Why `from` may not be promised anything now (V1, V2). What a proof of fencing ends stands in nobody's way; a lease that
    /// this voter may have forgotten is that of the life it has recorded.
    fn gate(&self, now: Stamp, from: NodeId, fenced: Option<Fenced>) -> Option<Refusal> {
        let ended = |holder, incarnation| fenced.is_some_and(|proof| proof.ends(holder, incarnation));
        let recorded = self
            .register
            .accepted
            .is_some_and(|(_, value)| value.holder == from || ended(value.holder, value.incarnation));
        if is_ahead(self.memory.forced, now) || (self.in_quarantine(now) && !recorded) {
            return Some(Refusal::Quarantine);
        }
        let owed = self.owed(now).filter(|grant| grant.holder != from && !ended(grant.holder, grant.incarnation));
        owed.filter(|_| !taken_out(Fault::PrepareIgnoresLease)).map(|_| Refusal::LeaseLive)
    }

    fn refuse(&self, now: Stamp, to: NodeId, ballot: Ballot, why: Refusal) -> VoterCommand {
        reply(to, FromVoter::Refused { ballot, promised: self.register.promised, why, live: self.live(now) })
    }

    fn speaks_for_itself(&self, from: NodeId, ballot: Ballot) -> bool {
        (ballot.node == from || taken_out(Fault::AnybodysBallot)) && self.candidates.contains(&from)
    }

    fn prepare(
        &mut self,
        now: Stamp,
        from: NodeId,
        ballot: Ballot,
        (park, fenced): (bool, Option<Fenced>),
    ) -> Vec<VoterCommand> {
        if !self.speaks_for_itself(from, ballot) {
            return vec![self.refuse(now, from, ballot, Refusal::NotCandidate)];
        }
        if ballot < self.register.promised && !taken_out(Fault::PromiseGoesBack) {
            return vec![self.refuse(now, from, ballot, Refusal::HigherBallot)];
        }
        if let Some(why) = self.gate(now, from, fenced) {
            if !park {
                return vec![self.refuse(now, from, ballot, why)];
            }
            let evicted = self.parked.replace(Parked { from, ballot, fenced, at: now }).filter(|old| old.from != from);
            let mut commands = vec![self.refuse(now, from, ballot, Refusal::Parked)];
            commands.extend(evicted.map(|old| self.refuse(now, old.from, old.ballot, Refusal::Evicted)));
            return commands;
        }
        let mut commands: Vec<_> = self.note_proof(fenced).into_iter().collect();
        if ballot > self.register.promised || taken_out(Fault::PromiseGoesBack) {
            self.register.promised = ballot;
            commands.push(VoterCommand::Persist(self.register));
        }
        commands.push(reply(
            from,
            FromVoter::Promise { ballot, accepted: self.register.accepted, credit: self.credit(from) },
        ));
        commands
    }

    fn accept(&mut self, now: Stamp, from: NodeId, ballot: Ballot, value: Value) -> Vec<VoterCommand> {
        if !self.speaks_for_itself(from, ballot) || !self.candidates.contains(&value.holder) {
            return vec![self.refuse(now, from, ballot, Refusal::NotCandidate)];
        }
        if ballot < self.register.promised && !taken_out(Fault::AcceptBelowPromise) {
            return vec![self.refuse(now, from, ballot, Refusal::HigherBallot)];
        }
        let mut commands = Vec::new();
        if self.register.accepted != Some((ballot, value)) {
            self.register = Register { promised: ballot, accepted: Some((ballot, value)) };
            commands.push(VoterCommand::Persist(self.register));
        }
        // A late copy of an Accept whose tenure is over already, under whatever ballot, is acknowledged and revives nothing.
        let over = self.is_released(&value) && !taken_out(Fault::AcceptRevivesReleased);
        if !over && !taken_out(Fault::AcceptGrantsNothing) {
            commands.push(self.start_lease(now, value));
        }
        commands
            .push(reply(from, FromVoter::Accepted { ballot, lease: self.timetable.lease, credit: self.credit(from) }));
        commands
    }

    /// A promise to one life is never shortened, also where the configuration has a shorter lease by now: whoever counted on
    /// it before, a gate that sleeps, still may (decision 0038).
    fn start_lease(&mut self, now: Stamp, value: Value) -> VoterCommand {
        let Value { holder, incarnation, epoch, .. } = value;
        let same = |grant: &Grant| grant.holder == holder && grant.incarnation == incarnation;
        let before = self.memory.grant.filter(same).filter(|_| !taken_out(Fault::PromiseShrinks));
        let fresh = now.plus(self.timetable.lease);
        let until = before.map_or(fresh, |grant| fresh.later(grant.until));
        self.memory.grant = Some(Grant { holder, incarnation, epoch, until });
        VoterCommand::Remember(self.memory)
    }

    fn renew(&mut self, now: Stamp, from: NodeId, tenure: (Epoch, Incarnation), round: u64) -> Vec<VoterCommand> {
        let granted = self.may_renew(from, tenure);
        let mut commands = Vec::new();
        if let (true, Some((_, value))) = (granted, self.register.accepted) {
            commands.push(self.start_lease(now, value));
        }
        let promised = self.register.promised;
        let (lease, credit) = (self.timetable.lease, self.credit(from));
        commands.push(reply(from, FromVoter::Renewed { round, lease, granted, promised, credit }));
        commands
    }

    /// V4, with the second case: a promise to the holder itself does not end its lease.
    fn may_renew(&self, from: NodeId, (epoch, incarnation): (Epoch, Incarnation)) -> bool {
        let Some((ballot, value)) = self.register.accepted else { return false };
        let promised = self.register.promised;
        (value.is_of(&Value::tenure(epoch, from, incarnation)) || taken_out(Fault::RenewAnyHolder))
            && (!self.is_released(&value) || taken_out(Fault::ReleasedIsRenewed))
            && (promised == ballot || promised.node == from || taken_out(Fault::RenewDespitePromise))
    }

    fn is_released(&self, value: &Value) -> bool {
        self.memory.released.is_some_and(|released| released.is_of(value))
    }

    fn release(&mut self, now: Stamp, from: NodeId, (epoch, incarnation): (Epoch, Incarnation)) -> Vec<VoterCommand> {
        let tenure = Value::tenure(epoch, from, incarnation);
        if self.register.accepted.is_none_or(|(_, value)| !value.is_of(&tenure)) && !taken_out(Fault::ReleaseOfAnything)
        {
            return Vec::new();
        }
        // What this voter might have forgotten was this lease, and it is over.
        self.memory = Memory { grant: None, released: Some(tenure), quarantine: None, ..self.memory };
        let mut commands = vec![VoterCommand::Remember(self.memory)];
        commands.extend(self.tick(now));
        commands
    }
}

fn is_ahead(end: Option<Stamp>, now: Stamp) -> bool {
    end.is_some_and(|end| !now.both_past(end))
}

fn reply(to: NodeId, message: FromVoter) -> VoterCommand {
    VoterCommand::Reply { to, message }
}

#[cfg(test)]
mod tests;
