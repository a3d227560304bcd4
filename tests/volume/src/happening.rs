//! What will happen in a world, and when.

use crate::disk::Cell;
use crate::record::Change;
use hotspare_core::{Epoch, NodeSet};
use hotspare_volume::message::{ToPrimary, ToReplica};

/// What will happen.
#[derive(Debug)]
pub enum Happening {
    Tick {
        node: usize,
        boot: u64,
    },
    Use {
        node: usize,
        boot: u64,
    },
    Disk {
        node: usize,
        boot: u64,
        id: u64,
    },
    Meta {
        node: usize,
        boot: u64,
        id: u64,
    },
    Message {
        from: usize,
        to: usize,
        boots: (u64, u64),
        session: u64,
        message: Message,
        data: Vec<Cell>,
    },
    Connect {
        one: usize,
        other: usize,
    },
    Bid {
        node: usize,
        boot: u64,
    },
    Change {
        node: usize,
        boot: u64,
        ballot: u64,
        seen: Epoch,
        change: Change,
    },
    Learn {
        node: usize,
        boot: u64,
        ballot: u64,
        seen: Epoch,
        change: Change,
        chosen: Option<NodeSet>,
    },
    /// What the volume wants of the set is on its way to the lease client, and the answer on its way back.
    Wish {
        node: usize,
        boot: u64,
        epoch: Epoch,
        wish: u64,
        set: NodeSet,
    },
    Told {
        node: usize,
        boot: u64,
        sets: Told,
    },
    Depose {
        node: usize,
        boot: u64,
        epoch: Epoch,
    },
    Demote {
        node: usize,
        boot: u64,
        epoch: Epoch,
    },
    Hold {
        node: usize,
        boot: u64,
        on: bool,
    },
    PowerOn {
        node: usize,
    },
    LinkDown {
        one: usize,
        other: usize,
        span: u64,
    },
    LinkUp {
        one: usize,
        other: usize,
    },
    Check,
    Fault,
}

/// What the lease client says of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub epoch: Epoch,
    pub wish: u64,
    pub acks: NodeSet,
    pub chosen: NodeSet,
}

#[derive(Clone, Debug)]
pub enum Message {
    Replica(ToReplica),
    Primary(ToPrimary),
}

/// When it happens, and which comes first of two at a time.
pub(crate) struct Due(pub u64, pub u64, pub Happening);

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (other.0, other.1).cmp(&(self.0, self.1))
    }
}
