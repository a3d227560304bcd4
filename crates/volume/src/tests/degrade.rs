//! R2, R5, D3, D4: a copy is lost, and comes back.

use super::*;

fn set(nodes: &[NodeId]) -> NodeSet {
    NodeSet::of(nodes.iter().copied()).unwrap()
}

#[test]
fn a_copy_that_is_lost_freezes_and_is_waited_for_until_the_voters_agree() {
    let mut desk = Desk::both();
    desk.ask(write(1));
    desk.disconnect();
    desk.ask(write(2));
    desk.ask(read(3));
    assert_eq!(desk.completed, [(1, true), (3, true)], "reads go on");
    assert_eq!(desk.last_event(A), Some(Event::Frozen { peer: B }));
    desk.run(1900);
    assert_eq!(desk.wants, [], "B is given time");
    desk.run(200);
    assert_eq!(desk.wants, [set(&[A])]);
    desk.sets(1, &[A, B], &[A, B]);
    assert_eq!(desk.completed.len(), 2, "asked is not agreed");
    desk.run(1100);
    assert_eq!(desk.wants, [set(&[A]), set(&[A])], "asked again");
    desk.sets(1, &[A], &[A]);
    assert_eq!(desk.completed, [(1, true), (3, true), (2, true)]);
    assert!(desk.happened(|event| *event == Event::Dropped { peer: B }));
    assert!(desk.happened(|event| matches!(event, Event::Thawed { .. })));
}

#[test]
fn a_copy_that_is_back_in_time_gets_what_it_missed_and_nobody_is_asked() {
    let mut desk = Desk::both();
    desk.held.insert(B);
    desk.ask(write(1));
    desk.disconnect();
    desk.kept.clear(); // it was never written there
    desk.held.clear();
    desk.ask(flush(2));
    desk.run(1000);
    desk.copies.insert(B, copy(B, A, |_| {})); // its daemon starts anew
    desk.odd.insert((B, 0));
    desk.connect();
    assert_eq!(desk.completed, [(1, true), (2, true)]);
    assert_eq!(desk.wants, []);
    let copied = desk.sent.iter().filter(|message| matches!(message, ToReplica::Copy { .. })).count();
    assert_eq!(copied, 1, "the one block");
}

#[test]
fn what_is_the_same_there_is_not_sent_and_where_it_is_not_few_are_asked() {
    let mut desk = Desk::new(copy(A, B, |_| {}), copy(B, A, |block| (block.generation, block.whole) = (0, false)));
    let blocks = SIZE / 65536;
    desk.odd.extend((20..40).map(|block| (B, block * 65536)));
    desk.promote(A, 1);
    desk.sets(1, &[A], &[A]);
    desk.connect();
    desk.run(200);
    assert!(desk.copies[&A].is_joined(B) && desk.copies[&B].status().whole);
    let count = |like: fn(&ToReplica) -> bool| desk.sent.iter().filter(|message| like(message)).count() as u64;
    let (sent, asked) = (
        count(|message| matches!(message, ToReplica::Copy { .. })),
        count(|message| matches!(message, ToReplica::Check { .. })),
    );
    assert!(sent >= 20 && sent < blocks - 20, "{sent} of {blocks} blocks were sent, and 20 differ");
    assert!(asked < blocks - 10, "{asked} were asked about");
    let odd =
        |at: u64| desk.sent.iter().any(|message| matches!(message, ToReplica::Copy { range, .. } if range.at == at));
    assert!((20..40).all(|block| odd(block * 65536)));
}

#[test]
fn a_copy_that_comes_back_late_counts_when_it_is_equal_and_flushed() {
    let mut desk = Desk::both();
    desk.disconnect();
    desk.run(2200);
    desk.sets(1, &[A], &[A]);
    desk.ask(write(1));
    desk.ask(Request { range: range(1 << 20, 65536 * 3), ..write(2) });
    assert_eq!(desk.completed.len(), 2);
    desk.wants.clear();
    desk.held.insert(B);
    desk.connect();
    assert!(!desk.copies[&B].status().whole, "it gets parts of a later time");
    assert_eq!(desk.wants, []);
    desk.ask(write(3));
    assert_eq!(desk.completed.last(), Some(&(3, true)), "it does not count yet");
    desk.release(B);
    assert!(desk.copies[&B].status().whole && desk.copies[&A].is_joined(B));
    assert_eq!(desk.wants, [set(&[A, B])]);
    desk.held.insert(B);
    desk.ask(write(4));
    assert_eq!(desk.completed.last(), Some(&(3, true)), "from the moment it was asked for it is waited for (D4)");
    desk.release(B);
    assert_eq!(desk.completed.last(), Some(&(4, true)));
    assert_eq!(desk.copies[&A].status().peers[0].2, 65536, "only the write that is not flushed yet is marked");
    desk.run(1200);
    assert_eq!(desk.copies[&A].status().peers[0].2, 0, "flushed of our own accord");
    assert_eq!(desk.copies[&B].status().peers[0].2, 0, "and B heard of it");
}

#[test]
fn who_does_not_answer_is_hung_up_on() {
    let mut desk = Desk::both();
    desk.held.insert(B);
    desk.ask(write(1));
    desk.run(2100);
    assert!(desk.happened(|event| *event == Event::TooSlow { peer: B }));
    assert!(!desk.connected);
    desk.run(2100);
    assert_eq!(desk.wants.first(), Some(&set(&[A])));
}

#[test]
fn a_takeover_does_not_wait_long_for_the_former_primary() {
    let mut desk = Desk::new(copy(A, B, |_| {}), copy(B, A, |_| {}));
    desk.promote(B, 2);
    desk.sets(2, &[A, B], &[A, B]);
    assert!(!desk.copies[&B].status().serving);
    desk.run(300);
    assert_eq!(desk.wants, [set(&[B])]);
    desk.sets(2, &[B], &[B]);
    assert!(desk.copies[&B].status().serving);
}

#[test]
fn a_disk_that_hangs_ends_the_tenure_if_another_copy_counts_and_else_is_waited_for() {
    let mut desk = Desk::both();
    desk.held.insert(A);
    desk.ask(write(1));
    desk.run(4900);
    assert!(!desk.copies[&A].status().sealed && desk.copies[&A].worth().1);
    desk.run(200);
    assert!(desk.happened(|event| matches!(event, Event::DiskHangs { sealed: true, .. })));
    assert_eq!(desk.completed, [(1, false)]);
    assert!(!desk.copies[&A].worth().1, "it does not bid");
    desk.release(A);
    assert!(desk.copies[&A].worth().1);

    let mut alone = Desk::both();
    alone.disconnect();
    alone.sets(1, &[A], &[A]);
    alone.held.insert(A);
    alone.ask(write(1));
    alone.run(6000);
    assert!(alone.happened(|event| matches!(event, Event::DiskHangs { sealed: false, .. })));
    alone.release(A);
    alone.run(200);
    assert_eq!(alone.completed, [(1, true)]);
}

/// D4 (decision 0039): "not any more" may arrive right behind "this one as well", and the voters may be asked for both.
#[test]
fn a_wish_that_is_taken_back_is_waited_for_until_it_is_known_to_be_out_of_the_world() {
    let mut desk = Desk::both();
    desk.disconnect();
    desk.run(2100);
    desk.sets(1, &[A], &[A]);
    desk.connect();
    desk.run(200);
    assert_eq!(desk.wants, [set(&[A]), set(&[A, B])], "equal again");
    desk.disconnect();
    desk.run(2100);
    assert_eq!(desk.wants.last(), Some(&set(&[A])));
    desk.ask(write(1));
    let said = |wish| Input::AckSet { epoch: Epoch(1), wish, acks: set(&[A]), chosen: set(&[A]) };
    let last = desk.wants.len() as u64; // they are numbered
    assert_eq!(desk.wants[desk.wants.len() - 2], set(&[A, B]));
    desk.input(A, said(last - 2));
    assert!(desk.completed.is_empty(), "both are still on their way");
    desk.input(A, said(last - 1));
    assert_eq!(desk.completed, [(1, true)]);
}
