//! The place of a copy: a block device or a file. Data from its beginning on, so that it can be mounted read-only with nothing of ours;
//! metadata at its end, or in a file of its own (`own`).
//!
//! ```text
//!  | data: the volume as its user sees it ................. | superblocks, pages (room for seven other copies) |
//!  0                                                        room                                              end
//! ```
//! When it is made larger, metadata moves to the new end before anything else happens ([`Backing::move_to_end`]).

use crate::buffer::{ALIGN, Buffer};
use crate::own::Own;
use hotspare_config::Place;
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
    /// Bytes of all of it.
    pub total: u64,
    /// Where the metadata begins: what there is room for.
    pub room: u64,
    is_device: bool,
    /// On a file system in memory.
    pub in_memory: bool,
    /// Where the metadata is, if not at the end.
    own: Option<Own>,
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
    pub fn open(place: &Place) -> Result<Backing, Failure> {
        let path = place.path.as_path();
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
        let own = place.metadata.as_ref().map(|file| Own::open(file, path)).transpose();
        let own = own.map_err(|why| Failure::new(Exit::DataErr, why))?;
        let mut backing =
            Backing { path: path.to_owned(), data, durable, total, room: 0, is_device, in_memory, own, _lock: lock };
        backing.room = backing.room_of(total);
        if backing.room < BLOCK {
            let metadata = if backing.own.is_some() { 0 } else { layout::metadata_bytes(&shape(BLOCK), PEERS_MAX) };
            let least = BLOCK + metadata;
            return Err(Failure::new(
                Exit::DataErr,
                format!("{shown} has {total} bytes; a copy takes at least {least}"),
            ));
        }
        Ok(backing)
    }

    /// How much of `total` bytes is data.
    pub fn room_of(&self, total: u64) -> u64 {
        if self.own.is_some() { total - total % ALIGN as u64 } else { data_bytes(total) }
    }

    /// The metadata's file, if it has one.
    pub fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    /// How long it was when its metadata was written; at its end this is `noted` elsewhere.
    pub fn length(&self, noted: Option<u64>) -> Option<u64> {
        self.own.as_ref().map_or(noted, Own::length)
    }

    /// Where the metadata is.
    fn meta(&self) -> (&File, u64) {
        self.own.as_ref().map_or((&self.durable, self.room), |own| (own.file(), Own::BASE))
    }

    /// New metadata is written from here on, for all of its length. Nothing of what there was is lost before [`Backing::finish`].
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(&mut self) -> io::Result<()> {
        self.room = self.room_of(self.total);
        self.own.as_mut().map_or(Ok(()), |own| own.begin(self.total))
    }

    /// It is all there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(&self) -> io::Result<()> {
        self.own.as_ref().map_or(Ok(()), Own::finish)
    }

    /// Metadata at the end of a disk whose metadata has a file of its own from now on would be believed if the file was taken away. What
    /// is no whole metadata of ours is somebody's data, and stays.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn forget_the_end(&self) -> io::Result<()> {
        let at = data_bytes(self.total);
        let mut sheets = vec![0; 2 * SHEET];
        self.durable.read_exact_at(&mut sheets, at)?;
        if layout::read_superblocks(&sheets).is_ok() {
            self.durable.write_all_at(&vec![0; 2 * SHEET], at)?;
        }
        Ok(())
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
        if self.own.as_ref().is_some_and(|own| !own.exists()) {
            return Ok(Err(Unusable::Absent));
        }
        let (mut sheets, (file, base)) = (vec![0; 2 * SHEET], self.meta());
        file.read_exact_at(&mut sheets, base)?;
        Ok(layout::read_superblocks(&sheets))
    }

    /// The same, where it may have been made larger since it was `noted` to have so many bytes: the newer of what is at its end and what
    /// is where that was.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn find(&mut self, noted: Option<u64>) -> io::Result<Result<(u64, Superblock), Unusable>> {
        let (at_end, end) = (self.superblock()?, self.room);
        let former = noted.filter(|noted| *noted < self.total).map(|noted| self.room_of(noted));
        let Some(former) = former.filter(|room| *room >= BLOCK) else {
            return Ok(at_end);
        };
        self.room = former;
        if self.own.is_some() {
            return Ok(at_end); // where it is, however long the disk
        }
        let there = self.superblock()?;
        let older = matches!((&at_end, &there), (Ok((end, _)), Ok((there, _))) if end >= there);
        if older || there.is_err() {
            self.room = end;
            return Ok(at_end);
        }
        Ok(there)
    }

    /// Moves the metadata of a copy that was made larger to its end. Whatever happens meanwhile, one of the two places has all of it:
    /// the old one is not touched. Returns the number of its superblock, and whether anything moved.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn move_to_end(
        &mut self,
        (sequence, content): (u64, &Superblock),
        noted: Option<u64>,
    ) -> io::Result<(u64, bool)> {
        let end = self.room_of(self.total);
        // The two places must not overlap; those in a file of its own do not.
        if self.room == end || self.own.is_none() && noted.is_none_or(|noted| end < noted) {
            return Ok((sequence, false));
        }
        let (former, shape) = (self.bits(content), content.geometry(end));
        self.begin()?;
        for peer in 0..content.peer_count() {
            for page in 0..shape.pages() {
                let words = former.of(peer).iter().copied().chain(std::iter::repeat(0)).skip(page * PAGE_WORDS);
                let sheet = layout::page(content.volume, peer, page, words.take(PAGE_WORDS));
                self.write_meta(layout::page_at(&shape, peer, page), &sheet)?;
            }
        }
        for sequence in [sequence + 1, sequence + 2] {
            let (at, bytes) = layout::superblock(sequence, content);
            self.write_meta(at, &bytes)?;
        }
        self.finish()?;
        Ok((sequence + 2, true))
    }

    /// The bits of the other copies; a page that cannot be read means that all of it may differ.
    pub fn bits(&self, content: &Superblock) -> Bits {
        let shape = content.geometry(self.room);
        let read = |peer, page| {
            let mut sheet = vec![0; SHEET];
            let (file, base) = self.meta();
            file.read_exact_at(&mut sheet, base + layout::page_at(&shape, peer, page)).ok()?;
            layout::read_page(content.volume, peer, page, &sheet)
        };
        Bits::new(shape, content.peer_count(), read)
    }

    /// Writes metadata, durably.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_meta(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (file, base) = self.meta();
        file.write_all_at(bytes, base + at)
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

/// A place with its metadata at its end.
#[cfg(test)]
pub fn in_one(path: &Path) -> Place {
    Place { path: path.to_owned(), metadata: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_core::{Epoch, NodeId};

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
        let backing = Backing::open(&in_one(file.path())).unwrap();
        assert_eq!(Backing::open(&in_one(file.path())).err().map(|failure| failure.exit), Some(Exit::TempFail));
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
    fn metadata_moves_to_the_new_end_and_a_move_that_was_cut_off_begins_anew() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (small, large) = (4 << 20, 600 << 20);
        file.as_file().set_len(small).unwrap();
        let mut backing = Backing::open(&in_one(file.path())).unwrap();
        let mut peers = [NodeId::default(); PEERS_MAX];
        peers[..2].copy_from_slice(&[NodeId(7), NodeId(8)]);
        let (size, node, min_epoch) = (backing.room, NodeId(3), Epoch(5));
        let content = Superblock { volume: 1, node, peers, size, block: BLOCK, generation: 9, min_epoch, whole: true };
        let shape = content.geometry(size);
        let marked = Bits::new(shape, 2, |peer, _| Some(vec![if peer == 0 { 6 } else { 0 }; PAGE_WORDS]));
        for peer in [0, 1] {
            backing.write_meta(layout::page_at(&shape, peer, 0), &marked.page(1, peer, 0)).unwrap();
        }
        for sequence in [4, 5] {
            let (at, bytes) = layout::superblock(sequence, &content);
            backing.write_meta(at, &bytes).unwrap();
        }
        assert_eq!(backing.find(Some(small)).unwrap(), Ok((5, content)));
        assert_eq!(backing.move_to_end((5, &content), Some(small)).unwrap(), (5, false), "it is there");
        drop(backing);
        file.as_file().set_len(large).unwrap();
        let mut lost = Backing::open(&in_one(file.path())).unwrap();
        assert!(lost.find(None).unwrap().is_err(), "nobody knows where to look");
        drop(lost);
        for cut_off in [true, false] {
            let mut backing = Backing::open(&in_one(file.path())).unwrap();
            assert_eq!(backing.find(Some(small)).unwrap(), Ok((5, content)));
            assert_eq!(backing.move_to_end((5, &content), Some(small)).unwrap(), (7, true));
            let end = backing.room;
            assert!(end > 590 << 20);
            if cut_off {
                backing.durable.write_all_at(&[0x5a; SHEET], end + SHEET as u64).unwrap(); // its second superblock
            }
        }
        for noted in [small, large] {
            let mut backing = Backing::open(&in_one(file.path())).unwrap();
            assert_eq!(
                backing.find(Some(noted)).unwrap(),
                Ok((7, content)),
                "the newer one, wherever it is looked for"
            );
            let bits = backing.bits(&content);
            assert_eq!(
                (bits.count(0), bits.count(1), bits.of(0)[0]),
                (2, 0, 6),
                "what was marked, and nothing of what is new"
            );
        }
        file.as_file().set_len(large + 4096).unwrap();
        let mut backing = Backing::open(&in_one(file.path())).unwrap();
        backing.find(Some(large)).unwrap().unwrap();
        assert_eq!(backing.move_to_end((7, &content), Some(large)).unwrap(), (7, false), "the places would overlap");
    }

    #[test]
    fn what_is_too_small_or_not_there_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1000).unwrap();
        let failure = Backing::open(&in_one(file.path())).err().unwrap();
        assert!(failure.message.contains("at least") && failure.exit == Exit::DataErr, "{}", failure.message);
        assert!(Backing::open(&in_one(Path::new("/nonexistent/disk"))).err().unwrap().message.contains("cannot open"));
        assert!(Backing::open(&in_one(Path::new("/dev/null"))).err().unwrap().message.contains("neither"));
    }

    #[test]
    fn metadata_in_a_file_of_its_own_leaves_all_of_the_disk_to_the_data_and_follows_when_that_grows() {
        let folder = tempfile::tempdir().unwrap();
        let (path, metadata) = (folder.path().join("disk"), folder.path().join("data.metadata"));
        let place = Place { path: path.clone(), metadata: Some(metadata.clone()) };
        let (small, large) = (4 << 20, 600 << 20);
        File::create(&path).unwrap().set_len(small).unwrap();
        let mut peers = [NodeId::default(); PEERS_MAX];
        peers[0] = NodeId(7);
        let (node, min_epoch) = (NodeId(3), Epoch(5));
        let content =
            Superblock { volume: 1, node, peers, size: small, block: BLOCK, generation: 9, min_epoch, whole: true };
        let mut backing = Backing::open(&place).unwrap();
        assert_eq!(backing.find(backing.length(None)).unwrap(), Err(Unusable::Absent));
        assert_eq!(backing.room, small, "nothing is taken away");
        let shape = content.geometry(small);
        let marked = Bits::new(shape, 1, |_, _| Some([vec![6], vec![0; PAGE_WORDS - 1]].concat()));
        backing.begin().unwrap();
        backing.write_meta(layout::page_at(&shape, 0, 0), &marked.page(1, 0, 0)).unwrap();
        for sequence in [1, 2] {
            let (at, bytes) = layout::superblock(sequence, &content);
            backing.write_meta(at, &bytes).unwrap();
        }
        backing.finish().unwrap();
        let bytes = Buffer::from(vec![7; ALIGN].as_slice());
        backing.write(Range { at: small - ALIGN as u64, len: ALIGN as u64 }, bytes.bytes(), true).unwrap();
        drop(backing);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(large).unwrap();
        let before = std::fs::read(&metadata).unwrap();
        for cut_off in [true, false] {
            let mut backing = Backing::open(&place).unwrap();
            let length = backing.length(None);
            assert_eq!((length, backing.find(length).unwrap()), (Some(small), Ok((2, content))));
            assert_eq!(backing.bits(&content).of(0)[0], 6);
            assert_eq!(backing.move_to_end((2, &content), length).unwrap(), (4, true));
            if cut_off {
                std::fs::write(&metadata, &before).unwrap(); // as if the new file had not come into its place
            }
        }
        let mut backing = Backing::open(&place).unwrap();
        assert_eq!((backing.length(None), backing.room), (Some(large), large));
        assert_eq!(backing.find(Some(large)).unwrap(), Ok((4, content)));
        assert_eq!(backing.bits(&content).of(0)[0], 6);
        let last = Range { at: small - ALIGN as u64, len: ALIGN as u64 };
        assert!(backing.read(last).unwrap().bytes() == [7; ALIGN]);
    }

    #[test]
    fn metadata_that_was_at_the_end_is_not_found_there_once_it_has_a_file_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let backing = Backing::open(&in_one(file.path())).unwrap();
        let (peers, size, node) = ([NodeId::default(); PEERS_MAX], backing.room, NodeId(3));
        let content =
            Superblock { volume: 1, node, peers, size, block: BLOCK, generation: 9, min_epoch: Epoch(5), whole: true };
        for sequence in [1, 2] {
            let (at, bytes) = layout::superblock(sequence, &content);
            backing.write_meta(at, &bytes).unwrap();
        }
        assert_eq!(backing.superblock().unwrap(), Ok((2, content)));
        backing.forget_the_end().unwrap();
        assert_eq!(backing.superblock().unwrap(), Err(Unusable::Absent));
        backing.write(Range { at: backing.room, len: 512 }, &[9; 512], true).unwrap(); // data of somebody's
        backing.forget_the_end().unwrap();
        assert_eq!(backing.read(Range { at: backing.room, len: 512 }).unwrap().bytes(), [9; 512]);
    }
}
