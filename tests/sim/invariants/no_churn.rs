//! The role does not change hands in a loop: nobody takes it, drops it and takes it again by itself, over and over within one
//! lease (peers.md: roles that bounce; a livelock like that was found by a seed, see decision 0013).

use crate::cluster::World;
use crate::node::span;
use hotspare_core::Value;

/// Within one lease; the faults of a storm make five or six.
const MOST: usize = 15;

pub fn check(world: &World, group: usize) {
    let since = world.now.saturating_sub(span(world.profile.lease));
    let recent = world.acquired[group].iter().rev().take_while(|(_, _, at)| *at > since).count();
    assert!(recent <= MOST, "no_churn: group {group} was taken {recent} times within one lease");
}

/// A tenure: which node, what, and when it was acquired.
pub type Acquired = (usize, Value, u64);
