//! A disk that all nodes write their heartbeats to, in blocks of 4096 bytes; a link that no switch and no cable can cut.
//!
//! ```text
//!  block 0        [hspareds][version 4][cluster 8][count 2][node 8]...                    whose places there are
//!  block 1 + 2n   [hsparebt][version 4][cluster 8][node 8][boot 8][sequence 8][config 8][count 2][node 8]...
//!                 the beat of node n, and whom it hears here
//!  block 2 + 2n   [hsparepl][version 4][cluster 8][node 8][boot 8][by 8]                   the pill for node n: the boot that is to end
//! ```
//! Zeros up to the last four bytes, which are crc32c of everything before them. Numbers are little-endian. Each block is written by one
//! node at a time and whole; what is torn does not sum up and is read again.

use hotspare_core::NodeId;

/// Bytes of a block: what a disk writes at once.
pub const BLOCK: usize = 4096;
/// As many nodes as a configuration has at most.
pub const PLACES_MAX: usize = 64;
/// Blocks of the whole of it.
pub const BLOCKS: u64 = 1 + 2 * PLACES_MAX as u64;
const VERSION: u32 = 1;
const PLACES: &[u8; 8] = b"hspareds";
const BEAT: &[u8; 8] = b"hsparebt";
const PILL: &[u8; 8] = b"hsparepl";

/// Why a block does not say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error("nothing was ever written there")]
    Blank,
    #[error("it is of another cluster")]
    Foreign,
    #[error("it is damaged, or something else")]
    Damaged,
    #[error("it is of version {0}, and this program knows {VERSION}")]
    OtherVersion(u32),
}

/// What a node writes of itself, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskBeat {
    pub node: NodeId,
    /// Its boot: a node that was reset has another one.
    pub boot: u64,
    pub sequence: u64,
    /// Digest of its configuration.
    pub config: u64,
    /// Whose beats it reads here.
    pub hears: Vec<NodeId>,
}

/// An order to a node to reset itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pill {
    pub node: NodeId,
    /// In this boot; a later one is not meant.
    pub boot: u64,
    pub by: NodeId,
}

/// Block of the beat of the `place`th node; its pill is in the next one.
#[must_use]
pub fn beat_block(place: usize) -> u64 {
    1 + 2 * place as u64
}

fn block(kind: &[u8; 8], cluster: u64, words: &[u64], list: Option<&[NodeId]>) -> Vec<u8> {
    let mut bytes = [kind.as_slice(), &VERSION.to_le_bytes(), &cluster.to_le_bytes()].concat();
    words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    if let Some(list) = list {
        assert!(list.len() <= PLACES_MAX, "as many nodes as a configuration may have");
        bytes.extend(u16::try_from(list.len()).expect("few").to_le_bytes());
        list.iter().for_each(|node| bytes.extend(node.0.to_le_bytes()));
    }
    bytes.resize(BLOCK - 4, 0);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The numbers of a block, and its list.
fn read<const N: usize>(kind: &[u8; 8], cluster: u64, bytes: &[u8]) -> Result<([u64; N], Vec<NodeId>), Unread> {
    let (body, sum) = bytes.split_at_checked(BLOCK - 4).filter(|(_, sum)| sum.len() == 4).ok_or(Unread::Damaged)?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(Unread::Blank);
    }
    let word = |at: usize| u64::from_le_bytes(*body[at..].first_chunk().expect("longer"));
    if !body.starts_with(kind) || sum != crc32c::crc32c(body).to_le_bytes() {
        return Err(Unread::Damaged);
    }
    let version = u32::from_le_bytes(*body[8..].first_chunk().expect("longer"));
    if version != VERSION {
        return Err(Unread::OtherVersion(version));
    }
    if word(12) != cluster {
        return Err(Unread::Foreign);
    }
    let words = std::array::from_fn(|n| word(20 + 8 * n));
    let list = 20 + 8 * N;
    let count = usize::from(u16::from_le_bytes(*body[list..].first_chunk().expect("longer")));
    if count > PLACES_MAX {
        return Err(Unread::Damaged);
    }
    Ok((words, (0..count).map(|n| NodeId(word(list + 2 + 8 * n))).collect()))
}

/// The first block.
#[must_use]
pub fn encode_places(cluster: u64, nodes: &[NodeId]) -> Vec<u8> {
    block(PLACES, cluster, &[], Some(nodes))
}

/// Whose places there are.
///
/// # Errors
/// If these bytes do not say.
pub fn decode_places(cluster: u64, bytes: &[u8]) -> Result<Vec<NodeId>, Unread> {
    read::<0>(PLACES, cluster, bytes).map(|(_, nodes)| nodes)
}

#[must_use]
pub fn encode_disk_beat(cluster: u64, beat: &DiskBeat) -> Vec<u8> {
    let words = [beat.node.0, beat.boot, beat.sequence, beat.config];
    block(BEAT, cluster, &words, Some(&beat.hears))
}

/// # Errors
/// If these bytes are no beat.
pub fn decode_disk_beat(cluster: u64, bytes: &[u8]) -> Result<DiskBeat, Unread> {
    let ([node, boot, sequence, config], hears) = read(BEAT, cluster, bytes)?;
    Ok(DiskBeat { node: NodeId(node), boot, sequence, config, hears })
}

#[must_use]
pub fn encode_pill(cluster: u64, pill: Pill) -> Vec<u8> {
    block(PILL, cluster, &[pill.node.0, pill.boot, pill.by.0], None)
}

/// # Errors
/// If these bytes are no pill.
pub fn decode_pill(cluster: u64, bytes: &[u8]) -> Result<Pill, Unread> {
    let ([node, boot, by], _) = read(PILL, cluster, bytes)?;
    Ok(Pill { node: NodeId(node), boot, by: NodeId(by) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(words: [u64; 4], hears in prop::collection::vec(any::<u64>(), 0..=PLACES_MAX), cluster: u64) {
            let hears: Vec<NodeId> = hears.into_iter().map(NodeId).collect();
            prop_assert_eq!(decode_places(cluster, &encode_places(cluster, &hears)), Ok(hears.clone()));
            let beat = DiskBeat { node: NodeId(words[0]), boot: words[1], sequence: words[2], config: words[3], hears };
            let bytes = encode_disk_beat(cluster, &beat);
            prop_assert_eq!(bytes.len(), BLOCK);
            prop_assert_eq!(decode_disk_beat(cluster, &bytes), Ok(beat));
            let pill = Pill { node: NodeId(words[0]), boot: words[1], by: NodeId(words[2]) };
            prop_assert_eq!(decode_pill(cluster, &encode_pill(cluster, pill)), Ok(pill));
        }

        #[test]
        fn a_sum_that_fits_is_no_promise(mut bytes in prop::collection::vec(any::<u8>(), BLOCK - 4), count in 0..200_u16) {
            for kind in [PLACES, BEAT, PILL] {
                bytes[..20].copy_from_slice(&[kind.as_slice(), &VERSION.to_le_bytes(), &7_u64.to_le_bytes()].concat());
                bytes[52..54].copy_from_slice(&count.to_le_bytes()); // of a beat
                let whole = [bytes.as_slice(), &crc32c::crc32c(&bytes).to_le_bytes()].concat();
                let _ = (decode_places(7, &whole), decode_pill(7, &whole));
                let listed = decode_disk_beat(7, &whole).map(|beat| beat.hears.len());
                prop_assert!(kind != BEAT || listed.is_ok_and(|listed| listed == usize::from(count)) == (count <= 64));
            }
        }

        #[test]
        fn whatever_is_there_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..5000), at in 0..BLOCK, bit in 0..8_u32) {
            prop_assert!(decode_disk_beat(1, &bytes).is_err() && decode_pill(1, &bytes).is_err());
            let mut flipped = encode_pill(1, Pill { node: NodeId(1), boot: 2, by: NodeId(3) });
            flipped[at] ^= 1_u8 << bit;
            prop_assert_eq!(decode_pill(1, &flipped), Err(Unread::Damaged));
        }
    }

    #[test]
    fn what_is_not_ours_is_said_to_be_what_it_is() {
        let places = encode_places(7, &[NodeId(1), NodeId(2)]);
        assert_eq!(decode_places(8, &places), Err(Unread::Foreign));
        assert_eq!(decode_pill(7, &places), Err(Unread::Damaged));
        assert_eq!(decode_places(7, &[0; BLOCK]), Err(Unread::Blank));
        assert_eq!(decode_places(7, b"short"), Err(Unread::Damaged));
        let mut newer = places[..BLOCK - 4].to_vec();
        newer[8] = 2;
        newer.extend(crc32c::crc32c(&newer).to_le_bytes());
        assert_eq!(decode_places(7, &newer), Err(Unread::OtherVersion(2)));
    }
}
