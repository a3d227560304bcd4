//! V1, V2, V7: a voter that granted a lease promises nothing to anybody else before that lease is over in true time,
//! however often it restarts or suspends in between; a release by the holder, of that tenure, ends it (lease.md 4.3).

use crate::cluster::World;
use crate::node::span;
use hotspare_core::message::{FromVoter, ToVoter};
use hotspare_core::{NodeId, Value};

/// Notes what `node` answers `to`, and what it was asked.
pub fn note(world: &mut World, node: usize, group: usize, to: NodeId, (asked, said): (Option<ToVoter>, FromVoter)) {
    let (now, spread) = (world.now, world.profile.clock_spread_ppm);
    let exact = world.profile.clocks_hold();
    let part = &mut world.nodes[node].parts[group];
    let released = part.memory.and_then(|memory| memory.released);
    let mut grant = |holder, lease| {
        let least = u128::from(span(lease)) * 1_000_000 / u128::from(1_000_000 + spread);
        part.owes = Some((holder, now + u64::try_from(least).expect("fits")));
    };
    match (asked, said) {
        // A late accept of a tenure that is over grants nothing.
        (Some(ToVoter::Accept { value, .. }), FromVoter::Accepted { lease, .. }) if released != Some(value) => {
            grant(value.holder, lease);
        }
        (Some(ToVoter::Renew { .. }), FromVoter::Renewed { granted: true, lease, .. }) => grant(to, lease),
        (_, FromVoter::Promise { ballot, .. }) => {
            let owes = part.owes.filter(|(holder, until)| *holder != to && now < *until);
            assert!(owes.is_none() || !exact, "promises_kept: voter {node} promised {ballot:?}, but owes {owes:?}");
        }
        _ => {}
    }
}

/// A release that the holder itself sent, for the tenure that is recorded.
pub fn release(world: &mut World, node: usize, group: usize, from: NodeId, message: &ToVoter) {
    let ToVoter::Release { epoch, incarnation } = *message else { return };
    let part = &mut world.nodes[node].parts[group];
    let tenure = Value { epoch, holder: from, incarnation };
    if part.register.accepted.is_some_and(|(_, value)| value == tenure) {
        part.owes = None;
    }
}
