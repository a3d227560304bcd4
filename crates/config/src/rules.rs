//! What the values must satisfy, and the defaults of what was not said.

use crate::fields::{Spanned, complain};
use crate::problem::{Problem, suggest};
use crate::schema::{Raw, RawAddress, RawForced, RawGroup, RawHeartbeat, RawNode};
use crate::{Address, Config, FenceKind, Forced, Group, Node, PORT_DEFAULT};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hotspare_core::heartbeat::HeartbeatTimes;
use hotspare_core::timetable::BUDGET_DEFAULT;
use hotspare_core::{GroupId, NodeId, Timetable, id::fnv1a};
use ipnetwork::IpNetwork;
use miette::SourceSpan;
use std::time::Duration;

/// A hint, never the judge: oftener would cost more of an idle machine than it tells.
const BEAT: Duration = Duration::from_millis(500);
const BOOT_GRACE: Duration = Duration::from_secs(10);
/// A role that came by itself more often than this has a problem that moving does not solve.
const MOVES_PER_HOUR: usize = 10;
const HOLD_DOWN: Duration = Duration::from_secs(10);
/// More would not fit the timers of one daemon and was never tried.
const NODES_MAX: usize = 64;

pub fn check(raw: Raw, text: &str, problems: &mut Vec<Problem>) -> Option<Config> {
    let top = SourceSpan::from((0, text.lines().next().map_or(0, str::len)));
    let cluster = raw.cluster.as_ref().map(|name| name.value.clone());
    if cluster.is_none() && !problems.iter().any(|problem| problem.message.contains("`cluster`")) {
        complain(problems, top, "the cluster has no name", "add a line: cluster \"demo\"");
    }
    let nodes = nodes(&raw.nodes, !raw.heartbeat.disks.is_empty(), problems);
    if raw.nodes.is_empty() {
        complain(
            problems,
            top,
            "no nodes",
            "add one line for each machine: node \"alpha\" key=\"...\" { link \"192.0.2.1\"; }",
        );
    }
    let names: Vec<&str> = raw.nodes.iter().map(|node| node.name.value.as_str()).collect();
    let mut voters = voters(&raw, &names, &nodes, problems);
    let mut groups = groups(&raw.groups, &names, problems);
    let forced = raw.forced.as_ref().and_then(|raw| forced(raw, &voters, &mut groups, problems));
    if let Some(forced) = &forced {
        voters.retain(|voter| !forced.is_out(voter, &forced.votes));
    }
    if raw.groups.is_empty() {
        complain(
            problems,
            top,
            "no groups",
            "say what is to be kept running: group \"default\" { candidates \"alpha\" \"beta\"; }",
        );
    }
    let port = raw.port.as_ref().map_or(Some(PORT_DEFAULT), |port| {
        let value = u16::try_from(port.value).ok().filter(|port| (1..=65533).contains(port));
        if value.is_none() {
            complain(
                problems,
                port.span,
                "`port` is out of range",
                "1 to 65533: this port and the two after it are used",
            );
        }
        value
    });
    let name = cluster.as_deref().unwrap_or_default();
    crate::volumes::volumes(name, &raw.groups, port.unwrap_or(PORT_DEFAULT), &mut groups, problems);
    crate::disks::shared(&raw.groups, &mut groups, problems);
    crate::disks::places(&raw.groups, problems);
    Some(Config {
        cluster: cluster?,
        port: port?,
        nodes,
        voters,
        forced,
        groups,
        heartbeat: heartbeat(&raw.heartbeat, problems)?,
        disk: crate::disks::of_heartbeats(&raw, problems),
        digest: fnv1a(text.as_bytes()),
    })
}

/// Names become file names, unit names and journal fields.
fn good_name(name: &Spanned<String>, what: &str, problems: &mut Vec<Problem>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let text = &name.value;
    if text.is_empty()
        || text.len() > 63
        || !text.chars().all(fits)
        || !text.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        let help = "letters, digits, dashes and dots, at most 63, as the machine's host name";
        complain(problems, name.span, format!("{what} \"{text}\" is not a host name"), help);
    }
}

fn nodes(raw: &[RawNode], disk: bool, problems: &mut Vec<Problem>) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    if let Some(extra) = raw.get(NODES_MAX) {
        complain(
            problems,
            extra.name.span,
            format!("more than {NODES_MAX} nodes"),
            "make two clusters of it; an arbiter may serve both",
        );
    }
    for node in raw {
        good_name(&node.name, "the node", problems);
        let name = node.name.value.clone();
        let id = NodeId::of(&name);
        if nodes.iter().any(|other| other.name == name) {
            complain(
                problems,
                node.name.span,
                format!("the node \"{name}\" is there twice"),
                "every node has a name of its own",
            );
        } else if id == NodeId::default() || nodes.iter().any(|other| other.id == id) {
            complain(
                problems,
                node.name.span,
                format!("the name \"{name}\" collides with another"),
                "choose another name for this node",
            );
        }
        let key = key(node, &nodes, problems);
        let links = links(node, &nodes, problems);
        let fences = crate::fences::fences(node, disk, problems);
        nodes.push(Node { name, id, key: key.unwrap_or_default(), links, fences });
    }
    nodes
}

fn key(node: &RawNode, before: &[Node], problems: &mut Vec<Problem>) -> Option<[u8; 32]> {
    let name = &node.name.value;
    let make = format!("run `hotspare keygen` on {name} and put the key it prints here: key=\"...\"");
    let Some(text) = &node.key else {
        complain(problems, node.name.span, format!("the node \"{name}\" has no key"), make);
        return None;
    };
    let key: Option<[u8; 32]> = STANDARD.decode(&text.value).ok().and_then(|bytes| bytes.try_into().ok());
    let Some(key) = key else {
        complain(problems, text.span, "this is not a public key (32 bytes in base64, 44 characters)", make);
        return None;
    };
    if let Some(other) = before.iter().find(|other| other.key == key) {
        let message = format!("\"{name}\" has the same key as \"{}\"", other.name);
        complain(problems, text.span, message, "every node has a key of its own: run `hotspare keygen` on each");
    }
    Some(key)
}

fn links(node: &RawNode, before: &[Node], problems: &mut Vec<Problem>) -> Vec<std::net::IpAddr> {
    let name = &node.name.value;
    if node.links.is_empty() {
        let help = "add its address, and a second one on another network if there is one: link \"192.0.2.1\"";
        complain(problems, node.name.span, format!("the node \"{name}\" has no link"), help);
    }
    let mut links = Vec::new();
    for link in &node.links {
        let Ok(address) = link.value.parse::<std::net::IpAddr>() else {
            let help = "an IPv4 or IPv6 address without prefix or port; host names may need a network to resolve";
            complain(problems, link.span, format!("\"{}\" is not an IP address", link.value), help);
            continue;
        };
        if address.is_unspecified() || address.is_multicast() {
            complain(
                problems,
                link.span,
                format!("{address} is no address of one machine"),
                "give the machine's own address",
            );
        }
        if links.contains(&address) {
            complain(problems, link.span, format!("{address} is there twice"), "one link for each network");
        } else if let Some(other) = before.iter().find(|other| other.links.contains(&address)) {
            complain(
                problems,
                link.span,
                format!("{address} belongs to \"{}\" already", other.name),
                "each machine has its own addresses",
            );
        }
        links.push(address);
    }
    links
}

fn known_node(name: &Spanned<String>, names: &[&str], problems: &mut Vec<Problem>) {
    if !names.contains(&name.value.as_str()) {
        complain(problems, name.span, format!("there is no node \"{}\"", name.value), suggest(&name.value, names));
    }
}

fn no_repeats(list: &[Spanned<String>], what: &str, problems: &mut Vec<Problem>) {
    for (place, item) in list.iter().enumerate() {
        if list[..place].iter().any(|before| before.value == item.value) {
            complain(problems, item.span, format!("{what} \"{}\" is there twice", item.value), "remove one of the two");
        }
    }
}

/// What is lost neither votes nor leads; somebody has to be left who does.
fn forced(raw: &RawForced, voters: &[String], groups: &mut [Group], problems: &mut Vec<Problem>) -> Option<Forced> {
    let before = problems.len();
    let names: Vec<&str> = voters.iter().map(String::as_str).collect();
    for name in raw.lost.iter().filter(|name| !names.contains(&name.value.as_str())) {
        let message = format!("\"{}\" does not vote: a majority is not missing because of it", name.value);
        complain(problems, name.span, message, suggest(&name.value, &names));
    }
    for (list, of, what) in [(&raw.back, &raw.lost, "lost"), (&raw.votes, &raw.back, "back")] {
        let known: Vec<&str> = of.iter().map(|name| name.value.as_str()).collect();
        for name in list.iter().filter(|name| !known.contains(&name.value.as_str())) {
            complain(problems, name.span, format!("\"{}\" was not {what}", name.value), suggest(&name.value, &known));
        }
    }
    [&raw.lost, &raw.back, &raw.votes].into_iter().for_each(|list| no_repeats(list, "the node", problems));
    let example =
        "`hotspare force` writes this: forced count=1 reason=\"fire in room 2\" { lost \"beta\" \"witness\"; }";
    let count = raw.count.as_ref().and_then(|count| u32::try_from(count.value).ok()).filter(|count| *count > 0);
    if count.is_none() {
        complain(problems, raw.span, "`forced` needs `count`, how often this has happened", example);
    }
    let reason = raw.reason.as_ref().map(|reason| reason.value.clone()).filter(|reason| !reason.trim().is_empty());
    if reason.is_none() {
        complain(problems, raw.span, "`forced` needs a reason", example);
    }
    let texts = |list: &[Spanned<String>]| list.iter().map(|name| name.value.clone()).collect();
    let (lost, back, votes) = (texts(&raw.lost), texts(&raw.back), texts(&raw.votes));
    let forced = Forced { count: count.unwrap_or(1), reason: reason.clone().unwrap_or_default(), lost, back, votes };
    if voters.iter().all(|voter| forced.is_out(voter, &forced.votes)) {
        complain(problems, raw.span, "everybody who votes is lost", "leave out who is there");
    }
    for group in groups {
        group.candidates.retain(|candidate| !forced.is_out(candidate, &forced.back));
        if group.candidates.is_empty() {
            let help = "name another candidate, or remove the group";
            complain(problems, raw.span, format!("every candidate of \"{}\" is lost", group.name), help);
        }
    }
    (problems.len() == before).then_some(forced)
}

/// An odd number of them; or two that can switch each other off, and nobody else leads (lease.md 4.7, F3).
fn voters(raw: &Raw, names: &[&str], nodes: &[Node], problems: &mut Vec<Problem>) -> Vec<String> {
    raw.voters.iter().for_each(|voter| known_node(voter, names, problems));
    no_repeats(&raw.voters, "the voter", problems);
    let voters: Vec<String> = match raw.voters_span {
        Some(_) => raw.voters.iter().map(|voter| voter.value.clone()).collect(),
        None => names.iter().map(ToString::to_string).collect(),
    };
    let span = raw.voters_span.or_else(|| raw.nodes.last().map(|node| node.name.span));
    // A pill is nothing to one without power.
    let can = |name: &String| {
        let of_node = nodes.iter().filter(|node| node.name == *name).flat_map(|node| &node.fences);
        of_node.into_iter().any(|fence| fence.kind != FenceKind::Pill)
    };
    if voters.len() == 2 && voters.iter().all(can) {
        for candidate in raw.groups.iter().flat_map(|group| &group.candidates) {
            if names.contains(&candidate.value.as_str()) && !voters.contains(&candidate.value) {
                let help = "where two voters switch each other off, these two lead, and nobody else: let it vote as well, or leave it out";
                complain(
                    problems,
                    candidate.span,
                    format!("the candidate \"{}\" does not vote", candidate.value),
                    help,
                );
            }
        }
        return voters;
    }
    if let Some(span) = span
        && voters.len().is_multiple_of(2)
        && !voters.is_empty()
    {
        let message = format!("{} voters: the loss of half of them would stop the cluster", voters.len());
        let help = "an odd number of nodes must vote; a third small machine that only votes is enough (see hotspare-arbiter(8)), \
                    or name the voters: voters \"alpha\" \"beta\" \"witness\"; two that can switch each other off are enough \
                    as well: a `fence` for each (see hotspare-fence(8))";
        complain(problems, span, message, help);
    }
    voters
}

fn groups(raw: &[RawGroup], names: &[&str], problems: &mut Vec<Problem>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for group in raw {
        let name = &group.name.value;
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && name.len() <= 32;
        if !good {
            let help =
                "a small letter, then small letters, digits and _ (a dash would nest systemd slices), at most 32";
            complain(problems, group.name.span, format!("\"{name}\" cannot name a group"), help);
        }
        if groups.iter().any(|other| other.name == *name) {
            complain(
                problems,
                group.name.span,
                format!("the group \"{name}\" is there twice"),
                "every group has a name of its own",
            );
        } else if groups.iter().any(|other| other.id == GroupId::of(name)) {
            complain(
                problems,
                group.name.span,
                format!("the name \"{name}\" collides with another"),
                "choose another name",
            );
        }
        groups.push(one_group(group, names, problems));
    }
    unique_across(raw, problems);
    groups
}

fn one_group(group: &RawGroup, names: &[&str], problems: &mut Vec<Problem>) -> Group {
    let name = group.name.value.clone();
    if group.candidates.is_empty() {
        let help = "name the nodes that may run it, the preferred one first: candidates \"alpha\" \"beta\"";
        complain(problems, group.name.span, format!("the group \"{name}\" has no candidates"), help);
    }
    group.candidates.iter().for_each(|candidate| known_node(candidate, names, problems));
    no_repeats(&group.candidates, "the candidate", problems);
    let budget = group.outage_budget.as_ref().map_or(BUDGET_DEFAULT, |budget| budget.value);
    let timetable = Timetable::for_budget(budget);
    if let (None, Some(written)) = (timetable, &group.outage_budget) {
        let help = "from \"550ms\" to \"66s\"; the default is \"2s\" (see `hotspare explain timing`)";
        complain(problems, written.span, "this outage budget is not on offer", help);
    }
    let failback = match group.failback.as_ref().map(|word| (word.value.as_str(), word.span)) {
        None | Some(("manual", _)) => false,
        Some(("auto", _)) => true,
        Some((word, span)) => {
            complain(problems, span, format!("`failback` cannot be \"{word}\""), suggest(word, &["manual", "auto"]));
            false
        }
    };
    for unit in group.units.iter().chain(&group.standby_units) {
        good_unit(unit, problems);
    }
    for unit in &group.standby_units {
        if group.units.iter().any(|other| other.value == unit.value) {
            let help =
                "a unit that both roles need belongs to neither: leave it out, or give the group a promote oneshot";
            complain(problems, unit.span, format!("\"{}\" is a unit of both roles", unit.value), help);
        }
    }
    Group {
        id: GroupId::of(&name),
        candidates: group.candidates.iter().map(|candidate| candidate.value.clone()).collect(),
        outage_budget: budget,
        timetable: timetable.unwrap_or_else(|| Timetable::for_budget(BUDGET_DEFAULT).expect("on offer")),
        failback,
        boot_grace: group.boot_grace.as_ref().map_or(BOOT_GRACE, |grace| grace.value),
        moves_per_hour: moves_per_hour(group, problems),
        hold_down: group.hold_down.as_ref().map_or(HOLD_DOWN, |down| down.value),
        addresses: group.addresses.iter().filter_map(|address| one_address(address, problems)).collect(),
        volumes: Vec::new(),
        shared: Vec::new(),
        proofs: crate::fences::proofs(&group.proofs, problems),
        units: group.units.iter().map(|unit| unit.value.clone()).collect(),
        probes: crate::probes::probes(group, problems),
        uplinks: crate::probes::uplinks(group, problems),
        standby_units: group.standby_units.iter().map(|unit| unit.value.clone()).collect(),
        name,
    }
}

fn moves_per_hour(group: &RawGroup, problems: &mut Vec<Problem>) -> usize {
    let Some(written) = &group.moves_per_hour else { return MOVES_PER_HOUR };
    usize::try_from(written.value).ok().filter(|moves| *moves <= 1000).unwrap_or_else(|| {
        let help = "0 to 1000; 0 means no limit, the default is 10";
        complain(problems, written.span, "`moves-per-hour` is out of range", help);
        MOVES_PER_HOUR
    })
}

const SUFFIXES: [&str; 5] = [".service", ".socket", ".timer", ".path", ".target"];

/// The unit table of systemd.md, as far as a name alone tells.
fn good_unit(unit: &Spanned<String>, problems: &mut Vec<Problem>) {
    let name = &unit.value;
    let fits = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let (message, help): (String, String) = if !name.chars().all(fits) || name.is_empty() {
        (format!("\"{name}\" is not the name of a unit"), "for example \"nginx.service\"".into())
    } else if name.ends_with(".mount") || name.ends_with(".automount") {
        (
            format!("\"{name}\": a file system that moves is on a volume, or on a shared disk"),
            "leave it out, and write `mount \"/srv/data\" type=\"ext4\"` into the group's `volume` or `shared` disk"
                .into(),
        )
    } else if [".slice", ".scope", ".swap", ".device"].iter().any(|kind| name.ends_with(kind)) {
        (format!("\"{name}\" is no unit that a role can start"), format!("one that ends in {}", SUFFIXES.join(", ")))
    } else if !SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        (format!("\"{name}\" has no unit type"), format!("write it in full: \"{name}.service\""))
    } else if name.contains("@.") {
        let instance = name.replace("@.", "@main.");
        (format!("\"{name}\" is a template without an instance"), format!("name the instance: \"{instance}\""))
    } else if name.starts_with("cluster-") || name.starts_with("hotspare") {
        (format!("\"{name}\" belongs to hotspare itself"), "list your own units only".into())
    } else if name == "postgresql.service" {
        let help = "Debian's postgresql.service does nothing itself: list the cluster's unit, e.g. \"postgresql@17-main.service\"";
        ("\"postgresql.service\" is a dummy".into(), help.into())
    } else {
        return;
    };
    complain(problems, unit.span, message, help);
}

fn one_address(raw: &RawAddress, problems: &mut Vec<Problem>) -> Option<Address> {
    let text = &raw.net.value;
    let net: Option<IpNetwork> = text.contains('/').then(|| text.parse().ok()).flatten();
    if net.is_none() {
        let (message, help) = match text.parse::<std::net::IpAddr>() {
            Ok(ip) => (
                format!("{ip} has no prefix length"),
                format!("the one of its network: \"{ip}/{}\"", if ip.is_ipv4() { 24 } else { 64 }),
            ),
            Err(_) => {
                (format!("\"{text}\" is not an address"), "an address and its prefix length: \"192.0.2.10/24\"".into())
            }
        };
        complain(problems, raw.net.span, message, help);
    }
    if let Some(net) = net.filter(|net| net.ip().is_unspecified() || net.ip().is_multicast() || net.ip().is_loopback())
    {
        complain(
            problems,
            raw.net.span,
            format!("{net} cannot move between machines"),
            "give a unicast address of the clients' network",
        );
    }
    let Some(interface) = &raw.interface else {
        complain(problems, raw.net.span, "the address has no interface", "say where it goes: interface=\"eth0\"");
        return None;
    };
    let name = &interface.value;
    if name.is_empty() || name.len() > 15 || name.contains(|c: char| c.is_whitespace() || c == '/') {
        complain(
            problems,
            interface.span,
            format!("\"{name}\" is not an interface name"),
            "at most 15 characters, as `ip link` shows it",
        );
    }
    Some(Address { net: net?, interface: name.clone() })
}

/// An address or a unit belongs to one group.
fn unique_across(groups: &[RawGroup], problems: &mut Vec<Problem>) {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for group in groups {
        let addresses = group.addresses.iter().map(|address| {
            let ip = address.net.value.split('/').next().unwrap_or_default();
            Spanned { value: ip.to_owned(), span: address.net.span }
        });
        for item in addresses.chain(group.units.iter().cloned()) {
            if let Some((_, owner)) = seen.iter().find(|(name, _)| *name == item.value) {
                let message = format!("\"{}\" belongs to the group \"{owner}\" already", item.value);
                complain(problems, item.span, message, "a unit or an address moves with one group");
            }
            seen.push((item.value, &group.name.value));
        }
    }
}

fn heartbeat(raw: &RawHeartbeat, problems: &mut Vec<Problem>) -> Option<HeartbeatTimes> {
    let or = |span: &Option<Spanned<Duration>>, default| span.as_ref().map_or(default, |span| span.value);
    let times = HeartbeatTimes {
        interval: or(&raw.interval, BEAT),
        late: or(&raw.late, or(&raw.interval, BEAT) * 3),
        dead: or(&raw.dead, or(&raw.interval, BEAT) * 10),
        boot_grace: or(&raw.boot_grace, BOOT_GRACE),
    };
    let given = [&raw.interval, &raw.late, &raw.dead];
    let span = given.into_iter().flatten().next().map(|span| span.span);
    if let Some(span) = span {
        if times.interval > Duration::from_secs(2) {
            complain(
                problems,
                span,
                "the interval of the heartbeat is too long",
                "at most \"2s\": the default is \"100ms\"",
            );
            return None;
        }
        if times.interval < Duration::from_millis(10) {
            complain(problems, span, "the interval of the heartbeat is too short", "at least \"10ms\"");
            return None;
        }
        if !(times.interval < times.late && times.late < times.dead) {
            let message = format!(
                "interval {:?}, late {:?}, dead {:?}: each must be longer than the one before",
                times.interval, times.late, times.dead
            );
            complain(problems, span, message, "for example: interval=\"100ms\" late=\"300ms\" dead=\"1s\"");
            return None;
        }
    }
    Some(times)
}
