//! A node that does not reach its clients: when the role moves because of it, and when it does not.

use super::desk::*;
use crate::NodeId;
use crate::lease::{Event, Input, Why};

fn yielded(desk: &Desk) -> Vec<(NodeId, Why)> {
    let all = desk.events.iter().filter_map(|(node, _, event)| match event {
        Event::Yielding { why, .. } => Some((*node, *why)),
        _ => None,
    });
    all.collect()
}

#[test]
fn the_role_goes_to_one_that_reaches_its_clients_and_stays_there() {
    let mut desk = led_by_a();
    desk.run(3000);
    desk.input(A, Input::Uplink(false));
    desk.run(500);
    assert_eq!((desk.leader(), yielded(&desk)), (Some(B), vec![(A, Why::UplinkLost { to: B })]));
    desk.input(A, Input::Uplink(true));
    desk.run(10_000);
    assert_eq!((desk.leader(), yielded(&desk).len()), (Some(B), 1));
}

#[test]
fn what_everybody_has_lost_moves_nothing_and_keeps_nobody_from_leading() {
    let mut desk = led_by_a();
    desk.run(3000);
    desk.input(B, Input::Uplink(false));
    desk.run(100);
    desk.input(A, Input::Uplink(false));
    desk.run(10_000);
    assert_eq!((desk.leader(), yielded(&desk)), (Some(A), Vec::new()));
    desk.cut.insert(A);
    desk.leases.remove(&A);
    desk.run(3000);
    assert_eq!(desk.leader(), Some(B));
}

#[test]
fn not_while_paused_and_not_before_both_have_settled() {
    let mut desk = led_by_a();
    desk.run(3000);
    desk.input(A, Input::Pause(true));
    desk.input(A, Input::Uplink(false));
    desk.run(10_000);
    assert_eq!((desk.leader(), yielded(&desk)), (Some(A), Vec::new()));
    desk.input(A, Input::Pause(false));
    desk.run(100);
    assert_eq!(yielded(&desk), Vec::new(), "B was not ready while everything was paused");
    desk.run(4000);
    assert_eq!(desk.leader(), Some(B));
    desk.input(A, Input::Uplink(true));
    desk.input(B, Input::Uplink(false));
    desk.run(1000);
    assert_eq!(desk.leader(), Some(B), "it came here a second ago");
    desk.run(4000);
    assert_eq!(desk.leader(), Some(A));
}

fn led_by_a() -> Desk {
    Desk::led_by_a()
}
