//! A gate stands in front of a role: where the primary target is neither active nor on its way, the gate goes as well, and
//! with it the lease (systemd.md, "lease held, target neither active nor queued").

use crate::cluster::World;

/// A transaction and a slow stop may lie between.
const PATIENCE: u64 = 12_000_000_000;

pub fn check(world: &mut World) {
    let (units, now) = (world.units.clone(), world.now);
    for (number, node) in world.nodes.iter_mut().enumerate().filter(|(_, node)| node.candidate) {
        for (group, part) in node.parts.iter_mut().enumerate() {
            let role = part.manager.is_active(units.primary) || part.manager.has_job(units.primary);
            if part.gate.is_none() || role {
                part.idle_since = None;
                continue;
            }
            let since = *part.idle_since.get_or_insert(now);
            assert!(
                now < since + PATIENCE || now < node.asleep_until,
                "no_idle_gate: node {number} guards nothing in group {group}"
            );
        }
    }
}
