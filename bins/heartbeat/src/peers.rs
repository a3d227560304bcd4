//! Every link to every peer: what was heard, what is believed, what to say of it.

use hotspare_config::{Config, Node};
use hotspare_core::heartbeat::{Beat as Sign, Detector, Health};
use hotspare_core::{NodeId, Stamp};
use hotspare_daemon::{Priority, message_id, record};
use hotspare_wire::Beat;
use hotspare_wire::disk::DiskBeat;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// What the link over the disk is called.
const DISK: &str = "disk";

struct Link {
    /// Where beats go; `None`: to the disk, for all at once.
    address: Option<IpAddr>,
    detector: Detector,
    /// The peer's clock in its last beat, and when that came in.
    last: Option<(Stamp, Stamp)>,
}

impl Link {
    fn name(&self) -> String {
        self.address.map_or_else(|| DISK.to_owned(), |address| address.to_string())
    }
}

struct Peer {
    name: String,
    links: Vec<Link>,
    sequence: u64,
    config: Option<u64>,
}

/// All peers of this node.
pub struct Peers {
    peers: BTreeMap<NodeId, Peer>,
    interval: Duration,
    digest: u64,
    /// Of the beats on the disk.
    sequence: u64,
}

/// The state of a link in words.
pub fn word(health: Health) -> &'static str {
    match health {
        Health::Alive => "alive",
        Health::Late => "late",
        Health::Suspect => "suspect",
        Health::Unknown => "unknown",
        Health::Dead => "dead",
    }
}

impl Peers {
    pub fn new(config: &Config, me: &Node, disk: bool, now: Stamp) -> Peers {
        let link = |address| Link { address, detector: Detector::new(config.heartbeat, now), last: None };
        let disk = disk.then_some(None);
        let peers = config.living().filter(|node| node.id != me.id).map(|node| {
            let links = node.links.iter().map(|address| Some(*address)).chain(disk).map(link).collect();
            (node.id, Peer { name: node.name.clone(), links, sequence: now.boot / 1000, config: None })
        });
        let (interval, digest) = (config.heartbeat.interval, config.digest);
        Peers { peers: peers.collect(), interval, digest, sequence: now.boot / 1000 }
    }

    /// The beats to send now: to whom, at which address.
    pub fn beats(&mut self, now: Stamp) -> Vec<(NodeId, IpAddr, Beat)> {
        let mut beats = Vec::new();
        for (id, peer) in &mut self.peers {
            peer.sequence += 1;
            for (number, link) in peer.links.iter().enumerate() {
                let Some(address) = link.address else { continue };
                let beat = Beat {
                    link: u8::try_from(number).unwrap_or(u8::MAX),
                    sequence: peer.sequence,
                    hears_you: link.detector.health() == Health::Alive,
                    sent: now,
                    echo: link.last.map(|(sent, heard)| (sent, now.longest_since(heard))),
                    config: self.digest,
                };
                beats.push((*id, address, beat));
            }
        }
        beats
    }

    /// Takes a beat in; what changed, as JSON events.
    pub fn on_beat(&mut self, now: Stamp, from: NodeId, beat: &Beat) -> Vec<Json> {
        let Some(peer) = self.peers.get_mut(&from) else { return Vec::new() };
        peer.config = Some(beat.config);
        let link = peer.links.get_mut(usize::from(beat.link)).filter(|link| link.address.is_some());
        let Some(link) = link else { return Vec::new() };
        let was = (link.detector.health(), link.detector.hears_us);
        let sign = Sign { sequence: beat.sequence, hears_us: beat.hears_you, echo: beat.echo };
        link.last = Some((beat.sent, now));
        link.detector.on_beat(now, sign);
        let changed = was != (link.detector.health(), link.detector.hears_us);
        if changed { vec![tell(&peer.name, link, was.0, now)] } else { Vec::new() }
    }

    /// What this node writes to the disk now.
    pub fn disk_beat(&mut self, node: NodeId, boot: u64) -> DiskBeat {
        self.sequence += 1;
        let heard = |peer: &Peer| peer.links.iter().any(|link| link.address.is_none() && alive(link));
        let hears = self.peers.iter().filter(|(_, peer)| heard(peer)).map(|(id, _)| *id).collect();
        DiskBeat { node, boot, sequence: self.sequence, config: self.digest, hears }
    }

    /// Takes in what was read of the disk, in a turn that took so long; what changed.
    pub fn on_disk(&mut self, now: Stamp, me: NodeId, beats: &[DiskBeat], took: Duration) -> Vec<Json> {
        let mut events = Vec::new();
        for beat in beats {
            let Some(peer) = self.peers.get_mut(&beat.node) else { continue };
            peer.config = Some(beat.config);
            for link in peer.links.iter_mut().filter(|link| link.address.is_none()) {
                let was = (link.detector.health(), link.detector.hears_us);
                let sign = Sign { sequence: beat.sequence, hears_us: beat.hears.contains(&me), echo: None };
                link.detector.on_beat(now, sign);
                link.detector.round_trip = Some(took);
                if was != (link.detector.health(), link.detector.hears_us) {
                    events.push(tell(&peer.name, link, was.0, now));
                }
            }
        }
        events
    }

    /// Moves time on; what changed.
    pub fn tick(&mut self, now: Stamp) -> Vec<Json> {
        let mut events = Vec::new();
        for peer in self.peers.values_mut() {
            for link in &mut peer.links {
                let was = link.detector.health();
                if link.detector.tick(now).is_some() {
                    events.push(tell(&peer.name, link, was, now));
                }
            }
        }
        events
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The state of every link.
    pub fn snapshot(&self, now: Stamp) -> Vec<Json> {
        let one = |peer: &Peer, link: &Link| {
            let mut line = describe(&peer.name, link, None, now);
            // Whether all nodes have the same file; doctor compares.
            line["config"] = peer.config.map_or(Json::Null, |digest| format!("{digest:016x}").into());
            line
        };
        self.peers.values().flat_map(|peer| peer.links.iter().map(move |link| one(peer, link))).collect()
    }

    /// What is published on the bus of each peer.
    pub fn published(&self) -> Vec<(String, hotspare_bus::heartbeat1::Heartbeat1)> {
        let usec = |span: Option<Duration>| span.map_or(0, |span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
        let one = |peer: &Peer| {
            let best = peer.links.iter().map(|link| link.detector.health()).min().unwrap_or(Health::Unknown);
            let links = peer.links.iter().map(|link| {
                let detector = &link.detector;
                let state = word(detector.health()).to_owned();
                (link.name(), state, usec(detector.round_trip), detector.loss_percent(), detector.hears_us)
            });
            (
                peer.name.clone(),
                hotspare_bus::heartbeat1::Heartbeat1 { state: word(best).into(), links: links.collect() },
            )
        };
        self.peers.values().map(one).collect()
    }

    /// One line for `systemctl status`.
    pub fn summary(&self) -> String {
        let one = |peer: &Peer| {
            let alive = peer.links.iter().filter(|link| alive(link)).count();
            let drift =
                if peer.config.is_some_and(|digest| digest != self.digest) { ", other configuration" } else { "" };
            format!("{} {alive}/{} links{drift}", peer.name, peer.links.len())
        };
        self.peers.values().map(one).collect::<Vec<_>>().join("; ")
    }
}

fn alive(link: &Link) -> bool {
    link.detector.health() == Health::Alive
}

fn describe(peer: &str, link: &Link, was: Option<Health>, now: Stamp) -> Json {
    let detector = &link.detector;
    json!({
        "peer": peer,
        "link": link.name(),
        "state": word(detector.health()),
        "was": was.map(word),
        "round_trip_usec": detector.round_trip.map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        "loss_percent": detector.loss_percent(),
        "hears_us": detector.hears_us,
        "silent_ms": detector.silence(now).map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// Writes the change to the journal and returns it as an event.
fn tell(peer: &str, link: &Link, was: Health, now: Stamp) -> Json {
    let health = link.detector.health();
    let (id, priority) = match health {
        Health::Alive => (message_id::PEER_ALIVE, Priority::Info),
        Health::Late | Health::Suspect | Health::Unknown => (message_id::PEER_LATE, Priority::Info),
        Health::Dead => (message_id::PEER_DEAD, Priority::Notice),
    };
    let one_way = if health == Health::Alive && !link.detector.hears_us { ", but does not hear this node" } else { "" };
    let message = format!("{peer} over {}: {} (was {}){one_way}", link.name(), word(health), word(was));
    let fields = [
        ("PEER", peer.to_owned()),
        ("LINK", link.name()),
        ("STATE", word(health).to_owned()),
        ("REASON", format!("silent for {:?}", link.detector.silence(now).unwrap_or_default())),
    ];
    record(id, priority, message, &fields);
    describe(peer, link, Some(was), now)
}
