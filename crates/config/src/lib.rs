//! The configuration file: KDL v2 text in, a checked [`Config`] or *all* its mistakes out.
//!
//! ```text
//!  text --kdl--> document --schema--> raw values --rules--> Config
//!                   \____________________\_________________/
//!                     every mistake: span, what is wrong, what would be right
//! ```
//! Parsing takes a `&str`; only [`load`] touches a file.
#![forbid(unsafe_code)]

mod disks;
mod fences;
mod fields;
mod probes;
mod problem;
mod rules;
mod schema;
mod volumes;

pub use problem::{Problem, Problems};

use hotspare_core::heartbeat::HeartbeatTimes;
use hotspare_core::{Epoch, GroupId, NodeId, Timetable};
use ipnetwork::IpNetwork;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where every program looks for the file.
pub const PATH: &str = "/etc/hotspare/cluster.kdl";
/// UDP port of the heartbeat; the arbiter listens on the next one, the lease client on the one after.
pub const PORT_DEFAULT: u16 = 7400;

/// A gate that has not said for so long that it lives is killed, and its proof given by another process.
pub const GATE_WATCHDOG: Duration = Duration::from_secs(10);
/// The same for the daemons that decide; their units are in units/system.
pub const DAEMON_WATCHDOG: Duration = Duration::from_secs(5);

/// A configuration without mistakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub cluster: String,
    pub port: u16,
    pub nodes: Vec<Node>,
    /// Names of the nodes that vote: without those that are lost.
    pub voters: Vec<String>,
    /// An operator has gone on without a majority.
    pub forced: Option<Forced>,
    pub groups: Vec<Group>,
    pub heartbeat: HeartbeatTimes,
    /// A disk that all nodes see, and write their heartbeats to as well.
    pub disk: Option<PathBuf>,
    /// A digest of the text, to compare nodes by.
    pub digest: u64,
}

/// What an operator said when a majority was gone for good (`hotspare force`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forced {
    /// How often this has happened to the cluster.
    pub count: u32,
    pub reason: String,
    /// Nodes that were gone: nobody counted their votes, listened to them or let them lead.
    pub lost: Vec<String>,
    /// Those of them that have been made anew: they may lead, and learn what a voter has to know.
    pub back: Vec<String>,
    /// Those of them that vote again.
    pub votes: Vec<String>,
}

impl Forced {
    /// Whether `name` was lost and is not on `list`.
    fn is_out(&self, name: &str, list: &[String]) -> bool {
        self.lost.iter().any(|lost| lost == name) && !list.iter().any(|back| back == name)
    }
}

/// A machine of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub id: NodeId,
    pub key: [u8; 32],
    /// Its addresses, one for each network it shares with the others.
    pub links: Vec<IpAddr>,
    /// How others switch it off.
    pub fences: Vec<Fence>,
}

/// A way to switch a node off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub kind: FenceKind,
    /// All of a level must succeed; if they do not, the next one is tried.
    pub level: u8,
    /// For each thing that it is asked to do.
    pub timeout: Duration,
    /// What an agent is told, by the names that its metadata has for it.
    pub options: BTreeMap<String, String>,
    /// The same, with the names of systemd credentials that have the values.
    pub secrets: BTreeMap<String, String>,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FenceKind {
    /// A fence agent of the ClusterLabs kind, on the PATH or in full.
    Agent(String),
    /// A program, its arguments, and then what it is to do.
    Run(Vec<String>),
    /// Nothing: an order on the disk of the heartbeats, which the node obeys.
    Pill,
}

/// What is known of a node that was to be off, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Asked afterwards, every device of a level said that there is no power.
    PowerOff,
    /// The node has obeyed an order to reset itself, and says so from its next boot.
    Reset,
    /// Somebody says that he has seen it.
    Human,
}

impl Proof {
    /// All there are.
    pub const ALL: [Proof; 3] = [Proof::PowerOff, Proof::Reset, Proof::Human];

    /// As the file and the journal have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Proof::PowerOff => "power-off",
            Proof::Reset => "reset",
            Proof::Human => "human",
        }
    }

    #[must_use]
    pub fn of(word: &str) -> Option<Proof> {
        Proof::ALL.into_iter().find(|proof| proof.word() == word)
    }
}

/// What moves as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub id: GroupId,
    /// Names of the nodes that may lead it, in order of preference.
    pub candidates: Vec<String>,
    /// The one number: the longest a power cut may cost, without the start of the service itself.
    pub outage_budget: Duration,
    pub timetable: Timetable,
    pub failback: bool,
    pub boot_grace: Duration,
    pub hold_down: Duration,
    /// How often a node takes the role within an hour without being asked; 0: no limit.
    pub moves_per_hour: usize,
    pub addresses: Vec<Address>,
    /// The user's units that run on the primary, started in this order and stopped in reverse.
    pub units: Vec<String>,
    /// What is asked of the service, to find out whether it does its work.
    pub probes: Vec<Probe>,
    /// What is asked on every candidate, to find out whether it reaches its clients; one that answers is enough.
    pub uplinks: Vec<Probe>,
    /// The user's units that run on the standby.
    pub standby_units: Vec<String>,
    /// What the primary has, and the others have a copy of.
    pub volumes: Vec<Volume>,
    /// What ends a lease early; anything, if nothing is said.
    pub proofs: Vec<Proof>,
    /// Disks that all candidates see, and that only the primary may write to.
    pub shared: Vec<SharedDisk>,
}

/// A whole disk on a SAN: iSCSI, Fibre Channel, NVMe over fabrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedDisk {
    pub device: PathBuf,
    /// The file system on it.
    pub mount: Option<Mount>,
}

/// A block device with a copy on each candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    /// Names it on disk and on the wire.
    pub id: u64,
    /// The TCP port on which copies speak to each other.
    pub port: u16,
    /// Where the copy of each candidate is.
    pub backings: BTreeMap<String, Place>,
    /// How its user gets at it.
    pub frontend: Frontend,
    /// The file system on it.
    pub mount: Option<Mount>,
    /// What an operator has given up (`hotspare force --volume`).
    pub abandon: Option<Abandon>,
    /// Copies that nobody waits for.
    pub asynchronous: Asynchronous,
}

/// Where a copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A block device or a file.
    pub path: PathBuf,
    /// The file with its metadata, if that is not at the end of the other.
    pub metadata: Option<PathBuf>,
}

/// Copies that are behind, and how far they may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asynchronous {
    /// On these nodes; none, mostly.
    pub nodes: Vec<String>,
    /// What was written so long ago and is not there leaves the copy behind.
    pub lag: Duration,
    /// So do more bytes than these; they are kept in memory.
    pub lag_bytes: u64,
}

impl Volume {
    /// The unit that has it ready while the role is here.
    #[must_use]
    pub fn unit(&self) -> String {
        format!("hotspare-volume@{}.service", self.name)
    }
}

/// No copy that counts is left, and an operator takes one that does not: what it lacks is lost, and all others are made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandon {
    /// The data that is given up. Once there is another generation, this says nothing any more.
    pub generation: u64,
    /// Whose copy is the beginning of the next one.
    pub to: String,
}

/// How the user of a volume gets at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// A block device: ublk's where the kernel can all that is needed, NBD's otherwise.
    Device,
    /// A block device of the kernel's ublk driver.
    Ublk,
    /// A block device of the kernel's NBD client.
    Nbd,
    /// No block device: only the unix socket, for QEMU and other NBD clients.
    Socket,
}

/// Where a file system is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub place: String,
    pub kind: String,
    pub options: Option<String>,
}

impl Mount {
    /// Its unit, named as systemd-escape(1) does it.
    #[must_use]
    pub fn unit(&self) -> String {
        let escape = |(n, byte): (usize, u8)| match byte {
            b'/' => "-".to_owned(),
            b'.' if n == 0 => "\\x2e".to_owned(),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => char::from(byte).to_string(),
            other => format!("\\x{other:02x}"),
        };
        let escaped: String = self.place.trim_start_matches('/').bytes().enumerate().map(escape).collect();
        format!("{escaped}.mount")
    }
}

/// A question to the service, asked again and again on the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub kind: ProbeKind,
    pub interval: Duration,
    /// An answer that takes longer is bad.
    pub timeout: Duration,
    /// So many good answers in a row make it good.
    pub rise: u32,
    /// So many bad answers in a row make it bad.
    pub fall: u32,
    /// Who runs a program; `None`: a user made for it.
    pub user: Option<String>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Send an ICMP echo request to this.
    Ping(IpAddr),
    /// GET this; good from 200 to 399.
    Http(String),
    /// Connect to this.
    Tcp(SocketAddr),
    /// Run this program with these arguments; good if it exits with 0.
    Exec(Vec<String>),
}

/// An address that the primary has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub net: IpNetwork,
    pub interface: String,
}

impl Group {
    /// The name of one of this group's units: plain for the group `default`, an instance for all others.
    #[must_use]
    pub fn unit_name(&self, stem: &str, kind: &str) -> String {
        match self.name.as_str() {
            "default" => format!("{stem}.{kind}"),
            name => format!("{stem}@{name}.{kind}"),
        }
    }

    /// The path units by which process 1 starts and stops the role here (decision 0004); a lock has none.
    #[must_use]
    pub fn path_units(&self) -> Vec<String> {
        let stems = ["cluster-take", "cluster-yield"].iter().filter(|_| !self.is_lock());
        stems.map(|stem| self.unit_name(stem, "path")).collect()
    }

    /// The unit that asks the `n`th probe, counted from 0.
    #[must_use]
    pub fn probe_unit(&self, n: usize) -> String {
        self.unit_name(&format!("cluster-probe-{}", n + 1), "service")
    }

    /// The unit that asks the `n`th of what tells whether this node reaches its clients, counted from 0.
    #[must_use]
    pub fn uplink_unit(&self, n: usize) -> String {
        self.unit_name(&format!("cluster-uplink-{}", n + 1), "service")
    }

    /// The unit that has the `n`th shared disk reserved while the role is here, counted from 0.
    #[must_use]
    pub fn disk_unit(&self, n: usize) -> String {
        self.unit_name(&format!("cluster-disk-{}", n + 1), "service")
    }

    /// The unit that is active on a node that stands by once the `n`th shared disk could be claimed there, counted from 0.
    #[must_use]
    pub fn disk_free_unit(&self, n: usize) -> String {
        self.unit_name(&format!("cluster-disk-free-{}", n + 1), "service")
    }

    /// The units of the volumes, the disks, and what is mounted from them, in the order in which they start.
    #[must_use]
    pub fn storage_units(&self) -> Vec<String> {
        let volumes = self.volumes.iter();
        let volumes = volumes.flat_map(|volume| [Some(volume.unit()), volume.mount.as_ref().map(Mount::unit)]);
        let disks = self.shared.iter().enumerate();
        let disks = disks.flat_map(|(n, disk)| [Some(self.disk_unit(n)), disk.mount.as_ref().map(Mount::unit)]);
        volumes.chain(disks).flatten().collect()
    }

    /// A group that runs nothing is a lock for scripts: taken only by `hotspare-lease hold`.
    #[must_use]
    pub fn is_lock(&self) -> bool {
        self.units.is_empty() && self.addresses.is_empty()
    }
}

impl Config {
    /// Checks `text`; `name` is what the mistakes call the file.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(name: &str, text: &str) -> Result<Config, Problems> {
        let (raw, mut problems) = schema::read(text);
        let config = raw.and_then(|raw| rules::check(raw, text, &mut problems));
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(Problems::new(name, text, problems)),
        }
    }

    /// The name of this cluster on the disk of its heartbeats.
    #[must_use]
    pub fn disk_id(&self) -> u64 {
        hotspare_core::id::fnv1a(self.cluster.as_bytes())
    }

    /// The node called `name`.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Whether the node called `name` was declared gone for good, and has not come back.
    #[must_use]
    pub fn is_lost(&self, name: &str) -> bool {
        self.forced.as_ref().is_some_and(|forced| forced.is_out(name, &forced.back))
    }

    /// The nodes that are not lost: the only ones that anybody talks to.
    pub fn living(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !self.is_lost(&node.name))
    }

    /// How often an operator has declared nodes lost.
    #[must_use]
    pub fn era(&self) -> u32 {
        self.forced.as_ref().map_or(0, |forced| forced.count)
    }

    /// Epochs begin above this: tokens of nodes that are gone may be higher than any the others know of.
    #[must_use]
    pub fn epoch_floor(&self) -> Epoch {
        Epoch(u64::from(self.era()) << 32)
    }

    /// The name of the node with `id`.
    #[must_use]
    pub fn node_name(&self, id: NodeId) -> &str {
        self.nodes.iter().find(|node| node.id == id).map_or("?", |node| &node.name)
    }

    /// The group called `name`.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The shortest step (a twelfth of a lease) of any group: what everything that is waited for is measured by.
    #[must_use]
    pub fn shortest_step(&self) -> Duration {
        self.groups.iter().map(|group| group.timetable.step()).min().unwrap_or(Duration::from_millis(100))
    }

    /// Ids of the voters.
    #[must_use]
    pub fn voter_ids(&self) -> Vec<NodeId> {
        self.voters.iter().map(|name| NodeId::of(name)).collect()
    }

    /// The nodes that others can switch off.
    pub fn fenceable(&self) -> impl Iterator<Item = &Node> {
        self.living().filter(|node| !node.fences.is_empty())
    }

    /// F3: there are two voters, each can switch the other off, and one that is proven to be off counts as granted. Not while `force`
    /// has made two of them.
    #[must_use]
    pub fn fence_votes(&self) -> bool {
        let can = |name: &String| self.node(name).is_some_and(|node| !node.fences.is_empty());
        let all = |forced: &Forced| forced.lost.iter().all(|lost| forced.votes.contains(lost));
        self.voters.len() == 2 && self.forced.as_ref().is_none_or(all) && self.voters.iter().all(can)
    }

    /// The volume called `name`, and its group.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<(&Group, &Volume)> {
        self.volumes().find(|(_, volume)| volume.name == name)
    }

    /// All volumes, each with its group.
    pub fn volumes(&self) -> impl Iterator<Item = (&Group, &Volume)> {
        self.groups.iter().flat_map(|group| group.volumes.iter().map(move |volume| (group, volume)))
    }

    /// The groups that `node` may lead.
    pub fn groups_of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Group> {
        self.groups.iter().filter(move |group| group.candidates.iter().any(|candidate| candidate == node))
    }
}

/// Why a file could not be used.
#[derive(Debug, miette::Diagnostic)]
pub enum LoadError {
    /// It could not be read.
    Unreadable { path: String, source: std::io::Error },
    /// It has mistakes.
    #[diagnostic(transparent)]
    Mistakes(Problems),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Unreadable { path, source } => write!(f, "cannot read the configuration {path}: {source}"),
            LoadError::Mistakes(problems) => write!(f, "{}", problems.render(false)),
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads and checks the file at `path`.
///
/// # Errors
/// If it cannot be read, or has mistakes.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Config::parse(&name, &text).map_err(LoadError::Mistakes),
        Err(source) => Err(LoadError::Unreadable { path: name, source }),
    }
}

/// Reads a number of bytes: `"4096"`, `"64MiB"`, `"1GiB"`.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match text[digits..].trim_start() {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Reads a span of time as systemd writes it: `"1500ms"`, `"2s"`, `"1min 30s"`.
#[must_use]
pub fn parse_span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u32 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "us" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" | "sec" => Duration::from_secs(1),
            "min" | "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = rest[letters..].trim_start();
    }
    Some(total)
}
