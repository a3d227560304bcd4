//! Letting go: of one's own accord, on request, or because the role ended. Never without the proof (H5, H9).

use super::proposal::Proposal;
use super::{ABSTAIN_MAX, ABSTAIN_MIN, Command, Ended, Event, Lease, Phase, Tenure, Verdict, Why, YIELD_AGAIN};
use crate::ballot::{Ballot, Value};
use crate::fault::{Fault, taken_out};
use crate::id::{Incarnation, NodeId};
use crate::message::{Answer, LiveLease, PeerMessage, ToVoter};
use crate::time::Stamp;
use std::time::Duration;

/// The role is being stopped; this says what for.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub why: Why,
    pub successor: Option<(NodeId, Incarnation)>,
    /// The peer and request that asked for it.
    pub asked_by: Option<(NodeId, u64)>,
}

/// The proof is in; the voters are asked to put the successor's name into the register.
#[derive(Clone, Debug)]
pub(super) struct Handing {
    /// Our own tenure, over already.
    pub value: Value,
    pub successor: (NodeId, Incarnation),
    pub why: Why,
    pub proposal: Proposal,
    since: Stamp,
}

impl Handing {
    pub fn wake_at(&self) -> u64 {
        self.proposal.next_send.boot
    }
}

impl Lease {
    /// Begins to let go of a held lease: the role stops, the lease stays until the proof comes in.
    pub(super) fn begin_ending(&mut self, ending: Ending) {
        let Phase::Held(held) = &mut self.phase else { return };
        assert!(held.ending.is_none(), "one ending at a time");
        let (epoch, to, why) = (held.tenure.value.epoch, ending.successor.map(|(node, _)| node), ending.why);
        held.ending = Some(ending);
        held.yield_again = self.now.plus(YIELD_AGAIN);
        self.begin_refresh(); // phase 1 while the services stop: the handover itself is then one round
        self.out.push(Command::YieldRole);
        self.next_hello = self.now; // the successor may make ready
        self.journal(Event::Yielding { epoch, to, why });
        if taken_out(Fault::HandoverBeforeProof) {
            self.end_tenure(Ended::Stopped);
        }
    }

    /// The gate has proven that nothing of `incarnation` runs here (systemd.md, "No release without proof").
    pub(super) fn on_emptied(&mut self, incarnation: Incarnation, how: Ended) {
        match &self.phase {
            Phase::Held(held) if held.tenure.value.incarnation == incarnation => self.end_tenure(how),
            Phase::Lost(value) if value.incarnation == incarnation => {
                let (value, why) = (*value, why_ended(how));
                self.journal(Event::Released { epoch: value.epoch, why });
                self.release(value);
            }
            _ => {}
        }
    }

    fn end_tenure(&mut self, how: Ended) {
        let Phase::Held(held) = &mut self.phase else { return };
        let (tenure, role_up) = (held.tenure, held.role_up);
        let ending = held.ending.take();
        let prepared = held.refresh.take().filter(|refresh| refresh.accept.is_none() && ending.is_some());
        let prepared = prepared.filter(|refresh| !refresh.is_stale(self.now, self.config.timetable.lease));
        self.out.push(Command::Publish(Tenure { held: false, ..tenure }));
        let why = ending.as_ref().map_or(why_ended(how), |ending| ending.why);
        let named = ending.as_ref().and_then(|ending| ending.successor);
        // A successor is named by the life it published last; if that is no longer true, whoever else is ready.
        let true_still = |(node, life): &(NodeId, Incarnation)| self.ready_peer(*node) == Some(*life);
        let successor = named.filter(true_still).or_else(|| self.best_peer());
        match (&ending, how) {
            _ if !self.config.automatic => {}
            (None, Ended::Stopped) if !role_up => self.abstain_after_failure(),
            (None, Ended::Stopped) => self.abstain_until = Some(self.now.plus(self.config.hold_down)),
            _ => {}
        }
        let Some(successor) = successor else {
            if why == Why::ServiceFailed {
                self.journal(Event::NobodyLeft { epoch: tenure.value.epoch });
            }
            self.journal(Event::Released { epoch: tenure.value.epoch, why });
            self.release(tenure.value);
            return;
        };
        let proposal = match prepared {
            Some(proposal) => proposal,
            None => Proposal::new(self.new_ballot(), self.now),
        };
        let value = tenure.value;
        self.phase = Phase::HandingOver(Handing { value, successor, why, proposal, since: self.now });
        self.step_handing();
    }

    pub(super) fn step_handing(&mut self) {
        let (now, timetable, majority) = (self.now, self.config.timetable, self.majority());
        let Phase::HandingOver(handing) = &mut self.phase else { return };
        let value = handing.value;
        if now.any_past(handing.since.plus(timetable.lease)) {
            let (why, asked) = (handing.why, handing.proposal.accept.is_some());
            self.journal(Event::Released { epoch: value.epoch, why });
            if asked {
                self.forget_tenure(); // the successor may hold already: our own lease is over by now anyway
            } else {
                self.release(value);
            }
            return;
        }
        if handing.proposal.is_stale(now, timetable.lease) {
            let ballot = self.new_ballot();
            let Phase::HandingOver(handing) = &mut self.phase else { return };
            handing.proposal = Proposal::new(ballot, now);
        }
        let Phase::HandingOver(handing) = &mut self.phase else { return };
        let proposal = &mut handing.proposal;
        if proposal.accept.is_none()
            && let Some(current) = proposal.promised_by(majority, now, timetable.lease)
        {
            let Some(current) = current.filter(|current| current.is_of(&value)) else {
                self.forget_tenure(); // deposed meanwhile: nothing left to hand over
                return;
            };
            let (holder, incarnation) = handing.successor;
            let copies = current.copies.next_tenure();
            if !copies.may_lead(holder) && !taken_out(Fault::HandedToAnyCopy) {
                let why = handing.why;
                self.journal(Event::Released { epoch: value.epoch, why });
                return self.release(value); // it has fallen behind meanwhile (D5)
            }
            proposal.propose(Value { epoch: value.epoch.next(), holder, incarnation, copies }, now);
        }
        if now.boot < proposal.next_send.boot {
            return;
        }
        proposal.next_send = now.plus(timetable.step());
        let ballot = proposal.ballot;
        let message = match &proposal.accept {
            None => ToVoter::Prepare { ballot, park: false, fenced: None },
            Some(accept) => ToVoter::Accept { ballot, value: accept.value },
        };
        self.tell_voters(message);
    }

    pub(super) fn on_accepted_handing(&mut self, from: NodeId, ballot: Ballot, (lease, credit): (Duration, bool)) {
        let majority = self.majority();
        let Phase::HandingOver(handing) = &mut self.phase else { return };
        let proposal = &mut handing.proposal;
        if proposal.ballot != ballot {
            return;
        }
        let chosen = proposal.on_accepted(from, lease, credit, majority).is_some();
        let (accept, why) = (proposal.accept.as_ref(), handing.why);
        let Some(value) = accept.map(|accept| accept.value) else { return };
        self.note_successor(from, value, lease);
        if !chosen {
            return;
        }
        let message = PeerMessage::Handed { epoch: value.epoch, incarnation: value.incarnation };
        let handed = Command::ToPeer { to: value.holder, message };
        self.echo(&handed);
        self.out.push(handed);
        self.journal(Event::HandedOver { epoch: value.epoch, to: value.holder, why });
        self.fulfil_handover(value.holder);
        self.forget_tenure();
    }

    /// The voter `from` grants the successor `lease`. Whoever hands over would else take the lease for free until it has read anew.
    fn note_successor(&mut self, from: NodeId, value: Value, lease: Duration) {
        let live = LiveLease { holder: value.holder, epoch: value.epoch, left: lease };
        if let Some(view) = self.voters.get_mut(&from) {
            (view.read, view.live) = (Some(self.now), Some((live, self.now.plus(lease))));
        }
    }

    /// A peer's operator wants `to` to take over (H9: only an operator's token asks).
    pub(super) fn on_ask(&mut self, from: NodeId, request: u64, to: NodeId) {
        let verdict = self.judge_ask(from, request, to);
        self.out.push(Command::ToPeer { to: from, message: PeerMessage::Answer { request, verdict } });
    }

    fn judge_ask(&mut self, from: NodeId, request: u64, to: NodeId) -> Answer {
        let ready = self.ready_peer(to);
        let Phase::Held(held) = &self.phase else { return Answer::NotHolder };
        if let Some(ending) = &held.ending {
            let same = ending.successor.is_some_and(|(node, _)| node == to);
            return if same { Answer::Granted } else { Answer::Busy };
        }
        if !held.role_up {
            return Answer::Busy;
        }
        let Some(life) = ready else { return Answer::NotReady };
        let asked_by = Some((from, request));
        self.begin_ending(Ending { why: Why::Asked { to }, successor: Some((to, life)), asked_by });
        Answer::Granted
    }

    pub(super) fn refuse_ask(&mut self, ending: &Ending) {
        if let Some((to, request)) = ending.asked_by {
            self.out.push(Command::ToPeer { to, message: PeerMessage::Answer { request, verdict: Answer::NotHolder } });
        }
        self.refuse_wish(Verdict::Lost);
    }

    /// A service failed for good: stop the role here and let another node try.
    pub(super) fn on_give_up(&mut self) {
        // What dies because the lease is over has not failed.
        // What failed before any gate was open was only refused.
        let Phase::Held(held) = &mut self.phase else { return };
        if self.pause.on && held.ending.is_none() && held.claimed {
            let epoch = held.tenure.value.epoch;
            return self.journal(Event::FailedWhilePaused { epoch });
        }
        if held.ending.is_none() && held.claimed {
            if held.role_up && self.now.any_past(held.up_since.plus(ABSTAIN_MIN)) {
                self.failures = 0; // it did run; this is a new trouble
            }
            self.abstain_after_failure();
            let successor = self.best_peer();
            self.begin_ending(Ending { why: Why::ServiceFailed, successor, asked_by: None });
        }
    }

    pub(super) fn abstain_after_failure(&mut self) {
        let span = (ABSTAIN_MIN * 2_u32.saturating_pow(self.failures.min(6))).min(ABSTAIN_MAX);
        self.failures = self.failures.saturating_add(1);
        self.abstain_until = Some(self.now.plus(span));
        self.next_hello = self.now;
        self.journal(Event::Abstains { span });
    }

    /// Whether the role is here, has been for a while, and nothing forbids that it leaves without being asked.
    pub(super) fn may_move_by_itself(&self) -> bool {
        let Phase::Held(held) = &self.phase else { return false };
        let settled = held.role_up && self.now.any_past(held.since.plus(self.config.hold_down));
        settled && !self.pause.on && held.ending.is_none()
    }

    /// Failback, where it is configured: to a preferred candidate that has been ready for a while.
    pub(super) fn consider_failback(&mut self) {
        if !self.config.failback || !self.may_move_by_itself() {
            return;
        }
        let better = self.config.candidates.iter().take_while(|node| **node != self.config.me);
        let found =
            better.filter(|node| self.is_steady(**node)).find_map(|node| Some((*node, self.ready_peer(*node)?)));
        if let Some((to, life)) = found {
            self.begin_ending(Ending { why: Why::Failback { to }, successor: Some((to, life)), asked_by: None });
        }
    }
}

fn why_ended(how: Ended) -> Why {
    match how {
        Ended::Stopped => Why::Stopped,
        Ended::Died => Why::GateDied,
        Ended::Expired => Why::GateExpired,
    }
}
