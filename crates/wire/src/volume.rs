//! What two copies of a volume say to each other, as bytes: a length, a head, sums of the data, the data.
//!
//! ```text
//!  message   [length 4][kind 1][fields][crc32c of each 4096 bytes of data][data]
//! ```
//! The data's sums are made where the data came in and looked at before it goes to another disk (R9): the seal around all of it says
//! that nobody changed it on the way, they say that nothing did so before or after.

use crate::codec::{Malformed, Reader, Writer};
use hotspare_core::{Epoch, NodeId};
use hotspare_volume::geometry::{BLOCK, PIECE_BLOCKS};
use hotspare_volume::layout::PEERS_MAX;
use hotspare_volume::{Durable, Range, Refusal, Terms, ToPrimary, ToReplica, What};

/// Bytes of data in one message at most.
pub const DATA_MAX: usize = (BLOCK * PIECE_BLOCKS) as usize;
/// Bytes of a message at most: the data, its sums, a head; or the bits of a very large volume.
pub const MESSAGE_MAX: usize = DATA_MAX + (64 << 20);
/// Bytes that share a sum.
const SUMMED: usize = 4096;

/// A message of either side, and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    ToReplica(ToReplica, &'a [u8]),
    ToPrimary(ToPrimary),
}

/// The bytes of a message up to its data, which follows as it is.
#[must_use]
pub fn encode_to_replica(message: &ToReplica, data: &[u8]) -> Vec<u8> {
    let mut w = Writer(vec![0; 4]);
    match message {
        ToReplica::Hello { volume, size, epoch, generation, terms } => {
            w.u8(1);
            [*volume, *size, epoch.0, *generation].into_iter().for_each(|word| w.u64(word));
            w.u8(match terms {
                Terms::Newcomer => 0,
                Terms::Member => 1,
                Terms::Asynchronous => 2,
            });
        }
        ToReplica::Write { number, what, range, durable } => {
            w.u8(2);
            w.u64(*number);
            w.u8(match what {
                What::Data => 0,
                What::Discard => 1,
                What::Zeroes => 2,
            });
            w.u64(range.at);
            w.u64(range.len);
            w.bool(*durable);
        }
        ToReplica::Copy { copy, last, range } => {
            w.u8(3);
            [*copy, *last, range.at, range.len].into_iter().for_each(|word| w.u64(word));
        }
        ToReplica::Flush { flush } => {
            w.u8(4);
            w.u64(*flush);
        }
        ToReplica::Join { at, durable } => {
            w.u8(5);
            w.u64(*at);
            put_durable(&mut w, durable);
        }
        ToReplica::Durable(durable) => {
            w.u8(6);
            put_durable(&mut w, durable);
        }
        ToReplica::Grow { size } => {
            w.u8(8);
            w.u64(*size);
        }
        ToReplica::Check { check, range, digest } => {
            w.u8(7);
            [*check, range.at, range.len].into_iter().for_each(|word| w.u64(word));
            w.0.extend(digest);
        }
    }
    data.chunks(SUMMED).for_each(|chunk| w.0.extend(crc32c::crc32c(chunk).to_be_bytes()));
    finish(w, data.len())
}

fn put_durable(w: &mut Writer, durable: &Durable) {
    w.u64(durable.size);
    w.u8(u8::try_from(durable.nodes.len()).expect("few copies"));
    for (node, number) in &durable.nodes {
        w.u64(node.0);
        w.u64(*number);
    }
}

fn finish(w: Writer, data: usize) -> Vec<u8> {
    let mut bytes = w.0;
    let length = u32::try_from(bytes.len() - 4 + data).expect("bounded").to_be_bytes();
    bytes[..4].copy_from_slice(&length);
    bytes
}

/// The bytes of a message.
#[must_use]
pub fn encode_to_primary(message: &ToPrimary) -> Vec<u8> {
    let mut w = Writer(vec![0; 4]);
    match message {
        ToPrimary::Welcome { room, differs } => {
            w.u8(16);
            w.u64(*room);
            w.u64(differs.len() as u64);
            for run in differs.chunk_by(|one, other| one == other) {
                w.u64(run.len() as u64);
                w.u64(run[0]);
            }
        }
        ToPrimary::Refused { why } => {
            w.u8(17);
            let (kind, word) = match why {
                Refusal::LaterEpoch(epoch) => (0, epoch.0),
                Refusal::OtherGeneration(generation) => (1, *generation),
                Refusal::OtherVolume => (2, 0),
                Refusal::NotWhole => (3, 0),
                Refusal::Busy => (4, 0),
                Refusal::NoRoom(room) => (5, *room),
            };
            w.u8(kind);
            w.u64(word);
        }
        ToPrimary::Wrote { number } => {
            w.u8(18);
            w.u64(*number);
        }
        ToPrimary::Copied { copy } => {
            w.u8(19);
            w.u64(*copy);
        }
        ToPrimary::Flushed { flush } => {
            w.u8(20);
            w.u64(*flush);
        }
        ToPrimary::Joined => w.u8(21),
        ToPrimary::Grown { size } => {
            w.u8(23);
            w.u64(*size);
        }
        ToPrimary::Checked { check, same } => {
            w.u8(22);
            w.u64(*check);
            w.bool(*same);
        }
    }
    finish(w, 0)
}

/// Reads one message, without its length. `extents`: how many the volume has; more bits than that are refused.
///
/// # Errors
/// If it makes no sense, or its data is not what was sent.
pub fn decode(bytes: &[u8], extents: usize) -> Result<Message<'_>, Malformed> {
    let mut r = Reader(bytes);
    let kind = r.u8()?;
    let message = match kind {
        1 => {
            let [volume, size, epoch, generation] = [r.u64()?, r.u64()?, r.u64()?, r.u64()?];
            let terms = match r.u8()? {
                0 => Terms::Newcomer,
                1 => Terms::Member,
                2 => Terms::Asynchronous,
                value => return Err(Malformed::Unknown { what: "terms of a session", value }),
            };
            ToReplica::Hello { volume, size, epoch: Epoch(epoch), generation, terms }
        }
        2 => {
            let number = r.u64()?;
            let what = match r.u8()? {
                0 => What::Data,
                1 => What::Discard,
                2 => What::Zeroes,
                value => return Err(Malformed::Unknown { what: "write", value }),
            };
            let range = Range { at: r.u64()?, len: r.u64()? };
            ToReplica::Write { number, what, range, durable: r.bool()? }
        }
        3 => {
            let [copy, last] = [r.u64()?, r.u64()?];
            ToReplica::Copy { copy, last, range: Range { at: r.u64()?, len: r.u64()? } }
        }
        4 => ToReplica::Flush { flush: r.u64()? },
        5 => ToReplica::Join { at: r.u64()?, durable: read_durable(&mut r)? },
        6 => ToReplica::Durable(read_durable(&mut r)?),
        8 => ToReplica::Grow { size: r.u64()? },
        7 => {
            let (check, range) = (r.u64()?, Range { at: r.u64()?, len: r.u64()? });
            ToReplica::Check { check, range, digest: r.take()? }
        }
        _ => return Ok(Message::ToPrimary(decode_to_primary(kind, r, extents)?)),
    };
    let data = match &message {
        ToReplica::Write { what: What::Data, range, .. } | ToReplica::Copy { range, .. } => {
            read_data(&mut r, range.len)?
        }
        _ => &[],
    };
    if r.0.is_empty() { Ok(Message::ToReplica(message, data)) } else { Err(Malformed::Trailing(r.0.len())) }
}

fn read_durable(r: &mut Reader<'_>) -> Result<Durable, Malformed> {
    let (size, count) = (r.u64()?, r.u8()?);
    if usize::from(count) > PEERS_MAX + 1 {
        return Err(Malformed::Unknown { what: "number of copies", value: count });
    }
    let nodes = (0..count).map(|_| Ok((NodeId(r.u64()?), r.u64()?))).collect::<Result<_, Malformed>>()?;
    Ok(Durable { nodes, size })
}

fn read_data<'a>(r: &mut Reader<'a>, length: u64) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(length).ok().filter(|length| *length <= DATA_MAX).ok_or(Malformed::TooLong(length))?;
    let sums = length.div_ceil(SUMMED) * 4;
    let missing = (sums + length).saturating_sub(r.0.len());
    if missing > 0 {
        return Err(Malformed::Short(missing));
    }
    let (sums, rest) = r.0.split_at(sums);
    let (data, rest) = rest.split_at(length);
    let same = |(sum, chunk): (&[u8], &[u8])| sum == crc32c::crc32c(chunk).to_be_bytes();
    if !sums.chunks(4).zip(data.chunks(SUMMED)).all(same) {
        return Err(Malformed::Sum);
    }
    r.0 = rest;
    Ok(data)
}

fn decode_to_primary(kind: u8, mut r: Reader<'_>, extents: usize) -> Result<ToPrimary, Malformed> {
    let message = match kind {
        16 => {
            let (room, count) = (r.u64()?, r.u64()?);
            let length =
                usize::try_from(count).ok().filter(|length| *length <= extents).ok_or(Malformed::TooLong(count))?;
            let mut differs = Vec::with_capacity(length);
            while differs.len() < length {
                let (run, word) = (r.u64()?, r.u64()?);
                let left = length - differs.len();
                let run =
                    usize::try_from(run).ok().filter(|run| (1..=left).contains(run)).ok_or(Malformed::TooLong(run))?;
                differs.resize(differs.len() + run, word);
            }
            ToPrimary::Welcome { room, differs }
        }
        17 => {
            let (kind, word) = (r.u8()?, r.u64()?);
            let why = match kind {
                0 => Refusal::LaterEpoch(Epoch(word)),
                1 => Refusal::OtherGeneration(word),
                2 => Refusal::OtherVolume,
                3 => Refusal::NotWhole,
                4 => Refusal::Busy,
                5 => Refusal::NoRoom(word),
                value => return Err(Malformed::Unknown { what: "refusal", value }),
            };
            ToPrimary::Refused { why }
        }
        18 => ToPrimary::Wrote { number: r.u64()? },
        19 => ToPrimary::Copied { copy: r.u64()? },
        20 => ToPrimary::Flushed { flush: r.u64()? },
        21 => ToPrimary::Joined,
        22 => ToPrimary::Checked { check: r.u64()?, same: r.bool()? },
        23 => ToPrimary::Grown { size: r.u64()? },
        value => return Err(Malformed::Unknown { what: "message of a volume", value }),
    };
    if r.0.is_empty() { Ok(message) } else { Err(Malformed::Trailing(r.0.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(message: &ToReplica, data: &[u8]) -> Vec<u8> {
        let mut bytes = encode_to_replica(message, data);
        bytes.extend(data);
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
        bytes
    }

    fn range() -> impl Strategy<Value = Range> {
        (any::<u64>(), 0..40_000_u64).prop_map(|(at, len)| Range { at, len })
    }

    fn durable() -> impl Strategy<Value = Durable> {
        let nodes = prop::collection::vec((any::<u64>().prop_map(NodeId), any::<u64>()), 0..8);
        (nodes, any::<u64>()).prop_map(|(nodes, size)| Durable { nodes, size })
    }

    fn to_replica() -> impl Strategy<Value = ToReplica> {
        let what = prop_oneof![Just(What::Data), Just(What::Discard), Just(What::Zeroes)];
        let terms = prop_oneof![Just(Terms::Member), Just(Terms::Newcomer), Just(Terms::Asynchronous)];
        prop_oneof![
            (any::<[u64; 4]>(), terms).prop_map(|([volume, size, epoch, generation], terms)| {
                ToReplica::Hello { volume, size, epoch: Epoch(epoch), generation, terms }
            }),
            (any::<u64>(), what, range(), any::<bool>()).prop_map(|(number, what, range, durable)| ToReplica::Write {
                number,
                what,
                range,
                durable
            }),
            (any::<[u64; 2]>(), range()).prop_map(|([copy, last], range)| ToReplica::Copy { copy, last, range }),
            any::<u64>().prop_map(|flush| ToReplica::Flush { flush }),
            any::<u64>().prop_map(|size| ToReplica::Grow { size }),
            (any::<u64>(), durable()).prop_map(|(at, durable)| ToReplica::Join { at, durable }),
            durable().prop_map(ToReplica::Durable),
            (any::<u64>(), range(), any::<[u8; 32]>()).prop_map(|(check, range, digest)| ToReplica::Check {
                check,
                range,
                digest
            }),
        ]
    }

    fn to_primary() -> impl Strategy<Value = ToPrimary> {
        let word = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
        let why = (0..6_u8, any::<u64>()).prop_map(|(kind, word)| match kind {
            0 => Refusal::LaterEpoch(Epoch(word)),
            1 => Refusal::OtherGeneration(word),
            2 => Refusal::OtherVolume,
            3 => Refusal::NotWhole,
            4 => Refusal::NoRoom(word),
            _ => Refusal::Busy,
        });
        prop_oneof![
            (any::<u64>(), prop::collection::vec(word, 0..100))
                .prop_map(|(room, differs)| ToPrimary::Welcome { room, differs }),
            why.prop_map(|why| ToPrimary::Refused { why }),
            any::<u64>().prop_map(|number| ToPrimary::Wrote { number }),
            any::<u64>().prop_map(|copy| ToPrimary::Copied { copy }),
            any::<u64>().prop_map(|flush| ToPrimary::Flushed { flush }),
            any::<u64>().prop_map(|size| ToPrimary::Grown { size }),
            Just(ToPrimary::Joined),
            (any::<u64>(), any::<bool>()).prop_map(|(check, same)| ToPrimary::Checked { check, same }),
        ]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(message in to_replica(), seed: u8) {
            let data = match &message {
                ToReplica::Write { what: What::Data, range, .. } | ToReplica::Copy { range, .. } => (0..range.len).map(|at| seed ^ at.to_le_bytes()[0]).collect(),
                _ => Vec::new(),
            };
            let bytes = encoded(&message, &data);
            prop_assert_eq!(decode(&bytes[4..], 100), Ok(Message::ToReplica(message, &data)));
        }

        #[test]
        fn and_the_other_way(message in to_primary()) {
            let bytes = encode_to_primary(&message);
            prop_assert_eq!(decode(&bytes[4..], 100), Ok(Message::ToPrimary(message)));
        }

        #[test]
        fn anything_else_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes, 100);
        }
    }

    #[test]
    fn data_that_changed_is_not_taken_and_nothing_is_allocated_on_a_strangers_word() {
        let message =
            ToReplica::Write { number: 1, what: What::Data, range: Range { at: 0, len: 8192 }, durable: false };
        let mut bytes = encode_to_replica(&message, &[7; 8192]);
        bytes.extend([7; 8192]);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(decode(&bytes[4..], 100), Err(Malformed::Sum));
        assert_eq!(decode(&bytes[4..last], 100), Err(Malformed::Short(1)));
        let huge = ToReplica::Copy { copy: 1, last: 1, range: Range { at: 0, len: u64::MAX } };
        assert_eq!(decode(&encoded(&huge, &[])[4..], 100), Err(Malformed::TooLong(u64::MAX)));
        let bits = encode_to_primary(&ToPrimary::Welcome { room: 0, differs: vec![0; 101] });
        assert_eq!(decode(&bits[4..], 100), Err(Malformed::TooLong(101)));
    }
}
