//! H2, V7: whenever a holder begins to believe, or believes for longer, a majority of the voters owe it their promise for at
//! least as long in true time. That is what makes one holder: two majorities share a voter (Gray and Cheriton, Leases, 1989;
//! lease.md 4.5). Checked where a belief is published, so that no second holder has to come by to show that it was wrong.

use crate::cluster::World;
use hotspare_core::Timetable;
use hotspare_core::lease::Tenure;

pub fn check(world: &World, node: usize, group: usize, tenure: &Tenure) {
    if !tenure.held || !world.profile.clocks_hold() {
        return;
    }
    let holder = &world.nodes[node];
    let end = tenure.sent.plus(Timetable::new(tenure.lease).believed());
    // The first instant of true time at which either clock has reached the end, to a microsecond.
    let (mut before, mut after) = (world.now, world.now + 2 * crate::node::span(tenure.lease));
    while after - before > 1_000 {
        let middle = before.midpoint(after);
        if holder.clock.read(middle).any_past(end) {
            after = middle;
        } else {
            before = middle;
        }
    }
    let owed = |owes: Option<(_, u64)>| owes.is_some_and(|((to, _), until)| to == holder.id && until >= before);
    let voters = world.nodes.iter().filter(|voter| owed(voter.parts[group].owes)).count();
    if world.profile.fence_votes {
        // F3: of two voters the holder's own is in every majority, but in one that a proof that this node is off has made.
        let own = owed(holder.parts[group].owes);
        assert!(own, "belief_is_covered: node {node} believes, and its own voter does not owe it so much");
        return;
    }
    let majority = hotspare_core::majority(world.profile.voters);
    let left = (before - world.now) as f64 / 1e6;
    assert!(
        voters >= majority || left <= 0.001,
        "belief_is_covered: node {node} believes for {left:.1} ms more, and only {voters} voters owe it so much"
    );
}
