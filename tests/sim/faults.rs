//! What goes wrong in the safety phase.

use crate::cluster::{Happening, World};
use crate::node::{ms, span};
use hotspare_core::lease::{Ended, Input};

/// Injects one fault and schedules the next.
pub fn inject(world: &mut World) {
    if !world.faults_on {
        return;
    }
    world.stats.faults += 1;
    let lease = span(world.profile.lease);
    let n = world.nodes.len();
    let any = usize::try_from(world.rng.below(n as u64)).expect("small");
    // Most faults aim at the node that acts: that is where they hurt.
    let acting = world.nodes.iter().position(|node| node.gate.is_some());
    let victim = acting.filter(|_| !world.rng.one_in(3)).unwrap_or(any);
    match world.rng.below(14) {
        0..=2 => world.power_off(victim),
        3 | 4 => partition(world, victim),
        5 => one_way(world, victim),
        6 => restart_lease(world, victim),
        7 => restart_voter(world, any),
        8 => sleep(world, victim, lease),
        9 => stop_process(world, victim, lease),
        10 | 11 => ask(world, any),
        12 => end_role(world, victim),
        _ => {
            if world.nodes[victim].lease.is_some() {
                world.lease(victim, Input::GiveUp);
            }
        }
    }
    let pause = world.rng.below(lease * 5);
    world.at(world.now + pause, Happening::Fault);
}

fn partition(world: &mut World, victim: usize) {
    let alone = world.rng.one_in(2);
    let n = world.nodes.len();
    for other in (0..n).filter(|other| *other != victim) {
        let cut = alone || world.rng.one_in(2);
        world.cut[victim][other] = cut;
        world.cut[other][victim] = cut;
    }
    world.tell(|| format!("node {victim}: cut off (alone: {alone})"));
    heal_later(world);
}

fn one_way(world: &mut World, victim: usize) {
    let out = world.rng.one_in(2);
    for other in (0..world.nodes.len()).filter(|other| *other != victim) {
        if out {
            world.cut[victim][other] = true;
        } else {
            world.cut[other][victim] = true;
        }
    }
    world.tell(|| format!("node {victim}: {} only", if out { "hears" } else { "speaks" }));
    heal_later(world);
}

fn heal_later(world: &mut World) {
    let after = world.rng.below(span(world.profile.lease) * 4);
    world.at(world.now + after, Happening::Heal);
}

fn restart_lease(world: &mut World, node: usize) {
    if world.nodes[node].lease.take().is_some() {
        world.tell(|| format!("node {node}: lease client killed"));
        let (boot, delay) = (world.nodes[node].boot, world.rng.below(ms(1500)));
        world.at(world.now + delay, Happening::StartLease { node, boot });
    }
}

fn restart_voter(world: &mut World, node: usize) {
    if world.nodes[node].voter.take().is_some() {
        world.tell(|| format!("node {node}: arbiter killed"));
        let (boot, delay) = (world.nodes[node].boot, world.rng.below(ms(1500)));
        world.at(world.now + delay, Happening::StartVoter { node, boot });
    }
}

/// Suspend: the boot clock runs on, the raw one stops, nothing executes. What ran is frozen meanwhile and must be gone
/// when the machine wakes up: the gate looks before anything else does.
fn sleep(world: &mut World, node: usize, lease: u64) {
    if !world.nodes[node].powered {
        return;
    }
    let (now, span) = (world.now, world.rng.below(lease * 3));
    let wakes = now.max(world.nodes[node].asleep_until) + span;
    world.nodes[node].asleep_until = wakes;
    world.nodes[node].clock.suspend(now, wakes);
    world.tell(|| format!("node {node}: suspended"));
    if let Some(gate) = &world.nodes[node].gate {
        let serial = gate.serial;
        world.at(wakes, Happening::GateLooks { node, serial });
    }
    world.wake_lease_at(node, wakes + 1);
    world.wake_voter_at(node, wakes + 1);
}

/// SIGSTOP of the lease client alone: the gate must do without it.
fn stop_process(world: &mut World, node: usize, lease: u64) {
    let span = world.rng.below(lease * 3);
    world.nodes[node].stopped_until = world.now + span;
    world.tell(|| format!("node {node}: lease client stopped"));
    world.wake_lease_at(node, world.now + span + 1);
}

fn ask(world: &mut World, any: usize) {
    let candidates = world.profile.candidates as u64;
    let node = any % world.profile.candidates;
    let to = usize::try_from(world.rng.below(candidates)).expect("small");
    world.operator_asks(node, Some(to));
}

/// Somebody stops the role by hand, or the gate dies.
fn end_role(world: &mut World, node: usize) {
    if let Some(gate) = &mut world.nodes[node].gate {
        let serial = gate.serial;
        gate.active = false;
        let how = if world.rng.one_in(2) { Ended::Stopped } else { Ended::Died };
        let delay = world.rng.below(ms(50));
        world.at(world.now + delay, Happening::RoleStopped { node, serial, how });
    }
}
