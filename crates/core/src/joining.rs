//! How a voter comes by its register: at the founding of a cluster, or again after its disk was lost (V8).
//!
//! ```text
//!            all fellows are fresh or ready            all are ready, or one has joined
//!  Fresh ------------------------------------> Ready ----------------------------------> Joined: it votes
//!     '------ quarantine over, and then so many joined fellows told what they know ------^
//! ```
//! A voter that forgot what it promised must not vote from an empty register: a majority that counted on it and one that
//! counts on it now could choose two values. It waits until nobody counts any answer of its former life any more (H10:
//! promises count for one lease), and then takes over the highest promise and the newest value of so many fellows that
//! every majority it ever was in has one of them. With `n` voters and majorities of `m` these are `n - m + 1`.
//! (Recovery of replicas without their disk: Liskov and Cowling, Viewstamped Replication Revisited, 4.3; Michael et al.,
//! Recovering Shared Objects Without Stable Storage, DISC 2017. Here leases bound the life of every answer.)

use crate::fault::{Fault, taken_out};
use crate::id::NodeId;
use crate::message::Fellow;
use crate::time::Stamp;
use crate::voter::Register;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two questions to the fellows.
pub const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How far a voter has come; only one that has joined votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Its register was made just now: it knows nothing, and may have known something.
    #[default]
    Fresh,
    /// All fellows were fresh or ready when it was fresh: nothing has ever been promised.
    Ready,
    Joined,
    /// It has its register, and was off: where a fenced voter counts as granted, the others may have gone on without it (F4).
    Returning,
}

/// What the shell must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinCommand {
    Send {
        to: NodeId,
        message: Fellow,
    },
    /// Keep the stage and the register, durably. With [`Stage::Joined`] the voter votes from now on.
    Keep(Stage, Register),
}

/// A voter that does not vote yet.
#[derive(Clone, Debug)]
pub struct Joining {
    fellows: Vec<NodeId>,
    /// How many of them have to tell what they know.
    enough: usize,
    stage: Stage,
    /// Before both clocks are here, answers of a former life may still count.
    quarantine: Stamp,
    /// Names the questions whose answers count.
    round: u64,
    waited: bool,
    next_ask: Stamp,
    answers: BTreeMap<NodeId, (Stage, Register, u64)>,
    /// Names the boot of this machine.
    boot: u64,
    /// F4: this voter waits for all others, and what they know is added to this.
    own: Option<Register>,
}

impl Joining {
    /// The voter `me`, which is one of `voters` or will be, at `stage`, started at `now`. `quarantine` is the longest that any node may count on
    /// what a former life of this voter said; `nonce` is random per start.
    #[must_use]
    pub fn new(
        me: NodeId,
        voters: &[NodeId],
        stage: Stage,
        (now, quarantine): (Stamp, Duration),
        (boot, nonce): (u64, u64),
    ) -> Joining {
        assert!(matches!(stage, Stage::Fresh | Stage::Ready));
        let fellows: Vec<NodeId> = voters.iter().copied().filter(|voter| *voter != me).collect();
        let enough = voters.len() - crate::id::majority(voters.len()) + 1;
        let enough = if taken_out(Fault::JoinOnOneWord) { 1 } else { enough };
        Joining {
            fellows,
            enough,
            stage,
            quarantine: now.plus(quarantine),
            round: nonce,
            waited: taken_out(Fault::JoinWithoutWaiting),
            next_ask: now,
            answers: BTreeMap::new(),
            boot,
            own: None,
        }
    }

    /// F4: a fenced voter counts as granted here, so the others may have chosen without this one while it was off. With its register
    /// whole it is back as soon as all of them have told what they know, and each of them knows by then that it is.
    #[must_use]
    pub fn waits_for_all(mut self, register: Option<Register>) -> Joining {
        if register.is_some() {
            (self.stage, self.waited) = (Stage::Returning, true);
        }
        self.own = Some(register.unwrap_or_default());
        self
    }

    /// The boot of a fellow, as it told last.
    #[must_use]
    pub fn boot_of(&self, fellow: NodeId) -> Option<u64> {
        self.answers.get(&fellow).map(|(.., boot)| *boot)
    }

    /// What a voter, joined or not, says to a fellow that asks.
    #[must_use]
    pub fn answer((stage, register): (Stage, Register), boot: u64, question: &Fellow) -> Option<Fellow> {
        match *question {
            Fellow::Recall { round, .. } => Some(Fellow::Recalled { round, stage, register, boot }),
            Fellow::Recalled { .. } => None,
        }
    }

    /// What it can say of itself to a fellow that asks.
    #[must_use]
    pub fn known(&self) -> (Stage, Register) {
        (self.stage, self.own.unwrap_or_default())
    }

    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The fellows that have not answered, for `status`.
    pub fn silent(&self) -> impl Iterator<Item = NodeId> {
        self.fellows.iter().copied().filter(|fellow| !self.answers.contains_key(fellow))
    }

    /// Boot-clock time of the next [`Joining::tick`].
    #[must_use]
    pub fn wake_at(&self) -> u64 {
        self.next_ask.boot
    }

    /// Asks the fellows when it is time to.
    pub fn tick(&mut self, now: Stamp) -> Vec<JoinCommand> {
        if !self.waited && now.both_past(self.quarantine) {
            // What was said before may have been said too early.
            self.waited = true;
            self.round = self.round.wrapping_add(1);
            self.answers.clear();
        }
        if self.fellows.is_empty() {
            return vec![JoinCommand::Keep(Stage::Joined, Register::default())]; // the only voter there is
        }
        if !now.any_past(self.next_ask) {
            return Vec::new();
        }
        self.next_ask = now.plus(ASK_AGAIN);
        let message = Fellow::Recall { round: self.round, boot: self.boot };
        self.fellows.iter().map(|to| JoinCommand::Send { to: *to, message }).collect()
    }

    /// Takes in the answer of a fellow.
    pub fn on_recalled(
        &mut self,
        from: NodeId,
        round: u64,
        (stage, register): (Stage, Register),
        boot: u64,
    ) -> Option<JoinCommand> {
        if round != self.round || !self.fellows.contains(&from) {
            return None;
        }
        self.answers.insert(from, (stage, register, boot));
        let all = |wanted: fn(Stage) -> bool| {
            let told = self.fellows.iter().filter_map(|fellow| self.answers.get(fellow));
            told.filter(|(stage, ..)| wanted(*stage)).count() == self.fellows.len()
        };
        match self.stage {
            Stage::Returning if all(|stage| matches!(stage, Stage::Joined | Stage::Returning)) => Some(self.merged()),
            Stage::Returning => None,
            Stage::Fresh if all(|stage| matches!(stage, Stage::Fresh | Stage::Ready)) => {
                self.stage = Stage::Ready;
                Some(JoinCommand::Keep(Stage::Ready, Register::default()))
            }
            Stage::Ready if self.own.is_some() && all(|stage| stage != Stage::Fresh) => Some(self.merged()),
            Stage::Ready if self.own.is_some() => None,
            Stage::Ready if all(|stage| stage != Stage::Fresh) || stage == Stage::Joined => {
                Some(JoinCommand::Keep(Stage::Joined, Register::default()))
            }
            Stage::Fresh => self.recover(),
            Stage::Ready | Stage::Joined => None,
        }
    }

    fn recover(&self) -> Option<JoinCommand> {
        let joined = self.answers.values().filter(|(stage, ..)| *stage == Stage::Joined);
        let known: Vec<Register> = joined.map(|(_, register, _)| *register).collect();
        if !self.waited || known.len() < self.enough {
            return None;
        }
        Some(newest(&known))
    }

    /// F4: what all of them know, this one among them.
    fn merged(&self) -> JoinCommand {
        let told = self.answers.values().map(|(_, register, _)| *register);
        newest(&told.chain(self.own).collect::<Vec<_>>())
    }
}

/// The highest promise and the newest value of `known`, to vote with.
fn newest(known: &[Register]) -> JoinCommand {
    let promised = known.iter().map(|register| register.promised).max().unwrap_or_default();
    let accepted = known.iter().filter_map(|register| register.accepted).max_by_key(|(ballot, _)| *ballot);
    let accepted = accepted.filter(|_| !taken_out(Fault::JoinForgetsValue));
    JoinCommand::Keep(Stage::Joined, Register { promised, accepted })
}

#[cfg(test)]
mod tests;
