//! Whole clusters of the production core in one process and in virtual time. One seed, one exact replay.
//!
//! ```text
//!   faults (crash, reboot, partition, loss, restart, suspend, operators)
//!      |                                   clocks that drift within rho
//!      v                                        |
//!   [World] -- deliver / wake --> node: Lease + Voter + units (a model of systemd's jobs)
//!      |                                        |
//!      '------ after every event ------> invariants/*.rs
//! ```
//!
//! A run has a safety phase with faults on, a liveness phase in which the cluster must heal, and a calm one in which
//! people do everyday things and nothing may move.

pub mod boot;
pub mod cluster;
pub mod data;
pub mod drill;
pub mod faults;
pub mod invariants;
#[cfg(test)]
mod jobs;
pub mod leased;
pub mod node;
pub mod profile;
pub mod role;
pub mod run;
pub mod seeded;
pub mod shots;
pub mod systemd;
pub mod units;
pub mod voter;

pub use profile::Profile;
pub use run::{Outcome, Stats, run};
