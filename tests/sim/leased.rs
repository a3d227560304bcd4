//! What `bins/leased` does around the lease client, where it matters: who is behind a tenure, and what if nobody is.

use crate::node::Part;
use crate::seeded::{ModelFault, out};
use crate::systemd::State;
use crate::units::Units;
use hotspare_core::Stamp;
use hotspare_core::lease::{Ended, Input, Lease, PhaseName, Tenure};

/// As `GroupRun::notice_gate`: a gate holds a lock on its claim; a restarted leased finds out whether one is there.
pub fn notice_gate(part: &mut Part, units: &Units, now: Stamp) {
    let alive = part.gate.is_some() || part.manager.state(units.gate) == State::Activating;
    let holds = part.lease.as_ref().is_some_and(|lease| lease.is_claimed());
    let unnoticed = !part.shell.attached && !alive && part.gate_gone().is_none();
    if holds && unnoticed && !out(ModelFault::DeadGateUnnoticed) {
        part.shell.gone = part.page.map(|page| (page.value.incarnation, now));
    }
}

/// As `GroupRun::overdue`: a gate that hung up and left no proof is not renewed for any more.
pub fn overdue(part: &Part, now: Stamp) -> Option<Input> {
    let waits = |page: &Tenure| {
        let status = part.lease.as_ref().map(Lease::status);
        status.is_some_and(|status| (page.held && status.claimed) || status.phase == PhaseName::Lost)
    };
    let unclaimed = !part.shell.attached && part.claim.is_none();
    if let Some(page) = part.page.filter(|page| unclaimed && waits(page)) {
        let incarnation = page.value.incarnation;
        let how = part.proof.filter(|(life, _)| *life == incarnation).map_or(Ended::Died, |(_, how)| how);
        return (!out(ModelFault::ClaimNotMissed)).then_some(Input::Emptied { incarnation, how });
    }
    let (since, tenure) = (part.gate_gone()?, part.page?);
    let holds = matches!(part.phase(), Some(PhaseName::Held | PhaseName::Yielding));
    (holds && now.longest_since(since) >= tenure.lease * 2).then_some(Input::Abandoned)
}
