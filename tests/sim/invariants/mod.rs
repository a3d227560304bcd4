//! The promises, one file each, checked after every event.

pub mod epochs_grow;
pub mod heals;
pub mod one_active;
pub mod one_holder;
pub mod registers_grow;

use crate::cluster::World;

/// Panics with the name of the promise that is broken.
pub fn check(world: &World) {
    one_holder::check(world);
    one_active::check(world);
}
