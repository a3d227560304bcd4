//! A lease that no gate takes charge of is given back within `CLAIM_TIMEOUT`: it must not block the others for ever.

use crate::node::{Part, span};
use hotspare_core::lease::{CLAIM_TIMEOUT, PhaseName};

pub fn check(part: &mut Part, now: u64, claimed: bool) {
    let Some(since) = part.untaken_since else { return };
    let holds = part.phase() == Some(PhaseName::Held);
    if claimed || !holds {
        part.untaken_since = None;
        return;
    }
    // By clocks that may run slow, and slewed at that.
    let longest = span(CLAIM_TIMEOUT) * 3 / 2;
    assert!(
        now < since + longest,
        "taken_or_given_back: held for {} ms and nobody took charge",
        (now - since) / 1_000_000
    );
}
