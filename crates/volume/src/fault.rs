//! Rules that can be taken out, one at a time, to see whether the simulator notices (`make faults`).

/// A rule that can be taken out. docs/faults-volume.md says which promise each one breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeFault {
    /// R1: every copy that counts has a write before it is acknowledged.
    AckWithoutPeers,
    /// R1: and this copy too.
    AckWithoutLocal,
    /// R1: a flush is acknowledged when every copy that counts is flushed.
    FlushWithoutPeers,
    /// R1: and this copy too.
    FlushWithoutLocal,
    /// R1: a copy says that it is flushed when it is.
    FlushedTooEarly,
    /// R1: what is read is on every copy that counts, as what is acknowledged is.
    ReadsUnacked,
    /// D1: what may be chosen counts like what is chosen.
    OnlyChosenCounts,
    /// D4: what was asked for counts until it is known that something later was.
    LastWishOnly,
    /// D0: a copy counts when every volume of the group wants it.
    OneWishIsEnough,
    /// And a volume waits for whom it has asked for, whether or not the others want the same.
    OwnWishIsForgotten,
    /// R4: the intent is on disk before a write is.
    NoIntent,
    /// R4: a copy that is written to from elsewhere keeps an intent as well (D8 with three copies).
    NoIntentAtReplica,
    /// R4: bits go only when a write is flushed on both sides.
    ClearedWhenAcked,
    /// R4: on both, not on either.
    ClearedByEither,
    /// R4: nobody is served before every copy that counts is equal to this one.
    ServesBeforeEqual,
    /// R5: a copy that is made whole again is not whole meanwhile.
    TargetStaysWhole,
    /// R5: it counts only when it has everything.
    JoinsTooEarly,
    /// R5: and has it on disk.
    JoinsWithoutFlush,
    /// R5: and whatever was flushed before it counted.
    CountsTooEarly,
    /// R5: what it missed is what either side says.
    OwnBitsOnly,
    /// R5: a block is read for a copy while nobody writes to it.
    CopyWithoutLock,
    /// R8: writes that overlap go one after the other.
    NoLocks,
    /// R8: at a copy that is written to from elsewhere as well.
    NoLocksAtReplica,
    /// D6: what comes from an earlier epoch is refused.
    OldEpochsWrite,
    /// D6: and the epoch is on disk before it is said to be.
    EpochNotKept,
    /// D7: a new session begins when the last write of the old one has landed.
    NoDrain,
    /// A block is looked at while nobody writes to it.
    VerifyWithoutLock,
    /// And the other copy looks when it is its turn.
    VerifyOutOfTurn,
    /// R5: a block that was compared and is not the same is copied.
    ComparedIsSame,
    /// An asynchronous copy begins nothing that came after a flush before that is done.
    FlushIsNoMark,
    /// Nor what came after a durable write.
    DurableIsNoMark,
    /// And no flush passes it by from the moment on in which it is equal.
    FlushPassesBy,
    /// What a volume grows by is zeros on all copies.
    GrowsUnzeroed,
    /// And shown when all that count know how large it is.
    GrowsUnheard,
    /// A copy that was made equal up to the old size is not said to be equal beyond that.
    ClearsBeyond,
    /// Whoever joins knows it as well.
    SizeNotTaken,
    /// R10: nothing is acknowledged after the seal.
    AcksAfterSeal,
}

hotspare_core::rules_can_be_taken_out!(VolumeFault);
