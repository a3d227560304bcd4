//! The rules of joining (V8), one test each.

use super::*;
use crate::ballot::{Ballot, Value};
use crate::id::{Epoch, Incarnation};

const VOTERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const WAIT: Duration = Duration::from_secs(66);

fn at(ms: u64) -> Stamp {
    Stamp::default().plus(Duration::from_millis(ms))
}

fn fresh() -> Joining {
    Joining::new(VOTERS[0], &VOTERS, Stage::Fresh, (at(0), WAIT), (1, 7))
}

fn knows(counter: u64, accepted: Option<u64>) -> Register {
    let ballot = |counter| Ballot { counter, node: NodeId(2), nonce: 1 };
    let incarnation = Incarnation { boot: 1, nonce: 1 };
    let value = |epoch| Value::tenure(Epoch(epoch), NodeId(2), incarnation);
    Register { promised: ballot(counter), accepted: accepted.map(|epoch| (ballot(epoch), value(epoch))) }
}

fn hear(joining: &mut Joining, from: u64, stage: Stage, register: Register) -> Option<JoinCommand> {
    joining.on_recalled(NodeId(from), joining.round, (stage, register), from)
}

#[test]
fn a_new_cluster_is_founded_in_two_steps() {
    let mut joining = fresh();
    assert_eq!(hear(&mut joining, 2, Stage::Fresh, Register::default()), None);
    let ready = hear(&mut joining, 3, Stage::Ready, Register::default());
    assert_eq!(ready, Some(JoinCommand::Keep(Stage::Ready, Register::default())));
    assert_eq!(joining.stage(), Stage::Ready);
    assert_eq!(hear(&mut joining, 3, Stage::Ready, Register::default()), None, "2 was fresh when it spoke");
    let joined = hear(&mut joining, 2, Stage::Ready, Register::default());
    assert_eq!(joined, Some(JoinCommand::Keep(Stage::Joined, Register::default())));
}

#[test]
fn one_that_was_ready_at_the_founding_joins_when_another_has() {
    let mut joining = Joining::new(VOTERS[0], &VOTERS, Stage::Ready, (at(0), WAIT), (1, 7));
    let joined = hear(&mut joining, 2, Stage::Joined, knows(9, Some(4)));
    // It has promised nothing, whatever the others did meanwhile: an empty register is the truth.
    assert_eq!(joined, Some(JoinCommand::Keep(Stage::Joined, Register::default())));
}

#[test]
fn one_that_lost_its_register_waits_and_hears_enough_fellows() {
    let mut joining = fresh();
    assert_eq!(hear(&mut joining, 2, Stage::Joined, knows(9, Some(4))), None);
    assert_eq!(hear(&mut joining, 3, Stage::Joined, knows(5, Some(5))), None, "too early");
    let round = joining.round;
    joining.tick(at(80_000));
    assert_ne!(joining.round, round, "what was said before counts no more");
    assert_eq!(joining.on_recalled(NodeId(2), round, (Stage::Joined, knows(9, Some(4))), 1), None);
    assert_eq!(hear(&mut joining, 2, Stage::Joined, knows(9, Some(4))), None, "one of two is not enough");
    let joined = hear(&mut joining, 3, Stage::Joined, knows(5, Some(5)));
    // The highest promise, and the value accepted under the highest ballot.
    let Register { promised, .. } = knows(9, None);
    let Register { accepted, .. } = knows(5, Some(5));
    assert_eq!(joined, Some(JoinCommand::Keep(Stage::Joined, Register { promised, accepted })));
}

#[test]
fn two_that_lost_their_registers_do_not_found_anew_beside_the_third() {
    let mut joining = fresh();
    for ms in [0, 80_000, 80_200] {
        joining.tick(at(ms));
        assert_eq!(hear(&mut joining, 2, Stage::Fresh, Register::default()), None);
        assert_eq!(hear(&mut joining, 3, Stage::Joined, knows(5, Some(5))), None);
    }
}

#[test]
fn enough_meets_every_majority() {
    for n in 1..9_usize {
        let voters: Vec<NodeId> = (1..=n as u64).map(NodeId).collect();
        let joining = Joining::new(voters[0], &voters, Stage::Fresh, (at(0), WAIT), (1, 7));
        let majority = crate::id::majority(n);
        // A majority with the new voter in it has this many others; they and `enough` do not fit beside each other.
        assert!(n == 1 || joining.enough + (majority - 1) > n - 1, "{n} voters");
    }
}

#[test]
fn strangers_and_old_rounds_are_not_heard() {
    let mut joining = fresh();
    assert_eq!(hear(&mut joining, 9, Stage::Fresh, Register::default()), None);
    assert_eq!(joining.on_recalled(NodeId(2), 1, (Stage::Fresh, Register::default()), 1), None);
    assert_eq!(joining.silent().count(), 2);
}

#[test]
fn it_asks_all_fellows_again_and_again() {
    let mut joining = fresh();
    assert_eq!(joining.tick(at(0)).len(), 2);
    assert_eq!(joining.tick(at(50)), []);
    assert_eq!(joining.wake_at(), at(100).boot);
    assert_eq!(joining.tick(at(100)).len(), 2);
}

#[test]
fn an_only_voter_has_nobody_to_ask() {
    let mut joining = Joining::new(VOTERS[0], &VOTERS[..1], Stage::Fresh, (at(0), WAIT), (1, 7));
    assert_eq!(joining.tick(at(0)), [JoinCommand::Keep(Stage::Joined, Register::default())]);
}

fn one_of_two(register: Option<Register>) -> Joining {
    let stage = if register.is_some() { Stage::Fresh } else { Stage::Ready };
    Joining::new(VOTERS[0], &VOTERS[..2], stage, (at(0), WAIT), (1, 7)).waits_for_all(register)
}

#[test]
fn f4_one_of_two_that_was_off_hears_the_other_first_and_takes_over_what_that_one_chose_alone() {
    let mut joining = one_of_two(Some(knows(4, Some(4))));
    assert_eq!(joining.stage(), Stage::Returning);
    assert!(
        joining.tick(at(80_000)).iter().all(|command| matches!(command, JoinCommand::Send { .. })),
        "alone it waits"
    );
    assert_eq!(hear(&mut joining, 2, Stage::Fresh, Register::default()), None, "that one knows nothing");
    let joined = hear(&mut joining, 2, Stage::Joined, knows(9, Some(6)));
    assert_eq!(joined, Some(JoinCommand::Keep(Stage::Joined, knows(9, Some(6)))));
    assert_eq!(joining.boot_of(NodeId(2)), Some(2));
}

#[test]
fn f4_two_that_were_off_know_together_what_there_is_to_know() {
    let mut joining = one_of_two(Some(knows(9, Some(3))));
    let Register { promised, .. } = knows(9, None);
    let accepted = knows(9, Some(5)).accepted;
    let joined = hear(&mut joining, 2, Stage::Returning, knows(7, Some(5)));
    assert_eq!(joined, Some(JoinCommand::Keep(Stage::Joined, Register { promised, accepted })));
}

#[test]
fn f4_one_that_was_ready_at_the_founding_takes_over_what_the_other_chose_alone() {
    let mut joining = one_of_two(None);
    assert_eq!(
        hear(&mut joining, 2, Stage::Joined, knows(9, Some(4))),
        Some(JoinCommand::Keep(Stage::Joined, knows(9, Some(4))))
    );
}

#[test]
fn one_that_returns_is_not_heard_as_one_that_knows() {
    let mut joining = fresh();
    joining.tick(at(80_000));
    assert_eq!(hear(&mut joining, 2, Stage::Returning, knows(9, Some(4))), None);
    assert_eq!(hear(&mut joining, 3, Stage::Returning, knows(9, Some(4))), None);
}

#[test]
fn f4_with_a_register_or_without_it_waits_for_every_fellow_not_for_one_that_votes() {
    for own in [None, Some(knows(4, Some(4)))] {
        let stage = if own.is_some() { Stage::Fresh } else { Stage::Ready };
        let mut joining = Joining::new(VOTERS[0], &VOTERS, stage, (at(0), WAIT), (1, 7)).waits_for_all(own);
        assert_eq!(hear(&mut joining, 2, Stage::Joined, knows(9, Some(6))), None, "the third has said nothing");
        let joined = hear(&mut joining, 3, Stage::Joined, knows(8, Some(5)));
        assert_eq!(joined, Some(JoinCommand::Keep(Stage::Joined, knows(9, Some(6)))));
    }
    let mut joining = one_of_two(None);
    assert_eq!(hear(&mut joining, 2, Stage::Fresh, Register::default()), None, "that one has not seen the founding");
}
