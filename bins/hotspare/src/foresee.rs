//! What another configuration would do to a node that runs: the question before `hotspare apply`, and before a switch of NixOS.

use crate::apply::{may_follow, voters_of};
use hotspare_config::{Config, Node, PATH};
use hotspare_control::{Ask, NodeStatus, Tell};
use hotspare_daemon::{Exit, Failure, identity};
use std::path::Path;

/// `hotspare apply --dry-run`: changes nothing, says what would happen.
///
/// # Errors
///
/// With [`Exit::No`] if it would cost the cluster a role or its votes, and with what is wrong with the file, if anything is.
pub fn foresee(file: &Path, call: impl Fn(&Ask) -> Result<Tell, Failure>) -> Result<Exit, Failure> {
    let after = hotspare_config::load(file)?;
    let Ok(before) = hotspare_config::load(Path::new(PATH)) else {
        println!("no configuration is in force on this node: {} would be the first", file.display());
        return Ok(Exit::Done);
    };
    // A machine that only votes has no lease client, and leads nothing.
    let status = match call(&Ask::Status) {
        Ok(Tell::Status(status)) => Some(*status),
        _ => None,
    };
    let Ok(me) = identity::this_node(&before, None).map(|node| node.name.clone()) else {
        println!("this machine takes no part in the cluster that is configured: {} would change that", file.display());
        return Ok(Exit::Done);
    };
    let refused = refusals(&before, &after, &me, status.as_ref());
    if !refused.is_empty() {
        return Err(Failure::new(Exit::No, format!("{}: {}", file.display(), refused.join("; "))));
    }
    for line in waiting(&before, &after, status.as_ref()) {
        println!("{line}");
    }
    println!("{} moves no role", file.display());
    Ok(Exit::Done)
}

fn led_here(status: Option<&NodeStatus>) -> Vec<&str> {
    let groups = status.into_iter().flat_map(|status| &status.groups);
    groups.filter(|group| group.role == "primary").map(|group| group.name.as_str()).collect()
}

/// Why `after` must not follow `before` on the node `me`, one line each.
fn refusals(before: &Config, after: &Config, me: &str, status: Option<&NodeStatus>) -> Vec<String> {
    let mut lines = Vec::new();
    let leads = led_here(status);
    let cut_off = match (before.node(me), after.node(me)) {
        _ if before.cluster != after.cluster => Some("the cluster has another name in it".to_owned()),
        _ if before.port != after.port => Some("the cluster has another port in it".to_owned()),
        (_, None) => Some(format!("it has no node \"{me}\"")),
        (Some(old), Some(new)) => changed_self(old, new),
        (None, Some(_)) => None,
    };
    if let (Some(why), false) = (cut_off, leads.is_empty()) {
        lines.push(format!(
            "{why}: the other nodes would not hear this one, which leads {}. Move that first (hotspare switchover)",
            leads.join(", ")
        ));
    }
    for name in leads {
        let stays =
            after.group(name).is_some_and(|group| group.candidates.iter().any(|candidate| candidate.as_str() == me));
        if !stays {
            lines.push(format!(
                "{me} would not be a candidate of {name} any more, and leads it. Move it first (hotspare switchover {name})"
            ));
        }
    }
    let mut voters = status.map(voters_of).filter(|voters| !voters.is_empty());
    let voters = voters.get_or_insert_with(|| before.voters.iter().map(String::as_str).collect());
    let mut wanted: Vec<&str> = after.voters.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    voters.sort_unstable();
    if before.cluster == after.cluster && !may_follow(voters, &wanted, after) {
        lines.push(format!(
            "the voters would change from {} to {}, and two majorities might not meet (hotspare-arbiter(8), OTHER VOTERS)",
            voters.join(", "),
            wanted.join(", ")
        ));
    }
    lines
}

fn changed_self(old: &Node, new: &Node) -> Option<String> {
    (old.key != new.key || old.links != new.links)
        .then(|| format!("\"{}\" has another key or other links in it", old.name))
}

/// What of it would wait until a role moves.
fn waiting(before: &Config, after: &Config, status: Option<&NodeStatus>) -> Vec<String> {
    let changed = led_here(status).into_iter().filter(|name| before.group(name) != after.group(name));
    changed.map(|name| format!("{name}: its change waits until the role moves (hotspare switchover {name})")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_control::GroupStatus;

    const TEXT: &str = include_str!("../../../kdl-examples/three-node.kdl");

    fn read(text: &str) -> Config {
        Config::parse("cluster.kdl", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    fn leading(groups: &[&str]) -> NodeStatus {
        let group = |name: &&str| GroupStatus {
            name: (*name).to_owned(),
            role: "primary".into(),
            state: String::new(),
            holder: None,
            epoch: 1,
            lease_ms: 1818,
            left_ms: None,
            quorum: true,
            voters: Vec::new(),
            candidates: Vec::new(),
            addresses: Vec::new(),
            units: Vec::new(),
            copies: Vec::new(),
            if_this_node_died: String::new(),
            why: String::new(),
        };
        let groups = groups.iter().map(group).collect();
        NodeStatus {
            cluster: "shop".into(),
            node: "alpha".into(),
            config: String::new(),
            paused: false,
            groups,
            fences: Vec::new(),
        }
    }

    fn refused(text: &str, leads: &[&str]) -> String {
        refusals(&read(TEXT), &read(text), "alpha", Some(&leading(leads))).join("; ")
    }

    #[test]
    fn what_moves_nothing_is_let_through() {
        assert_eq!(refused(TEXT, &["default"]), "");
        let other_unit = TEXT.replace("nginx.service", "httpd.service");
        assert_eq!(refused(&other_unit, &["default"]), "");
        let waits = waiting(&read(TEXT), &read(&other_unit), Some(&leading(&["default"])));
        assert!(waits[0].contains("waits until the role moves"), "{waits:?}");
        assert!(waiting(&read(TEXT), &read(&other_unit), Some(&leading(&[]))).is_empty(), "it leads nothing");
    }

    #[test]
    fn what_would_take_a_role_down_is_refused_where_it_is_led() {
        for (from, to, why) in [
            ("cluster \"shop\"", "cluster \"shop\" port=7500", "another port"),
            ("192.0.2.1\"", "192.0.2.9\"", "other links"),
            ("candidates \"alpha\" \"beta\"", "candidates \"beta\"", "not be a candidate"),
            ("group \"default\"", "group \"web\"", "not be a candidate of default"),
            ("cluster \"shop\"", "cluster \"other\"", "another name"),
        ] {
            let changed = TEXT.replace(from, to);
            assert_ne!(changed, TEXT);
            let line = refused(&changed, &["default"]);
            assert!(line.contains(why), "{to}: {line:?}");
            assert!(line.contains("hotspare switchover"), "{line:?}");
            assert_eq!(refused(&changed, &[]), "", "{to}: a standby may");
        }
    }

    #[test]
    fn other_voters_are_refused_everywhere() {
        let fewer = TEXT.replace("voters \"alpha\" \"beta\" \"witness\"", "voters \"alpha\"");
        assert!(refused(&fewer, &[]).contains("OTHER VOTERS"));
    }
}
