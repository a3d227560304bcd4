//! Who has the data: the set in the register, and who may lead by it (D0 to D5, D8).

use super::desk::*;
use crate::lease::{Command, DataConfig, Input, LeaseConfig, PhaseName, Verdict};
use crate::message::ToVoter;
use crate::{Copies, NodeId, NodeSet};

fn set(nodes: &[NodeId]) -> NodeSet {
    NodeSet::of(nodes.iter().copied()).unwrap()
}

/// Data that was created on A.
fn with_data(config: &mut LeaseConfig) {
    config.data = Some(DataConfig { born_here: config.me == A, fit: true });
}

fn led_by_a() -> Desk {
    let mut desk = Desk::new(&[A, B], &[A, B], with_data);
    desk.run(2000);
    assert_eq!(desk.leader(), Some(A));
    desk
}

/// What the voters agree on, as the first of them has it.
fn recorded(desk: &Desk) -> Copies {
    desk.voters[&VOTERS[0]].register().accepted.expect("something was chosen").1.copies
}

fn ack_set(desk: &Desk, node: NodeId) -> Option<NodeSet> {
    desk.leases[&node].ack_set()
}

#[test]
fn d0_data_is_born_where_it_was_created_and_nowhere_else() {
    let mut desk = Desk::new(&[A, B], &[B], with_data);
    desk.run(20_000);
    assert_eq!(desk.leader(), None, "B has nothing");
    assert_eq!(desk.ask(B, None), [Verdict::NotReady(B)]);
    let desk = led_by_a();
    let copies = recorded(&desk);
    assert_eq!((copies.rev, copies.insync), (0, set(&[A])));
    assert_ne!(copies.generation, 0);
    assert_eq!(desk.leases[&A].copies(), Some(copies));
    assert_eq!((ack_set(&desk, A), ack_set(&desk, B)), (Some(set(&[A])), None));
}

#[test]
fn h0_a_copy_that_cannot_be_promoted_does_not_lead() {
    let mut desk =
        Desk::new(&[A, B], &[A, B], |config| config.data = Some(DataConfig { born_here: config.me == A, fit: false }));
    desk.run(20_000);
    assert_eq!(desk.leader(), None, "its program does not run yet");
    desk.input(A, Input::Data(DataConfig { born_here: true, fit: true }));
    desk.run(2000);
    assert_eq!(desk.leader(), Some(A));
    let mut without = Desk::led_by_a();
    without.input(B, Input::Data(DataConfig { born_here: false, fit: false }));
    assert!(without.leases[&B].status().standby, "a group without data has no such rule");
    without.ask(A, Some(B));
    without.run(500);
    assert_eq!(without.leader(), Some(B));
}

#[test]
fn d4_a_copy_that_comes_is_waited_for_before_the_voters_agree() {
    let mut desk = led_by_a();
    desk.cut.extend(VOTERS);
    desk.input(A, Input::InSync(set(&[A, B])));
    assert_eq!(ack_set(&desk, A), Some(set(&[A, B])));
    assert_eq!(recorded(&desk).insync, set(&[A]));
    desk.cut.clear();
    desk.run(300);
    assert_eq!((recorded(&desk).rev, recorded(&desk).insync), (1, set(&[A, B])));
    assert!(desk.commands.iter().any(|(.., command)| *command == Command::Copies(recorded(&desk))));
}

#[test]
fn d3_a_copy_that_goes_is_waited_for_until_the_voters_agree() {
    let mut desk = led_by_a();
    desk.input(A, Input::InSync(set(&[A, B])));
    desk.run(300);
    desk.cut.extend(VOTERS);
    desk.input(A, Input::InSync(set(&[A])));
    assert_eq!(ack_set(&desk, A), Some(set(&[A, B])), "nobody has agreed yet");
    desk.cut.clear();
    desk.run(400);
    assert_eq!((recorded(&desk).rev, recorded(&desk).insync), (2, set(&[A])));
    assert_eq!(ack_set(&desk, A), Some(set(&[A])));
}

#[test]
fn d1_a_change_whose_fate_is_unknown_counts() {
    let mut desk = led_by_a();
    desk.input(A, Input::InSync(set(&[A, B]))); // both phases have gone out, and come back
    desk.run(100);
    // The answers to the next accept are lost: some voters may have taken it.
    desk.input(A, Input::InSync(set(&[A])));
    let before = desk.sent(A, |message| matches!(message, ToVoter::Accept { .. })).len();
    assert!(before >= 2);
    desk.cut.extend(VOTERS);
    desk.input(A, Input::InSync(set(&[A, B])));
    assert_eq!(ack_set(&desk, A), Some(set(&[A, B])));
    desk.cut.clear();
    desk.run(600);
    assert_eq!(recorded(&desk).insync, set(&[A, B]));
}

#[test]
fn a_change_that_was_chosen_unheard_and_is_wanted_no_more_is_changed_back() {
    // At whatever moment of its being asked for, given up and asked for again B is back.
    for after in (0..1600).step_by(5) {
        let mut desk = led_by_a();
        desk.input(A, Input::InSync(set(&[A, B])));
        desk.run(300);
        desk.accepted_is_lost = true;
        desk.input(A, Input::InSync(set(&[A])));
        desk.run(after);
        assert_eq!(recorded(&desk).insync, set(&[A]), "chosen, and nobody here knows");
        assert_eq!(ack_set(&desk, A), Some(set(&[A, B])));
        desk.input(A, Input::InSync(set(&[A, B]))); // what is wanted is what was known to be chosen last
        desk.accepted_is_lost = false;
        desk.run(1800);
        assert_eq!(recorded(&desk).insync, set(&[A, B]), "after {after} ms: or B could never lead");
    }
}

#[test]
fn d5_only_a_whole_copy_takes_over_and_d8_the_set_stays_as_it_was() {
    let mut desk = led_by_a();
    desk.cut.insert(A);
    desk.gates = false;
    desk.run(5000);
    assert_eq!(desk.leader(), None, "B has not all that was acknowledged");
    let mut desk = led_by_a();
    desk.input(A, Input::InSync(set(&[A, B])));
    desk.run(300);
    let before = recorded(&desk);
    desk.cut.insert(A);
    desk.leases.remove(&A);
    desk.run(2000);
    assert_eq!(desk.leader(), Some(B));
    assert_eq!(recorded(&desk), Copies { rev: 0, ..before });
    assert_eq!(ack_set(&desk, B), Some(set(&[A, B])), "until B asks for less");
    desk.input(B, Input::InSync(set(&[B])));
    desk.run(300);
    assert_eq!((recorded(&desk).rev, ack_set(&desk, B)), (1, Some(set(&[B]))));
}

#[test]
fn a_handover_keeps_the_set_and_goes_to_a_whole_copy_only() {
    let mut desk = led_by_a();
    assert_eq!(desk.ask(A, Some(B)), [Verdict::NotReady(B)]);
    desk.input(A, Input::InSync(set(&[A, B])));
    desk.run(800); // B hears of it
    desk.ask(A, Some(B));
    desk.run(300);
    assert_eq!(desk.leader(), Some(B));
    assert_eq!((recorded(&desk).rev, recorded(&desk).insync), (0, set(&[A, B])));
    desk.run(300);
    assert_eq!(ack_set(&desk, B), Some(set(&[A, B])), "it has asked the voters, what it was told names no copies");
}

#[test]
fn what_is_no_set_of_this_group_is_not_asked_for() {
    let mut desk = led_by_a();
    for wrong in [set(&[B]), set(&[A, NodeId(77)]), NodeSet::default()] {
        desk.input(A, Input::InSync(wrong));
        assert_eq!(ack_set(&desk, A), Some(set(&[A])), "{wrong:?}");
    }
    let mut without = Desk::led_by_a();
    without.input(A, Input::InSync(set(&[A])));
    without.run(500);
    assert_eq!((without.leases[&A].ack_set(), recorded(&without)), (None, Copies::default()));
}

#[test]
fn d5_a_successor_that_falls_behind_while_the_role_is_handed_over_does_not_get_it() {
    let mut desk = Desk::new(&[A, B], &[A, B], with_data);
    desk.run(2000);
    desk.input(A, Input::InSync(set(&[A, B])));
    desk.run(800);
    desk.cut.extend(VOTERS);
    desk.ask(A, Some(B));
    assert_eq!(desk.phase(A), PhaseName::HandingOver);
    // A change that A had asked for before, and never heard of again, was chosen after all.
    for voter in VOTERS {
        let (ballot, mut value) = desk.voters[&voter].register().accepted.unwrap();
        value.copies.insync = set(&[A]);
        value.copies.rev += 1;
        desk.voters.get_mut(&voter).unwrap().handle(desk.now, A, ToVoter::Accept { ballot, value });
    }
    desk.cut.clear();
    desk.run(300);
    assert_eq!(desk.leader(), Some(A), "who else has the data?");
    assert_eq!(recorded(&desk).insync, set(&[A]));
}

/// decision 0022: the copy that counted is gone, and an operator has said whose takes its place.
#[test]
fn what_an_operator_gave_up_is_led_by_the_copy_that_was_chosen_and_by_nobody_else() {
    let mut desk = led_by_a();
    let old = recorded(&desk);
    desk.cut.insert(A);
    desk.run(5000);
    let life = |config: &mut LeaseConfig, here: bool| {
        config.data = Some(DataConfig { born_here: here, fit: true });
        config.abandoned = Some((old.generation, here));
    };
    let start = |desk: &mut Desk, node: NodeId, change: &dyn Fn(&mut LeaseConfig)| {
        let mut config = config(node, &[A, B]);
        change(&mut config);
        desk.leases.insert(node, crate::lease::Lease::new(config, desk.now, 77, 77));
        desk.input(node, Input::Standby(true));
    };
    start(&mut desk, B, &|config| with_data(config));
    desk.run(20_000);
    assert_eq!(desk.leader(), None, "its copy does not count");
    // A is back, has heard of it, and does not lead: what it writes would be lost.
    desk.cut.remove(&A);
    start(&mut desk, A, &|config| life(config, false));
    desk.run(20_000);
    assert_eq!(desk.leader(), None, "given up");
    assert!(!desk.leases[&A].status().data.unwrap().counts);
    start(&mut desk, B, &|config| life(config, true));
    desk.run(10_000);
    assert_eq!(desk.leader(), Some(B));
    let new = recorded(&desk);
    assert_ne!(new.generation, old.generation);
    assert_eq!((new.insync, new.rev), (set(&[B]), 0));
    // From here on the word says nothing any more: the set decides again.
    desk.input(B, Input::InSync(set(&[A, B])));
    desk.run(1000);
    assert_eq!((recorded(&desk).generation, recorded(&desk).insync), (new.generation, set(&[A, B])));
    desk.ask(B, Some(A));
    desk.run(1000);
    assert_eq!((desk.leader(), recorded(&desk).generation), (Some(A), new.generation));
}
