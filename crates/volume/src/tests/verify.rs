//! Looking whether copies are the same.

use super::*;

fn set(nodes: &[NodeId]) -> NodeSet {
    NodeSet::of(nodes.iter().copied()).unwrap()
}

fn digested(desk: &Desk, node: NodeId, at: u64) -> bool {
    desk.tasks.iter().any(|(by, task)| *by == node && matches!(task, Task::Digest { range } if range.at == at))
}

#[test]
fn what_differs_is_found_named_and_copied_again() {
    let mut desk = Desk::both();
    desk.odd.insert((B, 3 * 65536));
    desk.input(A, Input::Verify);
    assert!(desk.happened(|event| *event == Event::VerifyBegins));
    assert!(desk.happened(|event| *event == Event::Differs { peer: B, at: 3 * 65536, len: 65536 }));
    assert!(desk.happened(|event| *event == Event::Verified { compared: 64, differ: 1 }));
    assert_eq!(desk.copies[&A].status().peers[0].2, 65536, "that block alone");
    assert!(!desk.connected, "a new session copies it");
    desk.sent.clear();
    desk.connect();
    let copies = desk.sent.iter().filter(|message| matches!(message, ToReplica::Copy { .. }));
    assert_eq!(copies.count(), 1);
    assert!(desk.sent.iter().any(|message| matches!(message, ToReplica::Copy { range, .. } if range.at == 3 * 65536)));
    assert!(desk.copies[&A].is_joined(B));
    desk.run(1200);
    assert_eq!(desk.copies[&A].status().peers[0].2, 0);
}

#[test]
fn a_block_is_not_looked_at_while_it_is_written_to() {
    let mut desk = Desk::both();
    desk.held.insert(A);
    desk.ask(write(1));
    desk.input(A, Input::Verify);
    assert!(!digested(&desk, A, 0) && digested(&desk, A, 65536));
    assert_eq!(desk.copies[&A].verifying(), Some((2, 64)), "two at a time");
    desk.release(A);
    assert!(digested(&desk, A, 0));
    assert!(desk.happened(|event| *event == Event::Verified { compared: 64, differ: 0 }));
    assert_eq!(desk.copies[&A].verifying(), None);
}

#[test]
fn who_is_away_is_not_compared_and_nobody_waits_for_it() {
    let mut desk = Desk::both();
    desk.held.insert(B);
    desk.input(A, Input::Verify);
    assert!(digested(&desk, B, 0) && !desk.happened(|event| matches!(event, Event::Verified { .. })));
    desk.disconnect();
    desk.run(100);
    assert!(desk.happened(|event| *event == Event::Verified { compared: 0, differ: 0 }));
    desk.input(B, Input::Verify);
    assert_eq!(desk.copies[&B].verifying(), None, "only the copy that is written to asks");
}

#[test]
fn a_block_that_the_other_disk_cannot_read_is_a_difference() {
    let mut desk = Desk::both();
    desk.failing.insert(B);
    desk.input(A, Input::Verify);
    assert!(desk.happened(|event| *event == Event::Verified { compared: 64, differ: 64 }));
}

/// The simulator, bad-disks 2113: the write that the disk did not take gave its block free, and the block was looked at next.
#[test]
fn what_a_sealed_copy_has_is_compared_with_nothing() {
    let mut desk = Desk::both();
    desk.held.insert(A);
    desk.ask(write(1));
    desk.input(A, Input::Verify);
    desk.failing.insert(A);
    desk.release(A);
    assert!(desk.happened(|event| matches!(event, Event::Sealed { .. })));
    assert!(!desk.sent.iter().any(|message| matches!(message, ToReplica::Check { range, .. } if range.at == 0)));
    assert!(!desk.happened(|event| matches!(event, Event::Verified { .. } | Event::Differs { .. })));
    assert_eq!(desk.copies[&A].verifying(), None);
}

/// The simulator, storm 52: the failure was noted for all pages together, and another one took it.
#[test]
fn a_page_of_which_one_part_was_not_written_is_not_taken_for_written() {
    let c = NodeId(3);
    let shape = Geometry { size: 8 << 20, block: 65536, page_extents: 1 };
    let of = copy(A, B, |block| (block.size, block.peers[1]) = (shape.size, c));
    let mut volume = of;
    (volume.shape, volume.bits) = (shape, Bits::new(shape, 2, |_, _| Some(vec![0; 1])));
    let now = Duration::from_secs(1);
    let (mut pages, mut begun) = (Vec::new(), Vec::new());
    let mut drive = |volume: &mut Volume, input: Input, pages: &mut Vec<(u64, u64)>| {
        let mut queue = VecDeque::from(volume.handle(now, input));
        while let Some(command) = queue.pop_front() {
            match command {
                Command::Meta { id, at, .. } if at >= layout::page_at(&shape, 0, 0) => pages.push((id, at)),
                Command::Meta { id, .. } => queue.extend(volume.handle(now, Input::Done { id, ok: true })),
                Command::Disk { task: Task::Write { range, .. }, .. } => begun.push(range.at),
                Command::Disk { id, .. } => queue.extend(volume.handle(now, Input::Done { id, ok: true })),
                _ => {}
            }
        }
        begun.clone()
    };
    let epoch = Epoch(1);
    drive(&mut volume, Input::Promote { epoch, generation: GENERATION, alone: true }, &mut pages);
    drive(&mut volume, Input::AckSet { epoch, wish: 0, acks: set(&[A]), chosen: set(&[A]) }, &mut pages);
    for (tag, at) in [(1, 0), (2, 4 << 20)] {
        drive(&mut volume, Input::Request(Request { range: range(at, 4096), ..write(tag) }), &mut pages);
    }
    let [first, second] = [0, 1].map(|page| layout::page_at(&shape, 0, page));
    let id = |pages: &[(u64, u64)], at: u64, part: usize| {
        let at = at + layout::page_at(&shape, part, 0) - layout::page_at(&shape, 0, 0);
        pages.iter().rev().find(|(_, other)| *other == at).expect("it was written").0
    };
    let before = pages.clone();
    for (at, part, ok) in [(first, 0, false), (second, 0, true)] {
        drive(&mut volume, Input::Done { id: id(&before, at, part), ok }, &mut pages);
    }
    let begun = drive(&mut volume, Input::Done { id: id(&before, second, 1), ok: true }, &mut pages);
    assert_eq!(begun, [4 << 20], "its intent is on disk, and that of the other is not");
    let begun = drive(&mut volume, Input::Done { id: id(&before, first, 1), ok: true }, &mut pages);
    assert_eq!(begun, [4 << 20], "half of it is not enough");
    for part in [0, 1] {
        drive(&mut volume, Input::Done { id: id(&pages.clone(), first, part), ok: true }, &mut pages);
    }
    assert_eq!(drive(&mut volume, Input::Tick, &mut pages), [4 << 20, 0], "written again");
}
