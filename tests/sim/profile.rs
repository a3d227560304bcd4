//! What a run is made of: which nodes vote, how bad the network is.

use std::time::Duration;

/// The shape of a simulated cluster.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: &'static str,
    /// Nodes that may hold; they come first.
    pub candidates: usize,
    /// Nodes in all; every node votes.
    pub voters: usize,
    /// One message in so many is lost; 0 = none.
    pub loss_one_in: u64,
    pub lease: Duration,
    /// How long the safety phase lasts.
    pub faults_for: Duration,
}

/// All profiles that `make sim` runs.
#[must_use]
pub fn all() -> Vec<Profile> {
    let base = Profile {
        name: "two-data-and-arbiter",
        candidates: 2,
        voters: 3,
        loss_one_in: 50,
        lease: Duration::from_secs(2),
        faults_for: Duration::from_secs(120),
    };
    vec![
        base.clone(),
        Profile { name: "heavy-loss", loss_one_in: 4, ..base.clone() },
        Profile { name: "three-data", candidates: 3, ..base.clone() },
        Profile { name: "five-voters", candidates: 2, voters: 5, ..base.clone() },
        Profile { name: "short-lease", lease: Duration::from_millis(500), ..base },
    ]
}
