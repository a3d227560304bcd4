//! H0: a lease is taken by a node that can start the role; and by itself only where it may: not while an operator has
//! paused it, not while it abstains because its service failed (lease.md 4.5, systemd.md).

use crate::cluster::World;

pub fn check(world: &World, node: usize, group: usize) {
    let part = &world.nodes[node].parts[group];
    assert!(part.could_lead(&world.units), "only_the_willing: node {node} took group {group} and does not stand by");
    // A predecessor that named this node may have heard of it last before it was paused.
    let named = part.asked || part.named;
    assert!(named || !part.paused, "only_the_willing: node {node} took group {group} while paused");
    // By the node's own clocks: nothing to compare with where those run wild.
    let abstains = part.abstains_until > world.now && world.profile.clocks_hold();
    assert!(named || !abstains, "only_the_willing: node {node} took group {group} while it abstains");
}
