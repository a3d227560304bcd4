//! What goes wrong in the safety phase, and what people do in the calm one.

use crate::cluster::{Happening, World, id};
use crate::node::{ms, span};
use crate::systemd::{Kind, Mode, State};
use hotspare_core::lease::{Ended, Input, Lease};
use hotspare_core::message::ToVoter;

/// Injects one fault and schedules the next.
pub fn inject(world: &mut World) {
    if !world.faults_on {
        return;
    }
    world.stats.faults += 1;
    let lease = span(world.profile.lease);
    let n = world.nodes.len();
    let any = usize::try_from(world.rng.below(n as u64)).expect("small");
    let group = usize::try_from(world.rng.below(world.profile.groups as u64)).expect("small");
    // Most faults aim at the node that acts: that is where they hurt.
    let acting = world.nodes.iter().position(|node| node.parts[group].gate.is_some());
    let victim = acting.filter(|_| !world.rng.one_in(3)).unwrap_or(any);
    match world.rng.below(31) {
        0..=2 => world.power_off(victim),
        3 | 4 => partition(world, victim),
        5 => one_way(world, victim),
        6 => restart_lease(world, victim),
        7 | 8 => restart_voter(world, any),
        9 => suspend(world, victim, lease),
        10 => stop_process(world, victim, lease),
        11 | 12 => ask(world, any, group),
        13 => kill_gate(world, victim, group),
        14 => service_fails(world, victim, group),
        15..=17 => job(world, victim, group),
        18 => pause(world, any, group),
        19 => change_config(world, any),
        20 => spoil_disk(world, any),
        21 if world.profile.pauses => pause_machine(world, victim, lease),
        21 => kill_and_restart(world, victim, group),
        22 => boot_job(world, any, group),
        28 => fails_while_paused(world, victim, group),
        29 => kill_unheard(world, victim, group, lease),
        25 => impostor(world, any),
        27 => fill_run(world, victim, group),
        26 => world.nodes[victim].parts[group].gate_broken_until = world.now + lease * 15,
        23 | 24 => slew(world, any, lease),
        30 if world.profile.uplinks => uplink(world, victim, group),
        30 if world.profile.fences => operator_shoots(world, any, group),
        _ => hand(world, any, group),
    }
    let pause = world.rng.below(lease * 3);
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
    if world.nodes[node].parts[0].lease.is_none() {
        return; // it is on its way in already
    }
    world.tell(|| format!("node {node}: lease client killed"));
    for group in 0..world.profile.groups {
        world.nodes[node].parts[group].lease = None;
        world.hang_up(node, group);
        let part = &mut world.nodes[node].parts[group];
        // What it had said about itself went with it.
        part.abstains_until = 0;
        part.asked |= part.manager.state(world.units.gate) == State::Activating;
    }
    let (boot, delay) = (world.nodes[node].boot, restart_time(world));
    world.at(world.now + delay, Happening::StartLease { node, boot });
}

pub fn restart_voter(world: &mut World, node: usize) {
    if !world.nodes[node].powered {
        return;
    }
    world.tell(|| format!("node {node}: arbiter killed"));
    world.nodes[node].parts.iter_mut().for_each(|part| (part.voter, part.joining) = (None, None));
    let (boot, delay) = (world.nodes[node].boot, restart_time(world));
    world.at(world.now + delay, Happening::StartVoter { node, boot });
}

/// A restart as a package makes it takes less than what a renewal has to spare; a crash may take longer.
fn restart_time(world: &mut World) -> u64 {
    let longest = if world.faults_on { ms(1500) } else { span(world.profile.lease) / 8 };
    world.rng.below(longest)
}

/// Suspend: the boot clock runs on, the raw one stops, nothing executes. What ran is frozen meanwhile and must be gone
/// when the machine wakes up: the gate looks before anything else does.
fn suspend(world: &mut World, node: usize, lease: u64) {
    let (now, span) = (world.now, world.rng.below(lease * 3));
    let wakes = now.max(world.nodes[node].asleep_until) + span;
    if still(world, node, wakes) {
        world.nodes[node].clock.suspend(now, wakes);
        world.tell(|| format!("node {node}: suspended"));
    }
}

/// NTP slews the boot clock by 10 %: twice what leases allow for. The raw clock keeps its rate, and that is why there are
/// two (decision 0002).
fn slew(world: &mut World, node: usize, lease: u64) {
    let (now, span) = (world.now, lease + world.rng.below(lease * 4));
    let ppm = if world.rng.one_in(2) { 100_000 } else { -100_000 };
    if world.nodes[node].runs(now) {
        world.nodes[node].clock.slew(now, now + span, ppm);
        world.tell(|| format!("node {node}: its boot clock is slewed by {ppm} ppm"));
    }
}

/// /run is full until the next boot, and the gate dies: its proof cannot be written. One node of a run at most.
fn fill_run(world: &mut World, node: usize, group: usize) {
    if world.rng.one_in(3) && !world.nodes.iter().any(|node| node.run_full) && world.profile.candidates > 1 {
        world.nodes[node].run_full = true;
        world.tell(|| format!("node {node}: /run is full"));
        kill_gate(world, node, group);
    }
}

/// A candidate that has gone mad uses the ballot of another for a value of its own.
fn impostor(world: &mut World, any: usize) {
    let Some((group, ballot, value)) = world.last_accept else { return };
    let (me, to) = (any % world.profile.candidates, world.nodes.len() - 1);
    let me = crate::cluster::id(me);
    if ballot.node != me {
        world.tell(|| format!("{me:?} uses the ballot {ballot:?}"));
        let mut own = value;
        own.holder = me;
        world.voter(to, group, Some((me, ToVoter::Accept { ballot, value: own })));
    }
}

/// A paused virtual machine: none of its clocks sees it.
fn pause_machine(world: &mut World, node: usize, lease: u64) {
    let (now, span) = (world.now, world.rng.below(lease * 3));
    let wakes = now.max(world.nodes[node].asleep_until) + span;
    if still(world, node, wakes) {
        world.nodes[node].clock.pause(now, wakes);
        world.tell(|| format!("node {node}: paused by its hypervisor"));
    }
}

fn still(world: &mut World, node: usize, wakes: u64) -> bool {
    if !world.nodes[node].powered || world.now < world.nodes[node].asleep_until {
        return false;
    }
    world.nodes[node].asleep_until = wakes;
    for group in 0..world.profile.groups {
        let now = world.now;
        if let Some(since) = &mut world.nodes[node].parts[group].untaken_since {
            *since += wakes - now; // whoever does not run can give nothing back
        }
        if let Some(gate) = world.nodes[node].parts[group].gate {
            world.at(wakes, Happening::GateLooks { node, group, serial: gate.serial });
        }
        world.wake_lease_at(node, group, wakes + 1);
        world.wake_voter_at(node, group, wakes + 1);
    }
    true
}

/// SIGSTOP of the lease client alone: the gate must do without it.
fn stop_process(world: &mut World, node: usize, lease: u64) {
    let span = world.rng.below(lease * 3);
    world.nodes[node].stopped_until = world.now + span;
    world.tell(|| format!("node {node}: lease client stopped"));
    for group in 0..world.profile.groups {
        world.wake_lease_at(node, group, world.now + span + 1);
    }
}

fn ask(world: &mut World, any: usize, group: usize) {
    let candidates = world.profile.candidates as u64;
    let node = any % world.profile.candidates;
    let to = usize::try_from(world.rng.below(candidates)).expect("small");
    world.operator_asks(node, group, Some(to));
}

fn awake(world: &World, node: usize) -> bool {
    world.nodes[node].candidate && world.nodes[node].runs(world.now)
}

/// SIGKILL of the gate.
fn kill_gate(world: &mut World, node: usize, group: usize) {
    if awake(world, node) && world.nodes[node].parts[group].gate.is_some() {
        world.tell(|| format!("node {node}.{group}: the gate is killed"));
        world.gate_exits(node, group, Ended::Died);
    }
}

/// The worst moment for leased to start anew: its gate has just died, or is on its way.
fn kill_and_restart(world: &mut World, node: usize, group: usize) {
    if world.rng.one_in(2) {
        kill_gate(world, node, group);
    }
    restart_lease(world, node);
}

/// The gate dies while the lease client is stopped: the proof finds nobody to hear it.
fn kill_unheard(world: &mut World, node: usize, group: usize, lease: u64) {
    stop_process(world, node, lease);
    kill_gate(world, node, group);
}

/// A pause, the service ends for good, and the lease client starts anew: somebody must still know when the pause ends.
fn fails_while_paused(world: &mut World, node: usize, group: usize) {
    if !world.nodes[node].parts[group].paused {
        pause(world, node, group);
    }
    service_fails(world, node, group);
    if world.rng.one_in(2) {
        restart_lease(world, node);
    }
}

/// The user's service ends for good: its Restart= is exhausted.
fn service_fails(world: &mut World, node: usize, group: usize) {
    let units = world.units.clone();
    let part = &mut world.nodes[node].parts[group];
    if part.manager.is_active(units.service) {
        part.populated.retain(|unit| *unit != units.service);
        part.manager.stopped(&units.graph, units.service, true);
        world.tell(|| format!("node {node}.{group}: the service fails for good"));
        world.settle(node, group);
    }
}

/// Somebody starts or stops a role by hand.
fn job(world: &mut World, node: usize, group: usize) {
    if !awake(world, node) {
        return;
    }
    let units = world.units.clone();
    let (unit, kind) = match world.rng.below(4) {
        0 => (units.primary, Kind::Start),
        1 => (units.primary, Kind::Stop),
        2 => (units.standby, Kind::Start),
        _ => (units.service, Kind::Stop),
    };
    for other in &mut world.nodes {
        other.parts[group].asked = true;
    }
    let part = &mut world.nodes[node].parts[group];
    if unit == units.service {
        part.stopped_by_hand = true;
    } else {
        part.told_off = kind == Kind::Stop;
    }
    world.job((node, group), unit, kind, Mode::Replace);
    if kind == Kind::Stop && !world.rng.one_in(4) {
        let after = world.rng.below(ms(8000));
        let boot = world.nodes[node].boot;
        world.at(world.now + after, Happening::Rejoin { node, group, boot });
    }
}

/// A node that is off is made to stand by again.
pub fn rejoin(world: &mut World, node: usize, group: usize) {
    let units = world.units.clone();
    let manager = &world.nodes[node].parts[group].manager;
    let off = !manager.is_active(units.primary) && !manager.is_active(units.standby);
    let idle = [units.primary, units.standby, units.gate].into_iter().all(|unit| !manager.has_job(unit));
    let booted = manager.state(units.multi_user) == State::Active && manager.state(units.enter) == State::Active;
    let told = world.nodes[node].parts[group].told_off;
    let settled = off && idle && booted && manager.state(units.gate) != State::Deactivating;
    assert!(told || !settled || !awake(world, node), "off_only_by_wish: node {node} is off, and nobody stopped it");
    if awake(world, node) && off && manager.state(units.multi_user) == State::Active {
        world.job((node, group), units.standby, Kind::Start, Mode::Fail);
    }
    // What somebody stopped by hand, somebody starts again.
    let manager = &world.nodes[node].parts[group].manager;
    let stopped = world.nodes[node].parts[group].stopped_by_hand && !manager.is_active(units.service);
    if awake(world, node) && manager.is_active(units.primary) && stopped {
        world.nodes[node].parts[group].stopped_by_hand = false;
        world.nodes[node].parts[group].meddled = true;
        world.job((node, group), units.service, Kind::Start, Mode::Replace);
    }
    if awake(world, node) && manager_lost(world, node, group) {
        world.job((node, group), units.prove, Kind::Start, Mode::Replace);
    }
}

fn manager_lost(world: &World, node: usize, group: usize) -> bool {
    world.nodes[node].parts[group].phase() == Some(hotspare_core::lease::PhaseName::Lost)
}

/// What disturbs nothing: `systemctl start multi-user.target`, the service started on a standby.
fn boot_job(world: &mut World, any: usize, group: usize) {
    let node = any % world.profile.candidates;
    if !awake(world, node) {
        return;
    }
    let units = world.units.clone();
    let unit = if world.rng.one_in(2) { units.multi_user } else { units.service };
    world.nodes[node].parts[group].meddled = true;
    world.job((node, group), unit, Kind::Start, Mode::Replace);
}

/// The service is started by hand, wherever.
fn hand(world: &mut World, any: usize, group: usize) {
    let node = any % world.profile.candidates;
    if awake(world, node) {
        let service = world.units.service;
        world.nodes[node].parts[group].meddled = true;
        world.job((node, group), service, Kind::Start, Mode::Replace);
    }
}

fn pause(world: &mut World, any: usize, group: usize) {
    let node = any % world.profile.candidates;
    let on = !world.nodes[node].parts[group].paused;
    if awake(world, node) && world.now >= world.nodes[node].stopped_until {
        world.lease(node, group, Input::Pause(on));
    }
}

/// What a node's clients come from is not reached any more, or is again.
fn uplink(world: &mut World, node: usize, group: usize) {
    if awake(world, node) {
        world.nodes[node].uplink = !world.nodes[node].uplink;
        let there = world.nodes[node].uplink;
        world.tell(|| format!("node {node}: reaches its clients: {there}"));
        world.lease(node, group, Input::Uplink(there));
    }
}

/// An operator on one node switches another one off by hand, whatever the cluster thinks of it.
fn operator_shoots(world: &mut World, any: usize, group: usize) {
    let (by, other) = (any % world.profile.candidates, 1 + world.rng.below(world.profile.candidates as u64 - 1));
    let node = id((by + usize::try_from(other).expect("small")) % world.profile.candidates);
    if !awake(world, by) || world.now < world.nodes[by].stopped_until {
        return;
    }
    world.lease(by, group, Input::FenceBegins { node });
    let known = world.nodes[by].parts[group].lease.as_ref().and_then(Lease::fence_target);
    if let Some(target) = known.filter(|target| target.node == node) {
        world.shot_begins(by, group, target);
    }
}

/// The configuration is deployed, to one node or to all at once; its daemons read it when they start again.
fn change_config(world: &mut World, node: usize) {
    let new = !world.nodes[node].new_config;
    let all = world.rng.one_in(2);
    for node in (0..world.nodes.len()).filter(|other| all || *other == node) {
        world.nodes[node].new_config = new;
        world.tell(|| format!("node {node}: another configuration"));
        restart_voter(world, node);
        restart_lease(world, node);
    }
}

/// Bits rot on one voter's disk: one byte, or a whole range. Noticed when the voter starts again.
fn spoil_disk(world: &mut World, node: usize) {
    let one_byte = world.rng.one_in(2);
    let voters = world.profile.voters;
    if node >= voters || (!one_byte && world.profile.fence_votes) {
        return; // with one of two registers gone, what the other knows is not all there is to know
    }
    if !one_byte && (world.spoilt.is_some_and(|known| known != node) || !world.others_vote(node)) {
        return;
    }
    for group in 0..world.profile.groups {
        let bytes = world.nodes[node].parts[group].disk.bytes.len();
        let from = usize::try_from(world.rng.below(bytes as u64)).expect("small");
        let to = if one_byte { from + 1 } else { (from + bytes / 3).min(bytes) };
        if one_byte && !world.nodes[node].parts[group].disk.whole() {
            continue; // a second rotten byte may be one too many: that is the other case
        }
        world.nodes[node].parts[group].disk.bytes[from..to].iter_mut().for_each(|byte| *byte ^= 0x5a);
    }
    if !one_byte {
        world.spoilt = Some(node);
        let after = world.rng.below(span(world.profile.lease) * 10);
        world.at(world.now + after, Happening::ReplaceVoter(node));
    }
    world.tell(|| format!("node {node}: its disk rots (one byte: {one_byte})"));
    restart_voter(world, node);
}

/// A calm while of everyday things, one at a time, from `from` on; returns its end.
pub fn everyday(world: &mut World, from: u64) -> u64 {
    let pause = span(world.profile.lease) * 4 + ms(4000);
    for number in 0..4 {
        world.at(from + pause * number, Happening::Everyday);
    }
    from + pause * 5
}

/// One everyday thing.
pub fn everyday_thing(world: &mut World) {
    let n = world.nodes.len() as u64;
    let any = usize::try_from(world.rng.below(n)).expect("small");
    let group = usize::try_from(world.rng.below(world.profile.groups as u64)).expect("small");
    match world.rng.below(6) {
        0 => restart_lease(world, any),
        1 => restart_voter(world, any),
        2 | 3 => boot_job(world, any, group),
        4 => hand(world, any, group),
        // A standby or the arbiter; not where another voter is lost for good already.
        _ if world.spoilt.is_none() && world.nodes[any].parts.iter().all(|part| part.gate.is_none()) => {
            world.power_off(any);
        }
        _ => {}
    }
}
