//! A node that does not reach its clients any more gives the role to one that does. A hint and never the judge: what everybody
//! has lost (a router died) moves nothing and keeps nobody from leading (peers.md, pain 8: fencing and moving by ping).

use super::handover::Ending;
use super::{Event, Lease, Why};

impl Lease {
    pub(super) fn on_uplink(&mut self, there: bool) {
        if there == self.uplink {
            return;
        }
        self.uplink = there;
        self.next_hello = self.now; // who is ready for a role depends on it
        self.journal(if there { Event::UplinkBack } else { Event::UplinkLost });
    }

    /// Hands over to a candidate that is ready, which it is not without its uplink. The role has been here and that one ready for a
    /// while: two that lose theirs in turns do not play ball.
    pub(super) fn consider_uplink(&mut self) {
        if self.uplink || !self.may_move_by_itself() {
            return;
        }
        if let Some((to, life)) = self.best_peer().filter(|(node, _)| self.is_steady(*node)) {
            self.begin_ending(Ending { why: Why::UplinkLost { to }, successor: Some((to, life)), asked_by: None });
        }
    }
}
