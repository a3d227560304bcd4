//! The rules of a hotspare cluster: who may act, and until when. No clock, socket, file or thread.
//!
//! Everything here has the same shape: an input and a [`Stamp`] go in, the state moves, a list of
//! commands comes out. The programs in `bins/` carry the commands out; `tests/sim` runs whole clusters of
//! this very code in virtual time.
//!
//! ```text
//!   hotspare-leased                       hotspare-arbiter
//!   +-----------------------+   ToVoter   +---------------------+
//!   | lease::Lease (1/group) | ---------> | voter::Voter (1/group)|
//!   |   Watching             | <--------- |   register (durable) |
//!   |   Bidding  Confirming  | FromVoter  |   grant (volatile)   |
//!   |   Held Yielding        |            +---------------------+
//!   |   HandingOver Lost     |
//!   +-----------------------+ --PeerMessage--> the other candidates
//!        | Publish(Tenure)         timetable::Timetable says what the gate does when
//!        v
//!   hotspare-gate (reads the deadline, kills on time)
//! ```
//!
//! Invariants (checked by `tests/sim/invariants`, asserted here where one state can see them):
//! at most one incarnation believes it holds at any instant; at most one value is chosen per epoch; epochs only
//! grow; a register never goes back (and one that is lost is recovered from the others: [`joining`]); nothing is released without a proof that nothing runs.
//!
//! Reading order: [`time`], [`id`], [`ballot`], [`copies`], [`timetable`], [`message`], [`voter`], [`joining`], [`lease`], [`heartbeat`].
#![forbid(unsafe_code)]

pub mod ballot;
pub mod copies;
pub mod fault;
pub mod heartbeat;
pub mod id;
pub mod joining;
pub mod lease;
pub mod message;
pub mod probe;
pub mod rng;
pub mod time;
pub mod timetable;
pub mod voter;

pub use ballot::{Ballot, Value};
pub use copies::{Copies, NodeSet};
pub use id::{Epoch, GroupId, Incarnation, NodeId, majority};
pub use time::Stamp;
pub use timetable::Timetable;
