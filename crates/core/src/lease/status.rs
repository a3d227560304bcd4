//! What `status` shows: a copy, taken at an instant.

use super::view::Outlook;
use super::{Lease, Phase};
use crate::ballot::Value;
use crate::copies::Copies;
use crate::id::{Epoch, NodeId};
use crate::message::LiveLease;
use std::time::Duration;

/// Where the lease client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseName {
    Watching,
    Bidding,
    Confirming,
    Held,
    Yielding,
    HandingOver,
    Lost,
}

/// A snapshot of a [`Lease`].
#[derive(Clone, Debug)]
pub struct Status {
    pub phase: PhaseName,
    /// The tenure of this node, if it has one.
    pub tenure: Option<Value>,
    /// How much longer this node may act.
    pub left: Option<Duration>,
    /// A gate has charge of the tenure.
    pub claimed: bool,
    pub role_up: bool,
    /// The lease that a majority of the voters reports to be live, of another node.
    pub live: Option<LiveLease>,
    pub quorum: bool,
    pub standby: bool,
    /// A hand-over to this node was announced.
    pub expects: bool,
    pub uplink: bool,
    pub paused: bool,
    /// It took the role too often within an hour.
    pub too_many_moves: bool,
    pub abstains_for: Option<Duration>,
    /// What is known of the group's data, if it has any.
    pub data: Option<DataStatus>,
    pub voters: Vec<VoterStatus>,
    pub peers: Vec<PeerStatus>,
    /// The highest epoch seen at any voter.
    pub epoch: Epoch,
}

/// What is known of a group's data.
#[derive(Clone, Copy, Debug)]
pub struct DataStatus {
    /// The copies that count, by what was heard of the voters last.
    pub copies: Option<Copies>,
    /// Whether this node's copy counts, as far as that is known.
    pub counts: bool,
    /// Whether it could be promoted, by its own word.
    pub fit: bool,
}

/// What is known of a voter.
#[derive(Clone, Copy, Debug)]
pub struct VoterStatus {
    pub node: NodeId,
    /// Time since its last answer.
    pub silent_for: Option<Duration>,
    pub answering: bool,
}

/// What is known of another candidate.
#[derive(Clone, Copy, Debug)]
pub struct PeerStatus {
    pub node: NodeId,
    pub ready: bool,
    pub silent_for: Option<Duration>,
    pub holding: Option<Epoch>,
}

impl Lease {
    /// Where the lease client stands.
    #[must_use]
    pub fn phase(&self) -> PhaseName {
        match &self.phase {
            Phase::Watching => PhaseName::Watching,
            Phase::Bidding(_) => PhaseName::Bidding,
            Phase::Confirming(_) => PhaseName::Confirming,
            Phase::Held(held) if held.ending.is_some() => PhaseName::Yielding,
            Phase::Held(_) => PhaseName::Held,
            Phase::HandingOver(_) => PhaseName::HandingOver,
            Phase::Lost(_) => PhaseName::Lost,
        }
    }

    /// Whether a gate has charge of the tenure.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        matches!(&self.phase, Phase::Held(held) if held.claimed)
    }

    /// Where this group stands, as this node sees it.
    #[must_use]
    pub fn status(&self) -> Status {
        let (tenure, left) = match &self.phase {
            Phase::Held(held) => {
                let end = held.tenure.sent.plus(held.timetable().believed());
                (Some(held.tenure.value), Some(self.now.longest_until(end)))
            }
            Phase::HandingOver(handing) => (Some(handing.value), None),
            Phase::Lost(value) => (Some(*value), None),
            Phase::Watching | Phase::Bidding(_) | Phase::Confirming(_) => (None, None),
        };
        let outlook = self.outlook();
        let holds = matches!(self.phase, Phase::Held(_));
        // Whoever parks a bid hears what is granted, and not what is recorded.
        let granted = self.voters.values().filter_map(|view| view.live).map(|(lease, _)| lease.epoch);
        let recorded = self.voters.values().filter_map(|view| view.accepted).map(|(_, value)| value.epoch);
        let epoch = tenure.map(|value| value.epoch).into_iter().chain(granted).chain(recorded).max();
        Status {
            phase: self.phase(),
            tenure,
            left,
            claimed: self.is_claimed(),
            role_up: matches!(&self.phase, Phase::Held(held) if held.role_up),
            live: match outlook {
                Outlook::Live(live) if !holds => Some(live),
                _ => None,
            },
            quorum: self.has_quorum(),
            standby: self.standby,
            expects: self.expects(),
            uplink: self.uplink,
            paused: self.pause.on,
            too_many_moves: self.moved_too_often(),
            abstains_for: self.abstain_until.filter(|_| self.abstains()).map(|until| self.now.longest_until(until)),
            data: self.config.data.map(|data| {
                let heard = self.newest_heard().map(|value| value.copies).filter(|copies| copies.generation != 0);
                let copies = self.copies().or(heard);
                let counts = copies.is_none_or(|copies| self.counts(copies));
                DataStatus { copies, counts, fit: data.fit }
            }),
            voters: self
                .config
                .voters
                .iter()
                .filter_map(|node| Some((node, self.voters.get(node)?)))
                .map(|(node, view)| VoterStatus {
                    node: *node,
                    silent_for: view.heard.map(|heard| self.now.longest_since(heard)),
                    answering: view.heard.is_some() && !view.silent,
                })
                .collect(),
            peers: self
                .config
                .candidates
                .iter()
                .filter(|node| **node != self.config.me)
                .map(|node| PeerStatus {
                    node: *node,
                    ready: self.ready_peer(*node).is_some(),
                    silent_for: self.peers.get(node).map(|peer| self.now.longest_since(peer.heard)),
                    holding: self.peers.get(node).and_then(|peer| peer.holding),
                })
                .collect(),
            epoch: epoch.unwrap_or_default(),
        }
    }
}
