//! What a run is made of.

#[derive(Clone, Debug)]
pub struct Profile {
    pub name: &'static str,
    pub nodes: usize,
    /// So many of them, the last ones, have copies that nobody waits for.
    pub asynchronous: usize,
    /// The user writes where it is already writing.
    pub overlaps: bool,
    pub disk_errors: bool,
    /// The copies have room for more than is shown at first.
    pub grows: bool,
    /// Connections break for an instant; the last copy is slow, and cut off from the one that is written to, while they grow.
    pub cut_short: bool,
    /// There is another volume in the group, which wants what it wants.
    pub siblings: bool,
    /// What a volume and its lease client say to each other is late now and then.
    pub late_words: bool,
    /// Pages of the bitmap rot.
    pub rot: bool,
    /// Something goes wrong about twice as often as this.
    pub fault_every_ms: u64,
    /// How long things go wrong in a run.
    pub faults_for_ms: u64,
}

impl Profile {
    /// Whether nobody waits for the copy of this node.
    pub fn is_asynchronous(&self, node: usize) -> bool {
        node + self.asynchronous >= self.nodes
    }
}

pub fn all() -> Vec<Profile> {
    let base = Profile {
        name: "two-copies",
        nodes: 2,
        asynchronous: 0,
        overlaps: false,
        disk_errors: false,
        grows: false,
        cut_short: false,
        siblings: false,
        late_words: false,
        rot: false,
        fault_every_ms: 800,
        faults_for_ms: 15_000,
    };
    vec![
        base.clone(),
        Profile { name: "overlaps", overlaps: true, ..base.clone() },
        Profile { name: "growing", nodes: 3, asynchronous: 1, grows: true, overlaps: true, ..base.clone() },
        Profile {
            name: "cut-short",
            nodes: 3,
            asynchronous: 1,
            grows: true,
            cut_short: true,
            overlaps: true,
            fault_every_ms: 400,
            faults_for_ms: 5_000, // it grows once
            ..base.clone()
        },
        Profile { name: "three-copies", nodes: 3, overlaps: true, ..base.clone() },
        Profile { name: "late-words", nodes: 3, late_words: true, overlaps: true, fault_every_ms: 300, ..base.clone() },
        Profile {
            name: "siblings",
            nodes: 3,
            siblings: true,
            late_words: true,
            overlaps: true,
            fault_every_ms: 300,
            ..base.clone()
        },
        Profile { name: "bad-disks", disk_errors: true, rot: true, ..base.clone() },
        Profile {
            name: "storm",
            nodes: 3,
            overlaps: true,
            disk_errors: true,
            rot: true,
            fault_every_ms: 200,
            ..base.clone()
        },
        Profile { name: "far", nodes: 3, asynchronous: 1, overlaps: true, rot: true, ..base.clone() },
        Profile { name: "calm", overlaps: true, fault_every_ms: 3000, ..base },
    ]
}
