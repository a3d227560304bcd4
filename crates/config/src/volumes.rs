//! What a `volume` must satisfy: a name, and a place for its copy on every node that may lead.

use crate::disks::mount;
use crate::fields::{Spanned, complain};
use crate::problem::{Problem, suggest};
use crate::schema::{RawBacking, RawGroup, RawVolume};
use crate::{Abandon, Asynchronous, Frontend, Group, Place, Volume, parse_bytes};
use hotspare_core::id::fnv1a;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// UDP ports of the cluster come first, TCP ports of volumes after them.
const PORTS_BEFORE: u16 = 3;
/// The places for other copies in a copy's metadata (`hotspare_volume::layout::PEERS_MAX`), and itself.
const COPIES_MAX: usize = 8;
/// As many as fit the ports that a firewall is asked to open.
const VOLUMES_MAX: usize = 64;

pub fn volumes(cluster: &str, raw: &[RawGroup], port: u16, groups: &mut [Group], problems: &mut Vec<Problem>) {
    let mut names: Vec<&str> = Vec::new();
    for (raw, group) in raw.iter().zip(groups) {
        if let (Some(volume), true) = (raw.volumes.first(), group.is_lock()) {
            let help =
                "a group without units and addresses is a lock for scripts, and nothing of it runs: give it a unit";
            complain(problems, volume.name.span, format!("nobody would use the volume of \"{}\"", group.name), help);
        }
        for volume in &raw.volumes {
            good_name(&volume.name, &names, problems);
            names.push(&volume.name.value);
            if names.len() > VOLUMES_MAX {
                complain(problems, volume.name.span, "too many volumes", format!("at most {VOLUMES_MAX} in a cluster"));
            }
            let offset = u16::try_from(names.len()).unwrap_or(u16::MAX) - 1 + PORTS_BEFORE;
            let Some(port) = port.checked_add(offset) else {
                complain(problems, volume.name.span, "there is no port left for it", "a lower `port` of the cluster");
                continue;
            };
            let name = volume.name.value.clone();
            let id = fnv1a(format!("{cluster}/{name}").as_bytes());
            let mounted = format!("the volume \"{name}\"");
            let (frontend, mount) = (frontend(volume, problems), mount(&volume.mounts, &mounted, problems));
            if let (Frontend::Socket, Some(mount)) = (frontend, volume.mounts.first()) {
                let help = "a file system is on a block device: leave `frontend` out";
                complain(problems, mount.place.span, "only a socket, and a file system on it", help);
            }
            let backings = backings(volume, raw, problems);
            let abandon = abandon(volume, raw, problems);
            let asynchronous = asynchronous(volume, raw, problems);
            group.volumes.push(Volume { name, id, port, backings, frontend, mount, abandon, asynchronous });
        }
        all_or_none(raw, group, problems);
    }
    same_place(raw, problems);
}

fn frontend(volume: &RawVolume, problems: &mut Vec<Problem>) -> Frontend {
    let known = [("ublk", Frontend::Ublk), ("nbd", Frontend::Nbd), ("socket", Frontend::Socket)];
    let Some(word) = &volume.frontend else { return Frontend::Device };
    let found = known.iter().find(|(name, _)| *name == word.value).map(|(_, frontend)| *frontend);
    if found.is_none() {
        let message = format!("\"{}\" is no way to get at a volume", word.value);
        complain(problems, word.span, message, suggest(&word.value, &known.map(|(name, _)| name)));
    }
    found.unwrap_or(Frontend::Device)
}

/// How far a copy may be behind, if nothing else is said.
const LAG: Duration = Duration::from_secs(30);
const LAG_BYTES: u64 = 64 << 20;

fn asynchronous(volume: &RawVolume, group: &RawGroup, problems: &mut Vec<Problem>) -> Asynchronous {
    let mut all = Asynchronous { nodes: Vec::new(), lag: LAG, lag_bytes: LAG_BYTES };
    let Some(raw) = &volume.asynchronous else { return all };
    let known: Vec<&str> = group.candidates.iter().map(|candidate| candidate.value.as_str()).collect();
    for node in &raw.nodes {
        if !known.contains(&node.value.as_str()) {
            let message = format!("\"{}\" is no candidate of \"{}\"", node.value, group.name.value);
            complain(problems, node.span, message, suggest(&node.value, &known));
        } else if known.first() == Some(&node.value.as_str()) {
            let message = format!("\"{}\" leads first, and its copy would be behind", node.value);
            complain(problems, node.span, message, "put a candidate first whose copy is waited for");
        } else if all.nodes.contains(&node.value) {
            complain(problems, node.span, format!("\"{}\" is there twice", node.value), "keep one of the two");
        } else {
            all.nodes.push(node.value.clone());
        }
    }
    if let Some(lag) = &raw.lag {
        if !(Duration::from_secs(1)..=Duration::from_hours(1)).contains(&lag.value) {
            let help = "from one second to one hour: \"30s\"";
            complain(problems, lag.span, "a copy cannot be so far behind and still follow", help);
        }
        all.lag = lag.value;
    }
    if let Some(raw) = &raw.bytes {
        let bytes = parse_bytes(&raw.value).filter(|bytes| (1 << 20..=1 << 30).contains(bytes));
        if bytes.is_none() {
            let help = "from 1MiB to 1GiB, as they are kept in memory: \"64MiB\"";
            complain(problems, raw.span, format!("\"{}\" is not how many bytes a copy may be behind", raw.value), help);
        }
        all.lag_bytes = bytes.unwrap_or(LAG_BYTES);
    }
    all
}

/// What `hotspare force --volume` has written.
fn abandon(volume: &RawVolume, group: &RawGroup, problems: &mut Vec<Problem>) -> Option<Abandon> {
    let raw = volume.abandon.as_ref()?;
    let span = raw.generation.span;
    let example = "`hotspare force --volume` writes this: abandon \"67ef3285556f4d4b\" for=\"alpha\" reason=\"beta has burned down\"";
    let generation = u64::from_str_radix(&raw.generation.value, 16).ok().filter(|generation| *generation != 0);
    if generation.is_none() {
        complain(problems, span, format!("\"{}\" is no generation of a volume", raw.generation.value), example);
    }
    let known: Vec<&str> = group.candidates.iter().map(|candidate| candidate.value.as_str()).collect();
    let to = raw.to.as_ref();
    match to {
        None => complain(problems, span, "`abandon` needs `for`: whose copy counts from now on", example),
        Some(to) if !known.contains(&to.value.as_str()) => {
            let message = format!("\"{}\" is no candidate of \"{}\"", to.value, group.name.value);
            complain(problems, to.span, message, suggest(&to.value, &known));
        }
        Some(_) => {}
    }
    if raw.reason.as_ref().is_none_or(|reason| reason.value.trim().is_empty()) {
        complain(problems, span, "`abandon` needs a reason", example);
    }
    Some(Abandon { generation: generation?, to: to?.value.clone() })
}

/// D0: a node leads with all of its copies or with none. So they are given up together, and nobody waits for any of them or for all.
fn all_or_none(raw: &RawGroup, group: &Group, problems: &mut Vec<Problem>) {
    let Some((first, others)) = group.volumes.split_first() else { return };
    let given_up = |volume: &Volume| volume.abandon.clone().map(|abandon| (abandon.generation, abandon.to));
    let far = |volume: &Volume| volume.asynchronous.nodes.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    for other in others {
        let Some(raw) = raw.volumes.iter().find(|raw| raw.name.value == other.name) else { continue };
        let names = format!("\"{}\" and \"{}\"", first.name, other.name);
        if given_up(first) != given_up(other) {
            let help = "one `abandon` with the same generation and node in each volume of the group, as `hotspare force --volume` writes it";
            complain(problems, raw.name.span, format!("{names} do not give up the same"), help);
        }
        if far(first) != far(other) {
            let help =
                "the same `asynchronous` nodes in each volume of the group; or put the volume into a group of its own";
            let message = format!(
                "{names} are not asynchronous on the same nodes, and a node leads with all of them or with none"
            );
            complain(problems, raw.name.span, message, help);
        }
    }
}

fn good_name(name: &Spanned<String>, names: &[&str], problems: &mut Vec<Problem>) {
    let text = &name.value;
    let letters = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !letters || text.len() > 32 {
        let help = "a small letter, then small letters, digits and _, at most 32";
        complain(problems, name.span, format!("\"{text}\" cannot name a volume"), help);
    }
    if names.contains(&text.as_str()) {
        let help = "every volume of the cluster has a name of its own";
        complain(problems, name.span, format!("the volume \"{text}\" is there twice"), help);
    }
}

fn backings(volume: &RawVolume, group: &RawGroup, problems: &mut Vec<Problem>) -> BTreeMap<String, Place> {
    let candidates: Vec<&str> = group.candidates.iter().map(|candidate| candidate.value.as_str()).collect();
    let (mut everywhere, mut places) = (None, BTreeMap::new());
    if let Some(extra) = group.candidates.get(COPIES_MAX) {
        let help = format!("at most {COPIES_MAX}: each of them keeps what may differ on every other");
        complain(problems, extra.span, format!("more than {COPIES_MAX} copies of \"{}\"", volume.name.value), help);
    }
    for RawBacking { path, on, metadata } in &volume.backings {
        let help = "where it is, in full: \"/dev/vg0/data\"; /dev/disk/by-id/... stays the same across reboots";
        is_path(path, "device or file", help, problems);
        if let Some(metadata) = metadata {
            let help = "a file in full, on a disk that stays: \"/var/lib/hotspare-replicate/data.metadata\"";
            is_path(metadata, "file", help, problems);
        }
        let place = || Place {
            path: PathBuf::from(&path.value),
            metadata: metadata.as_ref().map(|file| PathBuf::from(&file.value)),
        };
        match on {
            None if everywhere.is_some() => {
                let help = "one line for all nodes, further ones with node=\"...\"";
                complain(problems, path.span, "a second `backing` for all nodes", help);
            }
            None => everywhere = Some(place()),
            Some(node) if !candidates.contains(&node.value.as_str()) => {
                let message = format!("\"{}\" is no candidate of \"{}\"", node.value, group.name.value);
                complain(problems, node.span, message, suggest(&node.value, &candidates));
            }
            Some(node) => {
                if places.insert(node.value.clone(), place()).is_some() {
                    let message = format!("a second `backing` for \"{}\"", node.value);
                    complain(problems, node.span, message, "a node has one copy");
                }
            }
        }
    }
    for candidate in candidates {
        if let Some(place) = everywhere.as_ref().filter(|_| !places.contains_key(candidate)) {
            places.insert(candidate.to_owned(), place.clone());
        } else if !places.contains_key(candidate) {
            let message = format!("the volume \"{}\" has no place on \"{candidate}\"", volume.name.value);
            let help = "backing \"/dev/...\" for all nodes, or one with node=\"...\" for each";
            complain(problems, volume.name.span, message, help);
        }
    }
    places
}

fn is_path(path: &Spanned<String>, of: &str, help: &str, problems: &mut Vec<Problem>) {
    if !path.value.starts_with('/') || path.value.contains(|c: char| c.is_control()) {
        complain(problems, path.span, format!("\"{}\" is not the path of a {of}", path.value), help);
    }
}

/// Two copies on one device would be the end of both; so would be a copy and somebody's metadata.
fn same_place(groups: &[RawGroup], problems: &mut Vec<Problem>) {
    let mut seen: Vec<(&str, Option<&str>, (&str, bool))> = Vec::new();
    for volume in groups.iter().flat_map(|group| &group.volumes) {
        for backing in &volume.backings {
            let on = backing.on.as_ref().map(|node| node.value.as_str());
            for (path, data) in [(Some(&backing.path), true), (backing.metadata.as_ref(), false)] {
                let Some(path) = path else { continue };
                let me = (volume.name.value.as_str(), data);
                let meets = |(other, place, whose): &&(&str, Option<&str>, (&str, bool))| {
                    *other == path.value && (*place == on || place.is_none() || on.is_none()) && *whose != me
                };
                if let Some((.., (other, _))) = seen.iter().find(meets) {
                    let message = format!("\"{}\" is the place of the volume \"{other}\" already", path.value);
                    complain(
                        problems,
                        path.span,
                        message,
                        "every volume has a device or file of its own, and so has its metadata",
                    );
                }
                seen.push((&path.value, on, me));
            }
        }
    }
}
