//! systemd.md, "Letting go": when process 1 stops the gate, everything behind it has stopped before, in its own way and time.
//! The proof finds nothing to kill. (It kills what it finds: this is not about safety, it is about a database that was stopped
//! and one that was shot. Whoever starts a unit of the role by hand while it stops may undo that stop, decision 0010.)

use crate::cluster::World;
use hotspare_core::lease::Ended;

pub fn check(world: &World, node: usize, group: usize, how: Ended) {
    let part = &world.nodes[node].parts[group];
    if how == Ended::Stopped && !part.meddled {
        let left: Vec<_> = part.populated.iter().map(|unit| world.units.graph.names[*unit].as_str()).collect();
        assert!(left.is_empty(), "stops_in_order: node {node}.{group}: the gate was stopped, and {left:?} still runs");
    }
}
