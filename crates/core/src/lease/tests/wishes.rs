//! An operator's wish: granted in order, or refused with the reason, once (H9).

use super::desk::*;
use crate::lease::{Ended, Event, Input, PhaseName, Request, Verdict, Why};
use crate::message::{Answer, PeerMessage};
use crate::{Epoch, NodeId};
use std::time::Duration;

fn asked_by(node: NodeId, to: NodeId, how: &Desk) -> bool {
    how.told(node)
        .iter()
        .any(|event| matches!(event, Event::Yielding { why: Why::Asked { to: asked }, .. } if *asked == to))
}

#[test]
fn the_holder_hands_over_to_the_best_other_and_nothing_waits_for_an_expiry() {
    let mut desk = Desk::led_by_a();
    assert_eq!(desk.ask(A, None), [Verdict::HandedTo(B)]);
    desk.run(5);
    assert_eq!((desk.leader(), desk.acquired(B)), (Some(B), Some(2000)));
    assert!(asked_by(A, B, &desk));
    let handed = Event::HandedOver { epoch: Epoch(2), to: B, why: Why::Asked { to: B } };
    assert!(desk.told(A).contains(&handed));
    assert_eq!(desk.status(A).abstains_for, None, "it was asked to: it may have it back");
    assert_eq!(desk.ask(A, None), [Verdict::Held(Epoch(3))], "and asks the other for it");
}

#[test]
fn whoever_is_asked_asks_the_holder() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(1000);
    assert_eq!(desk.ask(C, Some(B)), [], "a bystander may ask for another, and hears of it from that one");
    desk.run(1000);
    assert_eq!(desk.last_answer().map(|(node, _, verdict)| (node, verdict)), Some((C, Verdict::HandedTo(B))));
    assert_eq!(desk.ask(C, None), [Verdict::Held(Epoch(3))]);
    desk.run(1000);
    assert_eq!(desk.leader(), Some(C));
    assert_eq!(desk.ask(C, Some(C)), [Verdict::Held(Epoch(3))], "it has it already");
}

#[test]
fn it_is_refused_with_the_reason() {
    let mut desk = Desk::led_by_a();
    desk.input(B, Input::Standby(false));
    desk.run(500);
    assert_eq!(desk.ask(A, None), [Verdict::NoSuccessor]);
    assert_eq!(desk.ask(A, Some(B)), [Verdict::NotReady(B)]);
    assert_eq!(desk.ask(B, None), [Verdict::NotStandby]);
    assert!(desk.told(A).contains(&Event::WishRefused { verdict: Verdict::NotReady(B) }));
    assert_eq!(desk.leader(), Some(A), "and nothing has moved");
}

#[test]
fn a_holder_in_the_middle_of_something_is_busy() {
    let mut desk = Desk::without_gates(&[A, B]);
    desk.run(500);
    assert_eq!(desk.ask(A, Some(B)), [Verdict::HolderBusy(A)], "its role is starting");
    assert_eq!(desk.ask(B, None), [Verdict::HolderBusy(A)]);
    let life = desk.status(A).tenure.unwrap().incarnation;
    desk.input(A, Input::Claimed(life));
    desk.input(A, Input::RoleUp(life));
    assert_eq!(desk.ask(A, Some(B)), []);
    assert_eq!(desk.phase(A), PhaseName::Yielding);
    assert_eq!(desk.ask(A, Some(B)), [Verdict::Superseded, Verdict::HolderBusy(A)]);
    desk.input(A, Input::Abandoned);
    assert_eq!(desk.ask(A, Some(A)), [Verdict::Stopping]);
}

#[test]
fn who_asks_for_the_same_twice_is_granted_twice_and_for_another_is_told_to_wait() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(1000);
    desk.gates = false;
    let asks = |desk: &mut Desk, from, to| {
        let before = desk.commands.len();
        desk.input(A, Input::Peer { from, message: PeerMessage::Ask { request: 5, to } });
        desk.commands[before..].iter().find_map(|(node, _, command)| match command {
            crate::lease::Command::ToPeer { message: PeerMessage::Answer { verdict, .. }, .. } if *node == A => {
                Some(*verdict)
            }
            _ => None,
        })
    };
    assert_eq!(asks(&mut desk, B, NodeId(9)), Some(Answer::NotReady));
    assert_eq!(asks(&mut desk, B, B), Some(Answer::Granted));
    assert_eq!(asks(&mut desk, B, B), Some(Answer::Granted));
    assert_eq!(asks(&mut desk, C, C), Some(Answer::Busy));
    assert_eq!(asks(&mut desk, NodeId(9), C), None, "it is no candidate");
    let before = desk.commands.len();
    desk.input(B, Input::Peer { from: C, message: PeerMessage::Ask { request: 5, to: C } });
    let refused = crate::lease::Command::ToPeer {
        to: C,
        message: PeerMessage::Answer { request: 5, verdict: Answer::NotHolder },
    };
    assert!(desk.commands[before..].iter().any(|(_, _, command)| *command == refused));
}

/// What the wish of B, made when `prepare` has happened, is answered, and after how many milliseconds.
fn answered(prepare: impl Fn(&mut Desk), ms: u64) -> Option<(u64, Verdict)> {
    let mut desk = Desk::led_by_a();
    prepare(&mut desk);
    let began = desk.ms();
    desk.ask(B, None);
    desk.run(ms);
    desk.last_answer().map(|(_, at, verdict)| (at - began, verdict))
}

#[test]
fn a_wish_that_leads_nowhere_is_given_up_in_time() {
    let alone = answered(|desk| desk.cut.extend([A, VOTERS[0], VOTERS[1], VOTERS[2]]), 5000).unwrap();
    assert_eq!(alone.1, Verdict::NoQuorum { answering: 0, voters: 3 });
    assert!((1200..1500).contains(&alone.0), "a lease after it was made: {} ms", alone.0);
    // The holder renews and does not answer: its process is stopped, or it cannot be reached.
    let mute = |desk: &mut Desk| {
        desk.leases.get_mut(&A).unwrap().config.candidates = vec![A];
    };
    let silent = answered(mute, 5000).unwrap();
    assert_eq!(silent.1, Verdict::HolderSilent(A));
    assert!((2400..2700).contains(&silent.0), "two leases: {} ms", silent.0);
    // It has agreed, and its services never stop.
    let stuck = answered(|desk| desk.gates = false, 130_000).unwrap();
    assert_eq!(stuck.1, Verdict::TimedOut);
    assert!((120_000..120_300).contains(&stuck.0), "{} ms", stuck.0);
}

#[test]
fn for_another_that_is_not_there_a_free_lease_is_no_answer() {
    let mut desk = Desk::new(&[A, B], &[A], |config| config.automatic = false);
    desk.run(1000);
    desk.ask(A, Some(B));
    desk.run(3000);
    let (node, ms, verdict) = desk.last_answer().unwrap();
    assert_eq!((node, verdict), (A, Verdict::NotReady(B)));
    assert!((2200..2700).contains(&ms), "a lease after it was made: {ms}");
}

#[test]
fn who_waits_without_asking_gets_it_when_it_is_free_and_may_withdraw() {
    let mut desk = Desk::led_by_a();
    desk.input(B, Input::Request(Request { id: 3, to: None, ask: false }));
    desk.run(200_000);
    assert_eq!((desk.leader(), desk.last_answer()), (Some(A), None), "it waits as long as it takes");
    desk.stop(A, Ended::Stopped);
    desk.run(100);
    assert_eq!(desk.last_answer().map(|(node, _, verdict)| (node, verdict)), Some((B, Verdict::Held(Epoch(2)))));
    desk.input(A, Input::Request(Request { id: 4, to: None, ask: false }));
    desk.leases.get_mut(&A).unwrap().withdraw(3);
    assert!(desk.leases[&A].wish.is_some(), "that was another's");
    desk.leases.get_mut(&A).unwrap().withdraw(4);
    assert!(desk.leases[&A].wish.is_none());
}

#[test]
fn a_wish_ends_an_abstention() {
    let mut desk = Desk::led_by_a();
    desk.input(A, Input::GiveUp);
    desk.run(1000);
    assert_eq!(desk.leader(), Some(B));
    assert!(desk.status(A).abstains_for.is_some_and(|left| left > Duration::from_secs(58)));
    assert!(!desk.status(B).peers[0].ready, "who abstains is not ready");
    assert_eq!(desk.ask(A, None), [Verdict::Held(Epoch(3))]);
    assert_eq!(desk.status(A).abstains_for, None);
}

#[test]
fn the_lease_that_is_lost_on_the_way_is_said_to_be_lost() {
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    desk.ask(B, None);
    assert_eq!(desk.phase(A), PhaseName::Yielding);
    desk.input(A, Input::Abandoned);
    assert_eq!(desk.last_answer().map(|(node, _, verdict)| (node, verdict)), Some((B, Verdict::Lost)));
}

#[test]
fn a_granted_wish_is_lost_when_a_third_takes_over_and_one_that_was_not_granted_goes_on() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(1000);
    desk.gates = false;
    desk.ask(C, None);
    desk.cut.insert(C);
    desk.run(1500); // C has not been heard for a lease: A names B instead
    desk.gates = true;
    desk.stop(A, Ended::Stopped);
    desk.cut.clear();
    desk.run(500);
    assert_eq!(desk.leader(), Some(B));
    assert_eq!(desk.last_answer().map(|(node, _, verdict)| (node, verdict)), Some((C, Verdict::Lost)));
    desk.cut.insert(B); // whom it asks
    desk.input(C, Input::Request(Request { id: 9, to: None, ask: true }));
    let answer = PeerMessage::Answer { request: 9, verdict: Answer::NotHolder };
    desk.input(C, Input::Peer { from: A, message: answer });
    assert!(desk.leases[&C].wish.is_some(), "it asks whoever holds now");
    let stranger = PeerMessage::Answer { request: 8, verdict: Answer::Busy };
    desk.input(C, Input::Peer { from: A, message: stranger });
    assert!(desk.leases[&C].wish.is_some(), "the answer to another wish");
    let busy = PeerMessage::Answer { request: 9, verdict: Answer::Busy };
    desk.input(C, Input::Peer { from: B, message: busy });
    assert_eq!(desk.last_answer().map(|(.., verdict)| verdict), Some(Verdict::HolderBusy(B)));
}

#[test]
fn what_was_said_earlier_and_comes_later_is_not_believed() {
    use crate::message::{PeerMessage, Sent};
    let mut desk = Desk::led_by_a();
    let ready = |desk: &Desk| desk.status(A).peers[0].ready;
    assert!(ready(&desk));
    let says = |boot, at| {
        let sent = Sent { boot, at };
        let message =
            PeerMessage::Hello { ready: None, holding: None, yielding: None, pause: Default::default(), sent };
        Input::Peer { from: B, message }
    };
    desk.input(A, says(B.0, at(1500).boot));
    assert!(ready(&desk), "B has said since that it is ready");
    desk.input(A, says(B.0 + 1, at(1).boot));
    assert!(!ready(&desk), "in another boot: that one knows better");
}

#[test]
fn one_voter_of_three_is_no_quorum() {
    let mut desk = Desk::led_by_a();
    desk.cut.extend([A, VOTERS[1], VOTERS[2]]);
    desk.input(B, Input::Request(Request { id: 7, to: None, ask: true }));
    desk.run(3000);
    assert_eq!(desk.last_answer().map(|(.., verdict)| verdict), Some(Verdict::NoQuorum { answering: 1, voters: 3 }));
}

#[test]
fn a_successor_that_is_not_told_reads_it_from_the_voters() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(1000);
    desk.deaf = true; // C has no bid of its own: B is before it
    desk.ask(A, Some(C));
    assert_eq!(desk.leader(), None);
    desk.run(LEASE.as_millis() as u64 / 4);
    assert_eq!(desk.leader(), Some(C), "before it would have been its turn to bid");
}

#[test]
fn moves_that_an_operator_asked_for_do_not_count_as_moves_by_itself() {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| config.moves_per_hour = 2);
    desk.run(1000);
    for _ in 0..6 {
        desk.ask(A, None);
        desk.run(500);
    }
    assert_eq!(desk.leader(), Some(A));
    desk.cut.insert(A);
    desk.leases.remove(&A);
    desk.run(3000);
    assert_eq!(desk.leader(), Some(B));
}
