//! What goes wrong, and how often.

use crate::world::{Happening, MS, World};
use hotspare_volume::Input;

/// One misfortune; the next is not far.
pub fn strike(world: &mut World) {
    if !world.faults_on {
        return;
    }
    let next = world.now + world.rng.below(world.profile.fault_every_ms * MS) + 1;
    world.at(next, Happening::Fault);
    if world.profile.cut_short || (world.profile.grows && world.rng.one_in(3)) {
        (0..world.profile.nodes).for_each(|node| world.handle(node, Input::Grow));
    }
    if world.profile.cut_short {
        blink(world);
    }
    let nodes = world.profile.nodes as u64;
    let some = |world: &mut World| usize::try_from(world.rng.below(nodes)).expect("small");
    let node = some(world);
    match world.rng.below(25) {
        24 => {
            let span = world.rng.below(700 * MS);
            world.nodes[node].disk_hangs_until = world.now + span;
            world.tell(|| format!("node {node}: its disk hangs"));
        }
        20.. => world.handle(node, Input::Verify), // no misfortune, but it should find none either
        0..6 => fall(world, node, true),
        6..9 => fall(world, node, false),
        9 => (0..world.profile.nodes).for_each(|node| fall(world, node, true)), // the whole site
        10..14 => {
            let other = some(world);
            if other != node {
                world.stats.cuts += 1;
                let span = [3, 20, 800][some_of_three(world)] * MS;
                let span = world.rng.below(span);
                world.tell(|| format!("nodes {node} and {other} are cut off from each other"));
                if world.rng.one_in(2) {
                    world.nodes[node].slow_disk_until = world.now + 200 * MS;
                }
                world.cut(node, other, span);
            }
        }
        14 => {
            let span = world.rng.below(400 * MS);
            // Never shorter than it was going to be: what waits for the end of that would be heard after what comes later.
            let until = world.nodes[node].stalled_until.max(world.now + span);
            world.nodes[node].stalled_until = until;
            world.tell(|| format!("node {node} stands still"));
        }
        15 | 19 => {
            let span = world.rng.below(500 * MS);
            world.nodes[node].slow_disk_until = world.now + span;
        }
        16 => {
            let (boot, span) = (world.nodes[node].boot, world.rng.below(100 * MS));
            world.at(world.now, Happening::Hold { node, boot, on: true });
            world.at(world.now + span, Happening::Hold { node, boot, on: false });
        }
        17 => {
            if let Some(epoch) = world.nodes[node].client.map(|client| client.epoch) {
                let boot = world.nodes[node].boot;
                world.at(world.now, Happening::Depose { node, boot, epoch });
            }
        }
        18 if world.profile.rot && world.nodes[node].volume.is_none() => {
            let mut rng = world.rng.clone();
            world.nodes[node].disk.rot(&mut rng);
            world.rng = rng;
        }
        _ => {}
    }
}

/// A connection breaks for an instant, with writes under way on slow disks: what they wrote for the last session lands in the next.
fn blink(world: &mut World) {
    let nodes = world.profile.nodes;
    let one = usize::try_from(world.rng.below(nodes as u64)).expect("small");
    let other = (one + 1) % nodes;
    for node in [one, other] {
        world.nodes[node].slow_disk_until = world.nodes[node].slow_disk_until.max(world.now + 50 * MS);
    }
    let (at, span) = (world.now + world.rng.below(10 * MS), world.rng.below(2 * MS));
    world.at(at, Happening::LinkDown { one, other, span });
}

fn some_of_three(world: &mut World) -> usize {
    usize::try_from(world.rng.below(3)).expect("small")
}

fn fall(world: &mut World, node: usize, power: bool) {
    world.crash(node, power);
    let longest = if world.rng.one_in(3) { 2000 * MS } else { 150 * MS };
    let back = world.now + world.rng.below(longest);
    world.at(back, Happening::PowerOn { node });
}
