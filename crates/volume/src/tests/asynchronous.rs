//! Decision 0027: a copy that nobody waits for.

use super::*;

fn far() -> Desk {
    let mut a = copy(A, B, |_| {});
    a.config.asynchronous = vec![B];
    let mut desk = Desk::new(a, copy(B, A, |_| {}));
    desk.promote(A, 1);
    desk.sets(1, &[A], &[A]);
    desk.connect();
    assert!(desk.copies[&A].is_joined(B) && desk.copies[&B].status().whole);
    desk
}

fn durable(tag: u64) -> Request {
    Request { op: Op::Write { what: What::Data, durable: true }, range: range(1 << 20, 4096), tag }
}

fn begun(desk: &Desk) -> Vec<Task> {
    desk.kept.iter().filter(|(node, ..)| *node == B).map(|(.., task)| *task).collect()
}

#[test]
fn nobody_waits_for_it_and_it_is_never_asked_for() {
    let mut desk = far();
    desk.held.insert(B);
    desk.ask(write(1));
    desk.ask(flush(2));
    assert_eq!(desk.completed, [(1, true), (2, true)]);
    desk.disconnect();
    desk.ask(write(3));
    desk.ask(flush(4));
    desk.run(3000);
    assert_eq!(desk.completed.last(), Some(&(4, true)));
    assert_eq!(desk.wants, []);
    assert!(!desk.happened(|event| matches!(event, Event::Frozen { .. } | Event::Dropped { .. })));
}

#[test]
fn what_came_after_a_flush_begins_when_that_is_done() {
    let mut desk = far();
    desk.held.insert(B);
    desk.tasks.clear();
    desk.ask(write(1));
    desk.ask(flush(2));
    desk.ask(Request { range: range(1 << 20, 4096), ..write(3) });
    assert_eq!(desk.completed.len(), 3, "here all is done");
    assert!(matches!(begun(&desk)[..], [Task::Write { range: Range { at: 4096, .. }, .. }]), "{:?}", begun(&desk));
    let step = |desk: &mut Desk| {
        desk.release(B);
        desk.held.insert(B);
    };
    step(&mut desk);
    let flushed = desk.tasks.iter().position(|task| *task == (B, Task::Flush)).expect("it was flushed");
    let second = |(node, task): &(NodeId, Task)| {
        *node == B && matches!(task, Task::Write { range: Range { at, .. }, .. } if *at == 1 << 20)
    };
    step(&mut desk);
    step(&mut desk);
    let written = desk.tasks.iter().position(second).expect("it was written");
    assert!(flushed < written, "{:?}", desk.tasks);
}

#[test]
fn what_came_after_a_durable_write_begins_when_that_is_done() {
    let mut desk = far();
    desk.held.insert(B);
    desk.ask(durable(1));
    desk.ask(write(2));
    assert_eq!(begun(&desk).len(), 1);
    desk.release(B);
    assert_eq!(desk.copies[&A].lags()[0].1.bytes, 0);
}

#[test]
fn what_is_too_far_behind_is_left_behind_and_made_equal_later() {
    let mut desk = far();
    desk.held.insert(B);
    for tag in 1..300 {
        desk.ask(write(tag)); // 4 KiB each, and 1 MiB is allowed
    }
    assert_eq!(desk.completed.len(), 299, "nobody was held up");
    let bytes = |event: &Event| matches!(event, Event::LeftBehind { peer: B, lag } if lag.bytes > 1 << 20);
    assert!(desk.happened(bytes) && !desk.connected);
    desk.events.clear();
    desk.release(B);
    desk.connect();
    assert!(!desk.copies[&A].is_joined(B), "it is left alone for a while");
    desk.run(5000);
    assert!(desk.copies[&A].is_joined(B) && desk.copies[&B].status().whole);
    desk.held.insert(B);
    desk.ask(write(400));
    desk.run(9000);
    assert_eq!(desk.copies[&A].lags(), [(B, Lag { bytes: 4096, span: Duration::from_secs(9) })]);
    desk.run(1100);
    assert!(desk.happened(|event| matches!(event, Event::LeftBehind { lag, .. } if lag.bytes == 4096)));
}

#[test]
fn flushes_that_are_not_answered_take_memory_too() {
    let mut desk = far();
    desk.held.insert(B);
    desk.ask(write(1));
    for tag in 2..300 {
        desk.ask(flush(tag));
    }
    assert_eq!(desk.completed.len(), 299, "nobody was held up");
    assert!(desk.happened(|event| matches!(event, Event::LeftBehind { peer: B, .. })));
}

#[test]
fn one_that_counted_until_now_is_let_go_of_and_told_so() {
    let mut a = copy(A, B, |_| {});
    a.config.asynchronous = vec![B];
    let mut desk = Desk::new(a, copy(B, A, |_| {}));
    desk.connect();
    desk.promote(A, 1);
    desk.sets(1, &[A, B], &[A, B]);
    desk.ask(write(1));
    assert_eq!(desk.wants, [NodeSet::only(A)]);
    desk.sets(1, &[A], &[A]);
    assert!(!desk.connected, "a new session begins, in which it is told what it is");
    desk.connect();
    assert!(matches!(
        desk.sent.iter().rev().find(|sent| matches!(sent, ToReplica::Hello { .. })),
        Some(ToReplica::Hello { terms: Terms::Asynchronous, .. })
    ));
    assert!(desk.copies[&A].is_joined(B));
}
