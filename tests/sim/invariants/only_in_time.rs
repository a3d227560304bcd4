//! I7: nothing of the role is on a node that may not believe in its lease any more, whatever has died or stopped there;
//! nor does the lease client believe in it any longer (lease.md 4.10 and 5). What a page once said holds, whatever it says
//! now: a gate sleeps by what it saw last (decision 0038).

use crate::cluster::World;
use hotspare_core::lease::PhaseName;

pub fn check(world: &World) {
    for (number, node) in world.nodes.iter().enumerate().filter(|(_, node)| node.candidate) {
        // The gate looks as soon as the machine is awake; a kill takes some milliseconds.
        if !node.powered || world.now < node.asleep_until + 20_000_000 {
            continue;
        }
        for (group, part) in node.parts.iter().enumerate() {
            let late = part.acts() && node.past_all_beliefs(group, world.now);
            assert!(!late, "only_in_time: node {number} acts in group {group} past U");
            let held = part.page.is_some_and(|page| page.held);
            if !held || !node.past_belief(group, world.now) {
                continue;
            }
            // leased does not wait for the gate to tell it: there is a step between the kill and U.
            let awake = part.lease.is_some() && world.now >= node.stopped_until + 20_000_000;
            let believes = awake && part.phase() == Some(PhaseName::Held);
            assert!(!believes, "only_in_time: leased of node {number} believes in group {group} past U");
        }
    }
}
