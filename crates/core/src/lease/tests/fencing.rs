//! Shooting: whom, when, and what a proof is good for (F1, F2, F6).

use super::desk::*;
use crate::NodeId;
use crate::copies::NodeSet;
use crate::lease::{Command, FenceConfig, Input, LeaseConfig};
use crate::message::Fenced;
use std::time::Duration;

fn all() -> NodeSet {
    NodeSet::of([A, B, C]).unwrap()
}

fn armed(config: &mut LeaseConfig) {
    let delay = Duration::from_millis(if config.me == A { 0 } else { 100 });
    config.fence = Some(FenceConfig { silence: Duration::from_millis(600), delay, votes: false, devices: all() });
}

fn led_by_a() -> Desk {
    let mut desk = Desk::new(&[A, B], &[A, B], armed);
    desk.run(2000);
    assert_eq!(desk.leader(), Some(A));
    desk
}

/// Who was shot at, and when.
fn shots(desk: &Desk) -> Vec<(u64, Fenced)> {
    let all = desk.commands.iter().filter_map(|(_, ms, command)| match command {
        Command::Fence(target) => Some((*ms, *target)),
        _ => None,
    });
    all.collect()
}

fn power_cut(desk: &mut Desk) -> Fenced {
    let incarnation = desk.status(A).tenure.unwrap().incarnation;
    lose(desk, A);
    Fenced { node: A, incarnation }
}

/// A machine without power.
fn lose(desk: &mut Desk, node: NodeId) {
    desk.cut.insert(node);
    desk.leases.remove(&node);
}

#[test]
fn f1_a_proof_ends_the_wait_for_the_lease() {
    let mut desk = led_by_a();
    let life = power_cut(&mut desk);
    desk.run(850);
    let fired = shots(&desk);
    assert_eq!(fired.iter().map(|(_, target)| *target).collect::<Vec<_>>(), [life], "once");
    assert!((2600..2850).contains(&fired[0].0), "after its silence and half a lease: {fired:?}");
    assert_eq!(desk.leader(), None);
    desk.input(B, Input::FenceEnded { target: life, proven: true });
    desk.run(20);
    assert_eq!(desk.leader(), Some(B), "the lease would have run for 350 ms more");
}

#[test]
fn a_failed_shot_proves_nothing_and_is_repeated_a_lease_later() {
    let mut desk = led_by_a();
    let life = power_cut(&mut desk);
    desk.run(850);
    assert_eq!(shots(&desk).len(), 1);
    desk.input(B, Input::FenceEnded { target: life, proven: false });
    desk.run(100);
    assert_eq!(desk.leader(), None);
    desk.run(600);
    assert_eq!(desk.leader(), Some(B), "by the end of the lease, as ever");
    assert_eq!(shots(&desk).len(), 1, "nobody is left to shoot");
    desk.input(B, Input::FenceEnded { target: life, proven: true }); // nobody asked
    desk.run(100);
    assert_eq!(desk.leader(), Some(B));
}

#[test]
fn nobody_is_shot_who_renews_though_this_node_does_not_hear_it() {
    let mut desk = led_by_a();
    desk.commands.clear();
    let peers: Vec<_> = desk.leases.keys().copied().collect();
    assert_eq!(peers, [A, B]);
    desk.deaf = true; // the candidates hear the voters only
    desk.run(10_000);
    assert_eq!((shots(&desk), desk.leader()), (Vec::new(), Some(A)));
}

#[test]
fn f2_whoever_may_not_lead_does_not_shoot() {
    for forbid in [Input::Standby(false), Input::Pause(true)] {
        let mut desk = led_by_a();
        desk.input(B, forbid.clone());
        power_cut(&mut desk);
        desk.run(5000);
        assert_eq!(shots(&desk), [], "{forbid:?}");
    }
    let mut desk = Desk::new(&[A, B], &[A, B], |config| {
        armed(config);
        config.data = Some(crate::lease::DataConfig { born_here: config.me == A, fit: true });
    });
    desk.run(2000);
    power_cut(&mut desk);
    desk.run(5000);
    assert_eq!((shots(&desk), desk.leader()), (Vec::new(), None), "B has no whole copy");
}

#[test]
fn f2_nobody_is_shot_who_has_no_device() {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| {
        armed(config);
        config.fence.as_mut().unwrap().devices = NodeSet::only(B);
    });
    desk.run(2000);
    power_cut(&mut desk);
    desk.run(5000);
    assert_eq!((shots(&desk), desk.leader()), (Vec::new(), Some(B)), "by the end of its lease");
}

/// An operator switches the holder off by hand, before anybody has missed it.
#[test]
fn f1_a_proof_is_for_what_was_known_when_the_shot_began() {
    let mut desk = led_by_a();
    let life = desk.status(A).tenure.map(|value| Fenced { node: A, incarnation: value.incarnation }).unwrap();
    desk.input(B, Input::FenceBegins { node: A });
    assert_eq!(desk.leases[&B].fence_target(), Some(life));
    lose(&mut desk, A);
    desk.run(100);
    desk.input(B, Input::FenceEnded { target: life, proven: true });
    desk.run(20);
    assert_eq!((desk.leader(), shots(&desk).len()), (Some(B), 0), "most of the lease would have run still");
    // Nobody holds here of whom it is said: nothing to prove.
    desk.input(B, Input::FenceBegins { node: C });
    assert_eq!(desk.leases[&B].fence_target(), None);
}

#[test]
fn f2_nobody_is_shot_for_a_lease_that_was_given_back() {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| {
        armed(config);
        config.voters = vec![A, B, VOTERS[0]];
    });
    desk.run(2000);
    desk.input(B, Input::Standby(false));
    desk.stop(A, crate::lease::Ended::Stopped);
    lose(&mut desk, A);
    desk.run(3000);
    desk.input(B, Input::Standby(true));
    desk.run(100);
    assert_eq!((shots(&desk), desk.leader()), (Vec::new(), Some(B)));
}

#[test]
fn f6_the_less_preferred_waits_longer() {
    let candidates = [A, B, C];
    let mut desk = Desk::new(&candidates, &candidates, |config| {
        let delay = Duration::from_millis(150 * (config.me.0 - 1));
        config.fence = Some(FenceConfig { silence: Duration::from_millis(600), delay, votes: false, devices: all() });
    });
    desk.run(2000);
    power_cut(&mut desk);
    desk.run(1050);
    let all = desk.commands.iter().filter(|(.., command)| matches!(command, Command::Fence(_)));
    let times: Vec<_> = all.map(|(who, ms, _)| (*who, *ms)).collect();
    assert!(matches!(times[..], [(B, first), (C, second)] if second >= first + 100), "{times:?}");
    // The one that has the proof takes over, and need not be the first in line.
    let target = shots(&desk)[0].1;
    desk.input(C, Input::FenceEnded { target, proven: true });
    desk.run(20);
    assert_eq!(desk.leader(), Some(C));
}

/// Two nodes, two votes, and a power switch each (F3).
fn two() -> Desk {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| {
        config.voters = vec![A, B];
        let delay = Duration::from_millis(if config.me == A { 0 } else { 100 });
        config.fence = Some(FenceConfig { silence: Duration::from_millis(200), delay, votes: true, devices: all() });
    });
    desk.run(2000);
    assert_eq!(desk.leader(), Some(A));
    desk
}

#[test]
fn f3_one_of_two_leads_alone_when_the_other_is_proven_to_be_off_and_not_before() {
    let mut desk = two();
    let life = power_cut(&mut desk);
    desk.run(10_000);
    assert_eq!(desk.leader(), None, "one vote of two");
    assert_eq!(shots(&desk).first().map(|(_, target)| *target), Some(life));
    desk.input(B, Input::FenceEnded { target: life, proven: true });
    desk.run(10_000);
    assert_eq!(desk.leader(), Some(B), "and it renews");
    assert_eq!(shots(&desk).len(), 1);
    assert!(desk.voters[&B].memory().credit);
    assert!(desk.leases[&B].status().quorum, "what a voter says counts for both");
}

#[test]
fn f3_nobody_is_shot_whom_a_voter_knows_to_be_off_and_one_that_was_back_is() {
    let mut desk = two();
    lose(&mut desk, B);
    desk.run(600);
    let target = shots(&desk)[0].1;
    desk.gates = false;
    desk.input(A, Input::FenceEnded { target, proven: true });
    desk.stop(A, crate::lease::Ended::Stopped); // in the very moment
    desk.gates = true;
    desk.run(6000);
    assert_eq!((desk.leader(), shots(&desk).len()), (Some(A), 1), "its voter speaks for both");
    desk.voters.get_mut(&A).unwrap().fellow_returned(77);
    desk.run(3000);
    let again = shots(&desk);
    assert_eq!((again.len(), again[1].1.incarnation.boot), (2, 77), "it voted again, and is gone again");
}

/// H2: what a majority accepts it also grants, so a value that is proposed again is as good as a renewal.
#[test]
fn f3_what_is_agreed_on_with_a_proof_renews_the_lease() {
    let mut desk = two();
    lose(&mut desk, B);
    desk.run(520);
    let before = desk.published(A).unwrap().sent;
    desk.input(A, Input::FenceEnded { target: shots(&desk)[0].1, proven: true });
    assert!(desk.published(A).unwrap().sent.any_past(before.plus(LEASE / 3)), "and not only with the next round");
}

/// It boots faster than the next renewal comes.
#[test]
fn f3_one_that_has_just_come_back_is_given_time_to_speak() {
    let mut desk = two();
    lose(&mut desk, B);
    desk.run(520);
    let target = shots(&desk)[0].1;
    desk.input(A, Input::FenceEnded { target, proven: true });
    desk.voters.get_mut(&A).unwrap().fellow_returned(77);
    desk.run(190);
    assert_eq!(shots(&desk).len(), 1, "its voter has been heard");
}

/// What the voter that is left may have forgotten is a lease of that very machine.
#[test]
fn f3_a_proof_ends_what_a_voter_that_was_off_may_owe() {
    let mut desk = two();
    let life = power_cut(&mut desk);
    let (register, table) = (*desk.voters[&B].register(), crate::Timetable::new(LEASE));
    let until = desk.now.plus(table.quarantine() * 5);
    let voter = crate::voter::Voter::new(vec![A, B], table, (register, crate::voter::Memory::default()), Some(until));
    desk.voters.insert(B, voter.with_fence_vote(A, Some(A.0)));
    desk.run(700);
    desk.input(B, Input::FenceEnded { target: shots(&desk)[0].1, proven: false });
    desk.run(1500); // by now nobody says that A leads
    let target = shots(&desk)[1].1;
    assert_eq!(target, life);
    desk.input(B, Input::FenceEnded { target, proven: true });
    desk.run(20);
    assert!(desk.leader() == Some(B) && !desk.now.any_past(until), "it need not wait for that");
}

#[test]
fn f3_a_holder_shoots_the_voter_that_it_needs_before_its_lease_is_over() {
    for proven in [true, false] {
        let mut desk = two();
        lose(&mut desk, B);
        desk.run(600);
        let fired = shots(&desk);
        let [(when, target)] = fired[..] else { panic!("{fired:?}") };
        assert!((2500..2600).contains(&when), "at 5/12 of its lease: {when}");
        assert_eq!((target.node, target.incarnation.boot), (B, B.0));
        desk.gates = false;
        desk.input(A, Input::FenceEnded { target, proven });
        desk.run(5000);
        assert_eq!(desk.leader(), Some(A).filter(|_| proven));
        assert!(!proven || shots(&desk).len() == 1, "it is off: {:?}", shots(&desk));
    }
}

#[test]
fn f3_where_nobody_leads_the_missing_one_of_two_is_shot() {
    let mut desk = two();
    lose(&mut desk, B);
    desk.run(600);
    let target = shots(&desk)[0].1;
    desk.gates = false;
    desk.input(A, Input::FenceEnded { target, proven: false });
    desk.run(600);
    desk.stop(A, crate::lease::Ended::Expired);
    desk.gates = true;
    desk.run(3000);
    assert_eq!(desk.leader(), None);
    let again = shots(&desk);
    assert_eq!(again.iter().map(|(_, shot)| *shot).collect::<Vec<_>>(), [target, target]);
    desk.input(A, Input::FenceEnded { target, proven: true });
    desk.run(5000);
    assert_eq!((desk.leader(), shots(&desk).len()), (Some(A), 2));
}

/// Two nodes were off; they vote again, and the one that leads dies before the other has heard a word of its lease client.
#[test]
fn f3_the_boot_that_a_proof_names_is_known_by_the_voter() {
    let mut desk = Desk::new(&[A, B], &[B], |config| {
        config.voters = vec![A, B];
        let delay = Duration::ZERO;
        config.fence = Some(FenceConfig { silence: Duration::from_millis(200), delay, votes: true, devices: all() });
        config.boot_grace = Duration::from_millis(300);
    });
    desk.cut.insert(A);
    desk.run(2000);
    let target = shots(&desk)[0].1;
    assert_eq!((target.node, target.incarnation.boot), (A, A.0), "A's lease client never spoke");
    desk.input(B, Input::FenceEnded { target, proven: true });
    desk.run(100);
    assert_eq!(desk.leader(), Some(B));
}
