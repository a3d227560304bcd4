//! An operator's wish: one at a time, answered exactly once.

use super::handover::Ending;
use super::view::Outlook;
use super::{Command, Event, Lease, Phase, Why};
use crate::id::{Epoch, NodeId};
use crate::message::{Answer, PeerMessage};
use crate::time::Stamp;
use std::time::Duration;

/// How long a granted wish may take: the services of the holder have to stop first.
pub const WISH_TIMEOUT: Duration = Duration::from_secs(120);

/// An operator wants the group to be led by `to` (by default: by this node, or by the best other if this one leads).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the answer.
    pub id: u64,
    pub to: Option<NodeId>,
    /// Ask a live holder to hand over. False: wait until the lease is free (`hotspare-lease hold`).
    pub ask: bool,
}

/// The answer to a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This node holds.
    Held(Epoch),
    /// The node asked for holds, or was handed the lease.
    HandedTo(NodeId),
    /// Too few voters answer.
    NoQuorum { answering: usize, voters: usize },
    /// The holder is in the middle of a role change.
    HolderBusy(NodeId),
    /// The holder does not answer, and its lease still runs.
    HolderSilent(NodeId),
    /// The node asked for does not stand by.
    NotReady(NodeId),
    /// This node neither stands by nor waits at the gate.
    NotStandby,
    /// There is nobody to hand over to.
    NoSuccessor,
    /// What runs here from a former tenure has to end first.
    Stopping,
    /// Another wish took its place.
    Superseded,
    /// The lease was lost on the way.
    Lost,
    /// It took too long.
    TimedOut,
}

#[derive(Clone, Debug)]
pub(super) struct Wish {
    request: Request,
    /// The gate that was started for this wish when the hand-over was announced.
    gate: Option<Request>,
    pub to: NodeId,
    since: Stamp,
    next_ask: Stamp,
    /// The holder of this epoch has agreed.
    granted: Option<Epoch>,
    /// Nobody's wish: the gate was started because a hand-over was announced.
    pub expected: bool,
}

impl Lease {
    pub(super) fn on_request(&mut self, request: Request) {
        let me = self.config.me;
        self.next_read = self.now;
        let expected = self.expected.take_if(|_| self.gate_waiting && request.to.is_none());
        if expected.is_some_and(|expected| expected.withdrawn) {
            self.gate_waiting = false;
            return self.answer(request, Verdict::Lost); // started for a hand-over that is not to be: nobody's wish
        }
        if self.joins(request, expected.is_some()) {
            return;
        }
        self.refuse_wish(Verdict::Superseded);
        let holding = matches!(self.phase, Phase::Held(_));
        let to = match request.to {
            Some(to) => to,
            None if !holding => me,
            None => match self.best_peer() {
                Some((to, _)) => to,
                None => return self.answer(request, Verdict::NoSuccessor),
            },
        };
        if let Some(epoch) = self.epoch_of_phase().filter(|_| to == me) {
            let verdict = if holding { Verdict::Held(epoch) } else { Verdict::Stopping };
            return self.answer(request, verdict);
        }
        if to == me && !self.able() {
            return self.answer(request, Verdict::NotStandby);
        }
        if to == me && !self.is_whole() {
            return self.answer(request, Verdict::NotReady(me));
        }
        if to == me && expected.is_none() {
            self.abstain_until = None;
            self.next_hello = self.now;
        }
        let granted = expected.map(|expected| expected.epoch);
        self.wish = Some(Wish {
            request,
            gate: None,
            to,
            since: self.now,
            next_ask: self.now,
            granted,
            expected: expected.is_some(),
        });
        if holding {
            self.ask_myself(to);
        }
    }

    /// The holder of `epoch` stops its role for `to`, or for nobody: whoever was told otherwise asks again.
    pub(super) fn note_unkept(&mut self, epoch: Epoch, to: Option<NodeId>) {
        let told = |wish: &&mut Wish| wish.granted == Some(epoch) && to != Some(wish.to);
        let Some(wish) = self.wish.as_mut().filter(told) else { return };
        wish.granted = None;
        if wish.expected {
            self.refuse_wish(Verdict::Lost);
        }
    }

    /// A gate that was started for a wish, or an operator who asks for what is under way: two wait for one answer.
    fn joins(&mut self, request: Request, is_gate: bool) -> bool {
        let (me, for_me) = (self.config.me, request.to.is_none_or(|to| to == self.config.me));
        let Some(wish) = self.wish.as_mut().filter(|wish| wish.to == me && for_me) else { return false };
        if wish.expected {
            wish.gate = Some(std::mem::replace(&mut wish.request, request));
            wish.expected = false;
            return true;
        }
        if is_gate {
            wish.gate = Some(request);
        }
        is_gate
    }

    fn ask_myself(&mut self, to: NodeId) {
        let Phase::Held(held) = &self.phase else { return };
        if held.ending.is_some() || !held.role_up {
            return self.refuse_wish(Verdict::HolderBusy(self.config.me));
        }
        let epoch = held.tenure.value.epoch;
        let Some(life) = self.ready_peer(to) else { return self.refuse_wish(Verdict::NotReady(to)) };
        if let Some(wish) = &mut self.wish {
            wish.granted = Some(epoch);
        }
        self.begin_ending(Ending { why: Why::Asked { to }, successor: Some((to, life)), asked_by: None });
    }

    /// Asks the holder, again and again, and gives up when that leads nowhere.
    pub(super) fn step_wish(&mut self) {
        let Some(wish) = &self.wish else { return };
        let (now, lease, wish) = (self.now, self.config.timetable.lease, wish.clone());
        let waited = now.longest_since(wish.since);
        if self.peers.get(&wish.to).is_some_and(|peer| peer.holding.is_some() && peer.heard.boot > wish.since.boot) {
            return self.fulfil_handover(wish.to);
        }
        if wish.to == self.config.me && !self.able() {
            return self.refuse_wish(Verdict::NotStandby);
        }
        if matches!(self.phase, Phase::Held(_)) || !wish.request.ask {
            return;
        }
        let outlook = self.outlook();
        let verdict = match outlook {
            _ if waited > WISH_TIMEOUT => Some(Verdict::TimedOut),
            // It let go, and not the one that was asked for took over: nobody is going to keep that word.
            Outlook::Live(live) if live.holder != wish.to && wish.granted.is_some_and(|epoch| live.epoch > epoch) => {
                Some(Verdict::Lost)
            }
            Outlook::Free if wish.expected && !self.willing() => Some(Verdict::Lost),
            _ if wish.granted.is_some() => None,
            Outlook::Unknown if waited > lease => {
                Some(Verdict::NoQuorum { answering: self.answering(), voters: self.config.voters.len() })
            }
            Outlook::Live(live) if waited > lease * 2 => Some(Verdict::HolderSilent(live.holder)),
            Outlook::Free if wish.to != self.config.me && waited > lease => Some(Verdict::NotReady(wish.to)),
            Outlook::Unknown | Outlook::Live(_) | Outlook::Free => None,
        };
        if let Some(verdict) = verdict {
            return self.refuse_wish(verdict);
        }
        if let (Outlook::Live(live), true) = (outlook, now.boot >= wish.next_ask.boot && wish.granted.is_none()) {
            self.say_hello(); // the holder must know our life before it can name it
            let message = PeerMessage::Ask { request: wish.request.id, to: wish.to };
            self.out.push(Command::ToPeer { to: live.holder, message });
            if let Some(wish) = &mut self.wish {
                wish.next_ask = now.plus(self.config.timetable.hello_every());
            }
        }
    }

    pub(super) fn on_answer(&mut self, request: u64, answer: Answer) {
        let Some(wish) = self.wish.as_mut().filter(|wish| wish.request.id == request) else { return };
        let to = wish.to;
        let newest =
            self.voters.values().filter_map(|view| view.live).map(|(live, _)| live).max_by_key(|live| live.epoch);
        let holder = newest.map(|live| live.holder);
        match answer {
            Answer::Granted => wish.granted = Some(newest.map_or(Epoch(0), |live| live.epoch)),
            Answer::NotHolder if wish.granted.is_none() => {} // it changed meanwhile: ask whoever holds now
            Answer::NotHolder => self.refuse_wish(Verdict::Lost),
            Answer::Busy => self.refuse_wish(Verdict::HolderBusy(holder.unwrap_or(to))),
            Answer::NotReady => self.refuse_wish(Verdict::NotReady(to)),
        }
    }

    pub(super) fn fulfil_wish(&mut self, epoch: Epoch) {
        if let Some(wish) = self.wish.take_if(|wish| wish.to == self.config.me) {
            self.answer_wish(&wish, Verdict::Held(epoch));
        }
    }

    pub(super) fn fulfil_handover(&mut self, to: NodeId) {
        if let Some(wish) = self.wish.take_if(|wish| wish.to == to) {
            self.answer_wish(&wish, Verdict::HandedTo(to));
        }
    }

    pub(super) fn refuse_wish(&mut self, verdict: Verdict) {
        if let Some(wish) = self.wish.take() {
            if wish.to == self.config.me {
                self.gate_waiting = false; // a gate that waited for it goes
            }
            if !wish.expected {
                self.journal(Event::WishRefused { verdict });
            }
            self.answer_wish(&wish, verdict);
        }
    }

    /// Withdraws a wish, for example because its caller is gone.
    pub fn withdraw(&mut self, id: u64) {
        let Some(wish) = &mut self.wish else { return };
        let gate = wish.gate.take_if(|gate| wish.request.id == id || gate.id == id);
        if wish.request.id == id {
            match gate {
                Some(gate) => (wish.request, wish.expected) = (gate, true),
                None => self.wish = None,
            }
        }
    }

    fn answer_wish(&mut self, wish: &Wish, verdict: Verdict) {
        for request in [Some(wish.request), wish.gate].into_iter().flatten() {
            self.answer(request, verdict);
        }
    }

    fn answer(&mut self, request: Request, verdict: Verdict) {
        self.out.push(Command::Answer { request: request.id, verdict });
    }
}
