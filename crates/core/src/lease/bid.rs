//! Getting the lease: a bid of one's own, or confirming what a predecessor handed over (H0, H1, H7).

use super::hold::{Held, Round};
use super::proposal::Proposal;
use super::view::Outlook;
use super::{Command, Event, Lease, Phase, Tenure, Why};
use crate::ballot::{Ballot, Value};
use crate::fault::{Fault, taken_out};
use crate::id::{Epoch, Incarnation, NodeId};
use crate::message::{Refusal, ToVoter};
use crate::time::Stamp;
use crate::timetable::Timetable;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Bid {
    pub proposal: Proposal,
    /// The life that it proposes: of this bid alone. Not the one that this node has published, which a predecessor may name
    /// in a ballot of its own: one value under two ballots could be taken for chosen without being so.
    life: Incarnation,
}

impl Bid {
    pub fn wake_at(&self) -> u64 {
        self.proposal.next_send.boot
    }
}

/// The register names this node; a renewal by a majority makes it the holder.
#[derive(Clone, Debug)]
pub(super) struct Confirm {
    value: Value,
    round: Round,
    since: Stamp,
    next_send: Stamp,
}

impl Confirm {
    pub fn wake_at(&self) -> u64 {
        self.next_send.boot
    }
}

impl Lease {
    /// Whether it is this node's turn to bid now (H0, H7), and starts the bid if so.
    pub(super) fn consider_bid(&mut self) {
        let outlook = self.outlook();
        if outlook == Outlook::Free {
            self.free_since.get_or_insert(self.now);
        } else {
            self.free_since = None;
        }
        if !self.willing() || !self.now.any_past(self.bid_not_before) {
            return;
        }
        let turn = match outlook {
            Outlook::Unknown => false,
            Outlook::Free => self.now.any_past(self.free_turn()),
            Outlook::Live(lease) => self.is_first_in_line(lease.holder) || self.is_fenced(lease.holder, lease),
        };
        if let (true, Outlook::Live(lease)) = (taken_out(Fault::BidAsksHolder) && turn, outlook) {
            let message = crate::message::PeerMessage::Ask { request: self.now.boot, to: self.config.me };
            self.out.push(Command::ToPeer { to: lease.holder, message });
        }
        if turn {
            self.start_bid(outlook == Outlook::Free);
        }
    }

    /// Only the preferred one of those who are ready parks a bid behind a live holder: a voter keeps one.
    fn is_first_in_line(&self, holder: NodeId) -> bool {
        let others = self.config.candidates.iter().filter(|node| **node != holder);
        others.take_while(|node| **node != self.config.me).all(|node| self.ready_peer(*node).is_none())
    }

    /// When this node may take a free lease: at once if it is preferred, later the less it is.
    fn free_turn(&self) -> Stamp {
        let since = self.free_since.unwrap_or(self.now);
        if self.wished_here() {
            return since;
        }
        let better: Vec<_> = self.config.candidates.iter().take_while(|node| **node != self.config.me).collect();
        let ready = better.iter().filter(|node| self.ready_peer(***node).is_some()).count();
        if ready < better.len() && !self.seen_holder {
            return self.started.plus(self.config.boot_grace); // cold start: the preferred one may still be booting
        }
        // One that reaches the clients goes first.
        let cut = !self.uplink && self.best_peer().is_some();
        since.plus(self.config.timetable.lease * (u32::try_from(ready).expect("few candidates") + u32::from(cut)) / 4)
    }

    pub(super) fn bid_wake(&self) -> u64 {
        if !self.willing() {
            return u64::MAX;
        }
        let turn = if self.free_since.is_some() { self.free_turn().boot } else { u64::MAX };
        let wake = turn.max(self.bid_not_before.boot);
        if wake > self.now.boot { wake } else { u64::MAX } // it was considered just now
    }

    fn start_bid(&mut self, free: bool) {
        let ballot = self.new_ballot();
        let nonce = if taken_out(Fault::LifeUsedTwice) { self.life.nonce } else { self.rng.bits() };
        let life = Incarnation { boot: self.boot, nonce };
        self.phase = Phase::Bidding(Bid { proposal: Proposal::new(ballot, self.now), life });
        if free {
            self.journal(Event::BidStarted { free });
        }
        self.step_bid();
    }

    pub(super) fn step_bid(&mut self) {
        if !self.willing() {
            return self.drop_bid(); // what is parked is forgotten when it is not repeated
        }
        let (now, timetable, proof) = (self.now, self.config.timetable, self.proof());
        if matches!(&self.phase, Phase::Bidding(bid) if bid.proposal.is_stale(now, timetable.lease)) {
            let ballot = self.new_ballot(); // parked for a whole lease: ask anew (H10)
            if let Phase::Bidding(bid) = &mut self.phase {
                bid.proposal = Proposal::new(ballot, now);
            }
        }
        let Phase::Bidding(bid) = &mut self.phase else { return };
        if now.boot < bid.proposal.next_send.boot {
            return;
        }
        let (ballot, proof) = (bid.proposal.ballot, proof);
        let message = match &bid.proposal.accept {
            None => ToVoter::Prepare { ballot, park: true, fenced: proof },
            Some(accept) => ToVoter::Accept { ballot, value: accept.value },
        };
        let pause = if bid.proposal.accept.is_some() { timetable.step() } else { timetable.read_every() };
        bid.proposal.next_send = now.plus(pause);
        let too_late =
            bid.proposal.accept.as_ref().is_some_and(|accept| now.any_past(accept.first_sent.plus(timetable.kill())));
        if too_late {
            self.abandon_bid();
            return;
        }
        self.tell_voters(message);
    }

    pub(super) fn on_promise(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        (accepted, credit): (Option<(Ballot, Value)>, bool),
    ) {
        let (majority, now, me, life) = (self.majority(), self.now, self.config.me, self.life);
        let lease = self.config.timetable.lease;
        match &mut self.phase {
            Phase::Bidding(bid) if bid.proposal.ballot == ballot && bid.proposal.accept.is_none() => {
                bid.proposal.on_promise(from, accepted, credit);
                let Some(current) = bid.proposal.promised_by(majority, now, lease) else { return };
                if let Some(named) = current.filter(|value| value.holder == me && value.incarnation == life) {
                    return self.confirm(named); // a predecessor was faster: it handed over to this very life
                }
                let epoch = current.map_or(Epoch(0), |value| value.epoch).max(self.config.epoch_floor).next();
                let incarnation = bid.life;
                let Some(copies) = self.copies_to_bid(current) else { return self.abandon_bid() };
                let Phase::Bidding(bid) = &mut self.phase else { return };
                bid.proposal.propose(Value { epoch, holder: me, incarnation, copies }, now);
            }
            Phase::Held(_) => self.on_promise_held(from, ballot, (accepted, credit)),
            Phase::HandingOver(handing) if handing.proposal.ballot == ballot => {
                handing.proposal.on_promise(from, accepted, credit)
            }
            _ => {}
        }
    }

    pub(super) fn on_refused(&mut self, from: NodeId, ballot: Ballot, why: Refusal) {
        let (voters, majority) = (self.config.voters.len(), self.majority());
        // Everything else is "not yet": the ballot stays good (H1: do not abandon at the first no).
        let for_good = matches!(why, Refusal::HigherBallot | Refusal::NotCandidate);
        match &mut self.phase {
            Phase::Bidding(bid) if bid.proposal.ballot == ballot && for_good => {
                let hopeless = bid.proposal.on_refused(from, voters, majority);
                if hopeless {
                    self.abandon_bid();
                }
            }
            Phase::Held(held) => held.on_refused(from, ballot, for_good, voters - majority + 1),
            _ => {}
        }
    }

    /// What a parked bid waits for may be over: it is asked for again now.
    pub(super) fn ask_at_once(&mut self) {
        if let Phase::Bidding(bid) = &mut self.phase {
            bid.proposal.next_send = self.now;
        }
    }

    fn abandon_bid(&mut self) {
        let lease = self.config.timetable.lease;
        let wait = self.rng.span(lease / 40, lease / 5);
        self.bid_not_before = self.now.plus(wait);
        self.drop_bid();
        if self.free_since.is_some() {
            self.journal(Event::BidLost { wait });
        }
    }

    /// Ends a bid, for whatever reason.
    pub(super) fn drop_bid(&mut self) {
        if matches!(self.phase, Phase::Bidding(_)) {
            self.phase = Phase::Watching;
        }
    }

    pub(super) fn on_accepted(&mut self, from: NodeId, ballot: Ballot, (lease, credit): (Duration, bool)) {
        let majority = self.majority();
        match &mut self.phase {
            Phase::Bidding(bid) if bid.proposal.ballot == ballot => {
                let Some(granted) = bid.proposal.on_accepted(from, lease, credit, majority) else { return };
                let (began, accept) = (bid.proposal.began, bid.proposal.accept.clone().expect("acknowledged"));
                let sent = if taken_out(Fault::CountFromAnswer) { self.now } else { accept.first_sent };
                let tenure = Tenure { value: accept.value, sent, lease: granted, held: true };
                self.hold(tenure, self.now.longest_since(self.free_since.unwrap_or(began)));
            }
            Phase::Held(held) => {
                let before = held.tenure.sent;
                let chosen = held.on_accepted(self.now, (from, ballot), (lease, credit), majority);
                let Some(chosen) = chosen else { return };
                let changed = held.tenure.value.copies != chosen.copies;
                held.set_is_chosen(chosen);
                let tenure = held.tenure;
                if tenure.sent != before {
                    self.out.push(Command::Publish(tenure));
                }
                self.forget_proof();
                if changed {
                    self.tell_copies();
                } else {
                    self.journal(Event::Refreshed { epoch: chosen.epoch });
                }
            }
            Phase::HandingOver(_) => self.on_accepted_handing(from, ballot, (lease, credit)),
            Phase::Watching | Phase::Bidding(_) | Phase::Confirming(_) | Phase::Lost(_) => {}
        }
    }

    /// A majority stands behind `tenure`: from here on this node acts.
    fn hold(&mut self, tenure: Tenure, took: Duration) {
        if self.now.any_past(tenure.sent.plus(Timetable::new(tenure.lease).begin_stop())) {
            self.confirm(tenure.value); // granted, but the news is old: ask for a fresh round first
            return;
        }
        self.free_since = None;
        self.expected = None;
        self.seen_holder = true;
        let asked = self.wished_here() || matches!(self.phase, Phase::Confirming(_)) || !self.config.automatic;
        self.note_move(asked);
        self.phase = Phase::Held(Held::new(tenure, self.now));
        self.next_hello = self.now;
        self.out.push(Command::Publish(tenure));
        self.out.push(Command::TakeRole);
        self.forget_proof();
        self.tell_copies();
        self.journal(Event::Acquired { epoch: tenure.value.epoch, from: None, took });
        self.fulfil_wish(tenure.value.epoch);
    }

    /// A majority of fresh views may say that a predecessor named this node.
    pub(super) fn notice_succession(&mut self) {
        let mine = |value: &Value| value.holder == self.config.me && value.incarnation == self.life;
        let named = self.voters.values().filter_map(|view| view.accepted).map(|(_, value)| value).filter(mine);
        let newest = named.max_by_key(|value| value.epoch);
        if let Some(value) = newest {
            self.on_named(value);
        }
    }

    pub(super) fn on_named(&mut self, value: Value) {
        let idle = match &self.phase {
            Phase::Watching => true,
            Phase::Bidding(bid) => bid.proposal.accept.is_none(),
            _ => false,
        };
        if idle && value.holder == self.config.me && value.incarnation == self.life {
            if taken_out(Fault::HandedIsHeld) {
                let (sent, lease) = (self.now, self.config.timetable.lease);
                return self.hold(Tenure { value, sent, lease, held: true }, Duration::ZERO);
            }
            self.confirm(value);
        }
    }

    fn confirm(&mut self, value: Value) {
        let round = Round::new(self.now);
        self.phase = Phase::Confirming(Confirm { value, round, since: self.now, next_send: self.now });
        self.step_confirm();
    }

    pub(super) fn step_confirm(&mut self) {
        let (now, timetable) = (self.now, self.config.timetable);
        let able = self.able();
        let Phase::Confirming(confirm) = &mut self.phase else { return };
        let value = confirm.value;
        if !able {
            self.journal(Event::Released { epoch: value.epoch, why: Why::Unwilling });
            self.release(value); // nothing of it ever ran here
            return;
        }
        if now.any_past(confirm.since.plus(timetable.lease)) {
            self.forget_tenure(); // nobody confirms it: the value was not chosen, or is over
            return;
        }
        if now.boot < confirm.next_send.boot {
            return;
        }
        confirm.round = Round::new(now);
        confirm.next_send = now.plus(timetable.step());
        let Value { epoch, incarnation, .. } = value;
        let round = confirm.round.number;
        self.tell_voters(ToVoter::Renew { epoch, incarnation, round });
    }

    pub(super) fn on_renewed(&mut self, from: NodeId, round: (u64, bool), granted: Option<Duration>) {
        let majority = self.majority();
        match &mut self.phase {
            Phase::Confirming(confirm) => {
                let Some(lease) = confirm.round.on_ack(from, round, granted, majority) else { return };
                let (value, mut sent, since) = (confirm.value, confirm.round.sent, confirm.since);
                if taken_out(Fault::CountFromAnswer) {
                    sent = self.now;
                }
                self.hold(Tenure { value, sent, lease, held: true }, self.now.longest_since(since));
            }
            Phase::Held(_) => self.on_renewed_held(from, round, granted),
            Phase::Watching | Phase::Bidding(_) | Phase::HandingOver(_) | Phase::Lost(_) => {}
        }
    }
}
