//! The disk that all nodes write their beats to: in a thread of its own, since a disk may take as long as it likes.
//!
//! ```text
//!  loop --own beat--> [thread: write it, flush, read everybody's] --what was read--> loop
//! ```

use hotspare_config::Config;
use hotspare_core::NodeId;
use hotspare_daemon::disk::SharedDisk;
use hotspare_daemon::{Exit, Failure};
use hotspare_wire::disk::{
    BLOCK, BLOCKS, DiskBeat, PLACES_MAX, Pill, Unread, beat_block, decode_disk_beat, decode_pill, decode_places,
    encode_disk_beat, encode_places,
};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, channel};

/// The disk, as this node uses it.
pub struct Disk {
    disk: SharedDisk,
    cluster: u64,
    places: Vec<NodeId>,
    me: usize,
}

/// What was read in one turn.
#[derive(Debug, Default)]
pub struct Read {
    pub beats: Vec<DiskBeat>,
    /// Somebody wants this very node to reset itself.
    pub pill: Option<Pill>,
    /// How long the turn took.
    pub took: Duration,
    /// Why there is nothing, if the disk does not do what it should.
    pub failed: Option<String>,
}

impl Disk {
    /// What process 1 has opened for this daemon (`OpenFile=`).
    ///
    /// # Errors
    /// If it is not there, or has no place for this node, in words.
    pub fn passed(config: &Config, me: NodeId) -> Result<Disk, String> {
        let shown = config.disk.as_deref().unwrap_or(Path::new("?")).display();
        let disk = SharedDisk::passed("disk");
        let disk = disk.ok_or_else(|| {
            format!("{shown} could not be opened; once it is there: systemctl restart hotspare-heartbeat")
        })?;
        let cluster = config.disk_id();
        let first = disk.read(0).map_err(|error| format!("{shown}: {error}"))?;
        let help = "hotspare-heartbeat format";
        let places = decode_places(cluster, &first).map_err(|why| format!("{shown}: {why} ({help})"))?;
        let mine = places.iter().position(|node| *node == me);
        let me = mine.ok_or_else(|| format!("{shown} has no place for this node ({help} --again)"))?;
        Ok(Disk { disk, cluster, places, me })
    }

    /// Writes the own beat and reads all others.
    fn turn(&self, own: &DiskBeat) -> io::Result<Read> {
        self.disk.write(beat_block(self.me), &encode_disk_beat(self.cluster, own))?;
        let mut found = Read::default();
        for (place, node) in self.places.iter().enumerate() {
            if place == self.me {
                let page = self.disk.read(beat_block(place) + 1)?;
                let meant = |pill: &Pill| pill.node == *node && pill.boot == own.boot;
                found.pill = decode_pill(self.cluster, &page).ok().filter(meant);
                continue;
            }
            // One that is torn is read again the next time.
            let page = self.disk.read(beat_block(place))?;
            found.beats.extend(decode_disk_beat(self.cluster, &page).ok().filter(|beat| beat.node == *node));
        }
        Ok(found)
    }

    /// A turn for each beat that comes in. One at a time: while the disk takes its time, beats are left out.
    pub fn serve(self) -> (SyncSender<DiskBeat>, Receiver<Read>) {
        let (asks, asked) = sync_channel::<DiskBeat>(0);
        let (answers, read) = channel(1);
        std::thread::spawn(move || {
            while let Ok(own) = asked.recv() {
                let began = Instant::now();
                let mut found =
                    self.turn(&own).unwrap_or_else(|error| Read { failed: Some(error.to_string()), ..Read::default() });
                found.took = began.elapsed();
                if answers.blocking_send(found).is_err() {
                    return;
                }
            }
        });
        (asks, read)
    }
}

/// `hotspare-heartbeat format`.
///
/// # Errors
/// If there is no such disk, or something is on it.
pub fn format(config: &Config, again: bool) -> Result<Exit, Failure> {
    let Some(path) = &config.disk else {
        let help = "heartbeat { disk \"/dev/disk/by-id/...\"; }";
        return Err(Failure::new(Exit::Config, format!("the configuration has no disk for heartbeats: {help}")));
    };
    let shown = path.display();
    let failed = |what: &str| Exit::IoErr.why(format!("cannot {what} {shown}"));
    // Not where something on this machine has it for itself, as a mount does.
    let alone = File::options().read(true).custom_flags(nix::libc::O_EXCL).open(path).map_err(failed("have"))?;
    let disk = SharedDisk::open(path).map_err(failed("open"))?;
    let first = disk.read(0).map_err(failed("read"))?;
    let refused = |what: String| {
        Failure::new(Exit::No, format!("{shown}: {what}; nothing was written (--again writes all the same)"))
    };
    if !again {
        match decode_places(config.disk_id(), &first) {
            Err(Unread::Blank) => {}
            Ok(places) => {
                return Err(refused(format!("it has places for {} nodes of this cluster already", places.len())));
            }
            Err(why) => return Err(refused(format!("there is something on it: {why}"))),
        }
        // Many file systems leave the first blocks alone.
        for block in 1..BLOCKS {
            if disk.read(block).map_err(failed("read"))?.iter().any(|byte| *byte != 0) {
                return Err(refused(format!(
                    "there is something on it, {} bytes from its beginning",
                    block * BLOCK as u64
                )));
            }
        }
    }
    let nodes: Vec<NodeId> = config.nodes.iter().map(|node| node.id).collect();
    assert!(nodes.len() <= PLACES_MAX, "the configuration has been checked");
    for block in 1..BLOCKS {
        disk.write(block, &[0; BLOCK]).map_err(failed("write"))?;
    }
    disk.write(0, &encode_places(config.disk_id(), &nodes)).map_err(failed("write"))?;
    println!("{shown}: {} places; now: systemctl restart hotspare-heartbeat, on each node", nodes.len());
    drop(alone);
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_made_once_and_on_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(BLOCKS * BLOCK as u64).unwrap();
        let text = include_str!("../../../kdl-examples/shared-disk.kdl");
        let mut config = Config::parse("shared-disk.kdl", text).unwrap();
        config.disk = Some(file.path().into());
        let disk = SharedDisk::open(file.path()).unwrap();
        disk.write(16, &[1; BLOCK]).unwrap(); // where btrfs has its superblock
        let said = format(&config, false).unwrap_err().message;
        assert!(said.contains("65536 bytes from its beginning"), "{said}");
        assert_eq!(disk.read(16).unwrap(), [1; BLOCK]);
        format(&config, true).unwrap();
        assert_eq!(disk.read(16).unwrap(), [0; BLOCK]);
        assert_eq!(decode_places(config.disk_id(), &disk.read(0).unwrap()).unwrap().len(), 3);
        let said = format(&config, false).unwrap_err().message;
        assert!(said.contains("3 nodes of this cluster already"), "{said}");
    }
}
