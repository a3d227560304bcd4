//! One run: a seed, a profile, three phases.

use crate::cluster::{Happening, World};
use crate::node::span;
use crate::profile::Profile;
use crate::{faults, invariants};
use hotspare_core::lease::Input;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What happened in a run, or in many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub runs: u64,
    pub events: u64,
    pub faults: u64,
    pub crashes: u64,
    pub acquisitions: u64,
    pub kills: u64,
    /// Voters that lost their registers and joined again.
    pub rejoined: u64,
    /// Writes acknowledged, sets of whole copies chosen, shots fired.
    pub writes: u64,
    pub sets: u64,
    pub shots: u64,
    pub fsyncs: u64,
    pub answers: u64,
    /// Simulated time, in seconds.
    pub seconds: u64,
}

impl Stats {
    /// Adds another run's figures.
    pub fn add(&mut self, other: &Stats) {
        self.runs += other.runs;
        self.events += other.events;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.acquisitions += other.acquisitions;
        self.kills += other.kills;
        self.rejoined += other.rejoined;
        self.writes += other.writes;
        self.sets += other.sets;
        self.shots += other.shots;
        self.fsyncs += other.fsyncs;
        self.answers += other.answers;
        self.seconds += other.seconds;
    }
}

impl std::fmt::Display for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stats {
            runs,
            events,
            faults,
            crashes,
            acquisitions,
            kills,
            rejoined,
            writes,
            sets,
            shots,
            fsyncs,
            seconds,
            ..
        } = self;
        write!(f, "runs {runs}, failovers {acquisitions}, faults {faults}, crashes {crashes}, kills {kills}, ")?;
        write!(f, "voters replaced {rejoined}, shots {shots}, writes {writes}, sets of copies {sets}, ")?;
        write!(f, "fsyncs {fsyncs}, events {events}, hours {};", seconds / 3600)
    }
}

/// How a run ended.
pub struct Outcome {
    pub stats: Stats,
    /// The broken promise, if any.
    pub broken: Option<String>,
    pub story: Vec<String>,
}

/// Runs `seed`; the same seed and profile always give the same outcome.
#[must_use]
pub fn run(profile: &Profile, seed: u64, story: bool) -> Outcome {
    let mut world = World::new(profile.clone(), seed, story);
    let result = catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    let broken = result.err().map(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        text.or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "?".into())
    });
    world.stats.runs = 1;
    world.stats.seconds = world.now / 1_000_000_000;
    Outcome { stats: world.stats, broken, story: world.story.unwrap_or_default() }
}

fn play(world: &mut World) {
    // Safety: everything goes wrong.
    let calm = span(world.profile.faults_for);
    world.at(calm / 20, Happening::Fault);
    play_until(world, calm);
    // Liveness: nothing goes wrong any more, and it heals.
    world.faults_on = false;
    world.apply(Happening::Heal);
    world.tell(|| "the faults end".into());
    if world.profile.uplinks {
        // What everybody reaches or nobody does keeps nobody from leading.
        let there = world.rng.one_in(2);
        for node in 0..world.profile.candidates {
            world.nodes[node].uplink = there;
            (0..world.profile.groups).for_each(|group| world.lease(node, group, Input::Uplink(there)));
        }
    }
    for node in 0..world.profile.candidates {
        if world.profile.data && world.nodes[node].run_full {
            world.power_off(node); // it may have the only whole copy, and can start nothing: somebody boots it anew
        }
        for group in 0..world.profile.groups {
            world.lease(node, group, Input::Pause(false));
            world.nodes[node].parts[group].gate_broken_until = 0;
            let boot = world.nodes[node].boot;
            world.at(calm + 12_000_000_000, Happening::Rejoin { node, group, boot });
            world.at(calm + 12_000_000_000, Happening::Resume { node, group });
            // A node that abstains after a failed service is brought back by an operator, here as in life: when the
            // services that were failing at the end of the faults have done so.
            world.operator_asks(node, group, None);
            world.at(calm + 12_000_000_000, Happening::OperatorHelps { node, group });
            // And when one that cannot start the role has been given up on (15 s, taken twice at most).
            world.at(calm + 34_000_000_000, Happening::OperatorHelps { node, group });
        }
    }
    let healed = calm + invariants::heals::bound(world);
    play_until(world, healed);
    invariants::heals::check(world);
    invariants::converges::check(world);
    // Calm: people do what people do with healthy machines, and nothing moves.
    let before = invariants::stays::holders(world);
    let end = faults::everyday(world, healed);
    play_until(world, end);
    // Of two voters each is needed: where one is switched off the other has to shoot it in time, or lets go.
    if world.profile.clocks_hold() && !world.profile.fence_votes {
        invariants::stays::check(world, &before);
    }
    invariants::heals::check(world);
}

fn play_until(world: &mut World, end: u64) {
    while let Some(what) = world.advance(end) {
        world.apply(what);
        world.stats.events += 1;
        invariants::check(world);
    }
}
