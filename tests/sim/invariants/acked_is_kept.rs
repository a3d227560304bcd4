//! I4, I5, I6: what was acknowledged is on every copy that may lead next, and on the copy of whoever leads (lease.md 4.10, D1 to
//! D9). Holds whatever the clocks do: nothing of it rests on a lease.

use crate::cluster::{World, index};

/// The holder acknowledges the first `length` writes of its log.
pub fn on_ack(world: &mut World, node: usize, group: usize, length: usize) {
    let log = world.nodes[node].parts[group].replica.log[..length].to_vec();
    let before = &world.acknowledged[group].0;
    let both = before.len().min(log.len());
    assert!(
        before[..both] == log[..both],
        "acked_is_kept: node {node} acknowledges {:?} where {:?} was acknowledged",
        log[..both].last(),
        before[..both].last()
    );
    if log.len() > before.len() {
        world.acknowledged[group].0 = log;
    }
    check_copies(world, group);
}

/// Every copy in the set that was chosen last has everything.
pub fn check_copies(world: &World, group: usize) {
    let Some(newest) = world.ledger[group].newest() else { return };
    for member in newest.copies.insync.iter().map(index) {
        check_copy(world, member, group);
    }
}

/// Whoever acquires has everything.
pub fn check_copy(world: &World, node: usize, group: usize) {
    let acked = &world.acknowledged[group].0;
    let log = &world.nodes[node].parts[group].replica.log;
    assert!(
        log.starts_with(acked),
        "acked_is_kept: node {node} may lead and has {} writes, {} were acknowledged (last {:?} and {:?})",
        log.len(),
        acked.len(),
        log.last(),
        acked.last()
    );
}
