//! The shape of the file: which nodes there are, what they take. What the values mean is the business of `rules`.

use crate::fields::{
    Spanned, arguments, complain, integer_property, name_span, no_children, number_argument, only_properties, property,
    span_argument, span_property,
};
use crate::problem::{Problem, suggest};
use kdl::{KdlDocument, KdlNode};
use miette::SourceSpan;
use std::time::Duration;

/// The file as written.
pub struct Raw {
    pub cluster: Option<Spanned<String>>,
    pub port: Option<Spanned<i128>>,
    pub nodes: Vec<RawNode>,
    pub voters: Vec<Spanned<String>>,
    pub voters_span: Option<SourceSpan>,
    pub groups: Vec<RawGroup>,
    pub forced: Option<RawForced>,
    pub heartbeat: RawHeartbeat,
}

#[derive(Default)]
pub struct RawHeartbeat {
    pub interval: Option<Spanned<Duration>>,
    pub late: Option<Spanned<Duration>>,
    pub dead: Option<Spanned<Duration>>,
    pub boot_grace: Option<Spanned<Duration>>,
    pub disks: Vec<Spanned<String>>,
}

pub struct RawForced {
    pub span: SourceSpan,
    pub count: Option<Spanned<i128>>,
    pub reason: Option<Spanned<String>>,
    pub lost: Vec<Spanned<String>>,
    pub back: Vec<Spanned<String>>,
    pub votes: Vec<Spanned<String>>,
}

pub struct RawNode {
    pub name: Spanned<String>,
    pub key: Option<Spanned<String>>,
    pub links: Vec<Spanned<String>>,
    pub fences: Vec<RawFence>,
}

pub struct RawFence {
    /// The kind, then what it takes.
    pub words: Vec<Spanned<String>>,
    pub level: Option<Spanned<i128>>,
    pub timeout: Option<Spanned<Duration>>,
    /// Keys and values.
    pub options: Vec<(Spanned<String>, Spanned<String>)>,
    pub secrets: Vec<(Spanned<String>, Spanned<String>)>,
}

pub struct RawGroup {
    pub name: Spanned<String>,
    pub candidates: Vec<Spanned<String>>,
    pub outage_budget: Option<Spanned<Duration>>,
    pub failback: Option<Spanned<String>>,
    pub boot_grace: Option<Spanned<Duration>>,
    pub hold_down: Option<Spanned<Duration>>,
    pub moves_per_hour: Option<Spanned<i128>>,
    pub addresses: Vec<RawAddress>,
    pub units: Vec<Spanned<String>>,
    pub probes: Vec<RawProbe>,
    pub uplinks: Vec<RawProbe>,
    pub standby_units: Vec<Spanned<String>>,
    pub volumes: Vec<RawVolume>,
    pub shared: Vec<RawDisk>,
    pub proofs: Vec<Spanned<String>>,
}

pub struct RawDisk {
    pub device: Spanned<String>,
    pub mounts: Vec<RawMount>,
}

pub struct RawBacking {
    pub path: Spanned<String>,
    pub on: Option<Spanned<String>>,
    pub metadata: Option<Spanned<String>>,
}

pub struct RawVolume {
    pub name: Spanned<String>,
    /// A path, and on which node; without one on all that have no line of their own.
    pub backings: Vec<RawBacking>,
    pub frontend: Option<Spanned<String>>,
    pub mounts: Vec<RawMount>,
    pub abandon: Option<RawAbandon>,
    pub asynchronous: Option<RawAsynchronous>,
}

pub struct RawAsynchronous {
    pub nodes: Vec<Spanned<String>>,
    pub lag: Option<Spanned<Duration>>,
    pub bytes: Option<Spanned<String>>,
}

pub struct RawAbandon {
    pub generation: Spanned<String>,
    pub to: Option<Spanned<String>>,
    pub reason: Option<Spanned<String>>,
}

pub struct RawMount {
    pub place: Spanned<String>,
    pub kind: Option<Spanned<String>>,
    pub options: Option<Spanned<String>>,
}

pub struct RawProbe {
    pub span: SourceSpan,
    /// The kind, then what it takes.
    pub words: Vec<Spanned<String>>,
    pub interval: Option<Spanned<Duration>>,
    pub timeout: Option<Spanned<Duration>>,
    pub rise: Option<Spanned<i128>>,
    pub fall: Option<Spanned<i128>>,
    pub user: Option<Spanned<String>>,
}

pub struct RawAddress {
    pub net: Spanned<String>,
    pub interface: Option<Spanned<String>>,
}

const TOP: [&str; 6] = ["cluster", "heartbeat", "node", "voters", "group", "forced"];
const VOLUME: [&str; 5] = ["backing", "frontend", "mount", "asynchronous", "abandon"];
const FORCED: [&str; 3] = ["lost", "back", "votes"];
const GROUP: [&str; 14] = [
    "candidates",
    "outage-budget",
    "failback",
    "boot-grace",
    "hold-down",
    "moves-per-hour",
    "address",
    "unit",
    "probe",
    "uplink",
    "standby-unit",
    "volume",
    "shared",
    "proof",
];

/// Reads `text` as KDL and sorts it into [`Raw`]; `None` if it is not KDL at all.
pub fn read(text: &str) -> (Option<Raw>, Vec<Problem>) {
    let mut problems = Vec::new();
    let document = match KdlDocument::parse_v2(text) {
        Ok(document) => document,
        Err(error) => {
            for diagnostic in error.diagnostics {
                let message = diagnostic.message.unwrap_or_else(|| "this is not KDL".into());
                let help = diagnostic.help.unwrap_or_else(|| {
                    "the file is KDL version 2: a node per line, strings in quotes, children in braces".into()
                });
                complain(&mut problems, diagnostic.span, message, help);
            }
            return (None, problems);
        }
    };
    let mut raw = Raw {
        cluster: None,
        port: None,
        nodes: Vec::new(),
        voters: Vec::new(),
        voters_span: None,
        groups: Vec::new(),
        forced: None,
        heartbeat: RawHeartbeat::default(),
    };
    let mut once = Once::default();
    for node in document.nodes() {
        match node.name().value() {
            "cluster" if once.first(node, &mut problems) => cluster(node, &mut raw, &mut problems),
            "heartbeat" if once.first(node, &mut problems) => raw.heartbeat = heartbeat(node, &mut problems),
            "voters" if once.first(node, &mut problems) => {
                only_properties(node, &[], &mut problems);
                no_children(node, &mut problems);
                raw.voters = arguments(node, (1, usize::MAX), "the names of the nodes that vote", &mut problems);
                raw.voters_span = Some(name_span(node));
            }
            "forced" if once.first(node, &mut problems) => raw.forced = Some(forced(node, &mut problems)),
            "node" => raw.nodes.extend(machine(node, &mut problems)),
            "group" => raw.groups.extend(group(node, &mut problems)),
            "cluster" | "heartbeat" | "voters" | "forced" => {}
            other => unknown(node, other, &TOP, "the file", &mut problems),
        }
    }
    (Some(raw), problems)
}

#[derive(Default)]
struct Once(Vec<String>);

impl Once {
    /// True for the first node of a name; complains about every further one.
    fn first(&mut self, node: &KdlNode, problems: &mut Vec<Problem>) -> bool {
        let name = node.name().value();
        if self.0.iter().any(|seen| seen == name) {
            complain(problems, name_span(node), format!("`{name}` is given twice"), "keep one of the two");
            return false;
        }
        self.0.push(name.to_owned());
        true
    }
}

fn unknown(node: &KdlNode, name: &str, known: &[&str], place: &str, problems: &mut Vec<Problem>) {
    complain(problems, name_span(node), format!("{place} has no node `{name}`"), suggest(name, known));
}

fn cluster(node: &KdlNode, raw: &mut Raw, problems: &mut Vec<Problem>) {
    only_properties(node, &["port"], problems);
    no_children(node, problems);
    raw.cluster = arguments(node, (1, 1), "the name of the cluster", problems).pop();
    raw.port = integer_property(node, "port", problems);
}

fn heartbeat(node: &KdlNode, problems: &mut Vec<Problem>) -> RawHeartbeat {
    only_properties(node, &["interval", "late", "dead", "boot-grace"], problems);
    arguments(node, (0, 0), "properties only", problems);
    let mut disks = Vec::new();
    for child in node.iter_children() {
        match child.name().value() {
            "disk" => {
                only_properties(child, &[], problems);
                no_children(child, problems);
                disks.extend(arguments(child, (1, 1), "the path of one disk", problems));
            }
            other => unknown(child, other, &["disk"], "`heartbeat`", problems),
        }
    }
    RawHeartbeat {
        interval: span_property(node, "interval", problems),
        late: span_property(node, "late", problems),
        dead: span_property(node, "dead", problems),
        boot_grace: span_property(node, "boot-grace", problems),
        disks,
    }
}

fn forced(node: &KdlNode, problems: &mut Vec<Problem>) -> RawForced {
    only_properties(node, &["count", "reason"], problems);
    arguments(node, (0, 0), "properties only", problems);
    let count = integer_property(node, "count", problems);
    let reason = property(node, "reason", problems);
    let mut forced =
        RawForced { span: name_span(node), count, reason, lost: Vec::new(), back: Vec::new(), votes: Vec::new() };
    let mut once = Once::default();
    for child in node.iter_children() {
        let name = child.name().value();
        if !FORCED.contains(&name) {
            unknown(child, name, &FORCED, "`forced`", problems);
            continue;
        }
        only_properties(child, &[], problems);
        no_children(child, problems);
        let names = arguments(child, (1, usize::MAX), "the names of nodes", problems);
        if once.first(child, problems) {
            match name {
                "lost" => forced.lost = names,
                "back" => forced.back = names,
                _ => forced.votes = names,
            }
        }
    }
    forced
}

fn machine(node: &KdlNode, problems: &mut Vec<Problem>) -> Option<RawNode> {
    only_properties(node, &["key"], problems);
    let name = arguments(node, (1, 1), "the host name of one machine", problems).pop();
    let key = property(node, "key", problems);
    let (mut links, mut fences) = (Vec::new(), Vec::new());
    for child in node.iter_children() {
        match child.name().value() {
            "link" => {
                only_properties(child, &[], problems);
                no_children(child, problems);
                links.extend(arguments(child, (1, 1), "one IP address", problems));
            }
            "fence" => fences.push(fence(child, problems)),
            other => unknown(child, other, &["link", "fence"], "`node`", problems),
        }
    }
    Some(RawNode { name: name?, key, links, fences })
}

fn fence(node: &KdlNode, problems: &mut Vec<Problem>) -> RawFence {
    only_properties(node, &["level", "timeout"], problems);
    let words = arguments(node, (1, usize::MAX), "\"agent\" or \"run\" and the program, or \"pill\"", problems);
    let (level, timeout) = (integer_property(node, "level", problems), span_property(node, "timeout", problems));
    let (mut options, mut secrets) = (Vec::<(Spanned<String>, _)>::new(), Vec::<(Spanned<String>, _)>::new());
    for child in node.iter_children() {
        let list = match child.name().value() {
            "option" => &mut options,
            "secret" => &mut secrets,
            other => {
                unknown(child, other, &["option", "secret"], "`fence`", problems);
                continue;
            }
        };
        only_properties(child, &[], problems);
        no_children(child, problems);
        let pair: Result<[_; 2], _> = arguments(child, (2, 2), "a name and a value", problems).try_into();
        let Ok([key, value]) = pair else { continue };
        if list.iter().any(|(other, _)| other.value == key.value) {
            complain(problems, key.span, format!("`{}` is given twice", key.value), "keep one of the two");
        }
        list.push((key, value));
    }
    RawFence { words, level, timeout, options, secrets }
}

fn group(node: &KdlNode, problems: &mut Vec<Problem>) -> Option<RawGroup> {
    only_properties(node, &[], problems);
    let name = arguments(node, (1, 1), "one name", problems).pop();
    let mut group = RawGroup {
        name: Spanned { value: String::new(), span: name_span(node) },
        candidates: Vec::new(),
        outage_budget: None,
        failback: None,
        boot_grace: None,
        hold_down: None,
        moves_per_hour: None,
        addresses: Vec::new(),
        units: Vec::new(),
        probes: Vec::new(),
        uplinks: Vec::new(),
        standby_units: Vec::new(),
        volumes: Vec::new(),
        shared: Vec::new(),
        proofs: Vec::new(),
    };
    let mut once = Once::default();
    for child in node.iter_children() {
        let name = child.name().value();
        let repeatable = matches!(name, "address" | "unit" | "probe" | "uplink" | "standby-unit" | "volume" | "shared");
        if !GROUP.contains(&name) {
            unknown(child, name, &GROUP, "`group`", problems);
        } else if repeatable || once.first(child, problems) {
            group_child(child, name, &mut group, problems);
        }
    }
    group.name = name?;
    Some(group)
}

fn probe(node: &KdlNode, takes: &'static str, problems: &mut Vec<Problem>) -> RawProbe {
    only_properties(node, &["interval", "timeout", "rise", "fall", "user"], problems);
    no_children(node, problems);
    RawProbe {
        span: name_span(node),
        words: arguments(node, (2, usize::MAX), takes, problems),
        interval: span_property(node, "interval", problems),
        timeout: span_property(node, "timeout", problems),
        rise: integer_property(node, "rise", problems),
        fall: integer_property(node, "fall", problems),
        user: property(node, "user", problems),
    }
}

fn volume(node: &KdlNode, problems: &mut Vec<Problem>) -> Option<RawVolume> {
    only_properties(node, &[], problems);
    let name = arguments(node, (1, 1), "one name", problems).pop();
    let (mut backings, mut frontend, mut mounts, mut abandon) = (Vec::new(), None, Vec::new(), None);
    let mut asynchronous = None;
    let mut once = Once::default();
    for child in node.iter_children() {
        match child.name().value() {
            "frontend" | "abandon" | "asynchronous" if !once.first(child, problems) => {}
            "asynchronous" => {
                only_properties(child, &["lag", "lag-bytes"], problems);
                no_children(child, problems);
                let (lag, bytes) = (span_property(child, "lag", problems), property(child, "lag-bytes", problems));
                let nodes = arguments(child, (1, usize::MAX), "the names of candidates", problems);
                asynchronous = Some(RawAsynchronous { nodes, lag, bytes });
            }
            "abandon" => {
                only_properties(child, &["for", "reason"], problems);
                no_children(child, problems);
                let [to, reason] = ["for", "reason"].map(|key| property(child, key, problems));
                let generation = arguments(child, (1, 1), "the generation that is given up", problems).pop();
                abandon = generation.map(|generation| RawAbandon { generation, to, reason });
            }
            "frontend" => {
                only_properties(child, &[], problems);
                no_children(child, problems);
                frontend = arguments(child, (1, 1), "\"ublk\", \"nbd\" or \"socket\"", problems).pop();
            }
            "mount" => mounts.extend(mount(child, problems)),
            "backing" => {
                only_properties(child, &["node", "metadata"], problems);
                no_children(child, problems);
                let [on, metadata] = ["node", "metadata"].map(|key| property(child, key, problems));
                let path = arguments(child, (1, 1), "the path of one block device or file", problems).pop();
                backings.extend(path.map(|path| RawBacking { path, on, metadata }));
            }
            other => unknown(child, other, &VOLUME, "`volume`", problems),
        }
    }
    Some(RawVolume { name: name?, backings, frontend, mounts, abandon, asynchronous })
}

fn mount(node: &KdlNode, problems: &mut Vec<Problem>) -> Option<RawMount> {
    only_properties(node, &["type", "options"], problems);
    no_children(node, problems);
    let [kind, options] = ["type", "options"].map(|key| property(node, key, problems));
    let place = arguments(node, (1, 1), "the directory", problems).pop();
    place.map(|place| RawMount { place, kind, options })
}

fn shared(node: &KdlNode, problems: &mut Vec<Problem>) -> Option<RawDisk> {
    only_properties(node, &[], problems);
    let device = arguments(node, (1, 1), "the path of one disk", problems).pop();
    let mut mounts = Vec::new();
    for child in node.iter_children() {
        match child.name().value() {
            "mount" => mounts.extend(mount(child, problems)),
            other => unknown(child, other, &["mount"], "`shared`", problems),
        }
    }
    device.map(|device| RawDisk { device, mounts })
}

fn group_child(child: &KdlNode, name: &str, group: &mut RawGroup, problems: &mut Vec<Problem>) {
    match name {
        "outage-budget" => group.outage_budget = span_argument(child, problems),
        "boot-grace" => group.boot_grace = span_argument(child, problems),
        "hold-down" => group.hold_down = span_argument(child, problems),
        "moves-per-hour" => group.moves_per_hour = number_argument(child, problems),
        "probe" => group.probes.push(probe(child, "\"http\", \"tcp\" or \"exec\", and what to ask", problems)),
        "uplink" => {
            group.uplinks.push(probe(child, "\"ping\", \"tcp\", \"http\" or \"exec\", and what to ask", problems))
        }
        "volume" => group.volumes.extend(volume(child, problems)),
        "shared" => group.shared.extend(shared(child, problems)),
        "address" => {
            only_properties(child, &["interface"], problems);
            no_children(child, problems);
            let interface = property(child, "interface", problems);
            let net = arguments(child, (1, 1), "one address with its prefix length", problems).pop();
            group.addresses.extend(net.map(|net| RawAddress { net, interface }));
        }
        _ => {
            only_properties(child, &[], problems);
            no_children(child, problems);
            match name {
                "candidates" => {
                    group.candidates =
                        arguments(child, (1, usize::MAX), "the names of nodes, the preferred one first", problems);
                }
                "proof" => group.proofs = arguments(child, (1, usize::MAX), "what ends a lease early", problems),
                "failback" => group.failback = arguments(child, (1, 1), "\"manual\" or \"auto\"", problems).pop(),
                "unit" => group.units.extend(arguments(child, (1, 1), "the name of one unit", problems)),
                _ => group.standby_units.extend(arguments(child, (1, 1), "the name of one unit", problems)),
            }
        }
    }
}
