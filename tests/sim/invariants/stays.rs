//! Nothing moves without a reason: in a healthy cluster neither a restart of daemons, nor a reboot of a standby, nor a
//! user who starts `multi-user.target` or the service on a standby moves a role (systemd.md, "Tried").

use crate::cluster::World;
use crate::invariants::no_churn::Acquired;

/// Who holds each group.
#[must_use]
pub fn holders(world: &World) -> Vec<Option<Acquired>> {
    world.acquired.iter().map(|acquired| acquired.last().copied()).collect()
}

pub fn check(world: &World, before: &[Option<Acquired>]) {
    for (group, before) in before.iter().enumerate() {
        let now = world.acquired[group].last().copied();
        assert!(now == *before, "stays: group {group} moved from {before:?} to {now:?} without a reason");
    }
}
