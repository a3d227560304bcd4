//! The lease client, rule by rule, on a perfect network: one thing happens, and what follows is exactly this, then.
//! Everything that goes wrong at the same time is the simulator's business.

mod copies;
mod desk;
mod ending;
mod expecting;
mod fencing;
mod holding;
mod starting;
mod uplink;
mod wishes;
