//! The group's slice: is anybody in it, and if so, not for long.

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where the cgroup v2 hierarchy is.
fn root() -> &'static Path {
    let unified = Path::new("/sys/fs/cgroup/unified");
    if unified.join("cgroup.controllers").exists() { unified } else { Path::new("/sys/fs/cgroup") }
}

/// The folder of `slice`: systemd nests `a-b.slice` in `a.slice`.
#[must_use]
pub fn folder(slice: &str) -> PathBuf {
    let stem = slice.strip_suffix(".slice").unwrap_or(slice);
    let mut path = root().to_owned();
    for (place, _) in stem.match_indices('-') {
        path.push(format!("{}.slice", &stem[..place]));
    }
    path.join(format!("{stem}.slice"))
}

/// The slice, its files open where it exists.
pub struct Slice {
    path: PathBuf,
    files: Option<(std::fs::File, std::fs::File)>,
}

impl Slice {
    #[must_use]
    pub fn new(slice: &str) -> Slice {
        let mut slice = Slice { path: folder(slice), files: None };
        slice.open();
        slice
    }

    /// systemd makes the cgroup when the first service starts and may replace it later.
    fn open(&mut self) {
        let directory: nix::Result<OwnedFd> =
            nix::fcntl::open(&self.path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY, Mode::empty());
        self.files = directory.ok().and_then(|directory| {
            let file = |name: &str, flags| openat(&directory, name, flags | OFlag::O_CLOEXEC, Mode::empty()).ok();
            Some((file("cgroup.events", OFlag::O_RDONLY)?.into(), file("cgroup.kill", OFlag::O_WRONLY)?.into()))
        });
    }

    /// Whether any process is in the slice. A slice that is not there is empty; one that cannot be read is not.
    pub fn populated(&mut self) -> bool {
        if let Some(known) = self.read_events() {
            return known;
        }
        self.open();
        match &self.files {
            None => self.path.exists(),
            Some(_) => self.read_events().unwrap_or(true),
        }
    }

    fn read_events(&mut self) -> Option<bool> {
        let (events, _) = self.files.as_mut()?;
        let mut buffer = [0; 256];
        let mut read = || -> io::Result<usize> {
            events.seek(SeekFrom::Start(0))?;
            events.read(&mut buffer)
        };
        // A removed cgroup answers ENODEV: then another may be in its place.
        let length = read().ok()?;
        let text = &buffer[..length];
        let at = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
        if at(b"populated 1") {
            Some(true)
        } else if at(b"populated 0") && self.path.exists() {
            Some(false)
        } else {
            None
        }
    }

    /// Kills every process in the slice, at once and beyond appeal.
    pub fn kill(&mut self) {
        let killed = |files: &mut Option<(std::fs::File, std::fs::File)>| {
            files.as_mut().is_some_and(|(_, kill)| kill.write_all(b"1").is_ok())
        };
        if !killed(&mut self.files) {
            self.open();
            let _ = killed(&mut self.files);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_nests() {
        assert!(folder("cluster-default.slice").ends_with("cluster.slice/cluster-default.slice"));
        assert!(
            folder("cluster.slice").ends_with("cgroup/cluster.slice")
                || folder("cluster.slice").ends_with("unified/cluster.slice")
        );
    }

    #[test]
    fn what_is_not_there_is_empty() {
        assert!(!Slice::new("cluster-nosuchgroup.slice").populated());
    }
}
