//! I1: an epoch belongs to one tenure, and every tenure has a higher epoch than all before it (lease.md 4.10).

use crate::invariants::no_churn::Acquired;
use hotspare_core::Value;

pub fn check(acquired: &[Acquired], new: Value) {
    if let Some((_, last, _)) = acquired.last() {
        assert!(new.epoch > last.epoch, "epochs_grow: {new:?} was acquired after {last:?}");
    }
}
