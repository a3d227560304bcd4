//! What is worth a record in the journal: one decision, one event, with its reason.

use crate::id::{Epoch, NodeId};
use std::time::Duration;

/// A decision or an observation an operator would want to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node asks for the lease; `free` for how long nobody has had it, as far as it knows.
    BidStarted {
        free: bool,
    },
    /// The bid came to nothing; another follows after `wait`.
    BidLost {
        wait: Duration,
    },
    /// A majority agreed: this node holds.
    Acquired {
        epoch: Epoch,
        from: Option<NodeId>,
        took: Duration,
    },
    /// The daemon restarted and took its lease up again.
    Readopted {
        epoch: Epoch,
    },
    /// The lease ended before it could be renewed.
    Lost {
        epoch: Epoch,
        why: Why,
    },
    /// The role is being stopped in order to let go.
    Yielding {
        epoch: Epoch,
        to: Option<NodeId>,
        why: Why,
    },
    /// A successor was chosen by the voters.
    HandedOver {
        epoch: Epoch,
        to: NodeId,
        why: Why,
    },
    /// The lease was given back; anybody may take it.
    Released {
        epoch: Epoch,
        why: Why,
    },
    /// This node will not bid for a while.
    Abstains {
        span: Duration,
    },
    /// A voter has not answered for a whole lease, or answers again.
    VoterSilent {
        voter: NodeId,
        answering: usize,
        voters: usize,
    },
    VoterBack {
        voter: NodeId,
        answering: usize,
        voters: usize,
    },
    /// A part of the register's holders had to be brought back in line (H8).
    Refreshed {
        epoch: Epoch,
    },
    /// An operator's wish was refused.
    WishRefused {
        verdict: super::Verdict,
    },
    /// Everything of the role is up.
    RoleUp {
        epoch: Epoch,
        took: Duration,
    },
    /// The role has come here by itself as often as is allowed within an hour.
    TooManyMoves {
        moves: usize,
    },
    /// A service failed for good here, and no other candidate is ready: the group stays down.
    NobodyLeft {
        epoch: Epoch,
    },
    /// A service failed for good, and stays down: moves are paused.
    FailedWhilePaused {
        epoch: Epoch,
    },
    Paused,
    Resumed,
    /// This node does not reach its clients any more, or does again.
    UplinkLost,
    UplinkBack,
    /// Another node is to be switched off: it has been silent, and its lease would run for so much longer.
    Shoots {
        node: NodeId,
        silent: Duration,
        left: Option<Duration>,
    },
    /// It is proven to be off: its lease, which would run for so much longer, is over.
    Fenced {
        node: NodeId,
        left: Option<Duration>,
    },
}

/// Why a tenure ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No majority of the voters confirmed it in time.
    NoMajority { answering: usize, voters: usize },
    /// Another node holds a later epoch.
    Deposed { by: NodeId },
    /// An operator asked for `to`.
    Asked { to: NodeId },
    /// The role was stopped here (an operator, a shutdown, another unit).
    Stopped,
    /// The gate died.
    GateDied,
    /// The gate found the lease at its end.
    GateExpired,
    /// No gate took charge of the tenure.
    Unclaimed,
    /// A service failed for good.
    ServiceFailed,
    /// A preferred node is back and the group fails back by itself.
    Failback { to: NodeId },
    /// This node does not reach its clients, and that one does.
    UplinkLost { to: NodeId },
    /// Named as successor, but no longer willing.
    Unwilling,
}

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By a job: somebody stopped the role.
    Stopped,
    /// By a signal or a watchdog.
    Died,
    /// By the timetable.
    Expired,
}
