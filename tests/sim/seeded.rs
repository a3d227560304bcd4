//! Everything that can be made wrong on purpose, to see that it is found: rules of the core (`hotspare_core::fault`) and
//! of what surrounds it. `hotspare-sim --faults` takes them one at a time and writes the table of docs/verification.md.

#[cfg(feature = "faults")]
use hotspare_core::fault::Fault as F;
use std::cell::Cell;

/// What the shell, the gate, the disk and the units must do right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelFault {
    PromiseNotSynced,
    ValueNotSynced,
    MemoryForgotten,
    ProofWhilePopulated,
    ProofLeavesAddress,
    ProofOnce,
    GateIgnoresDeadline,
    GateOpensLate,
    GateLeavesAddress,
    ClaimNotMissed,
    DeadGateUnnoticed,
    GatePulledIn,
    RequisiteOnGate,
    StartsAnywhere,
    RoleWantedByBoot,
    StandbyUnordered,
    NoWayBackToStandby,
    GateOutlivesRole,
    FailureForgotten,
    OldGateHauntsNewTenure,
    ServiceOutlivesRole,
    NoGiveUp,
    OldEpochsWrite,
    VotesUnjoined,
}

thread_local! {
    static OUT: Cell<Option<ModelFault>> = const { Cell::new(None) };
}

/// Whether `fault` is in force on this thread.
#[must_use]
pub fn out(fault: ModelFault) -> bool {
    OUT.get() == Some(fault)
}

/// One seeded fault.
#[derive(Clone, Copy, Debug)]
pub enum Seeded {
    #[cfg(feature = "faults")]
    Core(F),
    Model(ModelFault),
}

impl Seeded {
    /// Puts it in force on this thread; `None` takes all out.
    pub fn enforce(fault: Option<Seeded>) {
        OUT.set(match fault {
            Some(Seeded::Model(fault)) => Some(fault),
            _ => None,
        });
        #[cfg(feature = "faults")]
        hotspare_core::fault::take_out(match fault {
            Some(Seeded::Core(fault)) => Some(fault),
            _ => None,
        });
    }

    #[must_use]
    pub fn name(&self) -> String {
        match self {
            #[cfg(feature = "faults")]
            Seeded::Core(fault) => format!("{fault:?}"),
            Seeded::Model(fault) => format!("{fault:?}"),
        }
    }
}

/// All of them: the rule, what is done instead.
#[must_use]
pub fn all() -> Vec<(Seeded, &'static str, &'static str)> {
    use ModelFault as M;
    let model = |fault, rule, what| (Seeded::Model(fault), rule, what);
    #[cfg(feature = "faults")]
    let mut all = core();
    #[cfg(not(feature = "faults"))]
    let mut all = Vec::new();
    all.extend([
        model(M::PromiseNotSynced, "V3", "a promise is given before it is on disk"),
        model(M::ValueNotSynced, "V3", "a value is acknowledged before it is on disk"),
        model(M::MemoryForgotten, "4.4", "a voter restarted within a boot forgets its lease and does not wait"),
        model(M::ProofWhilePopulated, "H5", "the proof is given while processes of the role run"),
        model(M::ProofLeavesAddress, "H5", "the proof is given while the address is up"),
        model(M::ProofOnce, "0006", "only ExecStopPost proves; nothing does when it is killed"),
        model(M::GateIgnoresDeadline, "5", "the gate acts only when leased tells it to"),
        model(M::GateOpensLate, "5", "a gate opens however old the last renewal is"),
        model(M::GateLeavesAddress, "5", "at the kill step the address stays"),
        model(M::ClaimNotMissed, "leased", "a tenure whose gate left no claim is renewed for"),
        model(M::DeadGateUnnoticed, "leased", "a restarted leased does not look whether a gate is there"),
        model(M::GatePulledIn, "units", "the user's unit has BindsTo= on the gate"),
        model(
            M::RequisiteOnGate,
            "units",
            "the user's unit has Requisite= on the gate: its start cancels the gate's stop",
        ),
        model(M::StartsAnywhere, "units", "the user's unit does not ask whether the gate is open"),
        model(M::RoleWantedByBoot, "units", "multi-user.target wants the standby target"),
        model(M::StandbyUnordered, "units", "the standby's own unit is not ordered after the primary's"),
        model(M::NoWayBackToStandby, "units", "the gate's OnFailure does not start the standby target"),
        model(M::GateOutlivesRole, "units", "neither the standby target nor the end of the primary stops the gate"),
        model(M::ServiceOutlivesRole, "units", "the user's unit is neither PartOf the role nor stopped with the gate"),
        model(M::NoGiveUp, "units", "the user's unit has no OnFailure"),
        model(M::FailureForgotten, "0013", "what failed while paused is not looked at when the pause ends"),
        model(M::VotesUnjoined, "F4", "one of two voters votes after a power cycle before it has heard the other"),
        model(M::OldEpochsWrite, "D6", "a copy takes in what a former holder sends"),
        model(M::OldGateHauntsNewTenure, "leased", "a gate that hung up counts against the next tenure too"),
    ]);
    all
}

#[cfg(feature = "faults")]
fn core() -> Vec<(Seeded, &'static str, &'static str)> {
    let core = |fault, rule, what| (Seeded::Core(fault), rule, what);
    vec![
        core(F::PrepareIgnoresLease, "V1", "a prepare is granted while another node's lease is live"),
        core(F::ReleaseOfAnything, "V1a", "any release ends the lease, whatever tenure it names"),
        core(F::NoQuarantine, "V2", "a restarted voter promises at once"),
        core(F::PromiseGoesBack, "V3", "a lower ballot is promised after a higher one"),
        core(F::AcceptBelowPromise, "V3", "a value below the promised ballot is accepted"),
        core(F::AcceptGrantsNothing, "V3", "accepting a value starts no lease"),
        core(F::RenewAnyHolder, "V4", "anybody renews whatever is recorded"),
        core(F::RenewDespitePromise, "V4", "renewals go on after a higher promise to another node"),
        core(F::ReleasedIsRenewed, "V4", "a late renewal revives a released tenure"),
        core(F::AcceptRevivesReleased, "V3", "a late accept revives a released tenure"),
        core(F::PromiseShrinks, "V7", "a shorter lease of a new configuration shortens what was promised"),
        core(F::VoterCountsFast, "V7", "a voter's promise ends when either clock says so"),
        core(F::AnybodysBallot, "V6", "a node speaks for another node's ballot"),
        core(F::IneligibleBids, "H0", "a node that does not stand by bids"),
        core(F::OldestValueWins, "H1", "the value under the lowest ballot is built on"),
        core(F::CounterNotRaised, "H1", "the next ballot is not above what was seen"),
        core(F::LifeUsedTwice, "H1", "one value is proposed under two ballots"),
        core(F::JoinWithoutWaiting, "V8", "a voter that lost its register joins again at once"),
        core(F::JoinOnOneWord, "V8", "one fellow's word is enough for it"),
        core(F::JoinForgetsValue, "V8", "it takes over the highest promise, and not the newest value"),
        core(F::PromisesCountForEver, "H10", "promises of any age count"),
        core(F::HalfIsEnough, "quorum", "half of the voters count as a majority"),
        core(F::VotesCountTwice, "quorum", "an answer that comes twice counts twice"),
        core(F::CountFromAnswer, "H2", "the lease counts from the answer, not from the question"),
        core(F::NoDriftMargin, "H2", "the holder believes for the whole lease"),
        core(F::OldRoundsCount, "H2", "answers to earlier rounds count"),
        core(F::OwnLeaseCounts, "H2", "the longest lease granted counts, not the shortest"),
        core(F::HolderCountsSlow, "H3", "a holder's belief ends when both clocks say so"),
        core(F::HandedIsHeld, "H5", "a named successor acts without a renewal of its own"),
        core(F::ReleaseWithoutProof, "H5", "a lost lease is released without a proof"),
        core(F::HandoverBeforeProof, "H5", "the successor is named before the proof"),
        core(F::LaterEpochIgnored, "H6", "a later epoch demotes nobody"),
        core(F::NoRefresh, "H8", "a voter that was promised to another stays lost"),
        core(F::BidAsksHolder, "H9", "a bid asks the live holder to hand over"),
        core(F::NoClaimTimeout, "leased", "a tenure that no gate takes is renewed for ever"),
        core(F::ReadoptAfterTeardown, "leased", "a restarted leased takes up a tenure that has been proven over"),
        core(F::ReadoptTooLate, "leased", "a restarted leased takes up a tenure after its kill step"),
        core(F::AbandonedIsRenewed, "0006", "a gate that left no proof is renewed for"),
        core(F::PauseIgnored, "pause", "a paused node bids"),
        core(F::NoAbstention, "give-up", "a node whose service failed bids again at once"),
        core(F::ProofForAnyLife, "F1", "a proof of fencing ends the lease of any life of that node"),
        core(F::ProofForWhatCameLater, "F1", "a proof is for the life that is known when the shot is over"),
        core(F::UnprovenCounts, "F1", "a fence agent that could not confirm counts as a proof"),
        core(F::IneligibleShoots, "F2", "a node that may not lead shoots"),
        core(F::CreditForAnyBoot, "F3", "a proof that a voter was off in a former boot counts as its vote"),
        core(F::CreditOutlivesReturn, "F4", "a voter that is back counts as granted without being asked"),
        core(F::OnlyChosenCounts, "D1, D4", "a copy that comes is waited for only when it is chosen"),
        core(F::DropsAtOnce, "D3", "a copy that goes is not waited for while the voters are asked"),
        core(F::AnyCopyLeads, "D5", "a node whose copy is not whole takes over"),
        core(F::HandedToAnyCopy, "D5, H5", "a node whose copy is not whole is handed the role"),
    ]
}
