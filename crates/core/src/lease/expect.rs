//! A hand-over that is announced: the successor starts its gate while the services of the holder still stop, so that the
//! two do not wait for each other. The lease goes by the proof as ever (H5); what is announced is not promised.

use super::view::Outlook;
use super::{CLAIM_TIMEOUT, Command, Lease, Phase};
use crate::id::{Epoch, NodeId};
use crate::message::PeerMessage;
use crate::time::Stamp;

/// The holder of `epoch` is stopping, for this node to take over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub epoch: Epoch,
    /// A gate that does not come by then will not come.
    until: Stamp,
}

impl Lease {
    /// Tells `to` that the role is being stopped here in its favour. Said once: all that is lost with it is time.
    pub(super) fn announce(&mut self, to: NodeId) {
        let Phase::Held(held) = &self.phase else { return };
        if self.config.automatic {
            let message = PeerMessage::Expect { epoch: held.tenure.value.epoch };
            self.out.push(Command::ToPeer { to, message });
        }
    }

    /// The standby target has become active beside the role: somebody is stopping that, and who is next can be told.
    pub(super) fn on_stopped_by_hand(&mut self, standby: bool) {
        let Phase::Held(held) = &self.phase else { return };
        if standby
            && held.claimed
            && held.ending.is_none()
            && let Some((to, _)) = self.best_peer()
        {
            self.announce(to);
        }
    }

    /// Believed only of whoever the voters say holds that very epoch: one that comes late announces nothing any more.
    pub(super) fn on_expect(&mut self, from: NodeId, epoch: Epoch) {
        let idle = match &self.phase {
            Phase::Watching => true,
            Phase::Bidding(bid) => bid.proposal.accept.is_none(),
            _ => false,
        };
        let holds = matches!(self.outlook(), Outlook::Live(live) if live.holder == from && live.epoch == epoch);
        if self.config.prepares && idle && holds && !self.gate_waiting && self.standby && self.willing() {
            self.expected = Some(Expected { epoch, until: self.now.plus(CLAIM_TIMEOUT) });
            self.out.push(Command::PrepareRole);
        }
    }

    /// No gate came, or somebody else leads already.
    pub(super) fn step_expected(&mut self) {
        let Some(Expected { epoch, until }) = self.expected else { return };
        let later = matches!(self.outlook(), Outlook::Live(live) if live.epoch > epoch);
        if later || self.now.any_past(until) {
            self.expected = None;
            self.out.push(Command::ForgetRole);
        }
    }

    /// Whether a gate is on its way here, or waits, for a hand-over that was announced.
    pub(super) fn expects(&self) -> bool {
        self.expected.is_some() || self.wish.as_ref().is_some_and(|wish| wish.expected)
    }
}
