//! A lease that is about to come: a hand-over is announced, or the holder has not renewed for so long that nothing of its role runs any more.
//! The successor starts its gate then, so that nobody waits for that. The lease goes by the proof as ever (H5), or by its end (H1);
//! what is expected is not promised.

use super::view::Outlook;
use super::{CLAIM_TIMEOUT, Command, Lease, Phase};
use crate::id::{Epoch, NodeId};
use crate::time::Stamp;

/// The holder of `epoch` is stopping, for this node to take over, or is taken to be gone.
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

    /// The holder is past its kill step (9/12) by what the voters say, and its last try to renew: it cannot come back to its role. Only whoever
    /// has parked a bid is meant. Where it has renewed after all, and the news was late, the gate goes again.
    fn expect_the_end(&mut self) {
        let Outlook::Live(live) = self.outlook() else { return };
        if live.left <= self.config.timetable.nearly_over() {
            if matches!(self.phase, Phase::Bidding(_)) && self.prepare(live.holder, live.epoch) {
                self.prepared_for_the_end = true;
            }
        } else if self.prepared_for_the_end
            && live.epoch == self.prepared
            && live.left > self.config.timetable.lease / 3
        {
            self.prepared_for_the_end = false;
            self.withdraw_expected();
            self.note_unkept(live.epoch, None);
        }
    }

    /// When that has to be looked at; not again while it is so.
    pub(super) fn expect_wake(&self) -> u64 {
        let (Phase::Bidding(_), Outlook::Live(live)) = (&self.phase, self.outlook()) else { return u64::MAX };
        let early = live.left.saturating_sub(self.config.timetable.nearly_over());
        if early.is_zero() || !self.config.prepares { u64::MAX } else { self.now.plus(early).boot }
    }

    /// Has the role started before its lease is here. False: not now.
    fn prepare(&mut self, from: NodeId, epoch: Epoch) -> bool {
        let idle = match &self.phase {
            Phase::Watching => true,
            Phase::Bidding(bid) => bid.proposal.accept.is_none(),
            _ => false,
        };
        let holds = matches!(self.outlook(), Outlook::Live(live) if live.holder == from && live.epoch == epoch);
        let once = self.expected.is_none() && self.prepared != epoch;
        let may = self.config.prepares && once && idle && holds && !self.gate_waiting && self.standby && self.willing();
        if may {
            self.prepared = epoch; // a gate that cannot be started is not started again and again
            self.prepared_for_the_end = false;
            self.expected = Some(Expected { epoch, until: self.now.plus(CLAIM_TIMEOUT), withdrawn: false });
            self.out.push(Command::PrepareRole);
        }
        may
    }

    fn withdraw_expected(&mut self) {
        if let Some(expected) = self.expected.as_mut().filter(|expected| !expected.withdrawn) {
            expected.withdrawn = true;
            self.out.push(Command::ForgetRole);
        }
    }

    /// No gate came, or somebody else leads already.
    pub(super) fn step_expected(&mut self) {
        self.expect_the_end();
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

    /// A gate is on its way here, for a lease that is expected still.
    pub(super) fn awaits_gate(&self) -> bool {
        self.expected.is_some_and(|expected| !expected.withdrawn)
    }

    /// Whether a gate is on its way here, or waits, for a lease that is expected.
    pub fn expects(&self) -> bool {
        self.awaits_gate() || self.wish.as_ref().is_some_and(|wish| wish.expected)
    }
}
