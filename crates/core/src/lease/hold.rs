//! Holding: renew on the grid, mend voters that fell behind, and stop believing in time (H2, H3, H6, H8).

use super::copies::Wanted;
use super::handover::Ending;
use super::proposal::{Proposal, votes};
use super::{CLAIM_TIMEOUT, Command, Event, Lease, Phase, Tenure, Why, YIELD_AGAIN};
use crate::ballot::{Ballot, Value};
use crate::fault::{Fault, taken_out};
use crate::id::{Incarnation, NodeId};
use crate::message::ToVoter;
use crate::time::Stamp;
use crate::timetable::Timetable;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One renewal sent to all voters; answers count only for the round that is current.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub number: u64,
    pub sent: Stamp,
    acks: BTreeMap<NodeId, Duration>,
}

impl Round {
    pub fn new(now: Stamp) -> Round {
        Round { number: now.boot, sent: now, acks: BTreeMap::new() }
    }

    /// Counts an answer; the shortest lease among the majority once it is complete, once.
    pub fn on_ack(
        &mut self,
        from: NodeId,
        (round, credit): (u64, bool),
        granted: Option<Duration>,
        majority: usize,
    ) -> Option<Duration> {
        let current = round == self.number || taken_out(Fault::OldRoundsCount);
        if !current || self.acks.insert(from, granted?).is_some() || votes(self.acks.len(), credit) != majority {
            return None;
        }
        if taken_out(Fault::OwnLeaseCounts) {
            return self.acks.values().copied().max();
        }
        self.acks.values().copied().min()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub tenure: Tenure,
    pub since: Stamp,
    pub claimed: bool,
    pub role_up: bool,
    /// Since when, if it is.
    pub up_since: Stamp,
    round: Option<Round>,
    attempts: u32,
    /// Voters whose last answer was no: they need the value proposed again.
    stale: BTreeSet<NodeId>,
    pub refresh: Option<Proposal>,
    pub(super) refresh_not_before: Stamp,
    pub wanted: Wanted,
    pub ending: Option<Ending>,
    /// When the end of the role is asked for again.
    pub yield_again: Stamp,
}

impl Held {
    pub fn new(tenure: Tenure, now: Stamp) -> Held {
        Held {
            tenure,
            since: now,
            claimed: false,
            role_up: false,
            up_since: now,
            round: None,
            attempts: 0,
            stale: BTreeSet::new(),
            refresh: None,
            refresh_not_before: now,
            wanted: Wanted::default(),
            ending: None,
            yield_again: now,
        }
    }

    /// As [`Held::new`], but a gate has charge of it already.
    pub fn readopted(tenure: Tenure) -> Held {
        Held { claimed: true, role_up: true, ..Held::new(tenure, tenure.sent) }
    }

    pub fn timetable(&self) -> Timetable {
        Timetable::new(self.tenure.lease)
    }

    fn next_attempt(&self) -> Option<Stamp> {
        Some(self.tenure.sent.plus(self.timetable().attempt(self.attempts)?))
    }

    pub fn kill_at(&self) -> Stamp {
        if taken_out(Fault::NoDriftMargin) {
            return self.tenure.sent.plus(self.tenure.lease);
        }
        self.tenure.sent.plus(self.timetable().kill())
    }

    /// `data`: the group has some.
    pub fn wake_at(&self, now: Stamp, data: bool) -> u64 {
        let claim = if self.claimed { u64::MAX } else { now.wake_before(self.since.plus(CLAIM_TIMEOUT)) };
        let attempt = self.next_attempt().map_or(u64::MAX, |at| now.wake_before(at));
        let due = (!self.stale.is_empty() || self.set_is_due(data)) && !taken_out(Fault::NoRefresh);
        let not_before = if due { self.refresh_not_before.boot } else { u64::MAX };
        let mut refresh = self.refresh.as_ref().map_or(not_before, |refresh| refresh.next_send.boot);
        if self.ending.is_some() {
            refresh = refresh.min(self.yield_again.boot);
        }
        attempt.min(now.wake_before(self.kill_at())).min(refresh).min(claim)
    }

    /// H8 was refused: give up once no majority is left, and try again later with a higher ballot.
    pub fn on_refused(&mut self, from: NodeId, ballot: Ballot, for_good: bool, blocking: usize) {
        let Some(refresh) = self.refresh.as_mut().filter(|refresh| refresh.ballot == ballot && for_good) else {
            return;
        };
        if refresh.on_refused(from, blocking, 1) {
            self.refresh = None;
        }
    }

    /// The value that stands under the new ballot at a majority, once it does. Whoever accepts it grants its lease from then on (V3), so
    /// it renews as well, from when it was sent first (H2).
    pub fn on_accepted(
        &mut self,
        now: Stamp,
        (from, ballot): (NodeId, Ballot),
        (lease, credit): (Duration, bool),
        majority: usize,
    ) -> Option<Value> {
        self.stale.remove(&from); // also the last one, which comes when a majority is complete
        let refresh = self.refresh.as_mut().filter(|refresh| refresh.ballot == ballot)?;
        let granted = refresh.on_accepted(from, lease, credit, majority)?;
        let accept = self.refresh.take()?.accept?;
        if accept.first_sent.both_past(self.tenure.sent) {
            self.renewed(now, accept.first_sent, granted);
            self.round = None; // it was sent before, and its answers would turn the time back
        }
        Some(accept.value)
    }

    /// A majority has granted what was sent at `sent`. Where a shorter lease has come into force, and the answers were slow, that
    /// may be over before it begins: what was granted before still stands (decision 0038), and the next attempt is soon.
    pub fn renewed(&mut self, now: Stamp, sent: Stamp, lease: Duration) {
        let late = |sent: Stamp, lease| now.any_past(sent.plus(Timetable::new(lease).begin_stop()));
        if late(sent, lease) && !late(self.tenure.sent, self.tenure.lease) {
            return;
        }
        self.tenure = Tenure { sent, lease, ..self.tenure };
        self.attempts = 0;
    }
}

impl Lease {
    /// Leaves `Held` when its time is up, whatever else is going on.
    pub(super) fn expire(&mut self) {
        let Phase::Held(held) = &self.phase else { return };
        let over = if taken_out(Fault::HolderCountsSlow) {
            self.now.both_past(held.kill_at())
        } else {
            self.now.any_past(held.kill_at())
        };
        if over {
            let why = Why::NoMajority { answering: self.answering(), voters: self.config.voters.len() };
            self.lose(why);
        }
    }

    /// Stops acting at once. The gate sees it on the page and kills; its proof comes in as `Emptied`.
    pub(super) fn lose(&mut self, why: Why) {
        let Phase::Held(held) = &self.phase else { return };
        let (tenure, claimed, ending) = (held.tenure, held.claimed, held.ending.clone());
        self.out.push(Command::Publish(Tenure { held: false, ..tenure }));
        self.journal(Event::Lost { epoch: tenure.value.epoch, why });
        if let Some(ending) = ending {
            self.refuse_ask(&ending);
        }
        if claimed && !taken_out(Fault::ReleaseWithoutProof) {
            self.phase = Phase::Lost(tenure.value);
        } else {
            self.release(tenure.value); // no gate ever opened for it, so nothing of it runs
        }
    }

    /// H6: somebody else acts in a later epoch.
    pub(super) fn depose(&mut self, by: NodeId) {
        self.lose(Why::Deposed { by });
    }

    pub(super) fn on_claimed(&mut self, incarnation: Incarnation) {
        let lock = !self.config.automatic;
        if let Phase::Held(held) = &mut self.phase
            && held.tenure.value.incarnation == incarnation
        {
            held.claimed = true;
            held.role_up |= lock; // a script needs nothing more than the lease
            self.gate_waiting = false;
        }
    }

    pub(super) fn on_role_up(&mut self, incarnation: Incarnation) {
        let now = self.now;
        if let Phase::Held(held) = &mut self.phase
            && held.tenure.value.incarnation == incarnation
            && !held.role_up
        {
            held.role_up = true;
            held.up_since = now;
            let (epoch, took) = (held.tenure.value.epoch, now.longest_since(held.since));
            self.journal(Event::RoleUp { epoch, took });
        }
    }

    pub(super) fn step_held(&mut self) {
        let now = self.now;
        let Phase::Held(held) = &mut self.phase else { return };
        if !held.claimed && now.any_past(held.since.plus(CLAIM_TIMEOUT)) && !taken_out(Fault::NoClaimTimeout) {
            let tenure = held.tenure;
            self.out.push(Command::Publish(Tenure { held: false, ..tenure }));
            self.journal(Event::Released { epoch: tenure.value.epoch, why: Why::Unclaimed });
            self.abstain_after_failure();
            self.release(tenure.value);
            return;
        }
        if held.next_attempt().is_some_and(|at| now.any_past(at)) {
            // Late attempts are not made up for: one round, and the next on the grid.
            while held.next_attempt().is_some_and(|at| now.any_past(at)) {
                held.attempts += 1;
            }
            let round = Round::new(now);
            let Value { epoch, incarnation, .. } = held.tenure.value;
            let message = ToVoter::Renew { epoch, incarnation, round: round.number };
            held.round = Some(round);
            self.tell_voters(message);
        }
        self.yield_again();
        self.consider_refresh();
        self.consider_failback();
        self.consider_uplink();
    }

    /// A stop that somebody's job has undone is asked for anew.
    fn yield_again(&mut self) {
        let Phase::Held(held) = &mut self.phase else { return };
        if held.ending.is_some() && self.now.any_past(held.yield_again) {
            held.yield_again = self.now.plus(YIELD_AGAIN);
            self.out.push(Command::YieldRole);
        }
    }

    pub(super) fn on_renewed_held(&mut self, from: NodeId, round: (u64, bool), granted: Option<Duration>) {
        let (majority, now) = (self.majority(), self.now);
        let Phase::Held(held) = &mut self.phase else { return };
        if granted.is_none() {
            held.stale.insert(from);
        } else {
            held.stale.remove(&from);
        }
        let Some(current) = &mut held.round else { return };
        let Some(lease) = current.on_ack(from, round, granted, majority) else { return };
        let sent = if taken_out(Fault::CountFromAnswer) { now } else { current.sent };
        held.renewed(now, sent, lease);
        let tenure = held.tenure;
        self.out.push(Command::Publish(tenure));
    }

    /// H8: a voter that was promised to another, or missed our value, is lost for renewals until the value is
    /// proposed again under a higher ballot. The holder is exempt from the gate, so this may run at any time.
    fn consider_refresh(&mut self) {
        let (now, majority, step) = (self.now, self.majority(), self.config.timetable.step());
        let proof = self.proof();
        let lease = self.config.timetable.lease;
        let Phase::Held(held) = &mut self.phase else { return };
        let prepared_for_handover = held.ending.is_some();
        let due = proof.is_some() || !held.stale.is_empty() || held.set_is_due(self.config.data.is_some());
        if held.refresh.is_none()
            && !prepared_for_handover
            && due
            && !taken_out(Fault::NoRefresh)
            && now.any_past(held.refresh_not_before)
        {
            held.refresh_not_before = now.plus(lease / 4);
            self.begin_refresh();
        }
        let Phase::Held(held) = &mut self.phase else { return };
        let Some(refresh) = &mut held.refresh else { return };
        if now.any_past(refresh.began.plus(lease)) && held.ending.is_none() {
            held.refresh = None;
            return;
        }
        if refresh.is_stale(now, lease) {
            self.begin_refresh(); // the services take their time to stop: be ready when they have (H10)
        }
        let Phase::Held(held) = &mut self.phase else { return };
        let Some(refresh) = &mut held.refresh else { return };
        let (value, ballot) = (held.tenure.value, refresh.ballot);
        if refresh.accept.is_none()
            && held.ending.is_none()
            && let Some(current) = refresh.promised_by(majority, now, lease)
        {
            match current {
                Some(newest) if newest.is_of(&value) => {
                    let next = held.next_value(newest);
                    held.refresh.as_mut().expect("it is being dealt with").propose(next, now);
                }
                Some(newest) => return self.depose(newest.holder),
                None => unreachable!("a majority accepted our value, and any majority has a member of it"),
            }
        }
        let Phase::Held(held) = &mut self.phase else { return };
        let Some(refresh) = &mut held.refresh else { return };
        if now.boot < refresh.next_send.boot {
            return;
        }
        refresh.next_send = now.plus(step);
        let message = match &refresh.accept {
            None => ToVoter::Prepare { ballot, park: false, fenced: proof },
            Some(accept) => ToVoter::Accept { ballot, value: accept.value },
        };
        self.tell_voters(message);
    }

    pub(super) fn begin_refresh(&mut self) {
        let ballot = self.new_ballot();
        let now = self.now;
        if let Phase::Held(held) = &mut self.phase {
            held.refresh = Some(Proposal::new(ballot, now));
        }
    }

    pub(super) fn on_promise_held(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        (accepted, credit): (Option<(Ballot, Value)>, bool),
    ) {
        if let Phase::Held(held) = &mut self.phase
            && let Some(refresh) = held.refresh.as_mut().filter(|refresh| refresh.ballot == ballot)
        {
            refresh.on_promise(from, accepted, credit);
        }
    }
}
