//! R1, R8, R9, R10: when a request ends, and how.

use super::*;

#[test]
fn a_write_ends_when_both_copies_have_it() {
    for slow in [A, B] {
        let mut desk = Desk::both();
        desk.held.insert(slow);
        desk.ask(write(1));
        assert_eq!(desk.completed, [], "{slow:?} has not");
        desk.release(slow);
        assert_eq!(desk.completed, [(1, true)]);
    }
}

#[test]
fn a_flush_ends_when_both_disks_are_flushed_and_every_flush_reaches_both() {
    for slow in [A, B] {
        let mut desk = Desk::both();
        desk.ask(write(1));
        desk.tasks.clear();
        desk.held.insert(slow);
        desk.ask(flush(2));
        assert_eq!(desk.completed, [(1, true)]);
        desk.release(slow);
        assert_eq!(desk.completed, [(1, true), (2, true)]);
        let flushed: BTreeSet<NodeId> =
            desk.tasks.iter().filter(|(_, task)| *task == Task::Flush).map(|(node, _)| *node).collect();
        assert_eq!(flushed, BTreeSet::from([A, B]));
    }
}

#[test]
fn what_a_write_is_stays_as_it_is_on_the_way() {
    let mut desk = Desk::both();
    for (tag, what, durable) in [(1, What::Data, true), (2, What::Discard, false), (3, What::Zeroes, true)] {
        desk.tasks.clear();
        desk.ask(Request { tag, op: Op::Write { what, durable }, range: range(8192, 1024) });
        let same = |task: &Task| matches!(task, Task::Write { what: w, durable: d, .. } if (*w, *d) == (what, durable));
        assert_eq!(desk.tasks.iter().filter(|(_, task)| same(task)).count(), 2, "{what:?}");
    }
    assert_eq!(desk.completed, [(1, true), (2, true), (3, true)]);
}

#[test]
fn writes_that_overlap_go_one_after_the_other_and_others_do_not_wait() {
    let mut desk = Desk::both();
    desk.held.insert(A);
    desk.ask(write(1));
    desk.ask(Request { range: range(6144, 4096), ..write(2) });
    desk.ask(Request { range: range(65536, 512), ..write(3) });
    let begun = |desk: &Desk| desk.sent.iter().filter(|message| matches!(message, ToReplica::Write { .. })).count();
    assert_eq!(begun(&desk), 2, "the first and the third");
    desk.release(A);
    assert_eq!(begun(&desk), 3);
    desk.completed.sort_unstable();
    assert_eq!(desk.completed, [(1, true), (2, true), (3, true)]);
}

#[test]
fn the_intent_is_on_disk_before_the_write_is_anywhere() {
    let mut desk = Desk::both();
    desk.failing.insert(A);
    desk.copies.get_mut(&A).unwrap().handle(desk.now, Input::Tick);
    let commands = desk.copies.get_mut(&A).unwrap().handle(desk.now, Input::Request(write(1)));
    let [Command::Meta { id, .. }] = commands[..] else { panic!("the intent alone, not {commands:?}") };
    let commands = desk.copies.get_mut(&A).unwrap().handle(desk.now, Input::Done { id, ok: false });
    let again = commands.iter().find_map(|command| match command {
        Command::Meta { id, .. } => Some(*id),
        _ => None,
    });
    assert!(commands.contains(&Command::Journal(Event::MetaFailed)) && commands.len() == 2, "{commands:?}");
    let commands = desk.copies.get_mut(&A).unwrap().handle(desk.now, Input::Done { id: again.unwrap(), ok: true });
    assert!(matches!(commands[..], [Command::ToReplica { .. }, Command::Disk { .. }]), "{commands:?}");
}

#[test]
fn nonsense_is_refused() {
    let mut desk = Desk::both();
    for (tag, wrong) in [
        (1, range(1, 512)),
        (2, range(0, 100)),
        (3, range(SIZE, 512)),
        (4, range(0, 0)),
        (5, range(u64::MAX - 511, 1024)),
    ] {
        desk.ask(Request { range: wrong, ..write(tag) });
    }
    assert_eq!(desk.completed, [1, 2, 3, 4, 5].map(|tag| (tag, false)));
    desk.completed.clear();
    desk.input(B, Input::Request(read(9)));
    assert_eq!(desk.completed, [(9, false)], "B is not written to, and not read from");
}

#[test]
fn a_lease_that_runs_out_holds_answers_back_and_renewed_lets_them_go() {
    let mut desk = Desk::both();
    desk.input(A, Input::Hold(true));
    desk.ask(write(1));
    desk.ask(read(2));
    desk.ask(flush(3));
    assert_eq!(desk.completed, []);
    desk.input(A, Input::Hold(false));
    desk.completed.sort_unstable();
    assert_eq!(desk.completed, [(1, true), (2, true), (3, true)]);
}

#[test]
fn a_seal_fails_everything_at_once_and_for_good() {
    let mut desk = Desk::both();
    desk.held.extend([A, B]);
    desk.ask(write(1)); // on its way
    desk.ask(write(2)); // waits for the first
    desk.ask(flush(3));
    desk.ask(read(4));
    desk.input(A, Input::Hold(true));
    desk.input(A, Input::Seal);
    desk.completed.sort_unstable();
    assert_eq!(desk.completed, [1, 2, 3, 4].map(|tag| (tag, false)));
    desk.completed.clear();
    desk.release(A);
    desk.release(B);
    desk.input(A, Input::Hold(false));
    desk.ask(read(5));
    assert_eq!(desk.completed, [(5, false)], "what lands now is not told of");
    assert!(desk.happened(|event| *event == Event::Sealed { requests: 4 }));
    desk.input(A, Input::Demote);
    assert_eq!(desk.last_event(A), Some(Event::Demoted { epoch: Epoch(1) }));
    assert_eq!(desk.copies[&A].status().primary, None);
}

#[test]
fn a_disk_that_fails_ends_the_tenure_if_there_is_a_better_copy() {
    let mut desk = Desk::both();
    desk.ask(write(1)); // its extent is hot now: no metadata is in the way
    desk.failing.insert(A);
    desk.ask(write(2));
    assert_eq!(desk.completed, [(1, true), (2, false)]);
    assert!(desk.happened(|event| *event == Event::DiskFailed) && desk.copies[&A].status().sealed);

    let mut alone = Desk::new(copy(A, B, |_| {}), copy(B, A, |_| {}));
    alone.promote(A, 1);
    alone.sets(1, &[A], &[A]);
    alone.ask(write(1));
    alone.failing.insert(A);
    alone.ask(read(2));
    alone.failing.clear();
    alone.ask(read(3));
    assert_eq!(alone.completed, [(1, true), (2, false), (3, true)], "the last copy goes on as a bad disk does");
}

#[test]
fn nothing_is_read_that_could_be_gone_if_another_copy_led_next() {
    let read = |tag| Request { range: range(6144, 512), ..read(tag) };
    let mut desk = Desk::both();
    desk.held.insert(B);
    desk.ask(write(1)); // here it is on the disk
    desk.ask(read(2));
    desk.ask(self::read(3));
    assert_eq!(desk.completed, [(3, true)], "nobody writes there");
    let reads =
        |desk: &Desk| desk.tasks.iter().filter(|(_, task)| matches!(task, Task::Read { tag: Some(2), .. })).count();
    assert_eq!(reads(&desk), 0, "what came before it comes first");
    desk.release(B);
    assert_eq!((desk.completed.as_slice(), reads(&desk)), ([(3, true), (1, true), (2, true)].as_slice(), 1));

    // A write that came while the disk was at it may be what it has found.
    let mut desk = Desk::both();
    desk.held.insert(A);
    desk.ask(read(1));
    desk.held.insert(B);
    desk.ask(write(2));
    desk.release(A);
    assert_eq!(desk.completed, []);
    desk.ask(read(3));
    desk.input(A, Input::Seal);
    desk.completed.sort_unstable();
    assert_eq!(desk.completed, [1, 2, 3].map(|tag| (tag, false)));
    desk.release(B);
    assert_eq!(desk.completed.len(), 3);
}
