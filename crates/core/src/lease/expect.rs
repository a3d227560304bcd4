//! A hand-over that is announced: the successor starts its gate while the services of the holder still stop, so that the
//! two do not wait for each other. The lease goes by the proof as ever (H5); what is announced is not promised.

use super::view::Outlook;
use super::{CLAIM_TIMEOUT, Command, Lease, Phase};
use crate::id::{Epoch, NodeId};
use crate::time::Stamp;

/// The holder of `epoch` is stopping, for this node to take over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub epoch: Epoch,
    /// A gate that does not come by then will not come.
    until: Stamp,
    /// It leads on, or another does: the gate that is on its way has nothing to wait for, and is nobody's wish.
    pub withdrawn: bool,
}

impl Lease {
    /// For whom the role is being stopped here: by this node itself, or by somebody who has started the standby target beside it.
    /// That one may still think better of it.
    #[must_use]
    pub fn yielding(&self) -> Option<NodeId> {
        let Phase::Held(held) = &self.phase else { return None };
        let named = match &held.ending {
            Some(ending) => ending.successor,
            None => self.best_peer().filter(|_| self.standby && held.claimed && held.role_up),
        };
        named.map(|(node, _)| node).filter(|_| self.config.automatic)
    }

    /// What the holder of `epoch` says. Believed only of whoever the voters say holds that very epoch.
    pub(super) fn note_yielding(&mut self, from: NodeId, epoch: Epoch, to: Option<NodeId>) {
        if to == Some(self.config.me) {
            self.prepare(from, epoch);
        } else if self.expected.is_some_and(|expected| expected.epoch == epoch) {
            self.withdraw_expected();
        }
        self.note_unkept(epoch, to);
    }

    fn prepare(&mut self, from: NodeId, epoch: Epoch) {
        let idle = match &self.phase {
            Phase::Watching => true,
            Phase::Bidding(bid) => bid.proposal.accept.is_none(),
            _ => false,
        };
        let holds = matches!(self.outlook(), Outlook::Live(live) if live.holder == from && live.epoch == epoch);
        let once = self.expected.is_none() && self.prepared != epoch;
        if self.config.prepares && once && idle && holds && !self.gate_waiting && self.standby && self.willing() {
            self.prepared = epoch; // a gate that cannot be started is not started again and again
            self.expected = Some(Expected { epoch, until: self.now.plus(CLAIM_TIMEOUT), withdrawn: false });
            self.out.push(Command::PrepareRole);
        }
    }

    fn withdraw_expected(&mut self) {
        if let Some(expected) = self.expected.as_mut().filter(|expected| !expected.withdrawn) {
            expected.withdrawn = true;
            self.out.push(Command::ForgetRole);
        }
    }

    /// No gate came, or somebody else leads already.
    pub(super) fn step_expected(&mut self) {
        let Some(Expected { epoch, until, .. }) = self.expected else { return };
        let over = self.now.any_past(until);
        if over || matches!(self.outlook(), Outlook::Live(live) if live.epoch > epoch) {
            self.withdraw_expected();
        }
        self.expected.take_if(|_| over);
    }

    /// It stands by again: the gate that was started for nothing has come and gone.
    pub(super) fn on_standby(&mut self) {
        self.expected.take_if(|expected| self.standby && expected.withdrawn);
    }

    /// A gate is on its way here, for a hand-over that is announced still.
    pub(super) fn awaits_gate(&self) -> bool {
        self.expected.is_some_and(|expected| !expected.withdrawn)
    }

    /// Whether a gate is on its way here, or waits, for a hand-over that was announced.
    pub fn expects(&self) -> bool {
        self.awaits_gate() || self.wish.as_ref().is_some_and(|wish| wish.expected)
    }
}
