//! I1: an epoch belongs to one tenure, and every tenure has a higher epoch than all before it (lease.md 4.10).

use hotspare_core::Value;

pub fn check(acquired: &[(usize, Value)], new: Value) {
    if let Some((_, last)) = acquired.last() {
        assert!(new.epoch > last.epoch, "epochs_grow: {new:?} was acquired after {last:?}");
    }
}
