//! What goes in, what comes out, and what two copies say to each other.
//!
//! Bytes of data are not here: a command says whose bytes they are ([`Source`]), and the program around the core has them. The
//! very buffer that a request came with goes to the disk and to the peers (R9).

use crate::event::Event;
use crate::geometry::Range;
use crate::verify::Digest;
use hotspare_core::{Epoch, NodeId, NodeSet};

/// What a user of the volume wants of `range`; `tag` names the request until it is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub tag: u64,
    pub op: Op,
    /// Of a flush: nothing.
    pub range: Range,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Read,
    /// `durable`: completed only when it is on every disk (FUA).
    Write {
        what: What,
        durable: bool,
    },
    /// Everything that was completed before this came is on every disk when this is.
    Flush,
}

/// What a write makes of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Data,
    Discard,
    Zeroes,
}

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The request with this tag.
    Request(u64),
    /// What the disk task with this id has read.
    Read(u64),
    /// What came with the message that this session's work is about.
    Work(u64),
}

/// A task for the local disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// For the request with this tag, or for a copy.
    Read {
        range: Range,
        tag: Option<u64>,
    },
    Write {
        what: What,
        range: Range,
        durable: bool,
        source: Source,
    },
    Flush,
    /// What the bytes come to: [`Input::Digested`] when it is known, [`Input::Done`] if they cannot be read.
    Digest {
        range: Range,
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    Tick,
    Request(Request),
    /// There is an authenticated, ordered way to `peer`; `session` is never used again.
    Connected {
        peer: NodeId,
        session: u64,
    },
    Disconnected {
        peer: NodeId,
        session: u64,
    },
    /// `bytes` names the payload for [`Source::Work`], if there is one.
    FromPrimary {
        peer: NodeId,
        session: u64,
        message: ToReplica,
        bytes: u64,
    },
    FromReplica {
        peer: NodeId,
        session: u64,
        message: ToPrimary,
    },
    /// What became of [`Command::Disk`] or [`Command::Meta`].
    Done {
        id: u64,
        ok: bool,
    },
    /// The digest that a task was for.
    Digested {
        id: u64,
        digest: Digest,
    },
    /// Look whether all copies are the same.
    Verify,
    /// Show as much as all copies have room for.
    Grow,
    /// The group's lease is held in `epoch`, and the voters say that the data is this `generation`; `alone`: and that no other copy
    /// counts.
    Promote {
        epoch: Epoch,
        generation: u64,
        alone: bool,
    },
    /// D1: each of `acks` must have a write before it is acknowledged; the voters agreed on `chosen` last. What was wanted up to
    /// number `wish` was taken in.
    AckSet {
        epoch: Epoch,
        wish: u64,
        acks: NodeSet,
        chosen: NodeSet,
    },
    /// The lease runs out (8/12): nothing is completed until it is renewed.
    Hold(bool),
    /// The lease has run out (9/12): every request fails, now and later (R10).
    Seal,
    /// The role has gone.
    Demote,
}

/// What must be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Disk {
        id: u64,
        task: Task,
    },
    /// Metadata, durable when it is done.
    Meta {
        id: u64,
        at: u64,
        bytes: Vec<u8>,
    },
    ToReplica {
        peer: NodeId,
        session: u64,
        message: ToReplica,
        bytes: Option<Source>,
    },
    ToPrimary {
        peer: NodeId,
        session: u64,
        message: ToPrimary,
    },
    Close {
        peer: NodeId,
        session: u64,
    },
    Complete {
        tag: u64,
        ok: bool,
    },
    /// Ask the voters for this set of whole copies ([`crate::Wishes`], `hotspare_core::lease::Input::InSync`).
    Want {
        epoch: Epoch,
        wish: u64,
        set: NodeSet,
    },
    Journal(Event),
}

/// As what a copy is written to, for one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// It counts, or may: nothing is acknowledged without it.
    Member,
    /// It is made equal, and counts then.
    Newcomer,
    /// It never counts and nobody waits for it; it takes in what it hears in order, so that it is what a disk would be that lost its
    /// power a while ago (decision 0027).
    Asynchronous,
}

/// What copies have on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// Each of these has all writes up to this one.
    pub nodes: Vec<(NodeId, u64)>,
    /// In the first so many bytes, which is how far copies are made equal. Beyond that a growth that was cut short may have left
    /// zeros on some of them (decision 0028).
    pub size: u64,
}

/// From the copy that is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToReplica {
    /// The first word of a session.
    Hello {
        volume: u64,
        size: u64,
        epoch: Epoch,
        generation: u64,
        terms: Terms,
    },
    /// `number` grows by one with every write of a tenure.
    Write {
        number: u64,
        what: What,
        range: Range,
        durable: bool,
    },
    /// A block as it is now; every write up to `last` is in it.
    Copy {
        copy: u64,
        last: u64,
        range: Range,
    },
    Flush {
        flush: u64,
    },
    /// Does this block come to the same at yours?
    Check {
        check: u64,
        range: Range,
        digest: Digest,
    },
    /// You have everything up to `at`, on disk; and so have others.
    Join {
        at: u64,
        durable: Durable,
    },
    /// So much is shown from now on.
    Grow {
        size: u64,
    },
    Durable(Durable),
}

/// From another copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToPrimary {
    /// What may differ between the two, by extents, as far as this copy knows; and how many bytes it has room for.
    Welcome {
        room: u64,
        differs: Vec<u64>,
    },
    /// It has this size on disk.
    Grown {
        size: u64,
    },
    Refused {
        why: Refusal,
    },
    Wrote {
        number: u64,
    },
    Copied {
        copy: u64,
    },
    Flushed {
        flush: u64,
    },
    Joined,
    Checked {
        check: u64,
        same: bool,
    },
}

/// Why a copy will not be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has heard of a later epoch.
    LaterEpoch(Epoch),
    /// It is a copy of other data (R6).
    OtherGeneration(u64),
    /// It is another volume.
    OtherVolume,
    /// It has room for so many bytes only.
    NoRoom(u64),
    /// It counts, and is not whole: somebody has to look.
    NotWhole,
    /// It is not done with its own role yet.
    Busy,
}
