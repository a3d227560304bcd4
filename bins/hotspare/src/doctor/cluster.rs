//! The cluster, as the daemons of this node see it.

use super::{Report, output};
use hotspare_config::{Config, Node};
use hotspare_control::{Ask, Client, Tell};
use std::path::Path;
use std::time::Duration;

pub fn daemons(config: &Config, me: &Node, report: &mut Report) {
    let mut wanted = vec!["hotspare-heartbeat.service"];
    wanted.extend(config.voters.contains(&me.name).then_some("hotspare-arbiter.service"));
    wanted.extend(config.groups_of(&me.name).next().map(|_| "hotspare-leased.service"));
    for unit in wanted {
        let state =
            output("systemctl", &["show", "-p", "ActiveState,UnitFileState", "--value", unit]).unwrap_or_default();
        let words: Vec<&str> = state.split_whitespace().collect();
        let enabled = words.iter().any(|word| word.starts_with("enabled"));
        if words.first() != Some(&"active") {
            report.bad("daemon", format!("{unit} does not run: systemctl enable --now {unit}"));
        } else if enabled {
            report.fine("daemon", format!("{unit} runs"));
        } else {
            report.warn("daemon", format!("{unit} runs, and is not enabled: after a reboot it does not"));
        }
    }
}

/// A voter that has no register does not vote: at the founding of a cluster it waits for all the others.
pub fn joining(report: &mut Report) {
    let line =
        Client::connect(Path::new(hotspare_control::ARBITER), "hotspare-arbiter").and_then(|mut client| client.line());
    let clusters: serde_json::Value = line.ok().and_then(|line| serde_json::from_str(&line).ok()).unwrap_or_default();
    let clusters = clusters.as_array().into_iter().flatten();
    for group in clusters.flat_map(|cluster| cluster["groups"].as_array().into_iter().flatten()) {
        if group["joining"].is_null() {
            continue;
        }
        let waits: Vec<&str> =
            group["waits_for"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
        let name = group["name"].as_str().unwrap_or_default();
        if waits.is_empty() {
            report.warn(
                "voter",
                format!("this one does not vote on {name} yet: it learns from the others, which takes 66 s"),
            );
        } else {
            let (waits, why) = (
                waits.join(", "),
                match group["joining"].as_str() {
                    Some("returning") => {
                        "it was off, and the other one may have gone on without it; if that one is gone for good: hotspare force"
                    }
                    _ => "a new cluster needs all its voters once",
                },
            );
            report.bad("voter", format!("this one does not vote on {name} yet: it waits for {waits}; {why}"));
        }
    }
}

/// Who answers: better evidence than any rule of a firewall.
pub fn reachable(report: &mut Report) {
    let status = Client::leased().ok().and_then(|mut client| client.call(&Ask::Status).ok());
    let Some(Tell::Status(status)) = status else { return };
    let mut silent: Vec<&str> = Vec::new();
    for voter in status.groups.iter().flat_map(|group| &group.voters).filter(|voter| !voter.answering) {
        if !silent.contains(&voter.name.as_str()) {
            silent.push(&voter.name);
        }
    }
    for name in &silent {
        report.warn(
            "voter",
            format!("{name} does not answer: is it up, does its arbiter run, does a firewall drop UDP?"),
        );
    }
    if silent.is_empty() {
        report.fine("voter", "all of them answer");
    }
    for line in &status.fences {
        match (line.tried_s, line.wrong.is_empty()) {
            (None, _) => report.warn(
                "fence",
                format!("the devices of {} have not been tried since the boot: hotspare-fence test", line.node),
            ),
            (Some(_), true) => report.fine("fence", format!("{} can be switched off, as tried last", line.node)),
            (Some(_), false) => report.bad("fence", format!("{}: {}", line.node, line.wrong.join("; "))),
        }
    }
    for group in status.groups.iter().filter(|group| !group.quorum) {
        report.bad("quorum", format!("the group {} has none: {}", group.name, group.state));
    }
}

/// How many links were heard, and the nodes that run with another file than `own`: its digest rides in every heartbeat.
/// `None`: the heartbeat does not answer.
pub fn drift(own: &str) -> Option<(usize, Vec<String>)> {
    let mut client = Client::connect(Path::new(hotspare_control::HEARTBEAT), "hotspare-heartbeat").ok()?;
    let _ = client.patience(Some(Duration::from_secs(1)));
    client.send(&Ask::Status).ok()?;
    let mut other: Vec<String> = Vec::new();
    let mut heard = 0;
    while let Ok(line) = client.line() {
        let Ok(link) = serde_json::from_str::<serde_json::Value>(&line) else { break };
        let Some(digest) = link["config"].as_str() else { continue };
        heard += 1;
        let name = link["peer"].as_str().unwrap_or_default().to_owned();
        if digest != own && !other.contains(&name) {
            other.push(name);
        }
    }
    Some((heard, other))
}

/// Whether all nodes have the same file.
pub fn same_file(config: &Config, report: &mut Report) {
    let Some((heard, other)) = drift(&format!("{:016x}", config.digest)) else { return };
    match (heard, other.is_empty()) {
        (0, _) => report.warn("configuration", "no other node was heard: whether they have the same file is not known"),
        (_, true) => report.fine("configuration", "the nodes that were heard have the same file"),
        (_, false) => {
            let names = other.join(", ");
            report.warn(
                "configuration",
                format!("{names} runs with another file than this one: copy it, then hotspare apply on each node"),
            );
        }
    }
}
