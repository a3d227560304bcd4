//! I7: something of the role (a process in its slice, its address) is on one node at a time (lease.md 4.10).

use crate::cluster::World;
use crate::node::Node;

pub fn check(world: &World) {
    // A suspended machine does nothing; what counts is that it does nothing *after* it woke up either.
    let awake = |node: &&Node| node.powered && world.now > node.asleep_until;
    for group in 0..world.profile.groups {
        let active = world.nodes.iter().filter(awake).filter(|node| node.parts[group].acts());
        let active: Vec<_> = active.map(|node| node.id).collect();
        assert!(active.len() <= 1, "one_active: group {group} runs on {active:?}");
    }
}
