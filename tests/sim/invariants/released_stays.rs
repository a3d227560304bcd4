//! A tenure that was released is over: no late datagram makes a voter grant it again (crates/core/src/voter.rs, Memory).

use hotspare_core::Value;
use hotspare_core::voter::Grant;

pub fn check(released: Option<Value>, grant: Option<Grant>) {
    let (Some(over), Some(grant)) = (released, grant) else { return };
    let granted = Value::tenure(grant.epoch, grant.holder, grant.incarnation);
    assert!(!granted.is_of(&over), "released_stays: {over:?} was released and is granted again");
}
