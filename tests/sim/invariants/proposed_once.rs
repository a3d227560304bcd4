//! H1: no value is proposed under two ballots before it was chosen. Where it is, half a majority of the one and half of the
//! other look like a whole one to whoever counts who accepted the value. A holder that brings lost voters back (H8) proposes
//! what was chosen already.

use hotspare_core::{Ballot, Value};
use std::collections::BTreeMap;

/// Under which ballot each value was proposed first.
#[derive(Debug, Default)]
pub struct Proposals(BTreeMap<(u64, u64, u64, u64), Ballot>);

impl Proposals {
    /// Notes that `value` is proposed under `ballot`; `chosen`: it was chosen before.
    pub fn note(&mut self, ballot: Ballot, value: Value, chosen: bool) {
        let key = (value.epoch.0, value.holder.0, value.incarnation.boot, value.incarnation.nonce);
        let first = *self.0.entry(key).or_insert(ballot);
        assert!(first == ballot || chosen, "proposed_once: {value:?} under {first:?}, and under {ballot:?}");
    }
}
