//! Volumes in virtual time: the production code of `crates/volume` on several nodes, their disks with volatile caches, the links between
//! them, the voters' record, a user. One seed is one exact history.
//!
//! The record is taken for what the other simulator and the models show it to be ([`record`]); here any number of nodes may believe
//! that they lead, for as long as they like, and no promise rests on a clock. The promises: [`invariants`].
#![forbid(unsafe_code)]

pub mod disk;
pub mod faults;
mod happening;
pub mod invariants;
mod links;
pub mod node;
pub mod profile;
pub mod record;
mod socket;
pub mod stats;
pub mod user;
pub mod world;

use profile::Profile;
use stats::Stats;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Happening, MS, World};

/// How long a run then has to heal.
const HEAL_FOR: u64 = 10_000 * MS;

pub struct Outcome {
    pub stats: Stats,
    pub broken: Option<String>,
    pub story: Vec<String>,
}

/// Runs `seed`; the same seed and profile always give the same outcome.
pub fn run(profile: &Profile, seed: u64, story: bool) -> Outcome {
    let mut world = World::new(profile.clone(), seed, story);
    let result = catch_unwind(AssertUnwindSafe(|| {
        world.at(700 * MS, Happening::Fault);
        world.play(profile.faults_for_ms * MS);
        heal(&mut world);
    }));
    let broken = result.err().map(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        text.or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "?".into())
    });
    world.stats.runs = 1;
    world.stats.seconds = world.now / (1000 * MS);
    Outcome { stats: world.stats, broken, story: world.story.unwrap_or_default() }
}

fn heal(world: &mut World) {
    world.faults_on = false;
    world.tell(|| "the faults end".into());
    for node in 0..world.profile.nodes {
        world.nodes[node].slow_disk_until = 0;
        let boot = world.nodes[node].boot;
        world.at(world.now, Happening::Hold { node, boot, on: false });
        world.at(world.now, Happening::PowerOn { node });
    }
    let end = world.profile.faults_for_ms * MS + HEAL_FOR;
    world.play(end);
    world.nodes.iter_mut().for_each(|node| node.quiet = true);
    world.play(end + 500 * MS);
    invariants::heals(world);
}
