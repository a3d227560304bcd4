//! The register of one group on disk: two slots of 512 bytes, written in turn, each complete with its checksum.
//!
//! One write and one `fdatasync` per change. A power cut in the middle of a write spoils only the slot being written,
//! whose content nobody was told of yet. Anything else that does not add up is refused: a register is never guessed.

use hotspare_core::GroupId;
use hotspare_core::id::fnv1a;
use hotspare_core::message::FromVoter;
use hotspare_core::voter::Register;
use hotspare_wire::{Body, Frame, decode, encode};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MAGIC: &[u8; 8] = b"hotspreg";
const VERSION: u32 = 1;
const SLOT: usize = 512;

/// Why a register cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the register {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the register {path} is damaged ({what}). A voter must not guess what it promised: take it out of service and \
         replace it (see hotspare-arbiter(8), REPLACING A VOTER)"
    )]
    Damaged { path: PathBuf, what: &'static str },
    #[error("the register {path} was written by a newer hotspare (version {found}, this one knows {VERSION})")]
    Newer { path: PathBuf, found: u32 },
    #[error("the register {path} belongs to another node, cluster or group; it was copied here by mistake")]
    Foreign { path: PathBuf },
}

/// What is kept besides the register itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub register: Register,
    /// The boot in which this voter started last.
    pub boot: u64,
    /// The longest lease it may have granted since.
    pub lease: Duration,
}

/// An open register file.
pub struct Store {
    file: File,
    path: PathBuf,
    owner: u64,
    sequence: u64,
    pub kept: Kept,
}

impl Store {
    /// Opens or creates the register of `group`; `owner` is who it belongs to (node and cluster).
    ///
    /// # Errors
    /// If it cannot be read, or must not be believed.
    pub fn open(folder: &Path, group: &str, owner: &str) -> Result<Store, StoreError> {
        let path = folder.join(format!("{group}.register"));
        let owner = fnv1a(format!("{owner}\0{group}").as_bytes());
        let io = |source| StoreError::Io { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut store = Store { file, path: path.clone(), owner, sequence: 0, kept: Kept::default() };
        if length == 0 {
            store.file.set_len(2 * SLOT as u64).map_err(io)?;
            store.write(Kept::default()).map_err(io)?;
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
            return Ok(store);
        }
        if length != 2 * SLOT as u64 {
            return Err(StoreError::Damaged { path, what: "its length is wrong" });
        }
        let mut bytes = [0; 2 * SLOT];
        store.file.read_exact_at(&mut bytes, 0).map_err(io)?;
        let (first, second) = (store.read_slot(&bytes[..SLOT])?, store.read_slot(&bytes[SLOT..])?);
        let newest = [first, second].into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
        let Some((sequence, kept)) = newest else {
            return Err(StoreError::Damaged { path, what: "neither slot has a true checksum" });
        };
        (store.sequence, store.kept) = (sequence, kept);
        Ok(store)
    }

    /// `Ok(None)`: never written, or spoilt by a power cut while it was being written.
    fn read_slot(&self, slot: &[u8]) -> Result<Option<(u64, Kept)>, StoreError> {
        let word = |at: usize| u64::from_be_bytes(slot[at..at + 8].try_into().expect("eight"));
        let length = usize::from(u16::from_be_bytes([slot[44], slot[45]]));
        if &slot[..8] != MAGIC || 46 + length + 8 > SLOT || fnv1a(&slot[..46 + length]) != word(46 + length) {
            return Ok(None);
        }
        let found = u32::from_be_bytes(slot[8..12].try_into().expect("four"));
        if found > VERSION {
            return Err(StoreError::Newer { path: self.path.clone(), found });
        }
        if word(12) != self.owner {
            return Err(StoreError::Foreign { path: self.path.clone() });
        }
        let damaged = || StoreError::Damaged { path: self.path.clone(), what: "its content makes no sense" };
        let frames = decode(&slot[46..46 + length]).map_err(|_| damaged())?;
        let [Frame { body: Body::FromVoter(FromVoter::State { promised, accepted, .. }), .. }] = frames[..] else {
            return Err(damaged());
        };
        let register = Register { promised, accepted };
        let kept = Kept { register, boot: word(28), lease: Duration::from_nanos(word(36)) };
        Ok(Some((word(20), kept)))
    }

    /// Writes `kept` and returns once it is durable.
    ///
    /// # Errors
    /// If the disk fails; then nothing may be promised any more.
    pub fn write(&mut self, kept: Kept) -> io::Result<()> {
        let Register { promised, accepted } = kept.register;
        let state = FromVoter::State { promised, accepted, live: None };
        let body = encode(&[Frame { group: GroupId(0), body: Body::FromVoter(state) }]);
        let sequence = self.sequence + 1;
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend(MAGIC);
        slot.extend(VERSION.to_be_bytes());
        slot.extend(self.owner.to_be_bytes());
        slot.extend(sequence.to_be_bytes());
        slot.extend(kept.boot.to_be_bytes());
        slot.extend(hotspare_core::time::nanos(kept.lease).to_be_bytes());
        slot.extend(u16::try_from(body.len()).expect("small").to_be_bytes());
        slot.extend(body);
        slot.extend(fnv1a(&slot).to_be_bytes());
        slot.resize(SLOT, 0);
        let place = (sequence % 2) * SLOT as u64;
        self.file.write_all_at(&slot, place)?;
        self.file.sync_data()?;
        self.sequence = sequence;
        self.kept = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_core::{Ballot, NodeId};

    fn kept(counter: u64) -> Kept {
        let promised = Ballot { counter, node: NodeId(1), nonce: 3 };
        Kept { register: Register { promised, accepted: None }, boot: 7, lease: Duration::from_secs(2) }
    }

    fn written(folder: &Path) -> PathBuf {
        let mut store = Store::open(folder, "default", "alpha\0demo").unwrap();
        store.write(kept(1)).unwrap();
        store.write(kept(2)).unwrap();
        folder.join("default.register")
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        assert_eq!(Store::open(folder.path(), "default", "alpha\0demo").unwrap().kept, kept(2));
    }

    #[test]
    fn a_write_cut_at_any_byte_leaves_the_register_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let before = std::fs::read(&path).unwrap();
        let mut store = Store::open(folder.path(), "default", "alpha\0demo").unwrap();
        store.write(kept(3)).unwrap();
        let after = std::fs::read(&path).unwrap();
        let place = (0..2)
            .find(|slot| before[slot * SLOT..(slot + 1) * SLOT] != after[slot * SLOT..(slot + 1) * SLOT])
            .unwrap();
        for cut in 0..SLOT {
            let mut torn = before.clone();
            torn[place * SLOT..place * SLOT + cut].copy_from_slice(&after[place * SLOT..place * SLOT + cut]);
            std::fs::write(&path, &torn).unwrap();
            let found = Store::open(folder.path(), "default", "alpha\0demo").unwrap().kept;
            assert!(found == kept(2) || found == kept(3), "cut at {cut}: {found:?}");
        }
    }

    #[test]
    fn what_must_not_be_believed_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let good = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8], owner: &str| {
            std::fs::write(&path, bytes).unwrap();
            Store::open(folder.path(), "default", owner).err().expect("refused").to_string()
        };
        assert!(refused(&good[..700], "alpha\0demo").contains("its length is wrong"));
        assert!(refused(&[0; 2 * SLOT], "alpha\0demo").contains("neither slot"));
        assert!(refused(&good, "beta\0demo").contains("another node"));
        let mut newer = good.clone();
        for slot in newer.chunks_mut(SLOT) {
            slot[11] = 9;
            let end = 46 + usize::from(u16::from_be_bytes([slot[44], slot[45]]));
            let check = fnv1a(&slot[..end]);
            slot[end..end + 8].copy_from_slice(&check.to_be_bytes());
        }
        assert!(refused(&newer, "alpha\0demo").contains("newer hotspare (version 9"));
    }
}
