//! Volumes: is the copy on this node served, can it hear the others, and does the machine have what a block device takes? And is a shared disk there?

use super::{Report, output};
use hotspare_config::{Config, Frontend, Group, Node, Volume};
use hotspare_daemon::block;
use serde_json::Value;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

pub fn of_group(config: &Config, me: &Node, group: &Group, report: &mut Report) {
    for (n, disk) in group.shared.iter().enumerate() {
        let device = disk.device.display();
        // What the claim leaves while the role is here.
        let claimed = Path::new("/run/hotspare-disk").join(format!("{}-{}", group.name, n + 1)).exists();
        // Not those who have the device itself open (multipathd): a file system is in the way. It is not asked for by opening the disk for
        // oneself: the role could be on its way here.
        let users = block::used_by(&disk.device).into_iter().filter_map(|(user, path)| path.map(|_| user));
        let users: Vec<String> = users.collect();
        match std::fs::metadata(&disk.device) {
            Ok(_) if !claimed && !users.is_empty() => {
                let help = "an older mount must end before this node can lead: end what uses it, then umount";
                report.bad("disk", format!("{device} is in use here without the role: {}; {help}", users.join(", ")));
            }
            Ok(found) if found.file_type().is_block_device() => report.fine("disk", format!("{device} is there")),
            Ok(_) => report.bad("disk", format!("{device} is no block device")),
            Err(error) => report.bad("disk", format!("{device}: {error}; the role could not start here")),
        }
    }
    group.volumes.iter().for_each(|volume| of_volume(config, me, volume, report));
}

fn of_volume(config: &Config, me: &Node, volume: &Volume, report: &mut Report) {
    let name = &volume.name;
    if let Some(place) = volume.backings.get(&me.name)
        && let Some(missing) =
            [Some(&place.path), place.metadata.as_ref()].into_iter().flatten().find(|path| !path.exists())
    {
        let missing = missing.display();
        report.bad("volume", format!("{name}: {missing} is not there, and this node's copy should be on it"));
    }
    let modules: &[&str] = match volume.frontend {
        Frontend::Device => &["ublk_drv", "nbd"],
        Frontend::Ublk => &["ublk_drv"],
        Frontend::Nbd => &["nbd"],
        Frontend::Socket => &[],
    };
    if !modules.is_empty() && !modules.iter().any(|module| has(module)) {
        let modules = modules.join(" or ");
        let help = format!("modprobe does not find {modules}; or: frontend \"socket\"");
        report.bad("volume", format!("{name}: the kernel gives no block device: {help}"));
    }
    let status = output("hotspare-replicate", &["status", name, "--json"]);
    match status.and_then(|text| serde_json::from_str::<Value>(&text).ok()) {
        None => report
            .bad("volume", format!("{name}: its copy is not served here: systemctl status hotspare-replicate@{name}")),
        Some(status) => copies(config, volume, &status, report),
    }
}

/// Built in, loaded, or there to be loaded.
fn has(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists() || output("modinfo", &[module]).is_some()
}

fn copies(config: &Config, volume: &Volume, status: &Value, report: &mut Report) {
    let (name, port) = (&volume.name, volume.port);
    if status["whole"] == false {
        report.warn(
            "volume",
            format!("{name}: the copy here is a mixture of old and new, and cannot lead until it is equal"),
        );
    }
    let copies = status["copies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let others = copies.iter().filter_map(|copy| Some((copy["node"].as_str()?, copy)));
    for (node, copy) in others.filter(|(node, _)| !config.is_lost(node)) {
        if copy["connected"] != true {
            let help = format!("is it up, does its copy run, does a firewall drop TCP {port}?");
            report.bad("volume", format!("{name}: no way to the copy on {node}: {help}"));
        } else if copy["joined"] != true {
            report.warn(
                "volume",
                format!("{name}: the copy on {node} is not equal yet ({} bytes may differ)", copy["differs"]),
            );
        } else {
            report.fine("volume", format!("{name}: the copy on {node} is equal"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn what_is_wrong_with_a_copy_is_said_with_what_to_look_at() {
        let config = Config::parse("volume.kdl", include_str!("../../../../kdl-examples/volume.kdl")).unwrap();
        let volume = config.volume("data").unwrap().1;
        let look = |connected: bool, joined: bool, whole: bool| {
            let copy = serde_json::json!({"node": "beta", "connected": connected, "joined": joined, "differs": 4096});
            let mut report = Report::default();
            copies(&config, volume, &serde_json::json!({"whole": whole, "copies": [copy]}), &mut report);
            report.0.into_iter().map(|finding| (finding.grade, finding.text)).collect::<Vec<_>>()
        };
        let away = look(false, false, true);
        assert!(away[0].0 == Grade::Bad && away[0].1.contains("TCP 7403"), "{away:?}");
        let behind = look(true, false, false);
        assert!(behind[0].0 == Grade::Warn && behind[0].1.contains("cannot lead"), "{behind:?}");
        assert!(behind[1].0 == Grade::Warn && behind[1].1.contains("4096 bytes"), "{behind:?}");
        assert_eq!(look(true, true, true)[0].0, Grade::Fine);
    }
}
