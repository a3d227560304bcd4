//! What a copy does that an operator may want to read about.

use crate::message::Refusal;
use crate::volume::Lag;
use hotspare_core::{Epoch, NodeId};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This copy may be written to from now on, as soon as all that count are equal.
    Promoted {
        epoch: Epoch,
    },
    /// It must not be promoted.
    PromotionRefused {
        epoch: Epoch,
        why: Unfit,
    },
    /// The first request may be served: every copy that counts is equal to this one.
    Serving {
        epoch: Epoch,
        after: Duration,
    },
    /// Nothing is acknowledged until `peer` is back or no longer counts.
    Frozen {
        peer: NodeId,
    },
    Thawed {
        after: Duration,
    },
    /// It counted and is waited for no longer.
    Dropped {
        peer: NodeId,
    },
    /// So many blocks have to be copied to it.
    ResyncBegins {
        peer: NodeId,
        blocks: u64,
        bytes: u64,
    },
    /// It is equal, on disk.
    Joined {
        peer: NodeId,
    },
    Refused {
        peer: NodeId,
        why: Refusal,
    },
    /// It did not answer in time.
    TooSlow {
        peer: NodeId,
    },
    /// An asynchronous copy was further behind than it may be: what it lacks is copied later.
    LeftBehind {
        peer: NodeId,
        lag: Lag,
    },
    /// A later epoch was heard of: this one is over.
    Deposed {
        by: Epoch,
    },
    Sealed {
        requests: usize,
    },
    Demoted {
        epoch: Epoch,
    },
    /// The local disk failed; the role should go to another node.
    DiskFailed,
    /// The disk of this copy does not answer.
    DiskHangs {
        /// For so long.
        after: Duration,
        /// The volume is sealed: another copy counts, and can go on.
        sealed: bool,
    },
    /// All copies have room for more than is shown: what is new is made zeros on all of them.
    GrowthBegins {
        from: u64,
        to: u64,
    },
    /// So many bytes are shown from now on.
    Grown {
        size: u64,
    },
    NotGrown {
        why: NoGrowth,
    },
    /// All copies that are equal are looked at, block by block.
    VerifyBegins,
    /// A block of `peer` is not what it should be.
    Differs {
        peer: NodeId,
        at: u64,
        len: u64,
    },
    /// So many blocks were compared with another copy, and so many were not the same: they are copied again.
    Verified {
        compared: u64,
        differ: u64,
    },
    /// Metadata could not be written; it is tried again.
    MetaFailed,
    /// This copy is a mixture of old and new until it has joined.
    NotWhole {
        peer: NodeId,
    },
}

/// Why a volume does not become larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoGrowth {
    /// This copy is not served.
    NotHere,
    UnderWay,
    /// This copy is not there, or not equal.
    Missing(NodeId),
    /// This one has no more room than is shown.
    NoRoom(NodeId),
    /// A disk did not take the zeros.
    Failed,
}

/// Why a copy is not promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A resync of it was never finished.
    NotWhole,
    /// It has heard of this later epoch.
    LaterEpoch(Epoch),
    /// It is a copy of this other data.
    OtherGeneration(u64),
}
