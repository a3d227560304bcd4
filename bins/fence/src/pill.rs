//! A pill: an order on the disk of the heartbeats, which the node that it is for obeys by resetting itself. The proof is that node's own next
//! boot, on the same disk: the life that was to end has ended. One without power never says so, and one whose kernel hangs does not obey: a
//! level after this one is for them.

use crate::device::Power;
use hotspare_config::{Config, Node};
use hotspare_core::NodeId;
use hotspare_daemon::disk::SharedDisk;
use hotspare_wire::disk::{DiskBeat, Pill, beat_block, decode_disk_beat, decode_places, encode_pill};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

/// One that lives has written again after so many intervals, also where a disk takes its time.
const BEATS: u32 = 3;

/// The disk, and whom it is about.
pub struct Desk {
    path: PathBuf,
    cluster: u64,
    me: NodeId,
    node: NodeId,
    /// How often that one says on the disk that it lives.
    interval: Duration,
    /// The boot that was to end.
    meant: Cell<Option<u64>>,
}

impl Desk {
    /// `None`: there is no such disk.
    pub fn new(config: &Config, node: &Node, me: NodeId) -> Option<Desk> {
        let (path, interval) = (config.disk.clone()?, config.heartbeat.interval);
        Some(Desk { path, cluster: config.disk_id(), me, node: node.id, interval, meant: Cell::new(None) })
    }

    /// The disk, and the place of the node on it.
    fn open(&self) -> Result<(SharedDisk, u64), String> {
        let failed = |why: String| format!("{}: {why}", self.path.display());
        let disk = SharedDisk::open(&self.path).map_err(|error| failed(error.to_string()))?;
        let first = disk.read(0).map_err(|error| failed(error.to_string()))?;
        let help = "hotspare-heartbeat format";
        let places = decode_places(self.cluster, &first).map_err(|why| failed(format!("{why} ({help})")))?;
        let place = places.iter().position(|node| *node == self.node);
        Ok((disk, beat_block(place.ok_or_else(|| failed(format!("no place for the node ({help} --again)")))?)))
    }

    fn beat(&self) -> Result<DiskBeat, String> {
        let (disk, block) = self.open()?;
        let bytes = disk.read(block).map_err(|error| format!("{}: {error}", self.path.display()))?;
        decode_disk_beat(self.cluster, &bytes).map_err(|why| format!("no beat of it on {}: {why}", self.path.display()))
    }

    /// Tells the node to reset itself. What it runs in must be known, and known now: from an old beat of a boot before, another boot would
    /// prove nothing (F1).
    ///
    /// # Errors
    /// If it writes nothing to the disk, or the disk fails.
    pub fn put(&self) -> Result<(), String> {
        let boot = self.lives()?;
        let (disk, block) = self.open()?;
        let pill = encode_pill(self.cluster, Pill { node: self.node, boot, by: self.me });
        disk.write(block + 1, &pill).map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.meant.set(Some(boot));
        Ok(())
    }

    /// The boot in which the node says now that it lives.
    fn lives(&self) -> Result<u64, String> {
        let first = self.beat()?;
        std::thread::sleep(self.interval * BEATS); // nobody tells when it beats
        let next = self.beat()?;
        let moves = next.boot == first.boot && next.sequence != first.sequence;
        moves.then_some(next.boot).ok_or_else(|| "it writes nothing to the disk".into())
    }

    /// Off: it says that it is in another boot than the one that was to end. On: it is in that one, or nobody has told it anything and it
    /// is heard.
    ///
    /// # Errors
    /// If nothing is heard of it, in words.
    pub fn power(&self) -> Result<Power, String> {
        match self.meant.get() {
            Some(boot) if boot != self.beat()?.boot => Ok(Power::Off),
            Some(_) => Ok(Power::On),
            None => self.lives().map(|_| Power::On),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_wire::disk::{BLOCKS, decode_pill, encode_disk_beat, encode_places};
    use std::sync::mpsc::RecvTimeoutError;

    const CLUSTER: u64 = 9;

    fn beat(sequence: u64, boot: u64) -> DiskBeat {
        DiskBeat { node: NodeId(2), boot, sequence, config: 0, hears: Vec::new() }
    }

    #[test]
    fn another_boot_is_the_proof_and_nothing_else_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(BLOCKS * 4096).unwrap();
        let desk = Desk {
            path: file.path().into(),
            cluster: CLUSTER,
            me: NodeId(1),
            node: NodeId(2),
            interval: Duration::from_millis(20),
            meant: Cell::new(None),
        };
        assert!(desk.put().unwrap_err().contains("format"), "there are no places");
        let disk = SharedDisk::open(file.path()).unwrap();
        disk.write(0, &encode_places(CLUSTER, &[NodeId(1), NodeId(2)])).unwrap();
        assert!(desk.put().unwrap_err().contains("no beat"), "it was never heard: which boot would be meant?");
        let says = |beat: &DiskBeat| disk.write(beat_block(1), &encode_disk_beat(CLUSTER, beat)).unwrap();
        // A beat that does not move is no sign of life: it may be of a boot long before the one whose lease is to end, and then any beat of
        // that very boot would look like the proof.
        says(&beat(1, 49));
        assert!(desk.power().is_err() && desk.put().is_err());
        assert!(decode_pill(CLUSTER, &disk.read(beat_block(1) + 1).unwrap()).is_err());
        says(&beat(1, 50));
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let path = file.path();
            scope.spawn(move || {
                let disk = SharedDisk::open(path).unwrap();
                let mut sequence = 1;
                while stopped.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                    sequence += 1;
                    disk.write(beat_block(1), &encode_disk_beat(CLUSTER, &beat(sequence, 50))).unwrap();
                }
            });
            assert_eq!(desk.power(), Ok(Power::On));
            desk.put().unwrap();
            drop(stop);
        });
        let pill = decode_pill(CLUSTER, &disk.read(beat_block(1) + 1).unwrap());
        assert_eq!(pill, Ok(Pill { node: NodeId(2), boot: 50, by: NodeId(1) }));
        assert_eq!(desk.power(), Ok(Power::On), "it has not obeyed yet");
        says(&beat(1, 51));
        assert_eq!(desk.power(), Ok(Power::Off));
    }
}
