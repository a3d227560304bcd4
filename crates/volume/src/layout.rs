//! The metadata of a copy as bytes: at the end of the backing device, or in a file of its own.
//!
//! ```text
//!  superblock 0 | superblock 1 | page 0 of peer 0 | page 1 of peer 0 | ... | page 0 of peer 1 | ...     4096 bytes each
//!
//!  superblock   [copy 512][zeros][copy 512][zeros]      written in turn; a copy:
//!               [magic 8][version 4][volume 8][node 8][peers 7 x 8][size 8][block 8][sequence 8][generation 8][epoch 8][whole 1][crc32c 4]
//!  page         [magic 4][crc32c 4][volume 8][peer 4][page 4][zeros 8][508 words of 64 blocks]
//! ```
//! A power cut in the middle of a superblock's write spoils one of its two copies at most, and never the other superblock. One without a
//! whole copy has rotted and may have been the newest: it is refused, never guessed. A page that is torn, rotten or was never
//! written reads as "every block may differ": more is copied than need be, and nothing is lost.

use crate::geometry::Geometry;
use hotspare_core::{Epoch, NodeId};

/// Bytes of a superblock or a page: one write.
pub const SHEET: usize = 4096;
/// Words of a page.
pub const PAGE_WORDS: usize = (SHEET - HEADER) / 8;
/// The version that is written and understood.
pub const VOLUME_VERSION: u32 = 1;
/// Other copies that a volume may have.
pub const PEERS_MAX: usize = 7;
const HEADER: usize = 32;
const COPY: usize = 512;
const SECOND: usize = 2048;
const MAGIC: &[u8; 8] = b"hotspvol";
const PAGE_MAGIC: &[u8; 4] = b"hsbm";
/// Bytes of a copy of a superblock before its sum.
pub const BODY: usize = 8 + 4 + 8 + 8 + 8 * PEERS_MAX + 8 + 8 + 8 + 8 + 8 + 1;

/// What a copy knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Names the volume.
    pub volume: u64,
    /// Whose copy this is.
    pub node: NodeId,
    /// The other copies, in the order of their pages; the rest is [`NodeId::default`].
    pub peers: [NodeId; PEERS_MAX],
    /// Bytes that the user sees, and of a block. The metadata is laid out for as much as there is room for.
    pub size: u64,
    pub block: u64,
    /// Which data this is a copy of; 0: none yet.
    pub generation: u64,
    /// D6: nothing of an earlier epoch is taken in.
    pub min_epoch: Epoch,
    /// R5: false while a resync has made it a mixture of old and new.
    pub whole: bool,
}

impl Superblock {
    /// The shape of a copy with room for so many bytes.
    #[must_use]
    pub fn geometry(&self, room: u64) -> Geometry {
        Geometry { size: room, block: self.block, page_extents: PAGE_WORDS }
    }

    /// How many other copies there are.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.peers.iter().filter(|peer| **peer != NodeId::default()).count()
    }
}

/// Why metadata must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("there is no volume on it")]
    Absent,
    #[error("a superblock has no whole copy: it has rotted, and may have been the newest")]
    Damaged,
    #[error("its format is version {0}, this program understands {VOLUME_VERSION}")]
    OtherVersion(u32),
    #[error("its superblock makes no sense")]
    Nonsense,
}

/// Bytes of metadata for `peers` other copies of a volume of this shape.
#[must_use]
pub fn metadata_bytes(shape: &Geometry, peers: usize) -> u64 {
    page_at(shape, peers, 0)
}

/// The sum of these bytes (crc32c).
#[must_use]
pub fn sum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Where in the metadata a page is.
#[must_use]
pub fn page_at(shape: &Geometry, peer: usize, page: usize) -> u64 {
    ((2 + peer * shape.pages() + page) * SHEET) as u64
}

/// A superblock's write with number `sequence`, and where it belongs.
#[must_use]
pub fn superblock(sequence: u64, content: &Superblock) -> (u64, Vec<u8>) {
    let mut sheet = Vec::with_capacity(SHEET);
    sheet.extend(MAGIC);
    sheet.extend(VOLUME_VERSION.to_be_bytes());
    sheet.extend(content.volume.to_be_bytes());
    sheet.extend(content.node.0.to_be_bytes());
    content.peers.iter().for_each(|peer| sheet.extend(peer.0.to_be_bytes()));
    for word in [content.size, content.block, sequence, content.generation, content.min_epoch.0] {
        sheet.extend(word.to_be_bytes());
    }
    sheet.push(u8::from(content.whole));
    sheet.extend(sum(&sheet).to_be_bytes());
    sheet.resize(SECOND, 0);
    sheet.extend_from_within(..);
    ((sequence % 2) * SHEET as u64, sheet)
}

/// Reads both superblocks; the newer one and its number.
///
/// # Errors
/// If they must not be believed.
pub fn read_superblocks(bytes: &[u8]) -> Result<(u64, Superblock), Unusable> {
    let sheets = bytes.get(..2 * SHEET).ok_or(Unusable::Absent)?;
    if sheets.iter().all(|byte| *byte == 0) {
        return Err(Unusable::Absent);
    }
    let [first, second] = [read_superblock(&sheets[..SHEET])?, read_superblock(&sheets[SHEET..])?];
    Ok(if first.0 > second.0 { first } else { second })
}

fn read_superblock(sheet: &[u8]) -> Result<(u64, Superblock), Unusable> {
    let copies = [read_copy(&sheet[..COPY])?, read_copy(&sheet[SECOND..SECOND + COPY])?];
    copies.into_iter().flatten().max_by_key(|(sequence, _)| *sequence).ok_or(Unusable::Damaged)
}

/// `Ok(None)`: not whole.
fn read_copy(copy: &[u8]) -> Result<Option<(u64, Superblock)>, Unusable> {
    let word = |at: usize| u64::from_be_bytes(copy[at..at + 8].try_into().expect("eight"));
    let crc = u32::from_be_bytes(copy[BODY..BODY + 4].try_into().expect("four"));
    if &copy[..8] != MAGIC || sum(&copy[..BODY]) != crc {
        return Ok(None);
    }
    let version = u32::from_be_bytes(copy[8..12].try_into().expect("four"));
    if version != VOLUME_VERSION {
        return Err(Unusable::OtherVersion(version));
    }
    let mut peers = [NodeId::default(); PEERS_MAX];
    peers.iter_mut().enumerate().for_each(|(at, peer)| *peer = NodeId(word(28 + 8 * at)));
    let rest = 28 + 8 * PEERS_MAX;
    let content = Superblock {
        volume: word(12),
        node: NodeId(word(20)),
        peers,
        size: word(rest),
        block: word(rest + 8),
        generation: word(rest + 24),
        min_epoch: Epoch(word(rest + 32)),
        whole: copy[BODY - 1] != 0,
    };
    let sane = content.block.is_power_of_two() && content.block >= 512 && content.size > 0;
    if sane { Ok(Some((word(rest + 16), content))) } else { Err(Unusable::Nonsense) }
}

/// A page as bytes; `words` are as many as fit, or fewer.
#[must_use]
pub fn page(volume: u64, peer: usize, page: usize, words: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut sheet = Vec::with_capacity(SHEET);
    sheet.extend(PAGE_MAGIC);
    sheet.extend([0; 4]);
    sheet.extend(volume.to_be_bytes());
    sheet.extend(u32::try_from(peer).expect("few peers").to_be_bytes());
    sheet.extend(u32::try_from(page).expect("few pages").to_be_bytes());
    sheet.extend([0; 8]);
    words.for_each(|word| sheet.extend(word.to_be_bytes()));
    sheet.resize(SHEET, 0);
    let crc = sum(&sheet[8..]).to_be_bytes();
    sheet[4..8].copy_from_slice(&crc);
    sheet
}

/// The words of a page; `None`: torn, rotten, of another volume, or never written.
#[must_use]
pub fn read_page(volume: u64, peer: usize, page: usize, sheet: &[u8]) -> Option<Vec<u64>> {
    let sheet = sheet.get(..SHEET)?;
    let short = |at: usize| u32::from_be_bytes(sheet[at..at + 4].try_into().expect("four"));
    let long = |at: usize| u64::from_be_bytes(sheet[at..at + 8].try_into().expect("eight"));
    let whole = &sheet[..4] == PAGE_MAGIC && short(4) == sum(&sheet[8..]);
    let mine = long(8) == volume && short(16) as usize == peer && short(20) as usize == page;
    (whole && mine).then(|| (HEADER..SHEET).step_by(8).map(long).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Superblock {
        let mut peers = [NodeId::default(); PEERS_MAX];
        peers[0] = NodeId(7);
        let (volume, node, generation) = (0x0056_4f4c, NodeId(3), 99);
        Superblock { volume, node, peers, size: 1 << 30, block: 65536, generation, min_epoch: Epoch(5), whole: true }
    }

    fn both(older: &Superblock, newer: &Superblock) -> Vec<u8> {
        [superblock(4, older).1, superblock(5, newer).1].concat()
    }

    #[test]
    fn the_newer_superblock_counts_and_a_torn_write_leaves_one() {
        let (old, new) = (content(), Superblock { min_epoch: Epoch(6), whole: false, ..content() });
        let disk = both(&old, &new);
        assert_eq!(read_superblocks(&disk), Ok((5, new)));
        // Sequence 6 goes where 4 was; the power goes in the middle of its first copy, or between the two.
        for written in 0..=SHEET / 512 {
            let (at, sheet) = superblock(6, &Superblock { min_epoch: Epoch(7), ..new });
            assert_eq!(at, 0);
            let mut torn = disk.clone();
            torn[..written * 512].copy_from_slice(&sheet[..written * 512]);
            let spoilt = (written * 512..(written + 1) * 512).filter(|at| *at < SHEET);
            spoilt.for_each(|at| torn[at] = 0xaa);
            let (sequence, found) = read_superblocks(&torn).expect("one copy is whole");
            assert!((sequence, found.min_epoch) == (5, Epoch(6)) || (sequence, found.min_epoch) == (6, Epoch(7)));
        }
    }

    #[test]
    fn what_has_rotted_is_refused() {
        let mut disk = both(&content(), &content());
        disk[SHEET + 40] ^= 1;
        assert_eq!(read_superblocks(&disk).map(|(sequence, _)| sequence), Ok(5), "one copy of two");
        disk[SHEET + SECOND + 60] ^= 1;
        assert_eq!(read_superblocks(&disk), Err(Unusable::Damaged), "it may have been the newest");
        assert_eq!(read_superblocks(&vec![0; 2 * SHEET]), Err(Unusable::Absent));
        assert_eq!(read_superblocks(&[1; 100]), Err(Unusable::Absent));
        let mut odd = content();
        odd.block = 1000;
        assert_eq!(read_superblocks(&both(&odd, &odd)), Err(Unusable::Nonsense));
    }

    #[test]
    fn a_page_is_read_only_where_it_belongs_and_only_whole() {
        let sheet = page(8, 1, 2, [1, 2, 3].into_iter());
        assert_eq!(read_page(8, 1, 2, &sheet).map(|words| words[..4].to_vec()), Some(vec![1, 2, 3, 0]));
        assert_eq!(read_page(8, 1, 2, &sheet).map(|words| words.len()), Some(PAGE_WORDS));
        assert!(read_page(9, 1, 2, &sheet).is_none() && read_page(8, 0, 2, &sheet).is_none());
        assert!(read_page(8, 1, 3, &sheet).is_none() && read_page(8, 1, 2, &[0; SHEET]).is_none());
        for at in [0, 5, 33, SHEET - 1] {
            let mut rotten = sheet.clone();
            rotten[at] ^= 0x10;
            assert!(read_page(8, 1, 2, &rotten).is_none(), "byte {at}");
        }
        assert_eq!(PAGE_WORDS, 508);
    }
}
