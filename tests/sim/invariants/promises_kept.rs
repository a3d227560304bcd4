//! V1, V2, V7: a voter that granted a lease promises nothing to anybody else before that lease is over in true time,
//! however often it restarts or suspends in between; a release by the holder, of that tenure, ends it, and so does a true proof
//! that this life of the holder is over (lease.md 4.3, F1).

use crate::cluster::World;
use crate::node::span;
use hotspare_core::message::{Fenced, FromVoter, ToVoter};
use hotspare_core::{NodeId, Value};

/// Notes what `node` answers `to`, and what it was asked.
pub fn note(world: &mut World, node: usize, group: usize, to: NodeId, (asked, said): (Option<ToVoter>, FromVoter)) {
    let (now, spread) = (world.now, world.profile.clock_spread_ppm);
    let exact = world.profile.clocks_hold();
    let (part, proofs) = (&mut world.nodes[node].parts[group], &world.proofs);
    let released = part.memory.and_then(|memory| memory.released);
    let is_released = |value: &Value| released.is_some_and(|over| over.is_of(value));
    let mut grant = |life, lease| {
        let least = u128::from(span(lease)) * 1_000_000 / u128::from(1_000_000 + spread);
        let until = now + u64::try_from(least).expect("fits");
        // A promise is not taken back by a shorter one to the same life.
        let before = part.owes.filter(|(known, _)| *known == life).map_or(0, |(_, until)| until);
        part.owes = Some((life, until.max(before)));
    };
    match (asked, said) {
        // A late accept of a tenure that is over grants nothing.
        (Some(ToVoter::Accept { value, .. }), FromVoter::Accepted { lease, .. }) if !is_released(&value) => {
            grant((value.holder, value.incarnation), lease);
        }
        (Some(ToVoter::Renew { incarnation, .. }), FromVoter::Renewed { granted: true, lease, .. }) => {
            grant((to, incarnation), lease);
        }
        (_, FromVoter::Promise { ballot, .. }) => {
            let shot = |(node, incarnation)| proofs.contains(&Fenced { node, incarnation });
            let owes = part.owes.filter(|(life, until)| life.0 != to && now < *until && !shot(*life));
            assert!(owes.is_none() || !exact, "promises_kept: voter {node} promised {ballot:?}, but owes {owes:?}");
        }
        _ => {}
    }
}

/// A release that the holder itself sent, for the tenure that is recorded.
pub fn release(world: &mut World, node: usize, group: usize, from: NodeId, message: &ToVoter) {
    let ToVoter::Release { epoch, incarnation } = *message else { return };
    let part = &mut world.nodes[node].parts[group];
    let tenure = Value::tenure(epoch, from, incarnation);
    if part.register.accepted.is_some_and(|(_, value)| value.is_of(&tenure)) {
        part.owes = None;
    }
}
