//! Whole clusters of the production core in one process and in virtual time. One seed, one exact replay.
//!
//! ```text
//!   faults (crash, reboot, partition, loss, restart, suspend, operators)
//!      |                                   clocks that drift within rho
//!      v                                        |
//!   [World] -- deliver / wake --> node: Lease + Voter + a model of gate and role
//!      |                                        |
//!      '------ after every event ------> invariants/*.rs
//! ```
//!
//! A run has a safety phase with faults on and a liveness phase with faults off, in which the cluster must heal.

pub mod cluster;
pub mod faults;
pub mod invariants;
pub mod node;
pub mod profile;
pub mod run;

pub use profile::Profile;
pub use run::{Outcome, Stats, run};
