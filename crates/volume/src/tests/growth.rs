//! Decision 0028: a volume becomes larger while it is used.

use super::*;

const ROOM: u64 = SIZE * 3;

/// A and B have room for more, B for less of it; A is written to.
fn roomy() -> Desk {
    let mut desk = Desk::new(copy_with_room(A, B, ROOM, |_| {}), copy_with_room(B, A, SIZE * 2, |_| {}));
    desk.connect();
    desk.promote(A, 1);
    desk.sets(1, &[A, B], &[A, B]);
    desk
}

fn beyond(tag: u64) -> Request {
    Request { range: range(SIZE, 4096), ..write(tag) }
}

#[test]
fn it_grows_as_far_as_all_have_room_over_zeros_and_all_know_before_it_is_shown() {
    let mut desk = roomy();
    desk.ask(beyond(1));
    assert_eq!(desk.completed, [(1, false)], "not yet");
    desk.tasks.clear();
    desk.held.insert(B);
    desk.input(A, Input::Grow);
    assert!(desk.happened(|event| *event == Event::GrowthBegins { from: SIZE, to: SIZE * 2 }));
    while !desk.kept.is_empty() {
        desk.release(B);
        desk.held.insert(B);
    }
    assert!(desk.happened(|event| *event == Event::Grown { size: SIZE * 2 }));
    let zeroed = |of: NodeId| -> u64 {
        let discards = desk.tasks.iter().filter_map(|(node, task)| match task {
            Task::Write { what: What::Discard, range, .. } if *node == of => Some(range.len),
            _ => None,
        });
        discards.sum()
    };
    assert_eq!((zeroed(A), zeroed(B)), (SIZE, SIZE));
    assert_eq!([A, B].map(|node| desk.copies[&node].status().size), [SIZE * 2; 2]);
    desk.held.clear();
    desk.ask(beyond(2));
    assert_eq!(desk.completed.last(), Some(&(2, true)));
    assert!(desk.completed.iter().all(|(tag, _)| *tag <= 2), "nobody hears of what it asked for itself");
    desk.input(A, Input::Grow);
    assert_eq!(desk.last_event(A), Some(Event::NotGrown { why: NoGrowth::NoRoom(B) }));
}

#[test]
fn nothing_is_shown_before_all_copies_have_it_on_disk_and_it_stops_when_one_goes_away() {
    let mut desk = roomy();
    desk.held.insert(B);
    desk.input(A, Input::Grow);
    desk.ask(beyond(1));
    desk.disconnect();
    desk.run(100);
    assert!(desk.happened(|event| *event == Event::NotGrown { why: NoGrowth::Missing(B) }));
    assert_eq!((desk.completed.as_slice(), desk.copies[&A].status().size), ([(1, false)].as_slice(), SIZE));
    desk.input(A, Input::Grow);
    assert_eq!(desk.last_event(A), Some(Event::NotGrown { why: NoGrowth::Missing(B) }));
    desk.release(B);
    desk.connect();
    desk.run(200);
    assert!(desk.copies[&A].is_joined(B), "what was made zeros beyond the end is nobody's affair");
    assert!(
        desk.copies[&A].marked(B, 1) != 0,
        "but whoever shows it next has to know of it (simulator, growing 1001805)"
    );
    assert_eq!(desk.copies[&A].status().peers, [(B, true, 0)], "of what is shown all is equal");
    desk.input(A, Input::Grow);
    assert_eq!(desk.last_event(A), Some(Event::Grown { size: SIZE * 2 }));
    desk.run(100);
    assert_eq!(desk.copies[&A].marked(B, 1), 0);
}

#[test]
fn the_block_in_which_the_volume_ends_is_made_equal_as_a_whole() {
    let uneven = |me, other, room| copy_with_room(me, other, room, |block| block.size = SIZE + 512);
    let mut desk = Desk::new(uneven(A, B, ROOM), uneven(B, A, SIZE * 2));
    desk.connect();
    desk.promote(A, 1);
    desk.sets(1, &[A, B], &[A, B]);
    desk.disconnect();
    desk.run(2500);
    desk.sets(1, &[A], &[A]);
    desk.ask(Request { range: range(SIZE, 512), ..write(1) });
    assert!(desk.copies[&A].marked(B, 1) != 0);
    desk.tasks.clear();
    desk.connect();
    desk.run(200);
    let whole = |(node, task): &(NodeId, Task)| {
        *node == A
            && matches!(task, Task::Digest { range } | Task::Read { range, .. } if *range == self::range(SIZE, 65536))
    };
    assert!(desk.tasks.iter().any(whole), "{:?}", desk.tasks);
    desk.run(2000);
    assert_eq!((desk.copies[&A].is_joined(B), desk.copies[&A].marked(B, 1)), (true, 0));
}

#[test]
fn a_node_that_is_no_candidate_any_more_is_not_waited_for() {
    let mut desk = roomy();
    desk.disconnect();
    desk.copies.get_mut(&A).unwrap().config.others.clear();
    desk.run(2500);
    desk.sets(1, &[A], &[A]);
    desk.input(A, Input::Grow);
    assert_eq!(desk.last_event(A), Some(Event::Grown { size: ROOM }));
}

#[test]
fn whoever_is_said_hello_to_takes_the_size_of_the_one_that_is_written_to() {
    for (mine, room) in [(SIZE * 2, ROOM), (SIZE / 2, SIZE)] {
        let mut desk = Desk::new(copy(A, B, |_| {}), copy_with_room(B, A, room, |block| block.size = mine));
        desk.connect();
        desk.promote(A, 1);
        desk.sets(1, &[A, B], &[A, B]);
        assert_eq!(desk.copies[&B].status().size, SIZE);
        assert!(desk.copies[&A].is_joined(B));
    }
    let mut desk = Desk::new(copy(A, B, |_| {}), copy_with_room(B, A, SIZE - 4096, |block| block.size = SIZE - 4096));
    desk.connect();
    desk.promote(A, 1);
    desk.sets(1, &[A, B], &[A, B]);
    assert_eq!(desk.last_event(A), Some(Event::Refused { peer: B, why: Refusal::NoRoom(SIZE - 4096) }));
}

#[test]
fn a_copy_that_is_not_written_to_does_not_grow() {
    let mut desk = roomy();
    desk.input(B, Input::Grow);
    assert_eq!(desk.last_event(B), Some(Event::NotGrown { why: NoGrowth::NotHere }));
    desk.held.insert(B);
    desk.input(A, Input::Grow);
    desk.input(A, Input::Grow);
    assert_eq!(desk.last_event(A), Some(Event::NotGrown { why: NoGrowth::UnderWay }));
    desk.input(A, Input::Seal);
    desk.release(B);
    assert!(!desk.happened(|event| matches!(event, Event::Grown { .. })) && desk.completed.is_empty());
}
