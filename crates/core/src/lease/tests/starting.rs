//! Who takes a free lease, and when (H0, H7).

use super::desk::*;
use crate::lease::{Event, Input, Lease, PhaseName};
use crate::message::{FromVoter, Pause, PeerMessage, Refusal, ToVoter};
use crate::{Ballot, Epoch, Incarnation, Value};
use std::time::Duration;

#[test]
fn the_preferred_candidate_takes_it_at_once_and_the_other_parks_behind_it() {
    let mut desk = Desk::new(&[A, B], &[A, B], |_| {});
    desk.run(300);
    assert_eq!((desk.acquired(A), desk.phase(B)), (Some(0), PhaseName::Bidding));
    assert_eq!(desk.status(A).tenure.map(|value| value.epoch), Some(Epoch(1)));
    assert_eq!(desk.status(B).live.map(|live| live.holder), Some(A));
}

#[test]
fn a_lesser_one_waits_for_the_boot_grace_where_the_preferred_is_not_seen() {
    let mut desk = Desk::new(&[A, B], &[B], |config| config.boot_grace = Duration::from_millis(5050));
    desk.run(5040);
    assert_eq!(desk.leader(), None);
    desk.run(20);
    assert_eq!(desk.acquired(B), Some(5050), "its timer, and not the next reading");
}

#[test]
fn who_has_seen_a_holder_waits_a_quarter_of_a_lease_for_each_ready_better_one() {
    let mut desk = Desk::new(&[A, B, C], &[B, C], |config| {
        if config.me == B {
            config.boot_grace = Duration::ZERO;
        }
    });
    desk.input(C, Input::Standby(false));
    desk.run(500);
    // Two better ones say that they are ready, and do nothing.
    let hello = PeerMessage::Hello {
        ready: Some(Incarnation::default()),
        holding: None,
        yielding: None,
        pause: Pause::default(),
        sent: Default::default(),
    };
    let mut last_renewal = 0;
    for n in 0..100 {
        for from in [A, B] {
            desk.input(C, Input::Peer { from, message: hello.clone() });
        }
        desk.input(C, Input::Standby(true));
        desk.run(50);
        if n == 50 {
            assert_eq!(desk.leader(), Some(B));
            desk.cut.insert(B);
            last_renewal = *desk.sent(B, |message| matches!(message, ToVoter::Renew { .. })).last().unwrap();
        }
    }
    let waited = desk.acquired(C).unwrap() - (last_renewal + 1200);
    assert!((600..=850).contains(&waited), "{waited} ms after the end, of which it noticed at most 200 ms later");
}

#[test]
fn of_two_only_the_first_in_line_parks() {
    let mut desk = Desk::new(&[A, B, C], &[A, B, C], |_| {});
    desk.run(1000);
    assert_eq!([A, B, C].map(|node| desk.phase(node)), [PhaseName::Held, PhaseName::Bidding, PhaseName::Watching]);
}

#[test]
fn who_does_not_stand_by_does_not_bid_and_a_waiting_gate_is_as_good() {
    let mut desk = Desk::new(&[A], &[A], |_| {});
    desk.run(100);
    desk.gates = false;
    desk.stop(A, crate::lease::Ended::Stopped);
    desk.input(A, Input::Standby(false));
    desk.run(10_000);
    assert_eq!(desk.phase(A), PhaseName::Watching);
    desk.input(A, Input::GateWaiting(true));
    desk.run(10);
    assert_eq!(desk.phase(A), PhaseName::Held);
}

#[test]
fn epochs_begin_above_the_floor() {
    let mut desk = Desk::new(&[A], &[A], |config| config.epoch_floor = Epoch(1 << 32));
    desk.run(10);
    assert_eq!(desk.status(A).epoch, Epoch((1 << 32) + 1));
}

#[test]
fn a_lock_is_taken_only_by_who_wants_it() {
    let mut desk = Desk::new(&[A, B], &[A, B], |config| config.automatic = false);
    desk.run(20_000);
    assert_eq!(desk.leader(), None);
    let reads = desk.sent(A, |message| *message == ToVoter::Read);
    assert_eq!(reads[10] - reads[9], 400, "a third of the lease");
    desk.ask(B, None);
    desk.run(10);
    assert_eq!(desk.leader(), Some(B));
    assert!(desk.status(B).role_up, "a script needs nothing more");
}

#[test]
fn the_lease_moves_as_soon_as_the_voters_may_let_it() {
    let mut desk = Desk::led_by_a();
    let last_renewal = *desk.sent(A, |message| matches!(message, ToVoter::Renew { .. })).last().unwrap();
    desk.cut.insert(A);
    desk.run(3000);
    assert_eq!(desk.acquired(B), Some(last_renewal + 1200));
    assert_eq!(desk.status(B).tenure.map(|Value { epoch, .. }| epoch), Some(Epoch(2)));
    assert!(desk.told(A).iter().any(|event| matches!(event, Event::Lost { .. })));
}

#[test]
fn a_bid_that_is_outbid_comes_back_after_a_random_while() {
    let mut desk = Desk::new(&[A], &[A], |_| {});
    desk.run(10);
    let high = crate::Ballot { counter: 100, node: A, nonce: 0 };
    desk.stop(A, crate::lease::Ended::Stopped);
    desk.run(2900); // it let go by itself: it stays away for the hold-down
    for voter in desk.voters.values_mut() {
        voter.handle(desk.now, A, ToVoter::Prepare { ballot: high, park: false, fenced: None });
    }
    desk.run(400);
    let lost = desk.told(A).into_iter().find_map(|event| match event {
        Event::BidLost { wait } => Some(wait),
        _ => None,
    });
    if let Some(wait) = lost {
        assert!((LEASE / 40..=LEASE / 5).contains(&wait), "{wait:?}");
    }
    assert_eq!(desk.leader(), Some(A), "the next ballot is above what was seen");
}

#[test]
fn an_acknowledgement_of_another_ballot_makes_no_holder() {
    let now = at(1000);
    let mut lease = Lease::new(config(A, &[A]), now, 1, 1);
    lease.handle(now, Input::Standby(true));
    let free = FromVoter::State { promised: Ballot::default(), accepted: None, live: None, fellow: None };
    for from in VOTERS {
        lease.handle(now, Input::Voter { from, message: free });
    }
    let ballot = Ballot { counter: 1, node: A, nonce: 0 };
    for from in VOTERS {
        lease.handle(now, Input::Voter { from, message: FromVoter::Promise { ballot, accepted: None, credit: false } });
        lease.handle(now, Input::Voter { from, message: FromVoter::Accepted { ballot, lease: LEASE, credit: false } });
    }
    assert_eq!(lease.status().phase, PhaseName::Bidding, "its own ballot has a nonce");
}

#[test]
fn who_has_parked_knows_the_epoch_of_the_holder_though_it_never_read_what_is_recorded() {
    let mut desk = Desk::led_by_a();
    desk.leases.remove(&B);
    desk.leases.insert(B, Lease::new(config(B, &[A, B]), desk.now, 5, 5));
    let live = desk.voters[&VOTERS[0]].live(desk.now);
    for from in VOTERS {
        let ballot = Ballot { counter: 1, node: B, nonce: 5 };
        let message = FromVoter::Refused { ballot, promised: ballot, why: Refusal::Parked, live };
        desk.own(B, Input::Voter { from, message });
    }
    assert_eq!(desk.status(B).epoch, desk.status(A).epoch);
}
