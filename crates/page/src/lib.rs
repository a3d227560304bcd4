//! The page: one file in /run that `hotspare-leased` writes and the gate, `vip-claim` and scripts read.
//!
//! It carries the deadline of a tenure across process boundaries with nothing in between: no socket, no message, no
//! allocation. It outlives its writer, which is how a restarted daemon takes its leases up again, and its readers go
//! by the deadline on it, so a dead or stopped writer only means that the deadline is not moved any more.
//!
//! Layout: sixteen 64-bit words, a sequence lock in the second one (odd while a write is under way).

mod tenancy;

use hotspare_core::lease::Tenure;
use hotspare_core::{Epoch, Incarnation, NodeId, Stamp, Value};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;
pub use tenancy::{Standing, Tenancy};

/// Where the pages are: `/run/hotspare/GROUP.page`.
pub const FOLDER: &str = "/run/hotspare";
/// "hotspar" and the version of the layout.
const MAGIC: u64 = u64::from_be_bytes(*b"hotspar\x01");
const WORDS: usize = 16;
const BYTES: usize = WORDS * 8;
/// A write takes nanoseconds; a reader that sees this many unfinished ones in a row has lost its writer in mid-write.
const TRIES: usize = 1000;

/// The path of `group`'s page.
#[must_use]
pub fn path(group: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{group}.page"))
}

/// Why a page could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error("cannot open the lease page {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path} is not a lease page of this version of hotspare")]
    Foreign { path: PathBuf },
    #[error("this node does not hold the lease of {group}")]
    NotHeld { group: String },
}

struct Map(NonNull<AtomicU64>);

// SAFETY: the mapping is shared memory accessed through atomics only, and lives until `Drop`.
#[allow(unsafe_code)]
unsafe impl Send for Map {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Map {}

impl Map {
    fn new(file: &File, protection: ProtFlags) -> io::Result<Map> {
        let length = NonZeroUsize::new(BYTES).expect("not zero");
        // SAFETY: a fresh shared mapping of a file that is at least `BYTES` long; nothing else refers to it.
        #[allow(unsafe_code)]
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Map(start.cast()))
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS);
        // SAFETY: within the mapping, aligned (mappings are page-aligned), and valid for the life of `self`.
        #[allow(unsafe_code)]
        unsafe {
            self.0.add(index).as_ref()
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length, and not used after this.
        #[allow(unsafe_code)]
        let _ = unsafe { munmap(self.0.cast(), BYTES) };
    }
}

/// The writing end: `hotspare-leased`, one per group.
pub struct PageWriter(Map);

impl PageWriter {
    /// Opens or creates the page at `path`. Returns what it said, if it said anything.
    ///
    /// # Errors
    /// If the file cannot be made or mapped, or is something else.
    pub fn open(path: &Path) -> Result<(PageWriter, Option<Tenure>), PageError> {
        let open = |source| PageError::Open { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(path);
        let file = file.map_err(open)?;
        // Whatever the umask says: gates and scripts read it.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(open)?;
        let length = file.metadata().map_err(open)?.len();
        if length != 0 && length != BYTES as u64 {
            return Err(PageError::Foreign { path: path.to_owned() });
        }
        if length == 0 {
            // Written, not only made long: where /run is full that is an error now, and not a signal at the first store.
            (&file).write_all(&[0; BYTES]).map_err(open)?;
        }
        let map = Map::new(&file, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).map_err(open)?;
        match map.word(0).load(Ordering::Acquire) {
            0 => {}
            MAGIC => {
                // A writer that died in mid-write left a half-written page: what it says is worth nothing.
                let torn = map.word(1).load(Ordering::Acquire) % 2 == 1;
                let known = (!torn).then(|| read_words(&map)).flatten();
                if torn {
                    map.word(1).fetch_add(1, Ordering::AcqRel);
                }
                return Ok((PageWriter(map), known));
            }
            _ => return Err(PageError::Foreign { path: path.to_owned() }),
        }
        map.word(0).store(MAGIC, Ordering::Release);
        Ok((PageWriter(map), None))
    }

    /// Puts `tenure` on the page.
    pub fn publish(&mut self, tenure: &Tenure) {
        let words = [
            u64::from(tenure.held),
            tenure.value.epoch.0,
            tenure.value.holder.0,
            tenure.value.incarnation.boot,
            tenure.value.incarnation.nonce,
            tenure.sent.boot,
            tenure.sent.raw,
            hotspare_core::time::nanos(tenure.lease),
        ];
        let sequence = self.0.word(1);
        sequence.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::Release);
        for (index, word) in words.into_iter().enumerate() {
            self.0.word(2 + index).store(word, Ordering::Relaxed);
        }
        fence(Ordering::Release);
        sequence.fetch_add(1, Ordering::AcqRel);
    }
}

/// The reading end.
pub struct PageReader(Map);

impl PageReader {
    /// Maps the page at `path`.
    ///
    /// # Errors
    /// If there is none, or it is something else.
    pub fn open(path: &Path) -> Result<PageReader, PageError> {
        let open = |source| PageError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(open)?;
        if file.metadata().map_err(open)?.len() != BYTES as u64 {
            return Err(PageError::Foreign { path: path.to_owned() });
        }
        let map = Map::new(&file, ProtFlags::PROT_READ).map_err(open)?;
        if map.word(0).load(Ordering::Acquire) != MAGIC {
            return Err(PageError::Foreign { path: path.to_owned() });
        }
        Ok(PageReader(map))
    }

    /// What the page says now; `None` if it says nothing yet or its writer died in mid-write. Allocates nothing.
    #[must_use]
    pub fn read(&self) -> Option<Tenure> {
        read_words(&self.0)
    }
}

fn read_words(map: &Map) -> Option<Tenure> {
    for _ in 0..TRIES {
        let before = map.word(1).load(Ordering::Acquire);
        if before == 0 {
            return None;
        }
        let mut words = [0; 8];
        for (index, word) in words.iter_mut().enumerate() {
            *word = map.word(2 + index).load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        if before.is_multiple_of(2) && map.word(1).load(Ordering::Acquire) == before {
            let [held, epoch, holder, boot, nonce, sent_boot, sent_raw, lease] = words;
            let value = Value::tenure(Epoch(epoch), NodeId(holder), Incarnation { boot, nonce });
            let sent = Stamp { boot: sent_boot, raw: sent_raw };
            return Some(Tenure { value, sent, lease: Duration::from_nanos(lease), held: held == 1 });
        }
        std::hint::spin_loop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenure(n: u64) -> Tenure {
        let incarnation = Incarnation { boot: n, nonce: n };
        Tenure {
            value: Value::tenure(Epoch(n), NodeId(n), incarnation),
            sent: Stamp { boot: n, raw: n },
            lease: Duration::from_secs(2),
            held: true,
        }
    }

    #[test]
    fn a_reader_sees_whole_pages_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.page");
        let (mut writer, before) = PageWriter::open(&path).unwrap();
        assert_eq!(before, None);
        let reader = PageReader::open(&path).unwrap();
        assert_eq!(reader.read(), None);
        let stop = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while stop.load(Ordering::Relaxed) == 0 {
                    let Some(seen) = reader.read() else { continue };
                    assert_eq!(seen, tenure(seen.value.epoch.0), "a torn page was read");
                }
            });
            for n in 1..200_000 {
                writer.publish(&tenure(n));
            }
            stop.store(1, Ordering::Relaxed);
        });
        drop(writer);
        let (_, after) = PageWriter::open(&path).unwrap();
        assert_eq!(after, Some(tenure(199_999)), "a restarted writer finds what it wrote");
    }

    #[test]
    fn a_writer_that_died_in_mid_write_left_nothing_to_believe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.page");
        let (mut writer, _) = PageWriter::open(&path).unwrap();
        writer.publish(&tenure(1));
        writer.0.word(1).fetch_add(1, Ordering::AcqRel);
        let reader = PageReader::open(&path).unwrap();
        assert_eq!(reader.read(), None);
        let (mut writer, known) = PageWriter::open(&path).unwrap();
        assert_eq!(known, None);
        writer.publish(&tenure(2));
        assert_eq!(reader.read(), Some(tenure(2)));
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "not a page").unwrap();
        assert!(matches!(PageWriter::open(&path), Err(PageError::Foreign { .. })));
        assert!(matches!(PageReader::open(&path), Err(PageError::Foreign { .. })));
    }
}
