//! Hardware watchdogs as the kernel shows them: what ends a machine whose kernel or process 1 hangs. Process 1 owns one (systemd.md,
//! "Watchdogs"); nothing here opens a device, which would take it away from its owner.

use std::path::Path;
use std::time::Duration;

/// Where the kernel lists them.
pub const FOLDER: &str = "/sys/class/watchdog";

/// A watchdog device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// `watchdog0`.
    pub name: String,
    /// What it is: `iTCO_wdt`, `Software Watchdog`.
    pub identity: String,
    /// Somebody feeds it, and the machine is reset when that ends.
    pub armed: bool,
    pub timeout: Duration,
}

impl Watchdog {
    /// All devices that the kernel lists under `folder`, in order. What cannot be read is left out.
    #[must_use]
    pub fn all(folder: &Path) -> Vec<Watchdog> {
        let read =
            |path: &Path, what: &str| std::fs::read_to_string(path.join(what)).map(|text| text.trim().to_owned());
        let one = |path: &Path| {
            Some(Watchdog {
                name: path.file_name()?.to_str()?.to_owned(),
                identity: read(path, "identity").ok()?,
                armed: read(path, "state").ok()? == "active",
                timeout: Duration::from_secs(read(path, "timeout").ok()?.parse().ok()?),
            })
        };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<Watchdog> = entries.filter_map(|entry| one(&entry.path())).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let (identity, timeout) = (&self.identity, self.timeout.as_secs());
        match self.armed {
            true => format!("{} ({identity}) is armed: {timeout} s", self.name),
            false => format!(
                "{} ({identity}) is not armed: RuntimeWatchdogSec= in systemd-system.conf(5) does it",
                self.name
            ),
        }
    }
}

/// In one line, what would end this machine if its kernel hung; the first armed one, else why there is none.
#[must_use]
pub fn summary(all: &[Watchdog]) -> (bool, String) {
    match all.iter().find(|dog| dog.armed).or(all.first()) {
        Some(dog) => (dog.armed, dog.words()),
        None => (false, "there is none: a machine whose kernel hangs stays so until somebody switches it off".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!summary(&Watchdog::all(&folder.path().join("none"))).0);
        for (name, identity, state, timeout) in
            [("watchdog1", "i6300ESB timer", "active", "10"), ("watchdog0", "Software Watchdog", "inactive", "60")]
        {
            let place = folder.path().join(name);
            std::fs::create_dir(&place).unwrap();
            for (file, text) in [("identity", identity), ("state", state), ("timeout", timeout)] {
                std::fs::write(place.join(file), format!("{text}\n")).unwrap();
            }
        }
        std::fs::create_dir(folder.path().join("watchdog2")).unwrap(); // shows nothing
        let all = Watchdog::all(folder.path());
        assert_eq!(all.len(), 2);
        assert!(all[0].words().contains("watchdog0 (Software Watchdog) is not armed"), "{}", all[0].words());
        assert_eq!(summary(&all), (true, "watchdog1 (i6300ESB timer) is armed: 10 s".into()));
    }
}
