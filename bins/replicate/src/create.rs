//! Making a copy, and looking whether one is what the configuration says.

use crate::backing::Backing;
use crate::length;
use crate::place;
use hotspare_config::{Group, Node, Volume};
use hotspare_core::{Epoch, NodeId};
use hotspare_daemon::{Exit, Failure};
use hotspare_volume::geometry::BLOCK;
use hotspare_volume::layout::{self, PEERS_MAX, Unusable};
use hotspare_volume::{Range, Superblock};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a copy is made.
pub struct Making<'a> {
    /// The data on the backing is the volume's data; elsewhere all of it is copied there.
    pub first: bool,
    /// Also over a copy that is there.
    pub again: bool,
    /// The file system to be made on it.
    pub format: Option<&'a str>,
}

/// Makes this node's copy.
pub fn create(group: &Group, volume: &Volume, me: &Node, making: &Making<'_>) -> Result<Exit, Failure> {
    let Making { first, again, format } = *making;
    let place = place(group, volume, me)?;
    let shown = place.path.display();
    let mut backing = Backing::open(place)?;
    let folder = Path::new(length::FOLDER);
    let found = backing
        .find(backing.length(length::noted(folder, &volume.name)))
        .map_err(Exit::IoErr.why(format!("{shown}: cannot read it")))?;
    if let (Ok((_, content)), false) = (&found, again) {
        let message = format!(
            "{shown} has a copy of a volume already (epoch {}, {}); --again makes a new one, and what it has is lost",
            content.min_epoch,
            if content.whole { "whole" } else { "not whole" }
        );
        return Err(Failure::new(Exit::CantCreate, message));
    }
    if let Some(kind) = format {
        let size = backing.room_of(backing.total);
        drop(backing); // or mkfs finds it in use
        make_file_system(kind, &place.path, size)?;
        backing = Backing::open(place)?;
    } else if first {
        backing.room = backing.room_of(backing.total);
        let head =
            backing.read(Range { at: 0, len: BLOCK }).map_err(Exit::IoErr.why(format!("{shown}: cannot read it")))?;
        fits(&shown.to_string(), head.bytes(), backing.room)?;
    }
    let mut peers = [NodeId::default(); PEERS_MAX];
    let others = group.candidates.iter().filter(|name| **name != me.name);
    peers.iter_mut().zip(others).for_each(|(peer, name)| *peer = NodeId::of(name));
    let failed = || Exit::IoErr.why(format!("{shown}: cannot write the metadata"));
    backing.begin().map_err(failed())?; // not where an older copy was
    let (node, size) = (me.id, backing.room);
    let content = Superblock {
        volume: volume.id,
        node,
        peers,
        size,
        block: BLOCK,
        generation: 0,
        min_epoch: Epoch(0),
        whole: first,
    };
    let shape = content.geometry(backing.room);
    // Pages that are no pages: all of it may differ.
    for page in 0..shape.pages() * content.peer_count() {
        let at = layout::page_at(&shape, 0, 0) + (page * layout::SHEET) as u64;
        backing.write_meta(at, &[0; layout::SHEET]).map_err(failed())?;
    }
    for sequence in [1, 2] {
        let (at, bytes) = layout::superblock(sequence, &content);
        backing.write_meta(at, &bytes).map_err(failed())?;
    }
    let noted = if backing.own().is_some() {
        backing.forget_the_end().map_err(failed())?;
        length::forget(folder, &volume.name)
    } else {
        length::note(folder, &volume.name, backing.total)
    };
    backing.finish().map_err(failed())?;
    noted.map_err(Exit::CantCreate.why(format!("cannot write {}", length::path(folder, &volume.name).display())))?;
    let what = if first { "the data is here" } else { "empty, until the one that has the data has copied it here" };
    println!("{shown}: a copy of \"{}\", {size} bytes for its user; {what}", volume.name);
    Ok(Exit::Done)
}

/// Whether an operator has said that this copy takes the place of those that counted (decision 0022): as it is, it is the data, and
/// the voters give it a generation of its own.
pub fn takes_over(content: &mut Superblock, volume: &Volume, me: &Node) -> bool {
    let chosen = volume.abandon.as_ref().filter(|abandon| abandon.to == me.name);
    let takes_over = content.whole && chosen.is_some_and(|abandon| abandon.generation == content.generation);
    if takes_over {
        content.generation = 0;
    }
    takes_over
}

/// Makes a file system on the part of `path` that is data.
fn make_file_system(kind: &str, path: &Path, size: u64) -> Result<(), Failure> {
    let blocks = (size / 4096).to_string();
    let bytes = [format!("size={size}"), size.to_string()];
    let (program, before, after): (_, &[&str], &[&str]) = match kind {
        "ext4" => ("mkfs.ext4", &["-q", "-F", "-b", "4096"], &[&blocks]),
        "xfs" => ("mkfs.xfs", &["-q", "-f", "-s", "size=4096", "-d", &bytes[0]], &[]),
        _ => ("mkfs.btrfs", &["-q", "-f", "--byte-count", &bytes[1]], &[]),
    };
    let made = Command::new(program).args(before).arg(path).args(after).stdin(Stdio::null()).status();
    match made.map_err(Exit::Unavailable.why(format!("cannot run {program}: is it installed?")))? {
        status if status.success() => Ok(()),
        status => Err(Failure::new(Exit::CantCreate, format!("{program} {}: {status}", path.display()))),
    }
}

/// What is on the backing stays as it is, so a file system on it must end before the metadata begins.
fn fits(shown: &str, head: &[u8], size: u64) -> Result<(), Failure> {
    let word = |at: usize| u64::from(u32::from_le_bytes(*head[at..].first_chunk().expect("within a block")));
    let found = if head[1080..1082] == [0x53, 0xef] {
        let (shift, low) = (word(1048).min(20), word(1028));
        let high = if word(1120) & 0x80 != 0 { word(1360) } else { 0 };
        Some(("ext", (high << 32 | low).saturating_mul(1024 << shift), "resize2fs"))
    } else if head.starts_with(b"XFSB") {
        let block = u64::from(u32::from_be_bytes(*head[4..].first_chunk().expect("within a block")));
        let blocks = u64::from_be_bytes(*head[8..].first_chunk().expect("within a block"));
        Some(("XFS", blocks.saturating_mul(block), "no tool, as XFS does not shrink"))
    } else {
        None
    };
    match found.filter(|(_, length, _)| *length > size) {
        None => Ok(()),
        Some((kind, length, tool)) => {
            let message = format!(
                "{shown}: the {kind} file system on it has {length} bytes, and the metadata of the volume leaves {size}: make the \
                 device larger by {} bytes, or the file system smaller ({tool}), or give the metadata a file of its own (metadata=\"...\" on the line backing)",
                length - size
            );
            Err(Failure::new(Exit::DataErr, message))
        }
    }
}

/// Why metadata cannot be used, and what to do.
pub fn unusable(shown: &str, volume: &str, why: Unusable, noted: bool) -> Failure {
    let help = match why {
        Unusable::Absent | Unusable::Damaged if !noted => format!(
            "make one: hotspare-replicate create {volume} (with --first where the data is). Or, if there was one and the device was made \
             larger since: write its former length in bytes to {}",
            length::path(Path::new(length::FOLDER), volume).display()
        ),
        Unusable::Absent => format!("make one: hotspare-replicate create {volume} (with --first where the data is)"),
        Unusable::OtherVersion(_) => "install the version of hotspare that wrote it".into(),
        Unusable::Damaged | Unusable::Nonsense => {
            format!("if another copy is whole, make this one anew: hotspare-replicate create {volume} --again")
        }
    };
    Failure::new(Exit::DataErr, format!("{shown}: {why}; {help}"))
}

/// Whether what was found is this node's copy of this volume.
pub fn belongs(shown: &str, content: &Superblock, volume: &Volume, me: &Node, room: u64) -> Result<(), Failure> {
    let wrong = |what: String| Err(Failure::new(Exit::DataErr, format!("{shown}: {what}")));
    if content.volume != volume.id {
        return wrong(format!("it is a copy of another volume, or of another cluster's \"{}\"", volume.name));
    }
    if content.node != me.id {
        return wrong(format!("it is another node's copy, not that of {}: was the disk moved?", me.name));
    }
    if content.size > room {
        return wrong(format!("it is of {} bytes and has room for {room}: make it as large as it was", content.size));
    }
    Ok(())
}

/// Candidates that were none when this copy was made get a place in its metadata: a free one, or that of somebody who is no candidate any
/// more. All of the volume may differ on them. Whether there was one.
///
/// The pages go first: what is left of a former owner, or of whatever was on the disk, must not say what a newcomer has.
///
/// # Errors
/// Those of the disk.
pub fn take_in(backing: &Backing, content: &mut Superblock, group: &Group, me: &Node) -> io::Result<bool> {
    let candidates: Vec<NodeId> = group.candidates.iter().map(|name| NodeId::of(name)).collect();
    let before = *content;
    for newcomer in candidates.iter().filter(|node| **node != me.id && !before.peers.contains(node)) {
        let free = content.peers.iter().position(|peer| *peer == NodeId::default());
        let place = free.or_else(|| content.peers.iter().position(|peer| !candidates.contains(peer)));
        let place = place.expect("a group has no more candidates than a volume has places for copies");
        let shape = content.geometry(backing.room);
        for page in 0..shape.pages() {
            backing.write_meta(layout::page_at(&shape, place, page), &[0; layout::SHEET])?;
        }
        content.peers[place] = *newcomer;
    }
    Ok(*content != before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::in_one;

    #[test]
    fn a_file_system_that_would_lose_its_end_is_refused() {
        let mut ext = vec![0; 65536];
        ext[1080..1082].copy_from_slice(&[0x53, 0xef]);
        ext[1048] = 2; // blocks of 4096 bytes
        ext[1028] = 100;
        let mut xfs = vec![0; 65536];
        xfs[..8].copy_from_slice(b"XFSB\0\0\x10\0");
        xfs[15] = 100;
        for head in [&ext, &xfs] {
            assert!(fits("/dev/x", head, 409_600).is_ok());
            let refused = fits("/dev/x", head, 409_599).unwrap_err().message;
            assert!(refused.contains("larger by 1 bytes"), "{refused}");
        }
        ext[1120] = 0x80; // 64 bits, and the upper half says one
        ext[1360] = 1;
        assert!(fits("/dev/x", &ext, 1 << 40).is_err());
        assert!(fits("/dev/x", &[0; 65536], 1).is_ok(), "nothing that is known");
    }

    #[test]
    fn only_a_whole_copy_of_what_was_given_up_takes_its_place() {
        let config = |abandon: &str| {
            let text = include_str!("../../../kdl-examples/volume.kdl")
                .replace("volume \"data\" {", &format!("volume \"data\" {{ {abandon}"));
            hotspare_config::Config::parse("volume.kdl", &text).unwrap()
        };
        let content = Superblock {
            volume: 1,
            node: NodeId::of("alpha"),
            peers: [NodeId::default(); PEERS_MAX],
            size: BLOCK,
            block: BLOCK,
            generation: 0xab,
            min_epoch: Epoch(7),
            whole: true,
        };
        let takes = |config: &hotspare_config::Config, node: &str, change: fn(&mut Superblock)| {
            let mut content = content;
            change(&mut content);
            let took = takes_over(&mut content, config.volume("data").unwrap().1, config.node(node).unwrap());
            assert!(!took || content.generation == 0);
            took
        };
        let given_up = config("abandon \"ab\" for=\"alpha\" reason=\"beta has burned down\"");
        assert!(takes(&given_up, "alpha", |_| {}));
        assert!(!takes(&given_up, "beta", |_| {}), "another copy was chosen");
        assert!(!takes(&given_up, "alpha", |content| content.whole = false), "a mixture of old and new");
        assert!(!takes(&given_up, "alpha", |content| content.generation = 0xac), "a later generation");
        assert!(!takes(&config(""), "alpha", |_| {}));
    }

    #[test]
    fn a_newcomer_gets_a_place_that_says_nothing_of_what_it_has() {
        let text = include_str!("../../../kdl-examples/volume.kdl");
        let changed = |candidates: &str| {
            let text =
                text.replace("candidates \"alpha\" \"beta\"", candidates).replace(" node=\"beta\"", " node=\"alpha\"");
            hotspare_config::Config::parse("volume.kdl", &text).unwrap()
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let backing = Backing::open(&in_one(file.path())).unwrap();
        let mut peers = [NodeId::default(); PEERS_MAX];
        peers[0] = NodeId::of("beta");
        let (size, node) = (backing.room, NodeId::of("alpha"));
        let (generation, min_epoch) = (1, Epoch(1));
        let mut content = Superblock { volume: 1, node, peers, size, block: BLOCK, generation, min_epoch, whole: true };
        let take = |content: &mut Superblock, candidates: &str| {
            let config = changed(candidates);
            let (group, me) = (config.volume("data").unwrap().0, config.node("alpha").unwrap());
            take_in(&backing, content, group, me).unwrap()
        };
        assert!(!take(&mut content, "candidates \"alpha\" \"beta\""), "nobody is new");
        // What a former owner of the second place had: equal.
        let shape = content.geometry(backing.room);
        let equal = hotspare_volume::bits::Bits::new(shape, 2, |_, _| Some(vec![0; layout::PAGE_WORDS])).page(1, 1, 0);
        backing.write_meta(layout::page_at(&shape, 1, 0), &equal).unwrap();
        let seen = |content: &Superblock| backing.bits(content).count(1);
        assert!(take(&mut content, "candidates \"alpha\" \"witness\" \"beta\""));
        assert_eq!(content.peers[..2], [NodeId::of("beta"), NodeId::of("witness")]);
        assert_eq!(seen(&content), shape.blocks(), "all of it may differ");
        content.peers[1..].fill(NodeId(99));
        content.peers[0] = NodeId(98);
        assert!(take(&mut content, "candidates \"alpha\" \"witness\" \"beta\""));
        assert_eq!(content.peers[0], NodeId::of("witness"), "the place of one who is no candidate any more");
    }

    #[test]
    fn a_file_system_is_made_and_stays_within_its_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backing");
        std::fs::File::create(&path).unwrap().set_len(16 << 20).unwrap();
        make_file_system("ext4", &path, 8 << 20).unwrap();
        let head = std::fs::read(&path).unwrap();
        assert!(fits("x", &head, 8 << 20).is_ok());
        assert!(fits("x", &head, (8 << 20) - 1).is_err());
        assert!(make_file_system("ext4", &path, 4096).is_err(), "too small, and mkfs says so");
    }
}
