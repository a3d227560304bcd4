//! The end of a role while somebody keeps the file system from ending: a shell that sits in it, a backup that reads.

use super::kernel::dev;
use hotspare_daemon::{block, child};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// How long that may take: the unit is killed after twice as long, and the volume fails then.
const PATIENCE: Duration = Duration::from_secs(5);
/// What this program is told by itself alone.
pub const WORD: &str = "--settle";

/// Whether a file system on `device` is alive, mounted or not: it has the device for itself. Not for a device that somebody else may want just
/// now: this has it for itself for a moment.
fn is_held(device: &Path) -> bool {
    let opened = File::options().read(true).custom_flags(nix::libc::O_EXCL).open(device);
    opened.is_err_and(|error| error.raw_os_error() == Some(nix::libc::EBUSY))
}

/// Whoever it is, is named, and what was written to the file system on the device `name` is put on the copies before the device fails; true
/// if there was anybody. By a process of its own: one that waits for a disk which hangs cannot be ended, and would keep open what this one
/// has open.
pub fn settle(volume: &str, name: &str) -> bool {
    if !is_held(&dev(name)) {
        return false;
    }
    let (users, paths): (Vec<String>, Vec<Option<PathBuf>>) = block::used_by(&dev(name)).into_iter().unzip();
    let users = if users.is_empty() { "nobody that /proc shows".into() } else { users.join(", ") };
    tracing::error!(
        "{volume}: the file system on {name} is still in use: {users}. What was written goes to the copies; then it fails"
    );
    let mut command = Command::new("/proc/self/exe");
    command.arg(WORD).args(paths.into_iter().flatten()).stdin(Stdio::null());
    match command.spawn() {
        Ok(mut child) => {
            let ended = child::end_within(&mut child, PATIENCE);
            if !matches!(ended, Ok(Some(status)) if status.success()) {
                tracing::error!("{volume}: not all of it could be written within {} s", PATIENCE.as_secs());
            }
        }
        Err(error) => tracing::error!("{volume}: {error}: what was written and not synced is lost"),
    }
    true
}

/// Writes what a file system has not written yet. `paths`: ways into it; the first that is still one is enough. Without any, all file systems
/// are written: one that is not mounted any more, and alive, has no name.
pub fn write_all(paths: &[PathBuf]) -> ExitCode {
    let done = match paths.iter().find_map(|path| File::open(path).ok()) {
        Some(file) => nix::unistd::syncfs(&file),
        None => {
            nix::unistd::sync();
            Ok(())
        }
    };
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_way_into_a_file_system_that_is_still_one_is_taken() {
        let there = tempfile::tempdir().unwrap();
        assert_eq!(write_all(&["/no/such/way".into(), there.path().to_owned()]), ExitCode::SUCCESS);
    }
}
