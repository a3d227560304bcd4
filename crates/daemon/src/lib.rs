//! What all programs share: how they start, read their key and the clocks, tell systemd and the journal, and end.

pub mod alarm;
pub mod block;
pub mod child;
pub mod clock;
pub mod datagrams;
pub mod disk;
pub mod exit;
pub mod identity;
pub mod journal;
pub mod message_id;
pub mod notify;
pub mod watchdog;

pub use exit::{Exit, Failure, run};
pub use journal::{Priority, record};
