//! What this node knows of the voters and of the other candidates, and how old that is.

use super::{Command, Event, Lease, Phase};
use crate::ballot::{Ballot, Value};
use crate::fault::{Fault, taken_out};
use crate::id::{Epoch, Incarnation, NodeId};
use crate::message::{FromVoter, LiveLease, PeerMessage, Sent, ToVoter};
use crate::time::Stamp;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VoterView {
    /// When it last answered anything.
    pub heard: Option<Stamp>,
    /// When it last answered with its state or a live lease.
    pub read: Option<Stamp>,
    /// When it last said what it has accepted.
    pub told: Option<Stamp>,
    pub accepted: Option<(Ballot, Value)>,
    pub live: Option<(LiveLease, Stamp)>,
    /// F3: it speaks for its fellow as well.
    pub credit: bool,
    /// F3: the boot in which it heard its fellow last.
    pub fellow: Option<u64>,
    /// When that was another one.
    pub fellow_since: Option<Stamp>,
    pub silent: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PeerView {
    pub heard: Stamp,
    pub ready: Option<Incarnation>,
    pub ready_since: Stamp,
    pub holding: Option<Epoch>,
    pub sent: Sent,
}

/// What a fresh majority of the voters says of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Too few voters answer to say anything.
    Unknown,
    Live(LiveLease),
    Free,
}

impl Lease {
    /// Takes in what any answer says on the side. False: the sender is no voter.
    pub(super) fn note_voter(&mut self, from: NodeId, message: &FromVoter) -> bool {
        let now = self.now;
        let Some(view) = self.voters.get_mut(&from) else { return false };
        view.heard = Some(now);
        let (counter, live) = match *message {
            FromVoter::State { promised, accepted, live, fellow } => {
                if fellow != view.fellow {
                    (view.credit, view.fellow_since) = (false, Some(now)); // it is back, in another boot
                }
                (view.accepted, view.told, view.fellow) = (accepted, Some(now), fellow);
                (promised.counter, Some(live))
            }
            FromVoter::Refused { promised, live, .. } => (promised.counter, Some(live)),
            FromVoter::Renewed { promised, .. } => (promised.counter, None),
            FromVoter::Promise { accepted, .. } => {
                (view.accepted, view.told) = (accepted, Some(now));
                (0, None)
            }
            FromVoter::Accepted { .. } => (0, None),
        };
        if let FromVoter::Promise { credit, .. }
        | FromVoter::Accepted { credit, .. }
        | FromVoter::Renewed { credit, .. } = *message
        {
            view.credit = credit;
        }
        if let Some(live) = live {
            view.read = Some(now);
            view.live = live.map(|lease| (lease, now.plus(lease.left)));
            self.seen_holder |= live.is_some();
        }
        if !taken_out(Fault::CounterNotRaised) {
            self.counter = self.counter.max(counter);
        }
        true
    }

    /// Takes in what a peer says of itself. False: it has been overtaken by a later word.
    pub(super) fn note_peer(
        &mut self,
        from: NodeId,
        ready: Option<Incarnation>,
        holding: Option<Epoch>,
        sent: Sent,
    ) -> bool {
        let now = self.now;
        if self.peers.get(&from).is_some_and(|peer| !sent.is_after(&peer.sent)) {
            return false; // overtaken on the way
        }
        let known = self.peers.get(&from).filter(|peer| peer.ready.is_some() && ready.is_some());
        let ready_since = known.map_or(now, |peer| peer.ready_since);
        self.peers.insert(from, PeerView { heard: now, ready, ready_since, holding, sent });
        if holding.is_some() && holding > self.epoch_of_phase() && !taken_out(Fault::LaterEpochIgnored) {
            self.seen_holder = true;
            self.depose(from); // H6
        }
        true
    }

    /// The life of `peer`, if it said lately that it is ready to take over.
    pub(super) fn ready_peer(&self, peer: NodeId) -> Option<Incarnation> {
        let view = self.peers.get(&peer)?;
        let fresh = self.now.longest_since(view.heard) <= self.config.timetable.lease;
        view.ready.filter(|_| fresh)
    }

    /// Whether `peer` has been ready for as long as a role has to stay where it is.
    pub(super) fn is_steady(&self, peer: NodeId) -> bool {
        let since = self.peers.get(&peer).map(|peer| peer.ready_since.plus(self.config.hold_down));
        since.is_some_and(|steady| self.now.any_past(steady))
    }

    /// The preferred one among the other candidates that are ready.
    pub(super) fn best_peer(&self) -> Option<(NodeId, Incarnation)> {
        self.config.candidates.iter().find_map(|node| Some((*node, self.ready_peer(*node)?)))
    }

    pub(super) fn outlook(&self) -> Outlook {
        let fresh = |view: &&VoterView| {
            view.read.is_some_and(|read| self.now.longest_since(read) <= self.config.timetable.lease / 2)
        };
        let views = || self.voters.values().filter(fresh);
        // F2: one of two voters knows what is recorded, or it would not answer (F4); whether anything is granted is another matter.
        let enough = if self.fence_votes() { 1 } else { self.majority() };
        if views().count() < enough {
            return Outlook::Unknown;
        }
        let live = views().filter_map(|view| view.live);
        let running = live.filter(|(lease, until)| !self.now.both_past(*until) && lease.holder != self.config.me);
        match running.max_by_key(|(lease, until)| (lease.epoch, until.boot)) {
            Some((lease, until)) => Outlook::Live(LiveLease { left: self.now.longest_until(until), ..lease }),
            None => Outlook::Free,
        }
    }

    /// Whether a majority has lately said what it has accepted.
    pub(super) fn was_told(&self) -> bool {
        let lately = |told: Stamp| self.now.longest_since(told) <= self.config.timetable.lease / 2;
        let enough = if self.fence_votes() { 1 } else { self.majority() };
        self.voters.values().filter(|view| view.told.is_some_and(lately)).count() >= enough
    }

    pub(super) fn answering(&self) -> usize {
        self.voters.values().filter(|view| view.heard.is_some() && !view.silent).count()
    }

    /// Whether those who answer are a majority, with the one that is proven to be off (F3).
    pub(super) fn has_quorum(&self) -> bool {
        let answering = self.voters.values().filter(|view| view.heard.is_some() && !view.silent);
        answering.map(|view| 1 + usize::from(view.credit)).sum::<usize>() >= self.majority()
    }

    /// Notices voters that fall silent or come back.
    pub(super) fn watch_voters(&mut self) {
        let (now, started, lease) = (self.now, self.started, self.config.timetable.lease);
        let mut changed = Vec::new();
        for (voter, view) in &mut self.voters {
            let silent = now.longest_since(view.heard.unwrap_or(started)) > lease;
            if silent != view.silent {
                view.silent = silent;
                changed.push((*voter, silent));
            }
        }
        let (answering, voters) = (self.answering(), self.config.voters.len());
        for (voter, silent) in changed {
            self.journal(if silent {
                Event::VoterSilent { voter, answering, voters }
            } else {
                Event::VoterBack { voter, answering, voters }
            });
        }
    }

    /// Asks the voters regularly what they know.
    pub(super) fn read_voters(&mut self) {
        if self.now.boot < self.next_read.boot {
            return;
        }
        let timetable = self.config.timetable;
        // Just often enough to notice a voter that falls silent, and not one whose answer was lost.
        let every = if self.idles() { timetable.lease / 3 } else { timetable.read_every() };
        self.next_read = self.now.plus(every);
        // What is parked is repeated as often, and its refusals say the same, but for what is recorded: who shoots has to know.
        let parks = matches!(&self.phase, Phase::Bidding(bid) if bid.proposal.accept.is_none());
        let parks = parks && self.config.fence.is_none();
        if self.reads() && !parks {
            self.tell_voters(ToVoter::Read);
        }
    }

    /// A holder learns enough from its renewals; one of two has to know in which boot the other one is, to shoot it.
    pub(super) fn reads(&self) -> bool {
        !matches!(self.phase, Phase::Held(_)) || self.fence_votes()
    }

    /// A lock that nobody here wants.
    fn idles(&self) -> bool {
        !self.config.automatic && self.wish.is_none() && matches!(self.phase, Phase::Watching)
    }

    pub(super) fn say_hello(&mut self) {
        let timetable = self.config.timetable;
        let every = if self.idles() { timetable.lease } else { timetable.hello_every() };
        // What wakes this node for something else shortly before takes it along: a wake-up is most of what it costs.
        if self.now.plus(every / 4).boot < self.next_hello.boot {
            return;
        }
        self.next_hello = self.now.plus(every);
        let ready = (self.willing() && self.uplink).then_some(self.life);
        let holding = match &self.phase {
            Phase::Held(held) => Some(held.tenure.value.epoch),
            _ => None,
        };
        let (pause, sent) = (self.pause, Sent { boot: self.boot, at: self.now.boot });
        let message = PeerMessage::Hello { ready, holding, yielding: self.yielding(), pause, sent };
        for peer in self.config.candidates.clone() {
            if peer != self.config.me {
                self.out.push(Command::ToPeer { to: peer, message: message.clone() });
            }
        }
    }
}
