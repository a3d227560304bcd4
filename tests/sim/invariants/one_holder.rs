//! I3: at most one incarnation believes that it holds, at any instant of true time (lease.md 4.10).
//!
//! Kleppmann, "How to do distributed locking" (2016): this is what a lease can promise under a clock-rate bound.

use crate::cluster::World;

pub fn check(world: &World) {
    for group in 0..world.profile.groups {
        let awake = world.nodes.iter().filter(|node| world.now > node.asleep_until);
        let believers: Vec<_> = awake.filter_map(|node| Some((node.id, node.believes(group, world.now)?))).collect();
        assert!(believers.len() <= 1, "one_holder: {believers:?} all believe they hold group {group}");
    }
}
