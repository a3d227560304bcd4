//! What goes over the network: [`codec`] turns messages into bytes, [`session`] seals them between two nodes.
//!
//! ```text
//!  Vec<Frame> --codec--> plaintext --session--> datagram            (one suite, no plaintext mode, no negotiation)
//!
//!  initiate  [1][1][cluster 8][service 1][index 4][noise message 1][mac 16]
//!  respond   [1][2][your index 4][my index 4][noise message 2]
//!  data      [1][3][your index 4][counter 8][ciphertext]
//! ```
//! Sans-io like the core: bytes and a time go in, bytes come out.
#![forbid(unsafe_code)]

pub mod codec;
pub mod disk;
pub mod register;
pub mod replay;
pub mod session;
pub mod stream;
pub mod volume;

pub use codec::{Beat, Body, Frame, Malformed, decode, decode_beat, encode, encode_beat};
pub use session::{Cluster, Endpoint, Key, PublicKey, Service};

/// The version of the wire format: a peer that speaks another one is not understood, and said so in the journal.
///
/// | version | since | what changed |
/// |---|---|---|
/// | 1 | 0.1.0 | the first |
pub const VERSION: u8 = 1;

/// The largest datagram that is ever sent or read, in bytes: fits a 1280-byte IPv6 path.
pub const DATAGRAM_MAX: usize = 1232;
