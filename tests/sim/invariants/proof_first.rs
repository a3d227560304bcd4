//! H5: no lease is given back, and no successor named, while anything of that tenure is on the node (lease.md 4.5,
//! systemd.md "No release without proof").

use crate::cluster::World;
use hotspare_core::message::ToVoter;

pub fn check(world: &World, node: usize, group: usize, message: &ToVoter) {
    let part = &world.nodes[node].parts[group];
    let gives_up = match message {
        // A late copy that names a former tenure of this node ends nothing.
        ToVoter::Release { incarnation, .. } => part.life == Some(*incarnation),
        ToVoter::Accept { value, .. } => value.holder != world.nodes[node].id,
        _ => false,
    };
    assert!(!gives_up || !part.acts(), "proof_first: node {node} lets go of group {group} while it runs there");
}
