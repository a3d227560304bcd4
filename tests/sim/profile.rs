//! What a run is made of: which nodes vote, how bad the network is, whether the clocks keep within their bound.

use std::time::Duration;

/// The shape of a simulated cluster.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: &'static str,
    /// Nodes that may hold; they come first.
    pub candidates: usize,
    /// Nodes in all; every node votes.
    pub voters: usize,
    pub groups: usize,
    /// One message in so many is lost; 0 = none.
    pub loss_one_in: u64,
    pub lease: Duration,
    /// How far a clock's rate may be off, in millionths; rho is 50 000.
    pub clock_spread_ppm: u64,
    /// Virtual machines are paused: no clock of theirs sees it.
    pub pauses: bool,
    /// The groups have data, of which not every candidate has all.
    pub data: bool,
    /// The candidates can shoot each other.
    pub fences: bool,
    /// And there are two voters: one that was shot counts as granted (F3, F4).
    pub fence_votes: bool,
    /// Nodes lose what their clients come from, and get it back.
    pub uplinks: bool,
    /// How long the safety phase lasts.
    pub faults_for: Duration,
}

impl Profile {
    /// Whether leases bound anything: clocks within rho and no paused machine. Otherwise only what does not rest on
    /// time is checked: registers, epochs, proofs, roles, healing.
    #[must_use]
    pub fn clocks_hold(&self) -> bool {
        self.clock_spread_ppm < 50_000 && !self.pauses
    }
}

/// All profiles that `make sim` runs.
#[must_use]
pub fn all() -> Vec<Profile> {
    let base = Profile {
        name: "two-data-and-arbiter",
        candidates: 2,
        voters: 3,
        groups: 1,
        loss_one_in: 50,
        lease: Duration::from_secs(2),
        clock_spread_ppm: 48_000,
        pauses: false,
        data: false,
        fences: false,
        fence_votes: false,
        uplinks: false,
        faults_for: Duration::from_secs(120),
    };
    vec![
        base.clone(),
        Profile { name: "heavy-loss", loss_one_in: 4, ..base.clone() },
        Profile { name: "three-data", candidates: 3, ..base.clone() },
        Profile { name: "five-voters", candidates: 2, voters: 5, ..base.clone() },
        Profile { name: "short-lease", lease: Duration::from_millis(500), ..base.clone() },
        Profile { name: "two-groups", groups: 2, ..base.clone() },
        Profile {
            name: "storm",
            candidates: 3,
            voters: 5,
            loss_one_in: 2,
            lease: Duration::from_millis(500),
            faults_for: Duration::from_secs(30),
            ..base.clone()
        },
        Profile { name: "wild-clocks", clock_spread_ppm: 300_000, ..base.clone() },
        Profile { name: "paused-machines", pauses: true, ..base.clone() },
        Profile { name: "data", data: true, ..base.clone() },
        Profile { name: "fencing", fences: true, ..base.clone() },
        Profile { name: "two-and-a-fence", voters: 2, fences: true, fence_votes: true, data: true, ..base.clone() },
        Profile { name: "three-copies", candidates: 3, data: true, fences: true, ..base.clone() },
        Profile {
            name: "data-without-clocks",
            candidates: 3,
            data: true,
            pauses: true,
            clock_spread_ppm: 300_000,
            ..base.clone()
        },
        Profile { name: "uplinks", candidates: 3, uplinks: true, ..base },
    ]
}
