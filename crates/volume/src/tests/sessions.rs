//! R3, R6, D6, D7: who is promoted, who is listened to.

use super::*;

fn hello(epoch: u64) -> ToReplica {
    ToReplica::Hello { volume: 7, size: SIZE, epoch: Epoch(epoch), generation: GENERATION, terms: Terms::Member }
}

/// What B answers to `message` in a fresh session with A.
fn answer(b: Volume, message: ToReplica) -> Vec<ToPrimary> {
    let mut desk = Desk::new(copy(A, B, |_| {}), b);
    desk.input(B, Input::Connected { peer: A, session: 9 });
    let mut said = Vec::new();
    let mut inputs = VecDeque::from([Input::FromPrimary { peer: A, session: 9, message, bytes: 0 }]);
    while let Some(input) = inputs.pop_front() {
        for command in desk.copies.get_mut(&B).unwrap().handle(desk.now, input) {
            match command {
                Command::ToPrimary { message, .. } => said.push(message),
                Command::Meta { id, .. } | Command::Disk { id, .. } => inputs.push_back(Input::Done { id, ok: true }),
                _ => {}
            }
        }
    }
    said
}

fn refused(why: Refusal) -> Vec<ToPrimary> {
    vec![ToPrimary::Refused { why }]
}

#[test]
fn who_is_not_listened_to() {
    let b = |change: fn(&mut Superblock)| copy(B, A, change);
    assert!(matches!(answer(b(|_| {}), hello(1))[..], [ToPrimary::Welcome { .. }]));
    assert_eq!(answer(b(|block| block.min_epoch = Epoch(2)), hello(1)), refused(Refusal::LaterEpoch(Epoch(2))));
    assert!(matches!(answer(b(|block| block.min_epoch = Epoch(1)), hello(1))[..], [ToPrimary::Welcome { .. }]));
    assert_eq!(answer(b(|block| block.generation = 5), hello(1)), refused(Refusal::OtherGeneration(5)));
    assert_eq!(answer(b(|block| block.volume = 8), hello(1)), refused(Refusal::OtherVolume));
    let small = copy_with_room(B, A, SIZE / 2, |block| block.size = SIZE / 2);
    assert_eq!(answer(small, hello(1)), refused(Refusal::NoRoom(SIZE / 2)));
    assert_eq!(answer(b(|block| block.whole = false), hello(1)), refused(Refusal::NotWhole));
    assert_eq!(
        answer(b(|block| block.generation = 0), hello(1)),
        refused(Refusal::OtherGeneration(0)),
        "it counts and has lost its data"
    );
    let stranger =
        ToReplica::Hello { volume: 7, size: SIZE, epoch: Epoch(1), generation: GENERATION, terms: Terms::Newcomer };
    let mut blank = answer(b(|block| (block.generation, block.whole) = (0, false)), stranger);
    assert!(
        matches!(blank.pop(), Some(ToPrimary::Welcome { differs, .. }) if differs[0] == u64::MAX),
        "all of it differs"
    );
    assert!(answer(b(|_| {}), ToReplica::Flush { flush: 1 }).is_empty(), "before hello");
}

#[test]
fn who_is_not_promoted() {
    let refusal = |change: fn(&mut Superblock)| {
        let mut desk = Desk::new(copy(A, B, change), copy(B, A, |_| {}));
        desk.promote(A, 3);
        match desk.last_event(A) {
            Some(Event::PromotionRefused { why, .. }) => Some(why),
            _ => None,
        }
    };
    assert_eq!(refusal(|_| {}), None);
    assert_eq!(refusal(|block| block.whole = false), Some(Unfit::NotWhole));
    assert_eq!(refusal(|block| block.min_epoch = Epoch(4)), Some(Unfit::LaterEpoch(Epoch(4))));
    assert_eq!(refusal(|block| block.generation = 5), Some(Unfit::OtherGeneration(5)));
    assert_eq!(refusal(|block| block.generation = 0), Some(Unfit::OtherGeneration(0)), "it took the place of a copy");
    assert_eq!(refusal(|block| (block.generation, block.whole) = (0, false)), Some(Unfit::OtherGeneration(0)));
}

#[test]
fn data_that_was_created_here_is_led_where_no_other_copy_counts_and_is_nobodys_copy() {
    let mut desk = Desk::new(copy(A, B, |block| block.generation = 0), copy(B, A, |block| block.generation = 0));
    assert_eq!(desk.copies[&A].worth(), (true, true));
    desk.connect();
    desk.input(A, Input::Promote { epoch: Epoch(1), generation: GENERATION, alone: true });
    assert_eq!(desk.copies[&A].status().generation, GENERATION);
    desk.sets(1, &[A], &[A]);
    desk.run(100);
    assert!(desk.copies[&A].status().serving);
    let refused = Event::Refused { peer: B, why: Refusal::OtherGeneration(0) };
    assert!(desk.happened(|event| *event == refused), "somebody said that the data is there as well");
    assert_eq!(desk.copies[&B].worth(), (true, true), "and it is left as it is");
}

#[test]
fn a_primary_that_hears_of_a_later_one_stops() {
    let mut desk = Desk::both();
    desk.disconnect();
    desk.promote(B, 2);
    desk.sets(2, &[A, B], &[A, B]);
    desk.ask(write(1));
    desk.connect();
    assert!(desk.happened(|event| *event == Event::Deposed { by: Epoch(2) }));
    assert_eq!(desk.completed, [(1, false)]);
    desk.run(600);
    assert!(!desk.copies[&B].is_joined(A), "A is not done with its own role");
    desk.input(A, Input::Demote);
    desk.run(600);
    assert!(desk.copies[&B].is_joined(A), "asked again, and equal");
}

#[test]
fn a_session_begins_when_the_last_write_of_the_old_one_has_landed() {
    let mut desk = Desk::both();
    desk.held.insert(B);
    desk.ask(write(1));
    desk.disconnect();
    desk.connect();
    assert!(!desk.copies[&A].is_joined(B) && desk.completed.is_empty());
    desk.release(B);
    assert!(desk.copies[&A].is_joined(B));
    assert_eq!(desk.completed, [(1, true)]);
}

#[test]
fn strangers_and_old_sessions_are_not_heard() {
    let mut desk = Desk::both();
    desk.held.insert(B);
    desk.ask(write(1));
    let (session, message) = (desk.session - 1, ToPrimary::Wrote { number: 1 });
    desk.input(A, Input::FromReplica { peer: B, session, message: message.clone() });
    desk.input(A, Input::FromReplica { peer: NodeId(99), session: desk.session, message });
    assert_eq!(desk.completed, []);
    let commands =
        desk.copies.get_mut(&A).unwrap().handle(desk.now, Input::Connected { peer: NodeId(99), session: 50 });
    assert_eq!(commands, [Command::Close { peer: NodeId(99), session: 50 }]);
}

#[test]
fn a_promotion_that_is_called_off_before_it_is_on_disk_does_not_begin_afterwards() {
    for end in [Input::Demote, Input::Seal] {
        let mut volume = copy(A, B, |_| {});
        let now = Duration::from_secs(1);
        let asked = volume.handle(now, Input::Promote { epoch: Epoch(1), generation: GENERATION, alone: false });
        let saves = asked.iter().filter_map(|command| match command {
            Command::Meta { id, .. } => Some(*id),
            _ => None,
        });
        volume.handle(now, end);
        for id in saves {
            volume.handle(now, Input::Done { id, ok: true });
        }
        volume.handle(now + Duration::from_secs(1), Input::Tick);
        let status = volume.status();
        assert_eq!((status.primary, status.min_epoch), (None, Epoch(1)));
    }
}
