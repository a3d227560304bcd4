//! A volume: a block device that exists on several nodes, is written on one, and loses nothing that was acknowledged. No clock, socket,
//! file or thread: an input and the time go in, the state moves, commands come out.
//!
//! ```text
//!   requests                                        the copy that is written to          another copy
//!  ----------> Volume (primary) --ToReplica-->  Volume (replica)
//!              | locks, intent  <--ToPrimary--  | locks, intent
//!              | Disk, Meta                     | Disk, Meta
//!              v                                v
//!  Want(set) -> the lease client -> the voters; AckSet <- what counts (hotspare_core::lease::copies, D1 to D5)
//! ```
//!
//! Who may be promoted is decided by the voters' record alone: a copy counts if it is in the set that was chosen last. What this
//! crate adds is that each copy in that set has what was acknowledged. The rules (replicate.md 2) and where they are:
//! R1, R2, R10 [`requests`]; R3, R7 [`role`]; R4 [`bits`]; R5 [`peers`]; R6, D6, D7 [`replica`]; R8 [`locks`], and [`order`] where nobody waits; R9 the program around. Whether copies are what they should be: [`verify`]. Becoming larger: [`growth`].
//!
//! Invariants (`tests/sim/volume/`): where two copies of one generation differ, one of them has that block marked, in memory and on disk;
//! a copy that counts has every flushed write on its disk, and every acknowledged one unless it lost its power since;
//! copies that are joined are equal wherever nothing is under way.
//!
//! Reading order: [`geometry`], [`message`], [`bits`], [`requests`], [`peers`], [`replica`], [`role`].
#![forbid(unsafe_code)]

pub mod bits;
pub mod event;
pub mod fault;
pub mod geometry;
mod growth;
pub mod layout;
pub mod locks;
pub mod message;
mod order;
mod peers;
mod primary;
mod replica;
mod requests;
mod role;
#[cfg(test)]
mod tests;
mod verify;
mod volume;
mod wishes;

pub use event::{Event, NoGrowth, Unfit};
pub use geometry::{Geometry, Range};
pub use layout::Superblock;
pub use message::{Command, Durable, Input, Op, Refusal, Request, Source, Task, Terms, ToPrimary, ToReplica, What};
pub use verify::Digest;
pub use volume::{Lag, Status, Volume, VolumeConfig};
pub use wishes::Wishes;
