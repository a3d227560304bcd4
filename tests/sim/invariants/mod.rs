//! The promises, one file each. Those of an instant are checked after every event, the others where they can break.

pub mod acked_is_kept;
pub mod belief_is_covered;
pub mod chosen_once;
pub mod converges;
pub mod epochs_grow;
pub mod heals;
pub mod later_epoch_stops;
pub mod no_churn;
pub mod no_idle_gate;
pub mod one_active;
pub mod one_holder;
pub mod one_role;
pub mod only_in_time;
pub mod only_the_eligible_shoot;
pub mod only_the_willing;
pub mod promises_kept;
pub mod proof_first;
pub mod proof_is_true;
pub mod proposed_once;
pub mod registers_grow;
pub mod released_stays;
pub mod stays;
pub mod stops_in_order;
pub mod taken_or_given_back;

use crate::cluster::World;

/// Panics with the name of the promise that is broken.
pub fn check(world: &mut World) {
    no_idle_gate::check(world);
    one_role::check(world);
    if world.profile.clocks_hold() {
        one_holder::check(world);
        one_active::check(world);
        only_in_time::check(world);
    }
}
