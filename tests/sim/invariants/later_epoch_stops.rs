//! H6: whoever is told, by an authenticated message, of a holder with a later epoch, is no holder any more when that
//! message has been dealt with (lease.md 4.5). Holds whatever the clocks do: it bounds what a paused machine does.

use crate::cluster::World;
use hotspare_core::message::PeerMessage;

pub fn check(world: &World, node: usize, group: usize, message: &PeerMessage) {
    let PeerMessage::Hello { holding: Some(later), .. } = message else { return };
    let (state, now) = (&world.nodes[node], world.now);
    if !state.runs(now) || now < state.stopped_until || state.parts[group].lease.is_none() {
        return;
    }
    let page = state.parts[group].page.filter(|page| page.held);
    assert!(
        page.is_none_or(|page| page.value.epoch >= *later),
        "later_epoch_stops: node {node} holds {page:?} and was told of epoch {later:?}"
    );
}
