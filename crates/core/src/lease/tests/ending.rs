//! Letting go, and what a node does afterwards: abstain, come back, stay where it is (H5, H9).

use super::desk::*;
use crate::lease::{ABSTAIN_MAX, Command, Ended, Event, Input, PhaseName, Why};
use crate::message::{FromVoter, Pause, PeerMessage, ToVoter};
use crate::{Epoch, Value};
use std::time::Duration;

fn releases(desk: &Desk) -> Vec<u64> {
    desk.sent(A, |message| matches!(message, ToVoter::Release { .. }))
}

#[test]
fn a_role_that_stops_goes_to_who_is_ready_or_is_given_back_three_times_over() {
    let mut desk = Desk::led_by_a();
    desk.stop(A, Ended::Stopped);
    desk.run(10);
    assert_eq!(desk.leader(), Some(B));
    assert!(desk.told(A).contains(&Event::HandedOver { epoch: Epoch(2), to: B, why: Why::Stopped }));
    assert_eq!(releases(&desk), []);
    let mut desk = Desk::led_by_a();
    desk.input(B, Input::Standby(false));
    desk.run(500);
    desk.stop(A, Ended::Died);
    desk.run(500);
    assert!(desk.told(A).contains(&Event::Released { epoch: Epoch(1), why: Why::GateDied }));
    assert_eq!(releases(&desk), [2500, 2600, 2700], "a lost release costs a lease");
}

#[test]
fn who_stopped_by_itself_stays_away_for_the_hold_down() {
    let mut desk = Desk::led_by_a();
    desk.stop(A, Ended::Stopped);
    desk.run(1000);
    desk.cut.insert(B);
    desk.run(1900); // B's lease is over, and A may not yet
    assert_eq!(desk.leader().filter(|node| *node == A), None);
    desk.run(400);
    assert_eq!(desk.phase(A), PhaseName::Held);
}

#[test]
fn a_service_that_fails_for_good_sends_the_role_away_for_longer_each_time() {
    let mut desk = Desk::led_by_a();
    for span in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        let before = desk.events.len();
        desk.input(A, Input::GiveUp);
        desk.run(10);
        let span = Duration::from_secs(span);
        let told: Vec<Event> =
            desk.events[before..].iter().filter(|(node, ..)| *node == A).map(|(.., it)| *it).collect();
        assert!(told.contains(&Event::Abstains { span }), "{span:?}: {told:?}");
        assert_eq!(desk.leader(), Some(B));
        desk.ask(A, None);
        desk.run(1000);
        assert_eq!(desk.leader(), Some(A));
    }
    assert_eq!(ABSTAIN_MAX, Duration::from_secs(3600));
    desk.run(61_000); // it ran for a minute: what comes now is a new trouble
    desk.input(A, Input::GiveUp);
    assert_eq!(desk.status(A).abstains_for, Some(Duration::from_secs(60)));
}

#[test]
fn an_abstention_ends_by_itself() {
    let mut desk = Desk::led_by_a();
    desk.input(A, Input::GiveUp);
    desk.run(59_000);
    assert!(!desk.status(B).peers[0].ready);
    desk.run(1500);
    assert!(desk.status(B).peers[0].ready);
    assert_eq!(desk.leader(), Some(B), "and nothing moves back");
}

#[test]
fn with_nobody_left_the_group_stays_down_and_says_so() {
    let mut desk = Desk::new(&[A], &[A], |_| {});
    desk.run(500);
    desk.input(A, Input::GiveUp);
    desk.run(1000);
    assert!(desk.told(A).contains(&Event::NobodyLeft { epoch: Epoch(1) }));
    assert_eq!(desk.leader(), None);
}

#[test]
fn what_fails_before_a_gate_is_there_or_while_it_ends_is_no_failure() {
    let mut desk = Desk::without_gates(&[A, B]);
    desk.run(100);
    desk.input(A, Input::GiveUp);
    assert_eq!(desk.phase(A), PhaseName::Held);
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    desk.ask(A, None);
    desk.input(A, Input::GiveUp);
    assert_eq!(desk.status(A).abstains_for, None);
}

#[test]
fn a_role_that_never_came_up_counts_as_a_failure() {
    let mut desk = Desk::without_gates(&[A, B]);
    desk.run(100);
    let life = desk.status(A).tenure.unwrap().incarnation;
    desk.input(A, Input::Claimed(life));
    desk.stop(A, Ended::Stopped);
    assert!(desk.told(A).contains(&Event::Abstains { span: Duration::from_secs(60) }));
}

#[test]
fn failback_waits_until_the_preferred_one_has_been_ready_for_the_hold_down() {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| config.failback = true);
    desk.run(500);
    desk.stop(A, Ended::Stopped); // and A stays away for 3 s
    desk.run(3100);
    assert_eq!(desk.leader(), Some(B));
    desk.run(2700);
    assert_eq!(desk.leader(), Some(B), "ready again since less than 3 s");
    desk.run(900);
    assert_eq!(desk.leader(), Some(A));
    assert!(desk.told(B).contains(&Event::Yielding { epoch: Epoch(2), to: Some(A), why: Why::Failback { to: A } }));
    desk.run(20_000);
    assert_eq!(desk.leader(), Some(A), "the other way round there is no failback");
}

#[test]
fn after_so_many_moves_within_an_hour_it_waits_to_be_asked() {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| config.moves_per_hour = 2);
    let leave = |desk: &mut Desk, node| {
        desk.cut.insert(node);
        desk.run(5000);
        desk.cut.clear();
        desk.stop(node, Ended::Expired);
        desk.run(5000);
    };
    for node in [A, B, A, B] {
        assert_eq!(desk.leader(), Some(node));
        leave(&mut desk, node);
    }
    assert!(desk.told(A).contains(&Event::TooManyMoves { moves: 2 }) && desk.status(A).too_many_moves);
    assert_eq!(desk.leader(), None, "twice each is enough");
    desk.ask(B, None);
    desk.run(100);
    assert_eq!(desk.leader(), Some(B), "asked, it counts anew");
    assert!(!desk.status(B).too_many_moves);
    desk.cut.insert(B);
    desk.run(3_500_000);
    assert_eq!(desk.phase(A), PhaseName::Watching);
    desk.run(100_000);
    assert_eq!(desk.leader().filter(|node| *node == A), Some(A), "an hour later");
}

#[test]
fn a_pause_is_everybodys_and_nothing_moves() {
    let mut desk = Desk::led_by_a();
    desk.input(B, Input::Pause(true));
    desk.run(500);
    assert!(desk.status(A).paused && desk.told(A).contains(&Event::Paused));
    let kept = Command::Keep(Pause { version: 1, on: true });
    assert!([A, B].iter().all(|node| desk.commands.iter().any(|(who, _, it)| who == node && *it == kept)));
    let old = PeerMessage::Hello {
        ready: None,
        holding: None,
        yielding: None,
        pause: Pause { version: 1, on: false },
        sent: Default::default(),
    };
    desk.input(A, Input::Peer { from: B, message: old });
    assert!(desk.status(A).paused, "the same version says nothing new");
    desk.input(A, Input::GiveUp);
    assert!(desk.told(A).contains(&Event::FailedWhilePaused { epoch: Epoch(1) }));
    assert_eq!(desk.phase(A), PhaseName::Held);
    desk.cut.insert(A);
    desk.run(10_000);
    assert_eq!((desk.leader(), desk.phase(B)), (None, PhaseName::Watching));
    desk.ask(B, None);
    desk.run(100);
    assert_eq!(desk.leader(), Some(B), "an operator still moves it");
    desk.input(B, Input::Pause(false));
    assert!(desk.commands.contains(&(B, desk.ms(), Command::LookForFailures)));
}

#[test]
fn a_successor_that_is_gone_meanwhile_is_not_named() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(1000);
    desk.gates = false;
    desk.ask(A, Some(B));
    desk.cut.insert(B);
    desk.run(1500); // B has not been heard for a lease
    desk.gates = true;
    desk.stop(A, Ended::Stopped);
    desk.run(100);
    assert_eq!(desk.leader(), Some(C));
}

#[test]
fn a_hand_over_that_no_majority_hears_of_ends_with_the_lease() {
    let mut desk = Desk::led_by_a();
    desk.cut.extend([VOTERS[0], VOTERS[1]]);
    desk.stop(A, Ended::Stopped);
    assert_eq!(desk.phase(A), PhaseName::HandingOver);
    desk.run(1190);
    assert_eq!(desk.phase(A), PhaseName::HandingOver);
    desk.run(20);
    assert_eq!(desk.phase(A), PhaseName::Watching);
    assert!(desk.told(A).contains(&Event::Released { epoch: Epoch(1), why: Why::Stopped }));
}

#[test]
fn promises_of_another_ballot_are_none_for_a_hand_over() {
    let mut desk = Desk::led_by_a();
    let value = desk.status(A).tenure.unwrap();
    desk.cut.extend(VOTERS);
    desk.stop(A, Ended::Stopped);
    let old = crate::Ballot { counter: 1, node: A, nonce: 0 };
    for from in VOTERS {
        let message = FromVoter::Promise { ballot: old, accepted: Some((old, value)), credit: false };
        desk.input(A, Input::Voter { from, message });
    }
    desk.run(300);
    assert_eq!(desk.sent(A, |message| matches!(message, ToVoter::Accept { value: Value { holder: B, .. }, .. })), []);
}

/// A has named B, and B hears of it when nobody else can be heard.
fn named_and_alone() -> (Desk, Value) {
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    desk.cut.insert(B);
    desk.stop(A, Ended::Stopped); // names B by what it said last
    let named = desk.voters[&VOTERS[0]].register().accepted.map(|(_, value)| value);
    let Some(value @ Value { holder: B, .. }) = named else { panic!("{named:?}") };
    desk.cut = VOTERS.into();
    (desk, value)
}

fn handed(Value { epoch, incarnation, .. }: Value) -> Input {
    Input::Peer { from: A, message: PeerMessage::Handed { epoch, incarnation } }
}

#[test]
fn a_successor_asks_once_a_step_and_for_one_lease() {
    let (mut desk, value) = named_and_alone();
    desk.input(B, handed(value));
    desk.run(1190);
    assert_eq!(desk.phase(B), PhaseName::Confirming);
    let asked = desk.sent(B, |message| matches!(message, ToVoter::Renew { .. }));
    assert_eq!(asked, (0..12).map(|step| 2000 + 100 * step).collect::<Vec<_>>());
    desk.run(20);
    assert_eq!(desk.phase(B), PhaseName::Watching);
}

#[test]
fn a_successor_that_cannot_any_more_gives_it_back() {
    let (mut desk, value) = named_and_alone();
    desk.cut.clear();
    desk.own(B, Input::Standby(false));
    desk.input(B, handed(value));
    desk.run(100);
    assert!(desk.told(B).contains(&Event::Released { epoch: Epoch(2), why: Why::Unwilling }));
}

#[test]
fn phase_one_runs_while_the_services_stop_and_the_hand_over_is_one_round() {
    for wait in [50, 2000] {
        let mut desk = Desk::led_by_a();
        desk.gates = false;
        desk.ask(A, None);
        desk.run(wait);
        let before = desk.commands.len();
        desk.stop(A, Ended::Stopped);
        let sent: Vec<&ToVoter> = (desk.commands[before..].iter())
            .filter_map(|(node, _, command)| match command {
                Command::ToVoter { to, message } if *node == A && *to == VOTERS[0] => Some(message),
                _ => None,
            })
            .collect();
        assert!(matches!(sent[0], ToVoter::Accept { value: Value { holder: B, .. }, .. }), "after {wait} ms: {sent:?}");
    }
}

#[test]
fn the_proof_of_another_life_releases_nothing() {
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    let life = desk.status(A).tenure.unwrap().incarnation;
    desk.input(A, Input::Abandoned);
    let other = crate::Incarnation { nonce: life.nonce + 1, ..life };
    desk.input(A, Input::Emptied { incarnation: other, how: Ended::Died });
    assert_eq!((desk.phase(A), releases(&desk)), (PhaseName::Lost, Vec::new()));
    desk.input(A, Input::Emptied { incarnation: life, how: Ended::Died });
    assert_eq!((desk.phase(A), releases(&desk)), (PhaseName::Watching, vec![2000]));
}

#[test]
fn a_pause_drops_a_bid_and_not_a_wish() {
    let mut desk = Desk::led_by_a();
    assert_eq!(desk.phase(B), PhaseName::Bidding);
    desk.input(B, Input::Pause(true));
    assert_eq!(desk.phase(B), PhaseName::Watching);
    desk.input(B, Input::Pause(false));
    desk.run(300);
    desk.input(B, Input::Request(crate::lease::Request { id: 1, to: None, ask: false }));
    assert_eq!(desk.phase(B), PhaseName::Bidding);
    desk.input(B, Input::Pause(true));
    assert_eq!(desk.phase(B), PhaseName::Bidding, "somebody wants it");
}

#[test]
fn a_proof_of_another_life_ends_nothing() {
    let mut desk = Desk::led_by_a();
    let stranger = crate::Incarnation { boot: A.0, nonce: 1 };
    desk.input(A, Input::Emptied { incarnation: stranger, how: Ended::Died });
    desk.run(2000);
    assert_eq!((desk.leader(), desk.published(A).unwrap().held), (Some(A), true));
}

#[test]
fn without_failback_nothing_moves_back() {
    let mut desk = Desk::new(&[A, B], &[A, B], |_| {});
    desk.run(1000);
    desk.ask(A, Some(B));
    desk.run(60_000);
    assert_eq!((desk.leader(), desk.status(B).tenure.map(|value| value.epoch)), (Some(B), Some(Epoch(2))));
}
