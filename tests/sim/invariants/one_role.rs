//! On one machine a role is over before the other begins: the standby's own services never run beside the primary's
//! (systemd.md, "The units of a group").

use crate::cluster::World;

pub fn check(world: &World) {
    for (number, node) in world.nodes.iter().enumerate() {
        for (group, part) in node.parts.iter().enumerate() {
            assert!(!(part.keeper_runs && part.acts()), "one_role: both roles of group {group} run on node {number}");
        }
    }
}
