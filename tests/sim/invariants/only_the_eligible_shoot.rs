//! F2: only a node that may lead, and would, shoots: one that may not would shoot the only whole copy again and again (lease.md
//! 4.7). What it knows of the copies may be half a lease old.

use crate::cluster::World;
use crate::node::span;

pub fn check(world: &World, node: usize, group: usize) {
    let part = &world.nodes[node].parts[group];
    let stands_by = part.manager.is_active(world.units.standby);
    let waits = part.manager.state(world.units.gate) == crate::systemd::State::Activating;
    assert!(stands_by || waits, "only_the_eligible_shoot: node {node} does not stand by");
    assert!(!part.paused || part.asked, "only_the_eligible_shoot: node {node} is paused");
    let since = world.now.saturating_sub(span(world.longest_lease()));
    let eligible = world.ledger[group].copies_since(since).any(|copies| copies.may_lead(world.nodes[node].id));
    assert!(eligible || !world.profile.clocks_hold(), "only_the_eligible_shoot: node {node} has no whole copy");
}
