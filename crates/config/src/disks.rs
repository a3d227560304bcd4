//! What a `shared` disk must satisfy, and the `mount` of a disk or a volume.

use crate::fields::{Spanned, complain};
use crate::problem::{Problem, suggest};
use crate::schema::{Raw, RawGroup, RawMount};
use crate::{Group, Mount, SharedDisk};
use std::path::PathBuf;

pub fn shared(raw: &[RawGroup], groups: &mut [Group], problems: &mut Vec<Problem>) {
    let backings = raw.iter().flat_map(|group| &group.volumes).flat_map(|volume| &volume.backings);
    let mut taken: Vec<&str> = backings.map(|backing| backing.path.value.as_str()).collect();
    for (raw, group) in raw.iter().zip(groups) {
        for disk in &raw.shared {
            let (path, span) = (disk.device.value.as_str(), disk.device.span);
            let device = path.starts_with("/dev/") && !path.contains(|c: char| c.is_whitespace() || c.is_control());
            if !device {
                let help = "a whole disk that all candidates see, by a name that stays: \"/dev/disk/by-id/wwn-0x600140500000001\"";
                complain(problems, span, format!("\"{path}\" is not the path of a disk"), help);
            }
            if taken.contains(&path) {
                let help = "a disk is one group's, and a copy of a volume has a disk of its own";
                complain(problems, span, format!("\"{path}\" is used already"), help);
            }
            if group.is_lock() {
                let help =
                    "a group without units and addresses is a lock for scripts, and nothing of it runs: give it a unit";
                complain(problems, span, format!("nobody would use the disk of \"{}\"", group.name), help);
            }
            taken.push(path);
            let mount = mount(&disk.mounts, &format!("the disk \"{path}\""), problems);
            group.shared.push(SharedDisk { device: PathBuf::from(path), mount });
        }
    }
}

/// The disk that heartbeats are written to, if there is one.
pub fn of_heartbeats(raw: &Raw, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let disk = raw.heartbeat.disks.first()?;
    if let [_, second, ..] = raw.heartbeat.disks.as_slice() {
        complain(
            problems,
            second.span,
            "a second disk for heartbeats",
            "one: it is a link beside those of the network",
        );
    }
    let path = disk.value.as_str();
    if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let help = "a disk of a MiB or more that all nodes see, by a name that stays: \"/dev/disk/by-id/wwn-0x600140500000001\"";
        complain(problems, disk.span, format!("\"{path}\" is not the path of a disk"), help);
    }
    let data = raw.groups.iter().flat_map(|group| {
        let backings = group.volumes.iter().flat_map(|volume| &volume.backings).map(|backing| &backing.path);
        backings.chain(group.shared.iter().map(|disk| &disk.device))
    });
    if data.into_iter().any(|other| other.value == path) {
        complain(problems, disk.span, format!("there are data on \"{path}\""), "heartbeats take a disk of their own");
    }
    Some(PathBuf::from(path))
}

/// A directory is one file system's, on each node.
pub fn places(groups: &[RawGroup], problems: &mut Vec<Problem>) {
    let place = |of: &Spanned<String>| of.value.trim_end_matches('/').to_owned();
    let meet = |one: &RawGroup, other: &RawGroup| {
        let mut nodes = one.candidates.iter();
        nodes.any(|node| other.candidates.iter().any(|candidate| candidate.value == node.value))
    };
    let mut seen: Vec<(&RawGroup, &Spanned<String>)> = Vec::new();
    for group in groups {
        // A volume that is mounted twice is complained about already, and so is a disk.
        let of_volumes = group.volumes.iter().filter_map(|volume| volume.mounts.first());
        for mount in of_volumes.chain(group.shared.iter().filter_map(|disk| disk.mounts.first())) {
            if seen.iter().any(|(other, taken)| meet(group, other) && place(taken) == place(&mount.place)) {
                let message = format!("another file system is mounted on \"{}\"", mount.place.value);
                complain(problems, mount.place.span, message, "a directory of its own for each");
            }
            seen.push((group, &mount.place));
        }
    }
}

/// File systems that are for one machine at a time, and that are known to come back after a power cut.
const FILE_SYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];
/// A file system there would hide what the machine needs.
const TAKEN: [&str; 10] = ["bin", "boot", "dev", "etc", "lib", "proc", "run", "sbin", "sys", "usr"];

/// The one `mount` of `whose`: a volume, or a shared disk.
pub fn mount(mounts: &[RawMount], whose: &str, problems: &mut Vec<Problem>) -> Option<Mount> {
    let raw = mounts.first()?;
    if let [_, second, ..] = mounts {
        let message = format!("{whose} is mounted twice");
        complain(problems, second.place.span, message, "one place; others can be bind mounts of your own");
    }
    let place = raw.place.value.trim_end_matches('/').to_owned();
    let mut parts = place.split('/').skip(1);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(fits);
    let first = parts.next().unwrap_or_default();
    let inside = parts.clone().next().is_some();
    if !place.starts_with('/') || !plain(first) || !parts.all(plain) {
        let help = "a directory in full, of letters, digits and - _ . in each part: \"/srv/data\"";
        complain(problems, raw.place.span, format!("\"{}\" is no place for a file system", raw.place.value), help);
    } else if TAKEN.contains(&first) || (first == "var" && !inside) {
        let help = "\"/srv/data\", or \"/var/lib/postgresql\"";
        complain(problems, raw.place.span, format!("\"{place}\" belongs to the machine"), help);
    }
    let kind = raw.kind.as_ref();
    match kind {
        None => {
            let help = "type=\"ext4\"; it is made with `hotspare-replicate create --first --format ext4`";
            complain(problems, raw.place.span, "which file system is it?", help);
        }
        Some(kind) if !FILE_SYSTEMS.contains(&kind.value.as_str()) => {
            let message = format!("\"{}\" is no file system for a volume", kind.value);
            complain(problems, kind.span, message, suggest(&kind.value, &FILE_SYSTEMS));
        }
        Some(_) => {}
    }
    let options = raw.options.as_ref().filter(|options| {
        let odd = options.value.is_empty() || options.value.contains(|c: char| c.is_whitespace() || c.is_control());
        if odd {
            complain(problems, options.span, "these are no mount options", "as for mount(8): \"noatime,discard\"");
        }
        !odd
    });
    let options = options.map(|options| options.value.clone());
    Some(Mount { place, kind: kind.map_or_else(|| "ext4".into(), |kind| kind.value.clone()), options })
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn the_same_directory_on_other_machines_is_another_one() {
        let text = include_str!("../../../kdl-examples/shared-disk.kdl");
        let more = r#"group "other" { candidates "CANDIDATE"; shared "/dev/sdx" { mount "/srv/files" type="ext4"; }; unit "other.service"; }"#;
        let with = |candidate| Config::parse("two.kdl", &format!("{text}\n{}", more.replace("CANDIDATE", candidate)));
        assert!(with("witness").is_ok());
        assert_eq!(with("beta").unwrap_err().problems.len(), 1);
    }
}
