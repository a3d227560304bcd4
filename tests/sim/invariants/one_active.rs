//! I7: the role is active on one node at a time; a node without the lease runs nothing of it (lease.md 4.10).

use crate::cluster::World;
use crate::node::Node;

pub fn check(world: &World) {
    // A suspended machine does nothing; what counts is that it does nothing *after* it woke up either.
    let acts = |node: &&Node| node.powered && world.now > node.asleep_until;
    let active = world.nodes.iter().filter(acts).filter(|node| node.gate.as_ref().is_some_and(|gate| gate.active));
    let active: Vec<_> = active.map(|node| node.id).collect();
    assert!(active.len() <= 1, "one_active: the role runs on {active:?}");
}
