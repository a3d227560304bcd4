//! I8: after the faults end, some node serves within a bound and keeps serving (lease.md 4.10).

use crate::cluster::World;
use crate::node::{Node, span};

/// How long healing may take: reboots of 4 L, the longest abstention after repeated failures excepted, then 3 L and the
/// slowest stop and start of the model.
#[must_use]
pub fn bound(world: &World) -> u64 {
    span(world.profile.lease) * 8 + 20_000_000_000
}

pub fn check(world: &World) {
    let serving = world.nodes.iter().filter(|node| node.gate.as_ref().is_some_and(|gate| gate.active && gate.up));
    let count = serving.count();
    let states = || -> Vec<_> {
        let phase = |node: &Node| node.lease.as_ref().map(|lease| lease.status().phase);
        world.nodes.iter().map(|node| (node.powered, node.gate.clone(), phase(node))).collect()
    };
    assert!(count == 1, "heals: {count} serve {} ms after the faults ended: {:?}", bound(world) / 1_000_000, states());
}
