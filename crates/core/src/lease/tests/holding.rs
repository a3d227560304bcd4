//! Renewing, and not believing for too long (H2, H3, H6, H8); what a restarted client takes up.

use super::desk::*;
use crate::lease::hold::Held;
use crate::lease::{CLAIM_TIMEOUT, Command, Ended, Event, Input, Lease, PhaseName, Tenure, Why, YIELD_AGAIN};
use crate::message::{FromVoter, Pause, PeerMessage, Refusal, Sent, ToVoter};
use crate::voter::{Memory, Voter};
use crate::{Epoch, Timetable};
use std::time::Duration;

fn renewals(desk: &Desk) -> Vec<u64> {
    desk.sent(A, |message| matches!(message, ToVoter::Renew { .. }))
}

#[test]
fn it_renews_every_third_of_the_lease_and_publishes_what_was_granted() {
    let desk = Desk::led_by_a();
    assert_eq!(renewals(&desk), [400, 800, 1200, 1600, 2000]);
    let tenure = desk.published(A).unwrap();
    assert_eq!((tenure.sent, tenure.lease, tenure.held), (at(3000), LEASE, true));
    let left = desk.status(A).left.unwrap();
    assert_eq!(left, Timetable::new(LEASE).believed());
}

#[test]
fn without_answers_it_tries_on_the_grid_and_stops_believing_at_nine_twelfths() {
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    desk.cut.insert(A);
    desk.run(1000);
    let tries: Vec<u64> = renewals(&desk).into_iter().filter(|ms| *ms > 2000).map(|ms| ms - 2000).collect();
    assert_eq!(tries, [400, 500, 600, 700, 800, 825, 850, 875]);
    assert_eq!(desk.when(A, |event| matches!(event, Event::Lost { .. })), Some(2900));
    let why = Why::NoMajority { answering: 3, voters: 3 };
    assert!(desk.told(A).contains(&Event::Lost { epoch: Epoch(1), why }));
    assert_eq!(desk.phase(A), PhaseName::Lost, "until the proof");
    assert!(!desk.published(A).unwrap().held);
    desk.stop(A, Ended::Expired);
    assert!(desk.told(A).contains(&Event::Released { epoch: Epoch(1), why: Why::GateExpired }));
    assert_eq!(desk.phase(A), PhaseName::Watching);
}

#[test]
fn the_shortest_lease_of_the_majority_counts() {
    let mut desk = Desk::led_by_a();
    let shorter = Duration::from_millis(600);
    desk.cut.extend(VOTERS);
    desk.run(400);
    let sent = *renewals(&desk).last().unwrap();
    let round = at(1000 + sent).boot;
    for (voter, lease) in [(VOTERS[0], LEASE), (VOTERS[1], shorter)] {
        let message =
            FromVoter::Renewed { round, lease, granted: true, promised: crate::Ballot::default(), credit: false };
        desk.input(A, Input::Voter { from: voter, message });
    }
    let tenure = desk.published(A).unwrap();
    assert_eq!((tenure.sent, tenure.lease), (at(1000 + sent), shorter));
}

#[test]
fn a_shorter_lease_that_is_over_before_it_begins_does_not_end_a_longer_one() {
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(500));
    let value = crate::Value::tenure(Epoch(1), A, crate::Incarnation { boot: 1, nonce: 1 });
    let mut held = Held::new(Tenure { value, sent: at(0), lease: long, held: true }, at(0));
    held.renewed(at(5400), at(5000), short);
    assert_eq!(
        (held.tenure.sent, held.tenure.lease),
        (at(0), long),
        "the answers took longer than the first step of it"
    );
    held.renewed(at(10_100), at(10_000), short);
    assert_eq!((held.tenure.sent, held.tenure.lease), (at(10_000), short), "it is in force from here on");
    held.renewed(at(10_600), at(10_200), short);
    assert_eq!(held.tenure.sent, at(10_200), "late, and later than what there was");
}

#[test]
fn an_answer_of_another_round_or_of_one_voter_twice_counts_for_nothing() {
    let mut desk = Desk::led_by_a();
    desk.cut.extend(VOTERS);
    desk.run(400);
    let known = desk.published(A).unwrap();
    let round = at(1000 + renewals(&desk).last().unwrap()).boot;
    let renewed = |round| FromVoter::Renewed {
        round,
        lease: LEASE,
        granted: true,
        promised: crate::Ballot::default(),
        credit: false,
    };
    for (from, round) in [(VOTERS[0], round), (VOTERS[0], round), (VOTERS[1], round - 1), (A, round)] {
        desk.input(A, Input::Voter { from, message: renewed(round) });
    }
    assert_eq!(desk.published(A), Some(known));
}

#[test]
fn a_tenure_that_no_gate_claims_is_given_back_in_time() {
    let mut desk = Desk::without_gates(&[A, B]);
    desk.run(14_990);
    assert_eq!(desk.leader(), Some(A));
    desk.run(400);
    let given = desk.when(A, |event| matches!(event, Event::Released { why: Why::Unclaimed, .. })).unwrap();
    assert_eq!(given, u64::try_from(CLAIM_TIMEOUT.as_millis()).unwrap());
    assert!(desk.told(A).contains(&Event::Abstains { span: Duration::from_secs(60) }));
    assert_eq!(desk.leader(), Some(B));
}

#[test]
fn a_claim_of_another_life_is_none_and_a_role_is_up_once() {
    let mut desk = Desk::without_gates(&[A]);
    desk.run(100);
    let life = desk.status(A).tenure.unwrap().incarnation;
    let other = crate::Incarnation { nonce: life.nonce + 1, ..life };
    desk.input(A, Input::Claimed(other));
    desk.input(A, Input::RoleUp(other));
    assert!(!desk.status(A).claimed && !desk.status(A).role_up);
    desk.input(A, Input::Claimed(life));
    desk.run(50);
    desk.input(A, Input::RoleUp(life));
    desk.input(A, Input::RoleUp(life));
    let up = Event::RoleUp { epoch: Epoch(1), took: Duration::from_millis(150) };
    assert_eq!(desk.told(A).iter().filter(|event| **event == up).count(), 1);
    desk.input(A, Input::Emptied { incarnation: other, how: Ended::Died });
    assert_eq!(desk.phase(A), PhaseName::Held, "the proof of another life proves nothing");
}

#[test]
fn a_stop_that_was_undone_is_asked_for_again() {
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    desk.input(A, Input::GiveUp);
    desk.run(5000);
    let asked = desk.commands.iter().filter(|(node, _, command)| *node == A && *command == Command::YieldRole);
    let asked: Vec<u64> = asked.map(|(_, ms, _)| ms - 2000).collect();
    let every = u64::try_from(YIELD_AGAIN.as_millis()).unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked[0] == 0 && (every..every + 400).contains(&asked[1]), "{asked:?}");
}

#[test]
fn a_later_epoch_anywhere_ends_it_and_an_earlier_one_does_not() {
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    let hello = |epoch| PeerMessage::Hello {
        ready: None,
        holding: Some(Epoch(epoch)),
        yielding: None,
        pause: Pause::default(),
        sent: Sent::default(),
    };
    desk.input(A, Input::Peer { from: B, message: hello(1) });
    assert_eq!(desk.phase(A), PhaseName::Held);
    desk.input(A, Input::Peer { from: C, message: hello(9) });
    assert_eq!(desk.phase(A), PhaseName::Held, "C is no candidate here");
    desk.input(A, Input::Peer { from: B, message: hello(2) });
    assert!(desk.told(A).contains(&Event::Lost { epoch: Epoch(1), why: Why::Deposed { by: B } }));
}

#[test]
fn a_voter_that_was_promised_to_another_is_brought_back() {
    let mut desk = Desk::led_by_a();
    // It restarts without its memory and without waiting, and the parked bid of B gets its promise.
    let register = *desk.voters[&VOTERS[0]].register();
    let voter = Voter::new(vec![A, B], Timetable::new(LEASE), (register, Memory::default()), None);
    desk.voters.insert(VOTERS[0], voter);
    desk.run(1500);
    assert!(desk.told(A).contains(&Event::Refreshed { epoch: Epoch(1) }));
    assert_eq!(desk.leader(), Some(A));
    let back = desk.voters[&VOTERS[0]].register();
    assert_eq!(back.accepted.map(|(ballot, value)| (ballot.node, value.epoch)), Some((A, Epoch(1))));
}

#[test]
fn voters_that_fall_silent_are_told_of_once_and_when_they_are_back() {
    let mut desk = Desk::led_by_a();
    desk.cut.insert(VOTERS[2]);
    desk.run(2000);
    desk.cut.clear();
    desk.run(1000);
    let (voter, voters) = (VOTERS[2], 3);
    let mine =
        desk.told(A).into_iter().filter(|event| matches!(event, Event::VoterSilent { .. } | Event::VoterBack { .. }));
    let wanted = [Event::VoterSilent { voter, answering: 2, voters }, Event::VoterBack { voter, answering: 3, voters }];
    assert_eq!(mine.collect::<Vec<_>>(), wanted);
    let silent = desk.when(A, |event| matches!(event, Event::VoterSilent { .. })).unwrap();
    assert!((3200..3700).contains(&silent), "a lease after its last answer: {silent}");
    assert!(desk.status(A).quorum);
    desk.cut.extend([VOTERS[0], VOTERS[1]]);
    desk.run(2500);
    assert!(!desk.status(A).quorum && desk.status(A).voters.iter().filter(|voter| voter.answering).count() == 1);
}

/// A client that starts anew at `ms` after `tenure` was published.
fn restarted(tenure: Tenure, ms: u64, emptied: bool) -> (Lease, Vec<Command>) {
    let mut lease = Lease::new(config(A, &[A, B]), at(ms), A.0, 99).readopt(tenure, emptied);
    let commands = lease.handle(at(ms), Input::Tick);
    (lease, commands)
}

#[test]
fn a_restarted_client_takes_up_what_still_runs_and_nothing_else() {
    let tenure = Desk::led_by_a().published(A).unwrap();
    let (lease, commands) = restarted(tenure, 3899, false);
    assert_eq!(lease.status().phase, PhaseName::Held);
    assert!(lease.status().claimed && lease.status().role_up);
    assert!(commands.contains(&Command::Journal(Event::Readopted { epoch: Epoch(1) })));
    assert!(commands.contains(&Command::LookForFailures));
    let over = |commands: &[Command]| commands.contains(&Command::Publish(Tenure { held: false, ..tenure }));
    let (lease, commands) = restarted(tenure, 3900, false);
    assert_eq!(lease.status().phase, PhaseName::Lost, "nine twelfths of the lease are over");
    assert!(over(&commands));
    let (lease, commands) = restarted(tenure, 3100, true);
    assert_eq!(lease.status().phase, PhaseName::Watching, "its gate has proven that nothing runs");
    assert!(over(&commands));
    assert!(
        commands.iter().any(|command| matches!(command, Command::ToVoter { message: ToVoter::Release { .. }, .. }))
    );
    let (lease, _) = restarted(Tenure { held: false, ..tenure }, 3100, false);
    assert_eq!(lease.status().phase, PhaseName::Lost);
}

#[test]
fn an_abandoned_tenure_is_not_renewed() {
    let mut desk = Desk::led_by_a();
    desk.gates = false;
    desk.input(A, Input::Abandoned);
    assert_eq!(desk.phase(A), PhaseName::Lost);
    let before = renewals(&desk).len();
    desk.run(3000);
    assert_eq!(renewals(&desk).len(), before);
}

#[test]
fn a_refresh_that_a_majority_refuses_for_good_is_tried_again_with_a_higher_ballot() {
    let mut desk = Desk::led_by_a();
    desk.run(150);
    desk.cut.extend(VOTERS);
    let stale = |desk: &mut Desk| {
        desk.run(300);
        let round = at(1000 + renewals(desk).last().unwrap()).boot;
        let message = FromVoter::Renewed {
            round,
            lease: LEASE,
            granted: false,
            promised: crate::Ballot::default(),
            credit: false,
        };
        desk.input(A, Input::Voter { from: VOTERS[0], message });
    };
    let ballots = |desk: &Desk| {
        let prepared = desk.commands.iter().filter_map(|(node, _, command)| match command {
            Command::ToVoter { to, message: ToVoter::Prepare { ballot, .. } } if *node == A && *to == VOTERS[0] => {
                Some(*ballot)
            }
            _ => None,
        });
        let mut all: Vec<_> = prepared.collect();
        all.dedup();
        all
    };
    stale(&mut desk);
    let first = *ballots(&desk).last().unwrap();
    let refuse = |desk: &mut Desk, why| {
        for from in [VOTERS[0], VOTERS[1]] {
            let promised = crate::Ballot { counter: 50, node: B, nonce: 0 };
            let message = FromVoter::Refused { ballot: first, promised, why, live: None };
            desk.input(A, Input::Voter { from, message });
        }
        desk.run(350);
    };
    refuse(&mut desk, Refusal::Quarantine);
    assert_eq!(ballots(&desk).last(), Some(&first), "not yet is not no");
    refuse(&mut desk, Refusal::HigherBallot);
    let next = *ballots(&desk).last().unwrap();
    assert!(next.counter > 50, "{next:?}");
}

#[test]
fn a_lock_that_is_given_back_may_be_had_again_at_once() {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| config.automatic = false);
    desk.run(100);
    desk.ask(A, None);
    desk.run(500);
    desk.stop(A, Ended::Stopped);
    assert_eq!(desk.status(A).abstains_for, None);
    desk.ask(A, None);
    desk.run(1500);
    assert_eq!(desk.leader(), Some(A));
}
