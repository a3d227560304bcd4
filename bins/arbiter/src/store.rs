//! The register of one group in a file (its bytes: `hotspare_wire::register`). One write and one `fdatasync` per change.

use hotspare_core::id::fnv1a;
pub use hotspare_wire::register::Kept;
use hotspare_wire::register::{self, BYTES, REGISTER_VERSION, Unusable};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why a register cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the register {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the register {path} is damaged ({what}). A voter must not guess what it promised: delete the file, and it \
         joins anew (see hotspare-arbiter(8), REPLACING A VOTER)"
    )]
    Damaged { path: PathBuf, what: &'static str },
    #[error(
        "the register {path} has version {found}, and this hotspare reads version {REGISTER_VERSION}: start the one that \
         wrote it, or replace the voter (see hotspare-arbiter(8), REPLACING A VOTER)"
    )]
    OtherVersion { path: PathBuf, found: u32 },
    #[error(
        "the register {path} belongs to another node, cluster or group; it was copied here by mistake. \
         Delete it, and this voter joins anew (see hotspare-arbiter(8), REPLACING A VOTER)"
    )]
    Foreign { path: PathBuf },
}

/// An open register file.
pub struct Store {
    file: File,
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
        let mut store = Store { file, owner, sequence: 0, kept: Kept::default() };
        if length == 0 {
            store.file.set_len(BYTES as u64).map_err(io)?;
            for _slot in 0..2 {
                store.write(Kept::default()).map_err(io)?;
            }
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
            return Ok(store);
        }
        let mut bytes = Vec::new();
        store.file.read_to_end(&mut bytes).map_err(io)?;
        (store.sequence, store.kept) = register::read(&bytes, owner).map_err(|wrong| match wrong {
            Unusable::Damaged(what) => StoreError::Damaged { path, what },
            Unusable::OtherVersion(found) => StoreError::OtherVersion { path, found },
            Unusable::Foreign => StoreError::Foreign { path },
        })?;
        Ok(store)
    }

    /// Writes `kept` and returns once it is durable.
    ///
    /// # Errors
    /// If the disk fails; then nothing may be promised any more.
    pub fn write(&mut self, kept: Kept) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let (place, slot) = register::slot(sequence, self.owner, &kept);
        self.file.write_all_at(&slot, place as u64)?;
        self.file.sync_data()?;
        self.sequence = sequence;
        self.kept = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_core::joining::Stage;
    use hotspare_core::voter::Register;
    use hotspare_core::{Ballot, NodeId};
    use hotspare_wire::register::SLOT;
    use std::time::Duration;

    fn kept(counter: u64) -> Kept {
        let promised = Ballot { counter, node: NodeId(1), nonce: 3 };
        Kept {
            register: Register { promised, accepted: None },
            boot: 7,
            lease: Duration::from_secs(2),
            stage: Stage::Joined,
            era: 0,
        }
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
    fn any_one_byte_may_rot() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut rotten = good.clone();
            rotten[at] ^= 0x10;
            std::fs::write(&path, &rotten).unwrap();
            // A version or an owner that reads differently is told by the checksum first.
            assert_eq!(Store::open(folder.path(), "default", "alpha\0demo").unwrap().kept, kept(2), "byte {at}");
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
        assert!(refused(&[0; 2 * SLOT], "alpha\0demo").contains("neither copy"));
        for slot in [0, SLOT] {
            let mut wiped = good.clone();
            wiped[slot..slot + SLOT].fill(0xff);
            assert!(refused(&wiped, "alpha\0demo").contains("neither copy"));
        }
        assert!(refused(&good, "beta\0demo").contains("another node"));
        let mut newer = good.clone();
        for slot in newer.chunks_mut(SLOT / 2) {
            slot[11] = 9;
            let end = 51 + usize::from(u16::from_be_bytes([slot[44], slot[45]]));
            let check = fnv1a(&slot[..end]);
            slot[end..end + 8].copy_from_slice(&check.to_be_bytes());
        }
        assert!(refused(&newer, "alpha\0demo").contains("has version 9"));
    }
}
