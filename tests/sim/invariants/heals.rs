//! I8: after the faults end, exactly one node serves within a bound and keeps serving; every other candidate stands by
//! (lease.md 4.10).

use crate::cluster::World;
use crate::node::span;

/// How long healing may take: reboots of 4 L, an unclaimed tenure of 15 s, then 3 L and the slowest stop and start of
/// the model.
#[must_use]
pub fn bound(world: &World) -> u64 {
    span(world.profile.lease) * 12 + 45_000_000_000
}

pub fn check(world: &World) {
    for group in 0..world.profile.groups {
        let serving: Vec<usize> =
            (0..world.profile.candidates).filter(|node| world.nodes[*node].serves(group, &world.units)).collect();
        let describe = |node: usize| {
            let part = &world.nodes[node].parts[group];
            let units = part.manager.describe(&world.units.graph);
            format!("node {node}: powered {}, {:?}, {units}", world.nodes[node].powered, part.phase())
        };
        let all = || (0..world.profile.candidates).map(describe).collect::<Vec<_>>().join("; ");
        assert!(serving.len() == 1, "heals: {serving:?} serve group {group} at the end: {}", all());
        for node in 0..world.profile.candidates {
            let stands_by = world.nodes[node].parts[group].manager.is_active(world.units.standby);
            let excused = world.nodes[node].run_full; // it owes a proof that it cannot write: the others do without it
            assert!(serving == [node] || stands_by || excused, "heals: node {node} does nothing: {}", all());
        }
    }
}
