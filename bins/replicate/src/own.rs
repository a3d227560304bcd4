//! Metadata in a file of its own, for a backing that is full to its last byte: what is on it, and what belongs to which disk.
//!
//! ```text
//!  [what it is for: four lines of text, 4096] [superblocks, pages as in hotspare_volume::layout]
//! ```
//! At the end of a disk, metadata goes where its data goes. In a file it could be taken for another disk's, which has been put in the place
//! of the one that it was made for and is said to be equal with others. So the file says which disk it is for, by what the disk says of
//! itself, and is refused with any other.

use hotspare_volume::layout::SHEET;
use nix::sys::stat::{major, minor};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const TITLE: &str = "hotspare metadata 1";
/// What udev knows of a device that stays when it has another name, the surest first.
const NAMES: [&str; 5] = ["DM_UUID", "MD_UUID", "ID_PART_ENTRY_UUID", "ID_WWN_WITH_EXTENSION", "ID_SERIAL"];

/// What the first part of the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// Which disk it is for.
    pub disk: String,
    /// How long that was, in bytes.
    pub length: u64,
}

impl Title {
    fn text(&self, backing: &Path) -> Vec<u8> {
        let lines = format!("{TITLE}\nbacking {}\ndisk {}\nlength {}\n", backing.display(), self.disk, self.length);
        let mut bytes = lines.into_bytes();
        bytes.resize(SHEET, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Title> {
        let text = std::str::from_utf8(bytes).ok()?;
        let lines: Vec<&str> = text.trim_end_matches('\0').lines().collect();
        let [TITLE, _, disk, length] = lines[..] else { return None };
        let (disk, length) = (disk.strip_prefix("disk ")?, length.strip_prefix("length ")?);
        Some(Title { disk: disk.to_owned(), length: length.parse().ok()? })
    }
}

/// A metadata file, and the disk that it is said to be for.
pub struct Own {
    path: PathBuf,
    backing: PathBuf,
    /// What the disk says of itself.
    disk: String,
    /// What the file says; `None`: there is none yet.
    title: Option<Title>,
    /// Written to, at [`Own::BASE`] and behind it.
    file: Option<File>,
}

impl Own {
    /// Where superblocks begin.
    pub const BASE: u64 = SHEET as u64;

    /// Opens the metadata of `backing` in `path`, or gets ready to make it.
    ///
    /// # Errors
    /// If it is no such file, or the disk says nothing of itself by which it would be known again; each says what to do.
    pub fn open(path: &Path, backing: &Path) -> Result<Own, String> {
        let shown = path.display();
        let disk = disk(backing).map_err(|error| format!("{}: {error}", backing.display()))?;
        let disk = disk.ok_or_else(|| {
            format!(
                "{}: neither serial number nor UUID: metadata in {shown} could be taken for that of another disk; leave `metadata` out, \
                 or use a logical volume or a partition with a UUID",
                backing.display()
            )
        })?;
        let open = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_DSYNC).open(path);
        let (file, title) = match open {
            Ok(file) => {
                let mut bytes = [0; SHEET];
                let title = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| Title::read(&bytes));
                let title = title.ok_or_else(|| {
                    format!("{shown} does not begin as metadata does: it is another file, or damaged; if another copy is whole: \
                             move it away and make this copy anew (hotspare-replicate create)")
                })?;
                (Some(file), Some(title))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
            Err(error) => return Err(format!("{shown}: {error}")),
        };
        Ok(Own { path: path.to_owned(), backing: backing.to_owned(), disk, title, file })
    }

    /// # Panics
    /// If there is none: look before.
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("metadata is read where there is some")
    }

    pub fn exists(&self) -> bool {
        self.title.is_some()
    }

    /// How long the disk was when this was written.
    pub fn length(&self) -> Option<u64> {
        self.title.as_ref().map(|title| title.length)
    }

    /// Is it for this disk?
    ///
    /// # Errors
    /// If it is for another one.
    pub fn belongs(&self) -> Result<(), String> {
        match &self.title {
            Some(title) if title.disk != self.disk => Err(format!(
                "{} is for a disk that calls itself {}, and {} calls itself {}: was the disk replaced? Then this copy has to be made anew: \
                 hotspare-replicate create with --again",
                self.path.display(),
                title.disk,
                self.backing.display(),
                self.disk
            )),
            _ => Ok(()),
        }
    }

    /// Is there no other metadata of this copy, at the end of a disk that was `noted` to be so long? It would be older or newer than this.
    ///
    /// # Errors
    /// If there is.
    pub fn only(&self, noted: Option<u64>) -> Result<(), String> {
        noted.map_or(Ok(()), |_| {
            Err(format!(
                "the metadata of this copy was at the end of {}, and {} is another one: make the copy anew (hotspare-replicate create --again), \
                 or leave `metadata` out",
                self.backing.display(),
                self.path.display()
            ))
        })
    }

    fn fresh(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        name.into()
    }

    /// Writes to a new file from now on, for a disk of `length` bytes; [`Own::finish`] puts it in the place of the old one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(&mut self, length: u64) -> io::Result<()> {
        let fresh = self.fresh();
        let _ = fs::remove_file(&fresh);
        fs::create_dir_all(self.folder())?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600).custom_flags(nix::libc::O_DSYNC);
        let mut file = options.open(&fresh)?;
        let title = Title { disk: self.disk.clone(), length };
        file.write_all(&title.text(&self.backing))?;
        (self.file, self.title) = (Some(file), Some(title));
        Ok(())
    }

    /// From now on the new file is the metadata, also after a power cut.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(&self) -> io::Result<()> {
        self.file().sync_all()?;
        fs::rename(self.fresh(), &self.path)?;
        File::open(self.folder())?.sync_all()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

/// What the backing says of itself that no other one does: a device by udev, a file by its number and birth.
fn disk(backing: &Path) -> io::Result<Option<String>> {
    let found = fs::metadata(backing)?;
    if !found.file_type().is_block_device() {
        let born = found.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        return Ok(born.map(|born| format!("file {} born {}", found.ino(), born.as_nanos())));
    }
    let (major, minor) = (major(found.rdev()), minor(found.rdev()));
    Ok(named(&fs::read_to_string(format!("/run/udev/data/b{major}:{minor}")).unwrap_or_default()))
}

fn named(known: &str) -> Option<String> {
    NAMES.iter().find_map(|name| {
        let mut lines = known.lines().filter_map(|line| line.strip_prefix("E:")?.strip_prefix(name)?.strip_prefix('='));
        lines.next().filter(|value| !value.is_empty()).map(|value| format!("{name}={value}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_known_by_what_stays_when_its_name_does_not() {
        let known = "S:disk/by-id/x\nE:ID_SERIAL=QEMU_1\nE:DM_UUID_OF=no\nE:ID_PART_ENTRY_UUID=ab-cd\n";
        assert_eq!(named(known).unwrap(), "ID_PART_ENTRY_UUID=ab-cd", "a partition, and not its disk");
        assert_eq!(named("E:DM_UUID=\nE:ID_SERIAL=QEMU_1\n").unwrap(), "ID_SERIAL=QEMU_1");
        assert_eq!(named("E:MAJOR=7\n"), None);
    }

    #[test]
    fn metadata_is_refused_with_another_disk_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, path) = (folder.path().join("disk"), folder.path().join("data.meta"));
        File::create(&disk).unwrap().set_len(1 << 20).unwrap();
        let mut own = Own::open(&path, &disk).unwrap();
        assert!(!own.exists() && own.length().is_none());
        own.begin(1 << 20).unwrap();
        own.file().write_all_at(b"abc", Own::BASE).unwrap();
        assert!(!Own::open(&path, &disk).unwrap().exists(), "not before it is finished");
        own.finish().unwrap();
        let own = Own::open(&path, &disk).unwrap();
        assert_eq!((own.length(), own.belongs()), (Some(1 << 20), Ok(())));
        let mut found = [0; 3];
        own.file().read_exact_at(&mut found, Own::BASE).unwrap();
        assert_eq!(&found, b"abc");
        // Another disk in its place, also one with the same number and bytes.
        fs::remove_file(&disk).unwrap();
        File::create(&disk).unwrap().set_len(1 << 20).unwrap();
        let refused = Own::open(&path, &disk).unwrap().belongs().unwrap_err();
        assert!(refused.contains("was the disk replaced"), "{refused}");
        fs::write(&path, b"something else").unwrap();
        assert!(Own::open(&path, &disk).err().unwrap().contains("does not begin as metadata does"));
        assert!(Own::open(&path, Path::new("/nonexistent")).is_err());
    }
}
