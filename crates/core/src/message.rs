//! What travels between a candidate and a voter, and between two candidates. One group each; sealing, batching and
//! addresses are the business of `crates/wire`.

use crate::ballot::{Ballot, Value};
use crate::fault::{Fault, taken_out};
use crate::id::{Epoch, Incarnation, NodeId};
use crate::joining::Stage;
use crate::voter::Register;
use std::time::Duration;

/// A candidate asks a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToVoter {
    /// What do you know? Answered with [`FromVoter::State`].
    Read,
    /// Phase 1. With `park`, a refusal for a live lease is kept and answered when that lease ends. A proof that its holder's
    /// life is over ends it now.
    Prepare { ballot: Ballot, park: bool, fenced: Option<Fenced> },
    /// Phase 2; also starts the lease of `value.holder`.
    Accept { ballot: Ballot, value: Value },
    /// Prolongs the lease of the recorded holder. Never durable.
    Renew { epoch: Epoch, incarnation: Incarnation, round: u64 },
    /// Ends the lease of that tenure. Sent only with a proof that nothing runs.
    Release { epoch: Epoch, incarnation: Incarnation },
}

/// The proof that a life of a node is over: its power was seen to be off, its way to the data was seen to be shut (F1). It says
/// nothing of any other life of that node, and it was asked for when this life was known to be the one that leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fenced {
    pub node: NodeId,
    pub incarnation: Incarnation,
}

impl Fenced {
    /// Whether the lease of `holder`'s life is over by this proof.
    #[must_use]
    pub fn ends(&self, holder: NodeId, incarnation: Incarnation) -> bool {
        self.node == holder && (self.incarnation == incarnation || taken_out(Fault::ProofForAnyLife))
    }
}

/// A voter answers. `credit`: its fellow, the only other voter, is proven to be off, and this answer counts for both (F3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromVoter {
    /// The answer to a read. `fellow`: the boot in which the other one of two voters was heard last, where a proof that it is over counts
    /// as its vote (F3).
    State { promised: Ballot, accepted: Option<(Ballot, Value)>, live: Option<LiveLease>, fellow: Option<u64> },
    /// Phase 1 granted.
    Promise { ballot: Ballot, accepted: Option<(Ballot, Value)>, credit: bool },
    /// Phase 1 or 2 refused.
    Refused { ballot: Ballot, promised: Ballot, why: Refusal, live: Option<LiveLease> },
    /// Phase 2 granted; `lease` is the length that this voter promises.
    Accepted { ballot: Ballot, lease: Duration, credit: bool },
    /// The answer to a renewal of `round`. Not granted: this voter has another value or was asked to promise another
    /// node; the holder must propose its value again (V4, H8).
    Renewed { round: u64, lease: Duration, granted: bool, promised: Ballot, credit: bool },
}

/// A lease that a voter is bound by at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveLease {
    pub holder: NodeId,
    pub epoch: Epoch,
    /// How much longer, by the voter's clocks.
    pub left: Duration,
}

/// Why a voter said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another node's lease is live (V1).
    LeaseLive,
    /// The same, and the request is kept until it ends.
    Parked,
    /// It was kept, and another node's took its place.
    Evicted,
    /// The voter restarted and does not know yet what it owes (V2).
    Quarantine,
    /// A higher ballot was promised (V3).
    HigherBallot,
    /// The sender is no candidate of this group, or speaks for somebody else.
    NotCandidate,
}

/// What two voters say to each other: only about joining (V8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fellow {
    /// What do you know? The answer names the round. Whoever asks is back, in this boot.
    Recall { round: u64, boot: u64 },
    /// A voter's stage, and what it has promised and accepted.
    Recalled { round: u64, stage: Stage, register: Register, boot: u64 },
}

/// A candidate tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// Soft state, repeated. `ready` names the life that may be handed the role; `yielding`, for whom the role that this node
    /// holds is being stopped.
    Hello {
        ready: Option<Incarnation>,
        holding: Option<Epoch>,
        yielding: Option<NodeId>,
        pause: Pause,
        sent: Sent,
    },
    /// An operator's wish that `to` take over. Answered with [`PeerMessage::Answer`] under the same number.
    Ask {
        request: u64,
        to: NodeId,
    },
    Answer {
        request: u64,
        verdict: Answer,
    },
    /// The role was handed to the receiver: the value is chosen, renew it.
    Handed {
        epoch: Epoch,
        incarnation: Incarnation,
    },
}

/// When something was said, by its sender's boot clock: what overtakes it on the way is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// A digest of the sender's boot id: times of two boots cannot be compared.
    pub boot: u64,
    /// Nanoseconds of its boot clock.
    pub at: u64,
}

impl Sent {
    /// Whether `other` was said before this, as far as can be said.
    #[must_use]
    pub fn is_after(&self, other: &Sent) -> bool {
        self.boot != other.boot || self.at >= other.at
    }
}

/// Whether moves that nobody asked for are stopped. One for the whole group: the candidates tell each other, and the
/// latest word of an operator counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// Grows with every word.
    pub version: u64,
    pub on: bool,
}

/// What the holder says to an operator's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is stopping now and will hand over.
    Granted,
    /// Not now: a role change is under way.
    Busy,
    /// It holds nothing.
    NotHolder,
    /// The node asked for is not ready.
    NotReady,
}
