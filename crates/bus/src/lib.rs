//! D-Bus: what the daemons publish about themselves, and what they read of systemd. The only place with bus names.
//!
//! Nothing that decides over a lease waits for the bus. Losing it means that nobody is told for a while, and that the
//! last known state of a unit is taken for true.
#![forbid(unsafe_code)]

pub mod heartbeat1;
pub mod lease1;
pub mod replicate1;
pub mod systemd;
