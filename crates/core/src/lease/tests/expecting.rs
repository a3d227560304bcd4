//! A hand-over that is announced, or a holder that is gone: a gate waits at the successor before the lease comes, and nothing is given away for it.

use super::desk::*;
use crate::ballot::Ballot;
use crate::lease::view::Outlook;
use crate::lease::{CLAIM_TIMEOUT, Command, Ended, Event, Input, PhaseName, Request, Verdict};
use crate::message::{FromVoter, LiveLease, Pause, PeerMessage, Sent};
use crate::{Epoch, NodeId};
use std::time::Duration;

/// A leads epoch 1 with everything up; its services, and the gates, are the test's.
fn slow_to_stop() -> Desk {
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    desk
}

/// `from` says that it stops its role for `to`.
fn says(desk: &mut Desk, from: NodeId, epoch: u64, to: Option<NodeId>) {
    let sent = Sent { boot: from.0, at: desk.now.boot };
    let (holding, pause) = (Some(Epoch(epoch)), Pause::default());
    let message = PeerMessage::Hello { ready: None, holding, yielding: to, pause, sent };
    desk.input(B, Input::Peer { from, message });
}

fn prepared(desk: &Desk, node: NodeId) -> usize {
    desk.commands.iter().filter(|(who, _, command)| *who == node && *command == Command::PrepareRole).count()
}

fn forgotten(desk: &Desk, node: NodeId) -> bool {
    desk.commands.iter().any(|(who, _, command)| *who == node && *command == Command::ForgetRole)
}

/// As process 1 and the gate do: the standby role ends, and then a gate asks.
fn gate_comes(desk: &mut Desk, node: NodeId) {
    desk.input(node, Input::Standby(false));
    desk.input(node, Input::GateWaiting(true));
    desk.input(node, Input::Request(Request { id: 40, to: None, ask: true }));
}

#[test]
fn the_successors_gate_waits_when_the_lease_comes() {
    let mut desk = slow_to_stop();
    desk.ask(A, Some(B));
    assert_eq!(prepared(&desk, B), 1, "while the role stops at A");
    desk.input(B, Input::Standby(false));
    desk.run(500);
    assert!(desk.status(A).peers[0].ready, "it says so still, between its standby role and its gate");
    gate_comes(&mut desk, B);
    assert!(desk.status(B).expects && desk.status(A).peers[0].ready);
    desk.run(3 * 1200);
    assert_eq!((desk.leader(), desk.phase(A)), (None, PhaseName::Yielding), "however long that takes");
    desk.stop(A, Ended::Stopped);
    desk.run(5);
    assert_eq!((desk.leader(), desk.status(B).epoch), (Some(B), Epoch(2)));
    assert!(desk.answers.iter().any(|(node, _, verdict)| (*node, *verdict) == (B, Verdict::Held(Epoch(2)))));
    assert!(!desk.status(B).expects && !forgotten(&desk, B));
}

fn has_asked(desk: &Desk) -> bool {
    let mut all = desk.commands.iter();
    all.any(|(.., command)| matches!(command, Command::ToPeer { message: PeerMessage::Ask { .. }, .. }))
}

#[test]
fn a_holder_that_leads_on_is_asked_for_nothing() {
    for gate_is_there in [true, false] {
        let mut desk = slow_to_stop();
        says(&mut desk, A, 1, Some(B));
        if gate_is_there {
            gate_comes(&mut desk, B);
        }
        desk.run(700); // its next hello says nothing of it
        if !gate_is_there {
            assert!(forgotten(&desk, B), "nobody need be started");
            gate_comes(&mut desk, B); // it was on its way
        }
        assert_eq!(desk.last_answer().map(|(node, _, verdict)| (node, verdict)), Some((B, Verdict::Lost)));
        assert!(desk.leader() == Some(A) && !has_asked(&desk), "H9: only an operator's wish asks");
        desk.input(B, Input::Standby(true));
        desk.input(B, Input::Standby(false));
        desk.input(B, Input::GateWaiting(true));
        desk.input(B, Input::Request(Request { id: 41, to: None, ask: true }));
        assert!(has_asked(&desk), "an operator's gate does");
    }
}

#[test]
fn an_announcement_of_another_epoch_or_of_somebody_else_is_none() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(2000);
    desk.gates = false;
    for (from, epoch) in [(A, 0), (A, 2), (C, 1)] {
        says(&mut desk, from, epoch, Some(B));
        assert_eq!(prepared(&desk, B), 0, "{from:?} {epoch}");
    }
    desk.input(B, Input::Pause(true));
    says(&mut desk, A, 1, Some(B));
    assert_eq!(prepared(&desk, B), 0, "it takes nothing by itself");
}

#[test]
fn a_gate_that_does_not_come_is_not_waited_for() {
    let mut desk = slow_to_stop();
    desk.ask(A, Some(B));
    desk.input(B, Input::Standby(false));
    desk.run(u64::try_from(CLAIM_TIMEOUT.as_millis()).unwrap() + 10);
    assert!(forgotten(&desk, B) && !desk.status(B).expects);
    desk.run(1000);
    assert!(!desk.status(A).peers[0].ready, "neither role is there");
}

#[test]
fn an_announced_gate_goes_when_a_third_leads() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(2000);
    desk.gates = false;
    desk.ask(A, Some(B));
    gate_comes(&mut desk, B);
    desk.cut.insert(B);
    desk.run(1500); // B has not been heard for a lease: A names C instead
    desk.gates = true;
    desk.stop(A, Ended::Stopped);
    desk.cut.clear();
    desk.run(500);
    assert_eq!(desk.leader(), Some(C));
    assert_eq!(desk.last_answer().map(|(node, _, verdict)| (node, verdict)), Some((B, Verdict::Lost)));
    let refused = desk.told(B).iter().any(|event| matches!(event, Event::WishRefused { .. }));
    assert!(!refused, "it was nobody's wish");
}

#[test]
fn a_holder_that_dies_on_the_way_is_followed_as_ever() {
    for paused in [false, true] {
        let mut desk = slow_to_stop();
        desk.ask(A, Some(B));
        gate_comes(&mut desk, B);
        desk.cut.insert(A);
        if paused {
            desk.input(B, Input::Pause(true));
        }
        desk.run(3000);
        assert_eq!(desk.phase(B) == PhaseName::Held, !paused, "an announcement is no wish: a pause holds");
        assert!(!paused || !desk.status(B).expects, "and the gate is told to go");
    }
}

#[test]
fn a_wish_and_the_gate_that_is_started_for_it_get_one_answer() {
    let mut desk = slow_to_stop();
    desk.ask(B, None);
    assert_eq!(prepared(&desk, B), 1);
    gate_comes(&mut desk, B);
    desk.stop(A, Ended::Stopped);
    desk.run(5);
    let held = desk.answers.iter().filter(|(node, _, verdict)| (*node, *verdict) == (B, Verdict::Held(Epoch(2))));
    assert_eq!(held.count(), 2);

    let mut desk = slow_to_stop();
    desk.ask(A, Some(B));
    gate_comes(&mut desk, B);
    assert_eq!(desk.ask(B, None), [], "an operator who asks for what is under way waits with the gate");
    desk.stop(A, Ended::Stopped);
    desk.run(5);
    let held = desk.answers.iter().filter(|(node, _, verdict)| (*node, *verdict) == (B, Verdict::Held(Epoch(2))));
    assert_eq!(held.count(), 2);
}

#[test]
fn whoever_withdraws_takes_along_what_is_his() {
    let mut desk = slow_to_stop();
    desk.ask(B, None);
    gate_comes(&mut desk, B);
    desk.leases.get_mut(&B).unwrap().withdraw(7);
    assert!(desk.status(B).expects, "the caller is gone, the gate waits on");
    desk.leases.get_mut(&B).unwrap().withdraw(40);
    assert!(!desk.status(B).expects && desk.leases[&B].wish.is_none());

    let mut desk = slow_to_stop();
    desk.ask(B, None);
    gate_comes(&mut desk, B);
    desk.leases.get_mut(&B).unwrap().withdraw(40);
    assert!(desk.leases[&B].wish.is_some(), "the gate is gone, the wish stands");
}

#[test]
fn a_role_that_is_stopped_by_hand_is_announced_to_the_next_once() {
    let mut desk = slow_to_stop();
    desk.input(A, Input::Standby(true));
    assert_eq!(prepared(&desk, B), 1);
    gate_comes(&mut desk, B);
    desk.input(A, Input::Standby(false)); // somebody has started it again
    desk.run(700);
    assert_eq!(desk.last_answer().map(|(node, _, verdict)| (node, verdict)), Some((B, Verdict::Lost)));
    desk.input(B, Input::Standby(true));
    desk.input(A, Input::Standby(true));
    desk.run(700);
    assert_eq!(prepared(&desk, B), 1, "a gate that could not be started is not started again and again");
}

#[test]
fn an_operator_who_waits_for_a_stop_that_is_undone_asks_the_holder() {
    let mut desk = slow_to_stop();
    desk.input(A, Input::Standby(true));
    gate_comes(&mut desk, B);
    assert_eq!(desk.ask(B, None), []);
    desk.input(A, Input::Standby(false));
    desk.run(700);
    assert!(has_asked(&desk));
}

#[test]
fn whoever_has_handed_over_does_not_take_the_lease_for_free() {
    let mut desk = Desk::new(&[A, B], &[A, B], |_| {});
    desk.run(100); // what it read before it led is not old yet
    desk.events.clear();
    desk.ask(A, Some(B));
    desk.run(100);
    assert_eq!(desk.leader(), Some(B));
    assert!(!desk.told(A).iter().any(|event| matches!(event, Event::BidStarted { .. })), "{:?}", desk.told(A));
}

/// Lets time pass until a gate is started at `node`, or two leases.
fn until_prepared(desk: &mut Desk, node: NodeId) {
    for _ in 0..480 {
        if prepared(desk, node) > 0 {
            break;
        }
        desk.run(5);
    }
    assert_eq!(prepared(desk, node), 1);
}

fn left(desk: &Desk, node: NodeId) -> Duration {
    match desk.leases[&node].outlook() {
        Outlook::Live(live) => live.left,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_gate_waits_when_the_lease_of_a_dead_holder_ends() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(2000);
    desk.gates = false;
    desk.cut.insert(A);
    until_prepared(&mut desk, B);
    let left = left(&desk, B);
    assert!(left <= LEASE * 5 / 24 && left > LEASE / 8, "past the kill step, and early enough to be of use: {left:?}");
    gate_comes(&mut desk, B);
    desk.run(300);
    assert_eq!((desk.leader(), desk.status(B).epoch), (Some(B), Epoch(2)));
    assert!(desk.answers.iter().any(|(node, _, verdict)| (*node, *verdict) == (B, Verdict::Held(Epoch(2)))));
    assert!(!desk.status(B).expects && !forgotten(&desk, B));
    assert_eq!(prepared(&desk, C), 0, "it is not its turn");
}

#[test]
fn where_user_units_run_in_the_standby_role_the_end_is_waited_for() {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| config.prepares = false);
    desk.run(2000);
    desk.cut.insert(A);
    desk.run(2400);
    assert_eq!((prepared(&desk, B), desk.leader()), (0, Some(B)));
}

#[test]
fn a_gate_goes_again_when_the_holder_has_renewed_after_all() {
    for gate_is_there in [true, false] {
        let mut desk = slow_to_stop();
        desk.cut.insert(A);
        until_prepared(&mut desk, B);
        if gate_is_there {
            gate_comes(&mut desk, B);
        }
        // The news of it was late; the holder itself is not heard.
        let live = Some(LiveLease { holder: A, epoch: Epoch(1), left: LEASE * 5 / 6 });
        let message = FromVoter::State { promised: Ballot::default(), accepted: None, live, fellow: None };
        for from in VOTERS {
            desk.input(B, Input::Voter { from, message });
        }
        assert_eq!(forgotten(&desk, B), !gate_is_there, "nobody need be started");
        if !gate_is_there {
            gate_comes(&mut desk, B); // it was on its way
        }
        assert_eq!(desk.last_answer().map(|(node, _, verdict)| (node, verdict)), Some((B, Verdict::Lost)));
        assert!(!desk.status(B).expects && !has_asked(&desk), "it was nobody's wish");
    }
}

#[test]
fn an_operators_gate_is_there_already_when_the_lease_of_a_dead_holder_ends() {
    let mut desk = slow_to_stop();
    desk.cut.insert(A);
    gate_comes(&mut desk, B);
    desk.run(1500); // and no timer fires without end
    assert_eq!((desk.leader(), prepared(&desk, B)), (Some(B), 0));
}
