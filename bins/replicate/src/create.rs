//! Making a copy, and looking whether one is what the configuration says.

use crate::backing::Backing;
use crate::place;
use hotspare_config::{Group, Node, Volume};
use hotspare_core::{Epoch, NodeId};
use hotspare_daemon::{Exit, Failure};
use hotspare_volume::Superblock;
use hotspare_volume::geometry::BLOCK;
use hotspare_volume::layout::{self, PEERS_MAX, Unusable};

/// Makes this node's copy. With `first` the data on the backing is the volume's data; elsewhere all of it is copied there.
pub fn create(group: &Group, volume: &Volume, me: &Node, (first, again): (bool, bool)) -> Result<Exit, Failure> {
    let path = place(group, volume, me)?;
    let shown = path.display();
    let backing = Backing::open(path)?;
    let found = backing.superblock().map_err(Exit::IoErr.why(format!("{shown}: cannot read it")))?;
    if let (Ok((_, content)), false) = (&found, again) {
        let message = format!(
            "{shown} has a copy of a volume already (epoch {}, {}); --again makes a new one, and what it has is lost",
            content.min_epoch,
            if content.whole { "whole" } else { "not whole" }
        );
        return Err(Failure::new(Exit::CantCreate, message));
    }
    let mut peers = [NodeId::default(); PEERS_MAX];
    let others = group.candidates.iter().filter(|name| **name != me.name);
    peers.iter_mut().zip(others).for_each(|(peer, name)| *peer = NodeId::of(name));
    let (node, size) = (me.id, backing.size);
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
    let shape = content.geometry();
    let failed = || Exit::IoErr.why(format!("{shown}: cannot write the metadata"));
    // Pages that are no pages: all of it may differ.
    for page in 0..shape.pages() * content.peer_count() {
        let at = layout::page_at(&shape, 0, 0) + (page * layout::SHEET) as u64;
        backing.write_meta(at, &[0; layout::SHEET]).map_err(failed())?;
    }
    for sequence in [1, 2] {
        let (at, bytes) = layout::superblock(sequence, &content);
        backing.write_meta(at, &bytes).map_err(failed())?;
    }
    let what = if first { "the data is here" } else { "empty, until the one that has the data has copied it here" };
    println!("{shown}: a copy of \"{}\", {size} bytes for its user; {what}", volume.name);
    Ok(Exit::Done)
}

/// Why metadata cannot be used, and what to do.
pub fn unusable(shown: &str, volume: &str, why: Unusable) -> Failure {
    let help = match why {
        Unusable::Absent => format!("make one: hotspare-replicate create {volume} (with --first where the data is)"),
        Unusable::OtherVersion(_) => "install the version of hotspare that wrote it".into(),
        Unusable::Damaged | Unusable::Nonsense => {
            format!("if another copy is whole, make this one anew: hotspare-replicate create {volume} --again")
        }
    };
    Failure::new(Exit::DataErr, format!("{shown}: {why}; {help}"))
}

/// Whether what was found is this node's copy of this volume.
pub fn belongs(
    shown: &str,
    content: &Superblock,
    (group, volume): (&Group, &Volume),
    me: &Node,
    size: u64,
) -> Result<(), Failure> {
    let wrong = |what: String| Err(Failure::new(Exit::DataErr, format!("{shown}: {what}")));
    if content.volume != volume.id {
        return wrong(format!("it is a copy of another volume, or of another cluster's \"{}\"", volume.name));
    }
    if content.node != me.id {
        return wrong(format!("it is another node's copy, not that of {}: was the disk moved?", me.name));
    }
    if content.size != size {
        return wrong(format!(
            "it was made for {} bytes and has room for {size} now: growing is not supported yet",
            content.size
        ));
    }
    let known = |name: &&String| **name == me.name || content.peers.contains(&NodeId::of(name));
    match group.candidates.iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => wrong(format!(
            "it was made when \"{name}\" was no candidate; make it anew on a standby: hotspare-replicate create {} --again",
            volume.name
        )),
    }
}
