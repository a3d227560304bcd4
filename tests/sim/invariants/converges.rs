//! H8: once the faults are over, every voter that runs stands behind the holder: none stays lost (lease.md 4.5).

use crate::cluster::World;

pub fn check(world: &World) {
    for group in 0..world.profile.groups {
        if world.profile.data {
            continue; // a change of the set that a voter missed is mended when there is a reason to (H8)
        }
        let newest = world.ledger[group].newest();
        for (node, state) in world.nodes.iter().enumerate() {
            let part = &state.parts[group];
            let Some(voter) = &part.voter else { continue };
            let has = voter.register().accepted.map(|(_, value)| value);
            assert!(has == newest, "converges: voter {node} has {has:?}, chosen was {newest:?}");
        }
    }
}
