//! A disk that several machines read and write, block by block, past what this one's kernel keeps of it.

use hotspare_wire::disk::BLOCK;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a disk reads and writes directly, it does from and to a page.
#[repr(C, align(4096))]
struct Page([u8; BLOCK]);

pub struct SharedDisk(File);

impl SharedDisk {
    /// # Errors
    /// If it is not there, or may not be written to.
    pub fn open(path: &Path) -> io::Result<SharedDisk> {
        SharedDisk::of(File::options().read(true).write(true).open(path)?)
    }

    /// The file called `name` that process 1 has opened for this unit (`OpenFile=`, sd_listen_fds(3)), if it has. To be asked once.
    #[must_use]
    pub fn passed(name: &str) -> Option<SharedDisk> {
        let names = std::env::var("LISTEN_FDNAMES").ok()?;
        let place = names.split(':').position(|passed| passed == name)?;
        // SAFETY: process 1 has put it there, and nobody else takes it.
        #[allow(unsafe_code)]
        let file = unsafe { File::from_raw_fd(3 + RawFd::try_from(place).ok()?) };
        SharedDisk::of(file).ok()
    }

    fn of(file: File) -> io::Result<SharedDisk> {
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
        // A file on some file systems cannot; all who see that one have the same kernel.
        let _ = fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_DIRECT));
        Ok(SharedDisk(file))
    }

    /// # Errors
    /// What the disk says.
    pub fn read(&self, block: u64) -> io::Result<[u8; BLOCK]> {
        let mut page = Box::new(Page([0; BLOCK]));
        self.0.read_exact_at(&mut page.0, block * BLOCK as u64)?;
        Ok(page.0)
    }

    /// On the disk, and not in its cache, when this returns.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, block: u64, bytes: &[u8]) -> io::Result<()> {
        let mut page = Box::new(Page([0; BLOCK]));
        page.0.copy_from_slice(bytes);
        self.0.write_all_at(&page.0, block * BLOCK as u64)?;
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_beyond_the_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(2 * BLOCK as u64).unwrap();
        let disk = SharedDisk::open(file.path()).unwrap();
        disk.write(1, &[7; BLOCK]).unwrap();
        let again = SharedDisk::open(file.path()).unwrap();
        assert_eq!((again.read(0).unwrap(), again.read(1).unwrap()), ([0; BLOCK], [7; BLOCK]));
        assert_eq!(again.read(2).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(SharedDisk::passed("disk").is_none(), "nobody has passed anything");
    }
}
