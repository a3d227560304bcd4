//! How long a backing was when its metadata was written. Metadata is at its end, and the end is elsewhere when somebody has made it larger:
//! without this the copy would look like a disk that has none.

use hotspare_daemon::{Exit, Failure};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// One file for each volume, with a number of bytes in it.
pub const FOLDER: &str = "/var/lib/hotspare-replicate";

pub fn path(folder: &Path, volume: &str) -> PathBuf {
    folder.join(format!("{volume}.length"))
}

/// What is known; nothing, where nothing was noted or it cannot be read.
pub fn noted(folder: &Path, volume: &str) -> Option<u64> {
    fs::read_to_string(path(folder, volume)).ok()?.trim().parse().ok()
}

/// There is no metadata at its end any more.
///
/// # Errors
/// If that cannot be written.
pub fn forget(folder: &Path, volume: &str) -> io::Result<()> {
    match fs::remove_file(path(folder, volume)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Notes that the metadata is at the end of `bytes`.
///
/// # Errors
/// If it cannot be written.
pub fn note(folder: &Path, volume: &str, bytes: u64) -> io::Result<()> {
    if noted(folder, volume) == Some(bytes) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let (path, fresh) = (path(folder, volume), folder.join(format!(".{volume}.length")));
    let mut file = File::create(&fresh)?;
    file.write_all(format!("{bytes}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    File::open(folder)?.sync_all()
}

/// Refuses a backing that is shorter than it was.
///
/// # Errors
/// If it is.
pub fn not_shorter(shown: &str, noted: Option<u64>, total: u64) -> Result<(), Failure> {
    match noted.filter(|noted| *noted > total) {
        None => Ok(()),
        Some(noted) => Err(Failure::new(
            Exit::DataErr,
            format!("{shown} had {noted} bytes and has {total} now: make it as large as it was"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_known_and_a_shorter_backing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("new");
        assert_eq!(noted(&inside, "data"), None);
        for bytes in [7, 8, 8] {
            note(&inside, "data", bytes).unwrap();
            assert_eq!(noted(&inside, "data"), Some(bytes));
        }
        fs::write(path(&inside, "data"), "much").unwrap();
        assert_eq!(noted(&inside, "data"), None);
        assert!(not_shorter("/dev/x", Some(8), 8).is_ok() && not_shorter("/dev/x", None, 8).is_ok());
        assert!(not_shorter("/dev/x", Some(9), 8).unwrap_err().message.contains("had 9 bytes"));
    }
}
