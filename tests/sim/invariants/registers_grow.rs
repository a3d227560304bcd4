//! I2: neither the promised nor the accepted ballot of a store ever goes back, neither in memory nor on the disk that a
//! restarted voter reads (lease.md 4.10; CASPaxos, Rystsov 2018).

use hotspare_core::voter::Register;

pub fn check(old: &Register, new: &Register) {
    assert!(new.promised >= old.promised, "registers_grow: promised {:?} after {:?}", new.promised, old.promised);
    let ballot = |register: &Register| register.accepted.map(|(ballot, _)| ballot);
    assert!(ballot(new) >= ballot(old), "registers_grow: accepted {new:?} after {old:?}");
    assert!(ballot(new).is_none_or(|accepted| accepted <= new.promised), "registers_grow: {new:?}");
}
