//! Rules that can be taken out, one at a time, to see whether the simulator notices (`make faults`).
//!
//! Exists only with the feature `faults`, which no program is built with: without it [`taken_out`] is a constant.

/// A rule that can be taken out. The table in `docs/verification.md` says which promise each one breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// V1: a prepare is refused while another node's lease is live.
    PrepareIgnoresLease,
    /// V1a: a release counts for the tenure it names, and for no other.
    ReleaseOfAnything,
    /// V2: a restarted voter waits out what it may have forgotten.
    NoQuarantine,
    /// V3: a ballot below the promised one is not promised.
    PromiseGoesBack,
    /// V3: a value below the promised ballot is not accepted.
    AcceptBelowPromise,
    /// V3: accepting a value starts the lease of its holder.
    AcceptGrantsNothing,
    /// V4: a renewal is for the recorded holder, life and epoch.
    RenewAnyHolder,
    /// V4: a renewal is refused once another node was promised a higher ballot.
    RenewDespitePromise,
    /// A tenure that was released is never granted again.
    ReleasedIsRenewed,
    /// A late copy of an accept revives nothing.
    AcceptRevivesReleased,
    /// V7: a voter counts with whichever clock ran slower.
    VoterCountsFast,
    /// V7: a promise to one life is never shortened, whatever lease is configured by now.
    PromiseShrinks,
    /// Only the proposer itself speaks for its ballot.
    AnybodysBallot,
    /// H0: only a node that stands by, or waits at the gate, bids.
    IneligibleBids,
    /// H1: the value accepted under the highest ballot is built on.
    OldestValueWins,
    /// H1: a ballot is above every counter that was seen.
    CounterNotRaised,
    /// H1: every bid has a life of its own.
    LifeUsedTwice,
    /// V8: a voter that lost its register waits before it joins again.
    JoinWithoutWaiting,
    /// V8: it hears enough fellows first.
    JoinOnOneWord,
    /// V8: it takes over the newest value that they accepted.
    JoinForgetsValue,
    /// H10: promises count for one lease.
    PromisesCountForEver,
    /// A majority is more than half.
    HalfIsEnough,
    /// One voter counts once.
    VotesCountTwice,
    /// H2: the lease counts from when the round was sent.
    CountFromAnswer,
    /// H2: belief ends before the voters' promise can (drift margin, kill at 9/12).
    NoDriftMargin,
    /// H2: answers count for the current round only.
    OldRoundsCount,
    /// H2: the shortest lease that the majority granted counts.
    OwnLeaseCounts,
    /// H3: a holder counts with whichever clock ran faster.
    HolderCountsSlow,
    /// H5: a successor renews before it believes.
    HandedIsHeld,
    /// H5: the lease is given back with a proof only.
    ReleaseWithoutProof,
    /// H6: whoever hears of a later epoch stops.
    LaterEpochIgnored,
    /// H8: a voter that was promised to another is brought back in line.
    NoRefresh,
    /// H9: a bid never asks a live holder.
    BidAsksHolder,
    /// A tenure that no gate takes charge of is given back.
    NoClaimTimeout,
    /// A tenure is not taken up again after its teardown.
    ReadoptAfterTeardown,
    /// A tenure is not taken up again when its time is over.
    ReadoptTooLate,
    /// A gate that is gone without a proof is not renewed for.
    AbandonedIsRenewed,
    /// A node that was told to pause takes nothing by itself.
    PauseIgnored,
    /// A node whose service failed for good abstains.
    NoAbstention,
    /// The holder's own ending is told to nobody else before the proof.
    HandoverBeforeProof,
    /// F1: a proof of fencing is for the life that it names.
    ProofForAnyLife,
    /// F1: a proof is for what was known when the shot began, and not for what has been learned since.
    ProofForWhatCameLater,
    /// F1: what a fence agent could not prove is no proof.
    UnprovenCounts,
    /// F2: only a node that may lead, and would, shoots.
    IneligibleShoots,
    /// F3: a proof that a voter is off is for the boot that it was heard in last.
    CreditForAnyBoot,
    /// F4: a voter that is back is asked again.
    CreditOutlivesReturn,
    /// D1: what may be chosen counts like what is chosen.
    OnlyChosenCounts,
    /// D3: a copy is waited for until the voters have agreed to do without it.
    DropsAtOnce,
    /// D5: a copy that is not whole does not lead.
    AnyCopyLeads,
    /// D5, H5: nor is it handed the role.
    HandedToAnyCopy,
}

/// Makes `taken_out` and, with the feature `faults` of the calling crate, `take_out` for a set of rules.
#[macro_export]
macro_rules! rules_can_be_taken_out {
    ($fault:ident) => {
        #[cfg(feature = "faults")]
        mod switch {
            use super::$fault;
            use std::cell::Cell;

            thread_local! {
                static OUT: Cell<Option<$fault>> = const { Cell::new(None) };
            }

            /// Takes `fault`'s rule out on this thread, until another call.
            pub fn take_out(fault: Option<$fault>) {
                OUT.set(fault);
            }

            pub(crate) fn taken_out(fault: $fault) -> bool {
                OUT.get() == Some(fault)
            }
        }

        #[cfg(feature = "faults")]
        pub use switch::take_out;
        #[cfg(feature = "faults")]
        pub(crate) use switch::taken_out;

        #[cfg(not(feature = "faults"))]
        pub(crate) const fn taken_out(_: $fault) -> bool {
            false
        }
    };
}

rules_can_be_taken_out!(Fault);
