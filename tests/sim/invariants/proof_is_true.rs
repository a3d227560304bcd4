//! A proof says that nothing of the tenure is on the node: it is only written when that is so.

use crate::cluster::World;

pub fn check(world: &World, node: usize, group: usize) {
    let part = &world.nodes[node].parts[group];
    assert!(!part.acts(), "proof_is_true: node {node} proved group {group} empty, and it is not");
}
