//! Who on this machine uses a block device, looked up in /proc.

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Who has `device` open, or something of the file system on it, as far as /proc tells.
pub fn users(device: &Path) -> Vec<String> {
    used_by(device).into_iter().map(|(user, _)| user).collect()
}

/// The same, and through what: a path into the file system, where it is not the device itself.
pub fn used_by(device: &Path) -> Vec<(String, Option<PathBuf>)> {
    let Ok(number) = fs::metadata(device).map(|device| device.rdev()) else { return Vec::new() };
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    let place = format!("{major}:{minor}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let at = (words.nth(2)? == place).then(|| words.nth(1).unwrap_or("?").replace("\\040", " "))?;
        Some((format!("mounted on {at}"), Some(PathBuf::from(at))))
    });
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|process| {
        let pid = process.file_name().into_string().ok().filter(|pid| pid.bytes().all(|c| c.is_ascii_digit()))?;
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten().map(|file| file.path());
        let places = ["cwd", "root", "exe"].map(|link| process.path().join(link));
        let (path, of) = places.into_iter().chain(files).find_map(|path| {
            // Nobody is asked over a network for it: a server that is gone must not hold this up.
            let is = statx(CWD, &path, AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS).ok()?;
            let on_it = (is.stx_dev_major, is.stx_dev_minor) == (major as u32, minor as u32);
            let device = (is.stx_rdev_major, is.stx_rdev_minor) == (major as u32, minor as u32);
            (on_it || device).then_some((path, on_it))
        })?;
        let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some((format!("open in pid {pid} ({})", command.trim()), Some(path).filter(|_| of)))
    });
    mounts.chain(processes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_device_open_is_found() {
        let _open = fs::File::open("/dev/null").unwrap();
        let me = format!("open in pid {} (", std::process::id());
        assert!(
            users(Path::new("/dev/null")).iter().any(|user| user.starts_with(&me)),
            "{:?}",
            users(Path::new("/dev/null"))
        );
        assert_eq!(users(Path::new("/dev/no-such-device")), Vec::<String>::new());
    }
}
