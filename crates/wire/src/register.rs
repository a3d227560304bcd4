//! The register of one group as bytes: two slots, written in turn, of two equal sectors each.
//!
//! ```text
//!  register  [slot 0: copy, copy][slot 1: copy, copy]                                       (a copy is one sector of 512)
//!  copy      [magic 8][version 4][owner 8][sequence 8][boot 8][lease ns 8][length 2][stage 1][era 4]…
//!            …[state frame][fnv1a 8][zeros]
//! ```
//! A power cut in the middle of a write spoils at most the sector being written: the other copy in that slot is whole,
//! with the new content or with the one before last, and the other slot is untouched. So a slot without a whole copy
//! is damage, and it may have held a promise: it is refused, never guessed. One sector that rots is survived. (With one
//! copy a slot, rot of the newest looked like a torn write, and a promise was forgotten: found by the simulator.)
//!
//! The arbiter's files and the simulator's disks hold these bytes.

use crate::codec::{stage_byte, stage_of};
use crate::{Body, Frame, decode, encode};
use hotspare_core::GroupId;
use hotspare_core::id::fnv1a;
use hotspare_core::joining::Stage;
use hotspare_core::message::FromVoter;
use hotspare_core::voter::Register;
use std::time::Duration;

const MAGIC: &[u8; 8] = b"hotspreg";
/// Bytes before the state frame.
pub const HEADER: usize = 51;
/// The version that is written and understood.
pub const REGISTER_VERSION: u32 = 3;
const SECTOR: usize = 512;
/// Bytes of a slot: one write.
pub const SLOT: usize = 2 * SECTOR;
/// Bytes of a register.
pub const BYTES: usize = 2 * SLOT;

/// Why bytes are not a register that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// What about them is wrong.
    Damaged(&'static str),
    /// The version found.
    OtherVersion(u32),
    /// They belong to another node, cluster or group.
    Foreign,
}

/// What is kept besides the register itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub register: Register,
    /// The boot in which this voter started last.
    pub boot: u64,
    /// The longest lease it may have granted since.
    pub lease: Duration,
    /// Whether the voter votes.
    pub stage: Stage,
    /// How often an operator had gone on without a majority (`hotspare force`) when this was written.
    pub era: u32,
}

/// Reads both slots of the register of `owner`; the newer one and its sequence number.
///
/// # Errors
/// If they must not be believed.
pub fn read(bytes: &[u8], owner: u64) -> Result<(u64, Kept), Unusable> {
    if bytes.len() != BYTES {
        return Err(Unusable::Damaged("its length is wrong"));
    }
    let (first, second) = (read_slot(&bytes[..SLOT], owner)?, read_slot(&bytes[SLOT..], owner)?);
    Ok(if first.0 > second.0 { first } else { second })
}

fn read_slot(slot: &[u8], owner: u64) -> Result<(u64, Kept), Unusable> {
    let (one, other) = (read_copy(&slot[..SECTOR], owner)?, read_copy(&slot[SECTOR..], owner)?);
    let newest = [one, other].into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
    newest.ok_or(Unusable::Damaged("neither copy in a slot has a true checksum"))
}

/// `Ok(None)`: not whole.
fn read_copy(slot: &[u8], owner: u64) -> Result<Option<(u64, Kept)>, Unusable> {
    let word = |at: usize| u64::from_be_bytes(slot[at..at + 8].try_into().expect("eight"));
    let length = usize::from(u16::from_be_bytes([slot[44], slot[45]]));
    let end = HEADER + length;
    if &slot[..8] != MAGIC || end + 8 > SECTOR || fnv1a(&slot[..end]) != word(end) {
        return Ok(None);
    }
    let found = u32::from_be_bytes(slot[8..12].try_into().expect("four"));
    if found != REGISTER_VERSION {
        return Err(Unusable::OtherVersion(found));
    }
    if word(12) != owner {
        return Err(Unusable::Foreign);
    }
    let damaged = Unusable::Damaged("its content makes no sense");
    let stage = stage_of(slot[46]).map_err(|_| damaged)?;
    let era = u32::from_be_bytes(slot[47..51].try_into().expect("four"));
    let frames = decode(&slot[HEADER..end]).map_err(|_| damaged)?;
    let [Frame { body: Body::FromVoter(FromVoter::State { promised, accepted, .. }), .. }] = frames[..] else {
        return Err(damaged);
    };
    let register = Register { promised, accepted };
    Ok(Some((word(20), Kept { register, boot: word(28), lease: Duration::from_nanos(word(36)), stage, era })))
}

/// The slot with number `sequence` of the register of `owner`, and where in the register it belongs.
#[must_use]
pub fn slot(sequence: u64, owner: u64, kept: &Kept) -> (usize, [u8; SLOT]) {
    let Register { promised, accepted } = kept.register;
    let state = FromVoter::State { promised, accepted, live: None, fellow: None };
    let body = encode(&[Frame { group: GroupId(0), body: Body::FromVoter(state) }]);
    let mut slot = Vec::with_capacity(SLOT);
    slot.extend(MAGIC);
    slot.extend(REGISTER_VERSION.to_be_bytes());
    slot.extend(owner.to_be_bytes());
    slot.extend(sequence.to_be_bytes());
    slot.extend(kept.boot.to_be_bytes());
    slot.extend(hotspare_core::time::nanos(kept.lease).to_be_bytes());
    slot.extend(u16::try_from(body.len()).expect("small").to_be_bytes());
    slot.push(stage_byte(kept.stage));
    slot.extend(kept.era.to_be_bytes());
    slot.extend(body);
    slot.extend(fnv1a(&slot).to_be_bytes());
    slot.resize(SECTOR, 0);
    slot.extend_from_within(..);
    let place = usize::from(sequence % 2 == 1) * SLOT;
    (place, slot.try_into().expect("resized"))
}
