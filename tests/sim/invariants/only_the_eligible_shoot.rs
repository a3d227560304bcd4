//! F2: only a node that may lead, and would, shoots: one that may not would shoot the only whole copy again and again (lease.md
//! 4.7). What it knows of the copies may be half a lease old, and a
//! lease on its way before that.

use crate::cluster::World;
use crate::node::span;

pub fn check(world: &World, node: usize, group: usize) {
    let part = &world.nodes[node].parts[group];
    if world.profile.fence_votes && part.held {
        return; // F3: a holder shoots the voter that it needs and does not hear
    }
    assert!(part.could || part.could_lead(&world.units), "only_the_eligible_shoot: node {node} does not stand by");
    assert!(!part.paused || part.asked, "only_the_eligible_shoot: node {node} is paused");
    let since = world.now.saturating_sub(2 * span(world.profile.lease));
    let eligible = world.ledger[group].copies_since(since).any(|copies| copies.may_lead(world.nodes[node].id));
    let unborn = world.ledger[group].newest().is_none();
    // What one voter has accepted may be chosen, or may be soon: a copy is whole before anybody proposes it (D4).
    let lets = |voter: &crate::node::Node| voter.parts[group].register.accepted;
    let recorded = world.nodes.iter().filter_map(lets).any(|(_, value)| value.copies.may_lead(world.nodes[node].id));
    let eligible = eligible || recorded;
    assert!(
        eligible || unborn || !world.profile.clocks_hold(),
        "only_the_eligible_shoot: node {node} has no whole copy"
    );
}
