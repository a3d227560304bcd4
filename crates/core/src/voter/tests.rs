//! The voter's rules, one test each, named for the rule of lease.md 4.3.

use super::*;
use std::time::Duration;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const STRANGER: NodeId = NodeId(9);
const LIFE: Incarnation = Incarnation { boot: 7, nonce: 7 };

fn at(ms: u64) -> Stamp {
    Stamp::default().plus(Duration::from_millis(ms))
}

fn ballot(counter: u64, node: NodeId) -> Ballot {
    Ballot { counter, node, nonce: 0 }
}

fn value(epoch: u64, holder: NodeId) -> Value {
    Value::tenure(Epoch(epoch), holder, LIFE)
}

fn fresh() -> Voter {
    let table = Timetable::new(Duration::from_secs(1));
    Voter::new(vec![A, B], table, (Register::default(), Memory::default()), None)
}

/// A voter whose group is held by A in epoch 1, granted at 0 ms.
fn held_by_a() -> Voter {
    let mut voter = fresh();
    voter.handle(at(0), A, ToVoter::Prepare { ballot: ballot(1, A), park: false, fenced: None });
    voter.handle(at(0), A, ToVoter::Accept { ballot: ballot(1, A), value: value(1, A) });
    voter
}

fn answer(commands: &[VoterCommand]) -> FromVoter {
    match commands.last() {
        Some(VoterCommand::Reply { message, .. }) => *message,
        other => panic!("no reply in {other:?}"),
    }
}

fn refusal(commands: &[VoterCommand]) -> Refusal {
    match answer(commands) {
        FromVoter::Refused { why, .. } => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn renewed(voter: &mut Voter, now: Stamp, from: NodeId, epoch: u64) -> bool {
    let message = ToVoter::Renew { epoch: Epoch(epoch), incarnation: LIFE, round: 1 };
    match answer(&voter.handle(now, from, message)) {
        FromVoter::Renewed { granted, .. } => granted,
        other => panic!("not a renewal: {other:?}"),
    }
}

#[test]
fn v1_a_live_lease_gates_other_nodes_and_not_its_holder() {
    let mut voter = held_by_a();
    let from_b = voter.handle(at(999), B, ToVoter::Prepare { ballot: ballot(2, B), park: false, fenced: None });
    assert_eq!(refusal(&from_b), Refusal::LeaseLive);
    let from_a = voter.handle(at(999), A, ToVoter::Prepare { ballot: ballot(2, A), park: false, fenced: None });
    assert!(matches!(answer(&from_a), FromVoter::Promise { .. }));
}

#[test]
fn v1_parked_is_answered_at_the_very_end_of_the_lease() {
    let mut voter = held_by_a();
    let parked = voter.handle(at(700), B, ToVoter::Prepare { ballot: ballot(2, B), park: true, fenced: None });
    assert_eq!(refusal(&parked), Refusal::Parked);
    assert_eq!(voter.wake_at(at(700)), Some(at(1000).boot));
    assert_eq!(voter.tick(at(999)), vec![]);
    let commands = voter.tick(at(1000));
    assert!(matches!(commands[0], VoterCommand::Persist(_)), "a promise is durable before it is given");
    assert!(matches!(answer(&commands), FromVoter::Promise { .. }));
}

#[test]
fn v1_parked_is_forgotten_when_its_sender_stops_repeating_it() {
    let mut voter = held_by_a();
    voter.handle(at(100), B, ToVoter::Prepare { ballot: ballot(2, B), park: true, fenced: None });
    assert_eq!(voter.tick(at(1000)), vec![]);
}

#[test]
fn v1_who_is_parked_makes_room_for_another_and_is_told_and_a_repetition_is_none() {
    let mut voter = held_by_a();
    let bid = |counter, node| ToVoter::Prepare { ballot: ballot(counter, node), park: true, fenced: None };
    voter.handle(at(100), B, bid(2, B));
    assert_eq!(voter.handle(at(200), B, bid(2, B)).len(), 1, "its own repetition evicts nobody");
    let c = NodeId(9);
    voter.candidates.push(c);
    let commands = voter.handle(at(300), c, bid(3, c));
    let told: Vec<_> = commands
        .iter()
        .map(|command| match command {
            VoterCommand::Reply { to, message: FromVoter::Refused { why, .. } } => (*to, *why),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(c, Refusal::Parked), (B, Refusal::Evicted)]);
}

#[test]
fn v3_a_promise_that_was_given_is_not_written_again() {
    let mut voter = fresh();
    let prepare = ToVoter::Prepare { ballot: ballot(2, A), park: false, fenced: None };
    assert_eq!(voter.handle(at(0), A, prepare).len(), 2);
    assert!(matches!(voter.handle(at(0), A, prepare)[..], [VoterCommand::Reply { .. }]));
}

#[test]
fn v1_release_answers_what_is_parked_at_once() {
    let mut voter = held_by_a();
    voter.handle(at(100), B, ToVoter::Prepare { ballot: ballot(2, B), park: true, fenced: None });
    let commands = voter.handle(at(200), A, ToVoter::Release { epoch: Epoch(1), incarnation: LIFE });
    assert!(matches!(answer(&commands), FromVoter::Promise { .. }));
}

#[test]
fn v2_quarantine_lets_only_the_recorded_holder_through() {
    let register = *held_by_a().register();
    let table = Timetable::new(Duration::from_secs(1));
    let mut voter = Voter::new(vec![A, B], table, (register, Memory::default()), Some(at(1100)));
    let from_b = voter.handle(at(500), B, ToVoter::Prepare { ballot: ballot(2, B), park: false, fenced: None });
    assert_eq!(refusal(&from_b), Refusal::Quarantine);
    assert!(renewed(&mut voter, at(500), A, 1));
    let mut voter = Voter::new(vec![A, B], table, (register, Memory::default()), Some(at(1100)));
    let late = voter.handle(at(1100), B, ToVoter::Prepare { ballot: ballot(2, B), park: false, fenced: None });
    assert!(matches!(answer(&late), FromVoter::Promise { .. }));
}

#[test]
fn forced_waits_for_leases_of_others_and_lets_not_even_the_recorded_holder_through() {
    let table = Timetable::new(Duration::from_secs(1));
    let memory = Memory { forced: Some(at(1100)), ..Memory::default() };
    // A voter that has accepted nothing owes nothing itself; what others have granted runs all the same.
    for register in [Register::default(), *held_by_a().register()] {
        let mut voter = Voter::new(vec![A, B], table, (register, memory), None);
        assert!(voter.in_quarantine(at(1099)));
        let early = voter.handle(at(1099), A, ToVoter::Prepare { ballot: ballot(2, A), park: false, fenced: None });
        assert_eq!(refusal(&early), Refusal::Quarantine);
        voter.handle(at(1099), A, ToVoter::Release { epoch: Epoch(1), incarnation: LIFE });
        assert!(voter.in_quarantine(at(1099)), "the end of one's own lease says nothing of others");
        let late = voter.handle(at(1100), A, ToVoter::Prepare { ballot: ballot(2, A), park: false, fenced: None });
        assert!(matches!(answer(&late), FromVoter::Promise { .. }));
    }
}

#[test]
fn v3_promise_and_value_are_persisted_before_the_answer_and_a_renewal_is_not() {
    let mut voter = fresh();
    let promise = voter.handle(at(0), A, ToVoter::Prepare { ballot: ballot(1, A), park: false, fenced: None });
    assert!(matches!(promise[..], [VoterCommand::Persist(_), VoterCommand::Reply { .. }]));
    let accepted = voter.handle(at(0), A, ToVoter::Accept { ballot: ballot(1, A), value: value(1, A) });
    let [VoterCommand::Persist(_), VoterCommand::Remember(_), VoterCommand::Reply { .. }] = accepted[..] else {
        panic!("{accepted:?}")
    };
    let renewed = voter.handle(at(10), A, ToVoter::Renew { epoch: Epoch(1), incarnation: LIFE, round: 1 });
    assert!(matches!(renewed[..], [VoterCommand::Remember(_), VoterCommand::Reply { .. }]), "{renewed:?}");
}

#[test]
fn v3_a_lower_ballot_is_refused_in_both_phases() {
    let mut voter = fresh();
    voter.handle(at(0), B, ToVoter::Prepare { ballot: ballot(5, B), park: false, fenced: None });
    let low = voter.handle(at(0), A, ToVoter::Prepare { ballot: ballot(4, A), park: false, fenced: None });
    assert_eq!(refusal(&low), Refusal::HigherBallot);
    let low = voter.handle(at(0), A, ToVoter::Accept { ballot: ballot(4, A), value: value(1, A) });
    assert_eq!(refusal(&low), Refusal::HigherBallot);
}

#[test]
fn v4_a_promise_to_another_node_ends_renewals_and_one_to_the_holder_does_not() {
    let mut voter = held_by_a();
    voter.handle(at(100), A, ToVoter::Prepare { ballot: ballot(2, A), park: false, fenced: None });
    assert!(renewed(&mut voter, at(110), A, 1));
    let expired = at(2000);
    voter.handle(expired, B, ToVoter::Prepare { ballot: ballot(3, B), park: false, fenced: None });
    assert!(!renewed(&mut voter, expired, A, 1));
}

#[test]
fn v4_only_the_recorded_life_renews() {
    let mut voter = held_by_a();
    assert!(!renewed(&mut voter, at(10), B, 1));
    assert!(!renewed(&mut voter, at(10), A, 2));
    let other_life = Incarnation { boot: 8, nonce: 7 };
    let commands = voter.handle(at(10), A, ToVoter::Renew { epoch: Epoch(1), incarnation: other_life, round: 1 });
    assert!(matches!(answer(&commands), FromVoter::Renewed { granted: false, .. }));
}

#[test]
fn a_released_lease_is_not_revived_by_a_late_datagram() {
    let mut voter = held_by_a();
    voter.handle(at(100), A, ToVoter::Release { epoch: Epoch(1), incarnation: LIFE });
    assert!(!renewed(&mut voter, at(110), A, 1));
    voter.handle(at(120), A, ToVoter::Accept { ballot: ballot(1, A), value: value(1, A) });
    assert_eq!(voter.live(at(120)), None);
}

#[test]
fn nobody_speaks_for_another_and_strangers_are_no_candidates() {
    let mut voter = fresh();
    let forged = voter.handle(at(0), B, ToVoter::Prepare { ballot: ballot(1, A), park: false, fenced: None });
    assert_eq!(refusal(&forged), Refusal::NotCandidate);
    let stranger =
        voter.handle(at(0), STRANGER, ToVoter::Prepare { ballot: ballot(1, STRANGER), park: true, fenced: None });
    assert_eq!(refusal(&stranger), Refusal::NotCandidate);
    let mut held = held_by_a();
    assert!(held.handle(at(1), B, ToVoter::Release { epoch: Epoch(1), incarnation: LIFE }).is_empty());
    assert!(held.live(at(1)).is_some());
}

#[test]
fn a_suspended_voter_does_not_shorten_its_promise() {
    let mut voter = held_by_a();
    let woken = Stamp { boot: at(5000).boot, raw: at(100).raw };
    let from_b = voter.handle(woken, B, ToVoter::Prepare { ballot: ballot(2, B), park: false, fenced: None });
    assert_eq!(refusal(&from_b), Refusal::LeaseLive);
}

#[test]
fn v7_a_shorter_lease_of_a_new_configuration_does_not_shorten_a_promise() {
    let before = held_by_a();
    let table = Timetable::new(Duration::from_millis(500));
    let mut voter = Voter::new(vec![A, B], table, (*before.register(), *before.memory()), None);
    assert!(renewed(&mut voter, at(300), A, 1));
    assert!(voter.owes_longer(at(300)), "what a register keeps for a power cut says so too");
    let bid = |voter: &mut Voter, now| {
        let bid = ToVoter::Prepare { ballot: ballot(2, B), park: false, fenced: None };
        answer(&voter.handle(at(now), B, bid))
    };
    assert!(matches!(bid(&mut voter.clone(), 900), FromVoter::Refused { why: Refusal::LeaseLive, .. }));
    assert!(matches!(bid(&mut voter.clone(), 1000), FromVoter::Promise { .. }), "nor does it lengthen one");
    assert!(renewed(&mut voter, at(600), A, 1));
    assert!(!voter.owes_longer(at(600)));
    assert!(matches!(bid(&mut voter.clone(), 1099), FromVoter::Refused { why: Refusal::LeaseLive, .. }));
    assert!(matches!(bid(&mut voter, 1100), FromVoter::Promise { .. }));
}

fn fenced_bid(incarnation: Incarnation, park: bool) -> ToVoter {
    let fenced = Some(crate::message::Fenced { node: A, incarnation });
    ToVoter::Prepare { ballot: ballot(2, B), park, fenced }
}

#[test]
fn f1_a_proof_ends_the_lease_of_the_life_that_it_names_and_no_other() {
    let mut voter = held_by_a();
    let other = Incarnation { boot: 8, nonce: 7 };
    assert_eq!(refusal(&voter.handle(at(100), B, fenced_bid(other, false))), Refusal::LeaseLive);
    let promise = voter.handle(at(100), B, fenced_bid(LIFE, false));
    assert!(matches!(answer(&promise), FromVoter::Promise { .. }));
    assert!(!renewed(&mut voter, at(110), A, 1), "what was on its way from it comes too late");
}

#[test]
fn f1_a_proof_ends_what_a_restarted_voter_may_have_forgotten_of_that_life() {
    let register = *held_by_a().register();
    let table = Timetable::new(Duration::from_secs(1));
    let forgetful = || Voter::new(vec![A, B], table, (register, Memory::default()), Some(at(5000)));
    let other = Incarnation { boot: 8, nonce: 7 };
    assert_eq!(refusal(&forgetful().handle(at(100), B, fenced_bid(other, false))), Refusal::Quarantine);
    assert!(matches!(answer(&forgetful().handle(at(100), B, fenced_bid(LIFE, false))), FromVoter::Promise { .. }));
    // An operator's wait is for leases of voters that are gone: one proof says nothing of those.
    let memory = Memory { forced: Some(at(5000)), ..Memory::default() };
    let mut forced = Voter::new(vec![A, B], table, (register, memory), None);
    assert_eq!(refusal(&forced.handle(at(100), B, fenced_bid(LIFE, false))), Refusal::Quarantine);
}

#[test]
fn a_proof_that_is_parked_is_kept_with_the_bid() {
    let mut voter = held_by_a();
    let other = Incarnation { boot: 8, nonce: 7 };
    assert_eq!(refusal(&voter.handle(at(700), B, fenced_bid(other, true))), Refusal::Parked);
    assert!(voter.tick(at(800)).is_empty(), "it was for another life");
    assert!(matches!(answer(&voter.tick(at(1001))), FromVoter::Promise { .. }), "and the lease ends as ever");
}

#[test]
fn a_change_of_the_copies_is_the_same_tenure() {
    let mut voter = held_by_a();
    let copies = crate::Copies { generation: 1, rev: 1, insync: crate::NodeSet::only(A) };
    voter.handle(at(100), A, ToVoter::Prepare { ballot: ballot(2, A), park: false, fenced: None });
    voter.handle(at(100), A, ToVoter::Accept { ballot: ballot(2, A), value: Value { copies, ..value(1, A) } });
    assert!(renewed(&mut voter, at(200), A, 1));
    voter.handle(at(300), A, ToVoter::Release { epoch: Epoch(1), incarnation: LIFE });
    voter.handle(at(310), A, ToVoter::Accept { ballot: ballot(2, A), value: Value { copies, ..value(1, A) } });
    assert_eq!(voter.live(at(310)), None, "a late copy of the change revives nothing");
}

/// One of two voters, with A as the other, heard in its boot 7; B is the candidate that lives with this voter.
fn one_of_two() -> Voter {
    held_by_a().with_fence_vote(A, Some(7))
}

fn credit(commands: &[VoterCommand]) -> bool {
    match answer(commands) {
        FromVoter::Promise { credit, .. } | FromVoter::Accepted { credit, .. } | FromVoter::Renewed { credit, .. } => {
            credit
        }
        other => panic!("no vote: {other:?}"),
    }
}

#[test]
fn f3_a_proof_of_the_fellows_boot_counts_for_its_vote_until_it_is_back() {
    let mut voter = one_of_two();
    let promise = voter.handle(at(100), B, fenced_bid(LIFE, false));
    assert!(credit(&promise));
    let remembered = promise.iter().any(|command| matches!(command, VoterCommand::Remember(memory) if memory.credit));
    assert!(remembered, "a restart within the boot must not forget it");
    let accept = ToVoter::Accept { ballot: ballot(2, B), value: value(2, B) };
    assert!(credit(&voter.handle(at(110), B, accept)));
    let back = voter.fellow_returned(8);
    assert!(matches!(back[..], [VoterCommand::Remember(Memory { credit: false, fellow_boot: 8, .. })]), "{back:?}");
    assert!(!credit(&voter.handle(at(120), B, accept)));
    // The same proof, late: that boot is over, and another runs.
    assert!(!credit(&voter.handle(at(130), B, fenced_bid(LIFE, false))));
}

#[test]
fn f3_nobody_else_counts_as_granted() {
    let mut voter = held_by_a();
    assert!(!credit(&voter.handle(at(100), B, fenced_bid(LIFE, false))), "three voters: a proof ends a lease, no more");
    let mut voter = held_by_a().with_fence_vote(STRANGER, Some(7));
    assert!(!credit(&voter.handle(at(100), B, fenced_bid(LIFE, false))));
    let mut voter = held_by_a().with_fence_vote(A, Some(6));
    assert!(!credit(&voter.handle(at(100), B, fenced_bid(LIFE, false))), "it has been heard in another boot since");
    assert!(held_by_a().fellow_returned(9).is_empty());
}

#[test]
fn a_release_says_what_a_restarted_voter_did_not_know_any_more() {
    let register = *held_by_a().register();
    let table = Timetable::new(Duration::from_secs(1));
    let mut voter = Voter::new(vec![A, B], table, (register, Memory::default()), Some(at(5000)));
    let bid = ToVoter::Prepare { ballot: ballot(2, B), park: false, fenced: None };
    assert_eq!(refusal(&voter.handle(at(100), B, bid)), Refusal::Quarantine);
    voter.handle(at(110), A, ToVoter::Release { epoch: Epoch(1), incarnation: LIFE });
    assert!(matches!(answer(&voter.handle(at(120), B, bid)), FromVoter::Promise { .. }));
}
