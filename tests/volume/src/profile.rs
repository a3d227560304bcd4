//! What a run is made of.

#[derive(Clone, Debug)]
pub struct Profile {
    pub name: &'static str,
    pub nodes: usize,
    /// The user writes where it is already writing.
    pub overlaps: bool,
    pub disk_errors: bool,
    /// Pages of the bitmap rot.
    pub rot: bool,
    /// Something goes wrong about twice as often as this.
    pub fault_every_ms: u64,
}

pub fn all() -> Vec<Profile> {
    let base =
        Profile { name: "two-copies", nodes: 2, overlaps: false, disk_errors: false, rot: false, fault_every_ms: 800 };
    vec![
        base.clone(),
        Profile { name: "overlaps", overlaps: true, ..base.clone() },
        Profile { name: "three-copies", nodes: 3, overlaps: true, ..base.clone() },
        Profile { name: "bad-disks", disk_errors: true, rot: true, ..base.clone() },
        Profile { name: "storm", nodes: 3, overlaps: true, disk_errors: true, rot: true, fault_every_ms: 200 },
        Profile { name: "calm", overlaps: true, fault_every_ms: 3000, ..base },
    ]
}
