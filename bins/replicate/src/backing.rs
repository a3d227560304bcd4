//! The place of a copy: a block device or a file. Data from its beginning on, so that it can be mounted read-only with nothing of ours;
//! metadata at its end.
//!
//! ```text
//!  | data: the volume as its user sees it ................. | superblocks, pages (room for seven other copies) |
//!  0                                                        size                                              end
//! ```

use crate::buffer::{ALIGN, Buffer};
use hotspare_daemon::{Exit, Failure};
use hotspare_volume::bits::Bits;
use hotspare_volume::geometry::BLOCK;
use hotspare_volume::layout::{self, PAGE_WORDS, PEERS_MAX, SHEET, Superblock, Unusable};
use hotspare_volume::{Geometry, Range};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, OFlag, fallocate};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// An open backing. Nobody else of ours has it open.
pub struct Backing {
    path: PathBuf,
    /// For data: direct, if the file system can do that.
    data: File,
    /// For metadata and durable writes: on the disk when the call returns.
    durable: File,
    /// Where the metadata begins: the size of the volume.
    pub size: u64,
    is_device: bool,
    /// On a file system in memory.
    pub in_memory: bool,
    _lock: Flock<File>,
}

/// How much of `total` bytes is data; what is left takes the metadata.
pub fn data_bytes(total: u64) -> u64 {
    let metadata = |size: u64| layout::metadata_bytes(&shape(size), PEERS_MAX);
    // The metadata of the whole is at least as long as that of the part.
    let size = total.saturating_sub(metadata(total.max(BLOCK)));
    size - size % ALIGN as u64
}

/// Waits for whoever has it for a moment: udev locks a device while it looks at what has just been written to it.
fn lock(mut file: File) -> Result<Flock<File>, Errno> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EAGAIN)) if Instant::now() < deadline => file = back,
            Err((_, error)) => return Err(error),
        }
        std::thread::sleep(Duration::from_millis(20)); // flock(2) has no timeout
    }
}

fn shape(size: u64) -> Geometry {
    Geometry { size, block: BLOCK, page_extents: PAGE_WORDS }
}

impl Backing {
    /// Opens `path` for this program alone.
    ///
    /// # Errors
    /// If it is not there, too small, or in use.
    pub fn open(path: &Path) -> Result<Backing, Failure> {
        let shown = path.display();
        let failed = |what: &str| Exit::IoErr.why(format!("{shown}: {what}"));
        let open = |flags: OFlag| OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path);
        let held = open(OFlag::empty()).map_err(failed("cannot open it"))?;
        let kind = held.metadata().map_err(failed("cannot look at it"))?;
        let is_device = kind.file_type().is_block_device();
        if !is_device && !kind.file_type().is_file() {
            return Err(Failure::new(Exit::Config, format!("{shown} is neither a block device nor a file")));
        }
        let lock = lock(held).map_err(|error| Failure::new(Exit::TempFail, format!("{shown} is in use: {error}")))?;
        // A device that somebody has mounted cannot be opened exclusively.
        let exclusive = if is_device { OFlag::O_EXCL } else { OFlag::empty() };
        let data = open(OFlag::O_DIRECT | exclusive).or_else(|error| match error.raw_os_error() {
            Some(code) if code == Errno::EINVAL as i32 => open(exclusive), // a file system without it
            _ => Err(error),
        });
        let data =
            data.map_err(|error| Failure::new(Exit::TempFail, format!("{shown}: cannot have it alone: {error}")))?;
        // Of a device this would say where its node is: /dev is in memory, and the disk is not.
        let in_memory = !is_device && fstatfs(&data).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC);
        let durable = open(OFlag::O_DSYNC).map_err(failed("cannot open it"))?;
        let total = length(&durable, is_device).map_err(failed("cannot tell how long it is"))?;
        let size = data_bytes(total);
        if size < BLOCK {
            let least = BLOCK + layout::metadata_bytes(&shape(BLOCK), PEERS_MAX);
            return Err(Failure::new(
                Exit::DataErr,
                format!("{shown} has {total} bytes; a copy takes at least {least}"),
            ));
        }
        Ok(Backing { path: path.to_owned(), data, durable, size, is_device, in_memory, _lock: lock })
    }

    /// What a flush is asked of.
    pub fn data(&self) -> &File {
        &self.data
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the copy says of itself; [`Unusable::Absent`] if there is none.
    ///
    /// # Errors
    /// If it cannot be read; inside, if it cannot be believed.
    pub fn superblock(&self) -> io::Result<Result<(u64, Superblock), Unusable>> {
        let mut sheets = vec![0; 2 * SHEET];
        self.durable.read_exact_at(&mut sheets, self.size)?;
        Ok(layout::read_superblocks(&sheets))
    }

    /// The bits of the other copies; a page that cannot be read means that all of it may differ.
    pub fn bits(&self, content: &Superblock) -> Bits {
        let shape = content.geometry();
        let read = |peer, page| {
            let mut sheet = vec![0; SHEET];
            let at = self.size + layout::page_at(&shape, peer, page);
            self.durable.read_exact_at(&mut sheet, at).ok()?;
            layout::read_page(content.volume, peer, page, &sheet)
        };
        Bits::new(shape, content.peer_count(), read)
    }

    /// Writes metadata, durably.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_meta(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.durable.write_all_at(bytes, self.size + at)
    }

    /// # Errors
    /// Those of the disk.
    pub fn read(&self, range: Range) -> io::Result<Buffer> {
        let mut buffer = Buffer::new(usize::try_from(range.len).expect("a piece"));
        self.file(range).read_exact_at(buffer.bytes_mut(), range.at)?;
        Ok(buffer)
    }

    /// # Errors
    /// Those of the disk.
    pub fn write(&self, range: Range, bytes: &[u8], durable: bool) -> io::Result<()> {
        let file = if durable { &self.durable } else { self.file(range) };
        file.write_all_at(bytes, range.at)
    }

    /// Direct input and output is for whole pages; the rest goes through the cache, which a write of either kind keeps right.
    pub fn file(&self, range: Range) -> &File {
        let whole = range.at.is_multiple_of(ALIGN as u64) && range.len.is_multiple_of(ALIGN as u64);
        if whole { &self.data } else { &self.durable }
    }

    /// Makes `range` zeros. What a discard leaves must be the same on every copy, so it is that as well; where the disk can, space
    /// is given back.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn zero(&self, range: Range, give_back: bool, durable: bool) -> io::Result<()> {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let zero = FallocateFlags::FALLOC_FL_ZERO_RANGE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let offset = |at: u64| i64::try_from(at).map_err(io::Error::other);
        let mode = if give_back || !self.is_device { hole } else { zero };
        match fallocate(&self.data, mode, offset(range.at)?, offset(range.len)?) {
            Ok(()) if durable => self.flush(),
            Ok(()) => Ok(()),
            Err(_) => self.write(range, Buffer::new(usize::try_from(range.len).expect("a piece")).bytes(), durable),
        }
    }

    /// Everything that was written before this is on the disk when it returns.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn flush(&self) -> io::Result<()> {
        self.data.sync_data()
    }
}

fn length(file: &File, is_device: bool) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    if is_device { (&*file).seek(SeekFrom::End(0)) } else { Ok(file.metadata()?.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_metadata_fit_and_little_is_wasted() {
        for total in [1 << 20, 100 << 20, (1 << 40) + 12345] {
            let size = data_bytes(total);
            let metadata = layout::metadata_bytes(&shape(size), PEERS_MAX);
            assert!(size + metadata <= total && size.is_multiple_of(4096), "{total}");
            assert!(total - size - metadata < 64 << 10, "{total}: {}", total - size - metadata);
        }
        assert_eq!(data_bytes(1000), 0);
    }

    #[test]
    fn what_is_written_is_read_and_one_program_has_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let backing = Backing::open(file.path()).unwrap();
        assert_eq!(Backing::open(file.path()).err().map(|failure| failure.exit), Some(Exit::TempFail));
        assert!(matches!(backing.superblock(), Ok(Err(Unusable::Absent))));
        for (range, durable) in [
            (Range { at: 0, len: 8192 }, false),
            (Range { at: 512, len: 1024 }, true),
            (Range { at: 3584, len: 512 }, false),
        ] {
            let bytes = Buffer::from(vec![7; usize::try_from(range.len).unwrap()].as_slice());
            backing.write(range, bytes.bytes(), durable).unwrap();
            assert_eq!(backing.read(range).unwrap().bytes(), bytes.bytes());
        }
        backing.zero(Range { at: 0, len: 4096 }, true, false).unwrap();
        assert_eq!(backing.read(Range { at: 0, len: 8192 }).unwrap().bytes(), [[0; 4096], [7; 4096]].concat());
        backing.flush().unwrap();
    }

    #[test]
    fn what_is_too_small_or_not_there_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1000).unwrap();
        let failure = Backing::open(file.path()).err().unwrap();
        assert!(failure.message.contains("at least") && failure.exit == Exit::DataErr, "{}", failure.message);
        assert!(Backing::open(Path::new("/nonexistent/disk")).err().unwrap().message.contains("cannot open"));
        assert!(Backing::open(Path::new("/dev/null")).err().unwrap().message.contains("neither"));
    }
}
