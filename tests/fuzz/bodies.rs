//! What the fuzz targets do with any input. They are here, and not in the targets, so that every build compiles them and every
//! test run plays the corpora to them (`replay.rs`): the targets themselves need a nightly compiler.
//!
//! Each says whether the input came through to the end. A body that nothing comes through any more tests little.

use hotspare_address::Placed;
use hotspare_config::Config;
use hotspare_control::{Ask, Proof, Tell};
use hotspare_core::NodeId;
use hotspare_core::id::fnv1a;
use hotspare_volume::layout::{self, SHEET};
use hotspare_wire::register::{BYTES, HEADER, REGISTER_VERSION, SLOT, read, slot};
use hotspare_wire::session::first_tag;
use hotspare_wire::volume::{Message, decode as decode_copy, encode_to_primary, encode_to_replica};
use hotspare_wire::{Cluster, Endpoint, Key, Service, decode, decode_beat, encode, encode_beat};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Any plaintext that a peer may seal: read or refused, and what is read is written back the same.
pub fn wire(bytes: &[u8]) -> bool {
    let (frames, beat) = (decode(bytes), decode_beat(bytes));
    if let Ok(frames) = &frames {
        assert_eq!(decode(&encode(frames)).as_ref(), Ok(frames));
    }
    if let Ok(beat) = &beat {
        assert_eq!(decode_beat(&encode_beat(beat)).as_ref(), Ok(beat));
    }
    frames.is_ok() || beat.is_ok()
}

/// Any plaintext that another copy of a volume may seal, or (if it begins with a 0) the superblocks that a disk may hold, their magic
/// and sums mended: read or refused, and what is read is written back the same.
pub fn volume(bytes: &[u8]) -> bool {
    if let [0, disk @ ..] = bytes {
        return superblocks(disk);
    }
    let Ok(message) = decode_copy(bytes, 64) else { return false };
    let again = match &message {
        Message::ToReplica(message, data) => [encode_to_replica(message, data), data.to_vec()].concat(),
        Message::ToPrimary(message) => encode_to_primary(message),
    };
    assert_eq!(decode_copy(&again[4..], 64), Ok(message));
    true
}

fn superblocks(content: &[u8]) -> bool {
    let mut disk = vec![0; 2 * SHEET];
    for (place, byte) in content.iter().copied().take(2 * layout::BODY).enumerate() {
        let at = if place < layout::BODY { place } else { SHEET + place - layout::BODY };
        disk[at] = byte;
    }
    for sheet in disk.chunks_mut(SHEET) {
        sheet[..8].copy_from_slice(b"hotspvol");
        sheet[8..12].copy_from_slice(&layout::VOLUME_VERSION.to_be_bytes());
        let sum = layout::sum(&sheet[..layout::BODY]).to_be_bytes();
        sheet[layout::BODY..layout::BODY + 4].copy_from_slice(&sum);
    }
    let _ = layout::read_page(7, 0, 0, &disk);
    let Ok((sequence, content)) = layout::read_superblocks(&disk) else { return false };
    let mut again = disk.clone();
    for number in [sequence.wrapping_sub(1), sequence] {
        let (at, sheet) = layout::superblock(number, &content);
        let at = usize::try_from(at).expect("small");
        again[at..at + SHEET].copy_from_slice(&sheet);
    }
    let found = layout::read_superblocks(&again).expect("just written");
    assert!(sequence == 0 || found == (sequence, content));
    true
}

/// Two nodes and somebody between them who knows both public keys and neither private one: loses, repeats, reorders and changes
/// what they send, mends the tag of a first message, adds datagrams of their own, and lets time pass, as `script` says. No panic;
/// what is delivered was sent by the other and is delivered once; sessions stay few; no answer is longer than what asked for it
/// (amplification); and left alone the two hear each other. Whether anything was delivered before that.
pub fn session(script: &[u8]) -> bool {
    let mut pair = Pair::new();
    let mut script = script.iter().copied().take(192);
    while let Some(what) = script.next() {
        let mut next = || script.next().unwrap_or_default();
        pair.step(what, &mut next);
    }
    let before = pair.delivered.len();
    pair.air.clear();
    for _ in 0..5 {
        pair.say(0);
        while !pair.air.is_empty() {
            pair.deliver(0);
        }
        pair.now += Duration::from_millis(300);
    }
    assert!(pair.delivered.len() > before, "left alone, they hear each other");
    before > 0
}

struct Pair {
    ends: [Endpoint; 2],
    now: Duration,
    said: u32,
    delivered: BTreeSet<(usize, u32)>,
    /// Sender and datagram.
    air: VecDeque<(usize, Vec<u8>)>,
}

impl Pair {
    fn new() -> Pair {
        let end = |me: u8| {
            let cluster = Cluster::new("fuzz", b"", 0);
            let mut end = Endpoint::new(Key([me; 32]), cluster, Service::Vote, Duration::from_millis(100), me.into());
            end.add_peer(NodeId(u64::from(3 - me)), Key([3 - me; 32]).public());
            end
        };
        let (ends, now) = ([end(1), end(2)], Duration::from_secs(1));
        Pair { ends, now, said: 0, delivered: BTreeSet::new(), air: VecDeque::new() }
    }

    fn say(&mut self, from: usize) {
        self.said += 1;
        let to = NodeId(2 - from as u64);
        let datagrams = self.ends[from].send(self.now, to, self.said.to_be_bytes().to_vec());
        self.air.extend(datagrams.into_iter().map(|datagram| (from, datagram)));
        while self.air.len() > 64 {
            self.air.pop_front();
        }
    }

    fn deliver(&mut self, at: usize) {
        if let Some((from, datagram)) = self.air.remove(at) {
            self.receive(1 - from, &datagram);
        }
    }

    fn receive(&mut self, to: usize, datagram: &[u8]) {
        let received = self.ends[to].receive(self.now, datagram);
        if datagram.get(1) == Some(&1) {
            assert!(received.send.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= datagram.len());
        }
        if let Some((from, message)) = received.message {
            assert_eq!(from, NodeId(2 - to as u64));
            let number = u32::from_be_bytes(message.try_into().expect("nobody said anything else"));
            assert!(number <= self.said && self.delivered.insert((to, number)), "delivered twice");
        }
        self.air.extend(received.send.into_iter().map(|(_, bytes)| (to, bytes)));
        assert!(self.ends[to].sessions() <= 3);
    }

    fn step(&mut self, what: u8, next: &mut impl FnMut() -> u8) {
        let at = usize::from(next()).checked_rem(self.air.len()).unwrap_or(0);
        match what % 8 {
            0 | 1 => self.say(usize::from(what % 2)),
            2 => self.deliver(at),
            3 => {
                let again = self.air.get(at).cloned();
                again.into_iter().for_each(|(from, datagram)| self.receive(1 - from, &datagram));
            }
            4 => drop(self.air.remove(at)),
            5 => self.now += Duration::from_millis(100 * u64::from(next())),
            6 => {
                let Some((from, mut datagram)) = self.air.get(at).cloned() else { return };
                let (place, change) = (usize::from(next()) % datagram.len(), next());
                datagram[place] ^= change;
                if let (Some(1), Some((signed, _))) = (datagram.get(1), datagram.split_last_chunk::<16>()) {
                    let tag = first_tag(&Key([2 - from as u8; 32]).public(), signed);
                    let end = datagram.len() - 16;
                    datagram[end..].copy_from_slice(&tag);
                }
                self.receive(1 - from, &datagram);
            }
            _ => {
                let own: Vec<u8> = (0..at % 64).map(|_| next()).collect();
                self.receive(usize::from(next() % 2), &own);
            }
        }
    }
}

/// Any register file: read or refused, and what is read comes back as it was written.
pub fn register(bytes: &[u8]) -> bool {
    const OWNER: u64 = 7;
    let _ = read(bytes, OWNER);
    // The checksum keeps the fuzzer out of the rest: mend it and what stands before it, and look again.
    let mut mended = bytes.to_vec();
    mended.resize(BYTES, 0);
    for copy in mended.chunks_mut(SLOT / 2) {
        copy[..8].copy_from_slice(b"hotspreg");
        copy[8..12].copy_from_slice(&REGISTER_VERSION.to_be_bytes());
        copy[12..20].copy_from_slice(&OWNER.to_be_bytes());
        let end = HEADER + usize::from(u16::from_be_bytes([copy[44], copy[45]]));
        if end + 8 <= SLOT / 2 {
            let sum = fnv1a(&copy[..end]).to_be_bytes();
            copy[end..end + 8].copy_from_slice(&sum);
        }
    }
    let Ok((sequence, kept)) = read(&mended, OWNER) else { return false };
    if sequence > 0 {
        let (place, bytes) = slot(sequence, OWNER, &kept);
        let mut again = vec![0; BYTES];
        for slot_of in again.chunks_mut(SLOT) {
            slot_of.copy_from_slice(&slot(0, OWNER, &Default::default()).1);
        }
        again[place..place + SLOT].copy_from_slice(&bytes);
        assert_eq!(read(&again, OWNER), Ok((sequence, kept)));
    }
    true
}

/// Any text as a configuration: a configuration, or at least one mistake that points into the text.
pub fn kdl(text: &str) -> bool {
    match Config::parse("fuzz.kdl", text) {
        Ok(config) => assert!(!config.nodes.is_empty() && !config.voters.is_empty()),
        Err(problems) => {
            assert!(!problems.problems.is_empty());
            for problem in &problems.problems {
                assert!(problem.span.offset() + problem.span.len() <= text.len() + 1, "{problem:?}");
            }
            let _ = problems.render(false);
            return false;
        }
    }
    true
}

/// Any line on a control socket, any argument that names an address, any span of time.
pub fn control(text: &str) -> bool {
    let ask = serde_json::from_str::<Ask>(text);
    if let Ok(ask) = &ask {
        let again = serde_json::to_string(ask).expect("what was read can be written");
        assert_eq!(serde_json::from_str::<Ask>(&again).as_ref().ok(), Some(ask));
    }
    let placed = text.parse::<Placed>();
    if let Ok(placed) = &placed {
        assert_eq!(placed.to_string().parse::<Placed>().as_ref(), Ok(placed));
    }
    let tell = serde_json::from_str::<Tell>(text).is_ok() | serde_json::from_str::<Proof>(text).is_ok();
    ask.is_ok() || placed.is_ok() || tell || hotspare_config::parse_span(text).is_some()
}
