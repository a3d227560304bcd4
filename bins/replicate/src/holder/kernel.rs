//! The block device of a volume, by the kernel's ublk driver or its NBD client: how it is made, named, found again and ended.

use super::queue::Queue;
use super::{netlink, ublk};
use hotspare_config::Frontend;
use hotspare_daemon::block;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long udev may take to give the device its name.
const NAME_PATIENCE: Duration = Duration::from_secs(30);
const UBLK: &str = "ublkb";
const NBD: &str = "nbd";

/// A block device of the kernel.
pub struct Device {
    pub name: String,
    /// What users open.
    pub path: PathBuf,
    open: bool,
}

/// How its requests come.
pub enum Way {
    /// In NBD's words, over a socket.
    Socket(UnixStream),
    Queue(Box<Queue>),
}

fn identifier(volume: &str) -> String {
    format!("hotspare/{volume}")
}

/// What udev is told of a device: see 61-hotspare.rules.
fn label(volume: &str) -> String {
    format!("HOTSPARE_VOLUME={volume}\n")
}

/// Where udev finds it.
fn label_path(name: &str) -> PathBuf {
    Path::new(crate::role::FOLDER).join(format!("{name}.device"))
}

/// The device `name`.
pub fn dev(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}

/// The number in the name of a device.
fn index(name: &str) -> io::Result<u32> {
    name.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().map_err(io::Error::other)
}

impl Device {
    /// Makes a device of `size` bytes for `volume`.
    ///
    /// # Errors
    /// If the kernel cannot, or refuses.
    pub fn make(frontend: Frontend, (volume, id): (&str, u64), size: u64) -> io::Result<(Device, Way)> {
        let path = Path::new("/dev/hotspare").join(volume);
        let ublk = match frontend {
            Frontend::Ublk => Some(ublk::make(id, size)?),
            Frontend::Nbd => None,
            _ if !ublk::is_wanted() => None,
            _ => ublk::make(id, size)
                .inspect_err(|error| tracing::warn!("no ublk device, one of NBD instead: {error}"))
                .ok(),
        };
        let (name, way) = match ublk {
            Some((index, queue)) => (format!("{UBLK}{index}"), Way::Queue(Box::new(queue))),
            None => {
                let (index, socket) = netlink::connect(&identifier(volume), size)?;
                (format!("{NBD}{index}"), Way::Socket(socket))
            }
        };
        let device = Device { name, path, open: true };
        fs::write(label_path(&device.name), label(volume))?;
        Ok((device, way))
    }

    /// Shows it, where it is not shown yet, and has udev call it /dev/hotspare/VOLUME, so that units can wait for it; without udev the name
    /// is made here. Requests must be served already: kernel and udev look into the device first.
    ///
    /// # Errors
    /// If it is not shown, or gets no name.
    pub fn show(&self) -> io::Result<()> {
        let _ = fs::remove_file(&self.path);
        if self.name.starts_with(UBLK) {
            ublk::start(index(&self.name)?)?;
        }
        fs::write(format!("/sys/block/{}/uevent", self.name), "change")?;
        let device = dev(&self.name);
        let deadline = Instant::now() + NAME_PATIENCE;
        while Path::new("/run/udev/control").exists() && Instant::now() < deadline {
            if fs::canonicalize(&self.path).is_ok_and(|found| found == device) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10)); // udev tells only those who listen to all of its events
        }
        fs::create_dir_all("/dev/hotspare")?;
        std::os::unix::fs::symlink(&device, &self.path)
            .or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
    }

    /// It has `size` bytes from now on; the kernel tells udev.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn resize(&self, volume: &str, size: u64) -> io::Result<()> {
        let index = index(&self.name)?;
        if self.name.starts_with(UBLK) {
            ublk::resize(index, size)
        } else {
            netlink::resize(index, &identifier(volume), size)
        }
    }

    /// Who has it open: "pid 123 (postgres)", "mounted on /srv".
    pub fn users(&self) -> Vec<String> {
        block::users(&dev(&self.name))
    }

    /// Ends it: what is under way fails, and so does what comes later.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) {
            end(&self.name)?;
            let _ = fs::remove_file(&self.path);
        }
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("{}: cannot end it: {error}", self.name);
        }
    }
}

/// Ends the device `name`: what is under way fails, and so does what comes later.
///
/// # Errors
/// If the kernel refuses.
pub fn end(name: &str) -> io::Result<()> {
    let index = index(name)?;
    if name.starts_with(UBLK) { ublk::end(index) } else { netlink::disconnect(index) }?;
    let _ = fs::remove_file(label_path(name));
    let _ = fs::write(format!("/sys/block/{name}/uevent"), "change");
    Ok(())
}

/// Devices of `volume` that an earlier life has left: the kernel keeps for whom it made them.
pub fn left(volume: &str, id: u64) -> Vec<String> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let of_nbd = names.filter(|name| name.starts_with(NBD)).filter(|name| {
        fs::read_to_string(format!("/sys/block/{name}/backend")).is_ok_and(|said| said.trim() == identifier(volume))
    });
    of_nbd.chain(ublk::left(id).into_iter().map(|index| format!("{UBLK}{index}"))).collect()
}

/// The device of an earlier tenure that is mounted at `place` still. A ublk device that was ended is dead, and its name may be gone: only
/// the mount is left.
pub fn mounted_still(place: &str) -> Option<String> {
    source_of(place, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn source_of(place: &str, mounts: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let (at, source) = (left.split(' ').nth(4)?, right.split(' ').nth(1)?);
        let name = source.strip_prefix("/dev/")?;
        let ours = name.starts_with(UBLK) || name.starts_with(NBD) || name.starts_with("hotspare/");
        (ours && at.replace("\\040", " ") == place).then(|| source.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_an_earlier_tenure_left_is_found_and_others_are_not() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      90 22 259:0 / /srv/my\\040data rw shared:9 - ext4 /dev/ublkb0 rw\n\
                      91 22 8:2 / /srv/other rw - xfs /dev/sdb1 rw\n";
        assert_eq!(source_of("/srv/my data", mounts).as_deref(), Some("/dev/ublkb0"));
        for place in ["/", "/srv", "/srv/other", "/srv/my"] {
            assert_eq!(source_of(place, mounts), None, "{place}");
        }
    }
}
