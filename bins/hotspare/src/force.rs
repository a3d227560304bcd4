//! `hotspare force`: an operator's word in place of a majority. It edits the configuration, where everybody sees it, and puts
//! it in force here; the other survivors get the file and `hotspare apply` (decision 0015).

use crate::apply;
use hotspare_config::{Config, Forced, PATH};
use hotspare_control::{Ask, NodeStatus, Tell};
use hotspare_daemon::{Exit, Failure, Priority, identity, journal, message_id};
use kdl::{KdlDocument, KdlEntry, KdlNode, KdlNodeFormat};
use std::path::Path;

/// A reason that says nothing is none.
const REASON_MIN: usize = 8;

fn no(message: impl Into<String>) -> Failure {
    Failure::new(Exit::No, message.into())
}

fn load() -> Result<Config, Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(Exit::NoPerm, "only root may do this"));
    }
    Ok(hotspare_config::load(Path::new(PATH))?)
}

fn status(call: impl Fn(&Ask) -> Result<Tell, Failure>) -> Option<Box<NodeStatus>> {
    match call(&Ask::Status) {
        Ok(Tell::Status(status)) => Some(status),
        _ => None,
    }
}

/// `--lost`: goes on without `names`.
pub fn lost(names: &[String], reason: &str, call: impl Fn(&Ask) -> Result<Tell, Failure>) -> Result<Exit, Failure> {
    let config = load()?;
    let me = identity::this_node(&config, None)?;
    if reason.trim().len() < REASON_MIN {
        let message =
            format!("--reason \"{reason}\" says too little: what happened, and how do you know that they are off?");
        return Err(Failure::new(Exit::Usage, message));
    }
    for name in names {
        if *name == me.name {
            return Err(Failure::new(Exit::Usage, format!("\"{name}\" is this node, and it is not lost")));
        }
        if !config.voters.contains(name) {
            let known = config.voters.join(", ");
            return Err(Failure::new(Exit::Usage, format!("\"{name}\" does not vote (these do: {known})")));
        }
    }
    if let Some(status) = status(&call) {
        check_silence(names, &status)?;
    }
    let count = config.era() + 1;
    // Who was lost before and votes again is like anybody else.
    let kept = |list: fn(&Forced) -> &Vec<String>| -> Vec<String> {
        let former =
            config.forced.iter().flat_map(|forced| list(forced).iter().filter(|name| !forced.votes.contains(name)));
        former.filter(|name| !names.contains(name)).cloned().collect()
    };
    let forced = Forced {
        count,
        reason: reason.trim().to_owned(),
        lost: kept(|forced| &forced.lost).into_iter().chain(names.iter().cloned()).collect(),
        back: kept(|forced| &forced.back),
        votes: Vec::new(),
    };
    write(&forced)?;
    let names = names.join(", ");
    tell(&forced, &format!("goes on without {names}: {reason}"));
    println!("{names}: declared lost for good. What only they knew is lost.");
    println!("They must never run again with their old disks: wipe them, or keep them off.");
    println!("Copy {PATH} to every other node that is left, and run `hotspare apply` there.");
    apply::apply(call)
}

/// Nobody is lost who answers, and nothing is forced that goes on by itself.
fn check_silence(names: &[String], status: &NodeStatus) -> Result<(), Failure> {
    for group in &status.groups {
        if group.quorum {
            return Err(no(format!("the group {} has its majority: there is nothing to force", group.name)));
        }
        if let Some(voter) = group.voters.iter().find(|voter| voter.answering && names.contains(&voter.name)) {
            return Err(no(format!("{} answers: it is not lost. Switch it off first, for good", voter.name)));
        }
    }
    Ok(())
}

/// `--back`: `name` has been made anew. It does not vote yet: it has to learn first what a voter must know.
pub fn back(name: &str, call: impl Fn(&Ask) -> Result<Tell, Failure>) -> Result<Exit, Failure> {
    let config = load()?;
    let Some(mut forced) = config.forced.clone().filter(|_| config.is_lost(name)) else {
        return Err(Failure::new(Exit::Usage, format!("\"{name}\" is not lost")));
    };
    forced.back.push(name.to_owned());
    write(&forced)?;
    tell(&forced, &format!("lets {name}, made anew, come back"));
    println!("{name} may come back. Copy {PATH} to every node, {name} too, and run `hotspare apply` there.");
    println!("A minute after its start it has learned enough: then run `hotspare force --vote` on {name}.");
    apply::apply(call)
}

/// `--vote`: this node came back, and its arbiter (which says `votes`) has learned enough.
pub fn vote(votes: &str, call: impl Fn(&Ask) -> Result<Tell, Failure>) -> Result<Exit, Failure> {
    let config = load()?;
    let me = identity::this_node(&config, None)?.name.clone();
    let Some(mut forced) = config.forced.clone().filter(|forced| forced.back.contains(&me)) else {
        return Err(Failure::new(Exit::Usage, format!("\"{me}\" did not come back from anywhere")));
    };
    if forced.votes.contains(&me) {
        return Err(Failure::new(Exit::Usage, format!("\"{me}\" votes already")));
    }
    if votes.contains("\"joining\"") || !votes.contains("\"epoch\"") {
        let message = "the arbiter of this node has not learned enough yet: it takes a minute (hotspare status)";
        return Err(Failure::new(Exit::TempFail, message));
    }
    forced.votes.push(me.clone());
    write(&forced)?;
    tell(&forced, &format!("lets {me} vote again"));
    println!(
        "{me} votes again. Copy {PATH} to every other node and run `hotspare apply` there before the next one comes back."
    );
    apply::apply(call)
}

/// `--volume`: no copy of `name` that counts is left; the one on this node takes their place (decision 0022).
pub fn volume(name: &str, reason: &str, call: impl Fn(&Ask) -> Result<Tell, Failure>) -> Result<Exit, Failure> {
    let config = load()?;
    let me = identity::this_node(&config, None)?.name.clone();
    if reason.trim().len() < REASON_MIN {
        let message = format!("--reason \"{reason}\" says too little: what became of the copies that count?");
        return Err(Failure::new(Exit::Usage, message));
    }
    let Some((group, _)) = config.volume(name) else {
        return Err(Failure::new(Exit::Usage, format!("the configuration has no volume \"{name}\"")));
    };
    let seen = status(&call).ok_or_else(|| Failure::new(Exit::Unavailable, "hotspare-leased is not running here"))?;
    let seen = seen.groups.iter().find(|seen| seen.name == group.name);
    let seen = seen.ok_or_else(|| no(format!("{me} is no candidate of {}: it has no copy", group.name)))?;
    check_copies(seen, name, &me)?;
    // A node leads with all of a group's copies or with none (D0): they are given up together.
    let names: Vec<&str> = group.volumes.iter().map(|volume| volume.name.as_str()).collect();
    let generations = names.iter().map(|name| generation(name)).collect::<Result<Vec<_>, _>>()?;
    let generation = &generations[0];
    if let Some((name, other)) = names.iter().zip(&generations).find(|(_, other)| *other != generation) {
        let message =
            format!("the copy of {name} here is of the data {other}, and that of {} of {generation}", names[0]);
        return Err(no(message));
    }
    let former = config.forced.clone();
    let forced = Forced {
        count: config.era() + 1,
        reason: reason.trim().to_owned(),
        lost: former.iter().flat_map(|forced| forced.lost.clone()).collect(),
        back: former.iter().flat_map(|forced| forced.back.clone()).collect(),
        votes: former.iter().flat_map(|forced| forced.votes.clone()).collect(),
    };
    change(|document| {
        document.nodes_mut().retain(|node| node.name().value() != "forced");
        document.nodes_mut().push(node(&forced));
        names.iter().for_each(|name| abandon(document, name, generation, (&me, reason.trim())));
    })?;
    let all = names.join(", ");
    tell(&forced, &format!("takes the copy of {all} on {me} for the data: {reason}"));
    println!("{all}: the copy on {me} is the data from now on. What was written without it is lost.");
    println!("Copy {PATH} to every other node and run `hotspare apply` there: the voters hear of it with that.");
    println!("Every other copy is made anew:");
    names.iter().for_each(|name| println!("  hotspare-replicate create {name} --again"));
    apply::apply(call)
}

/// Nothing is given up that would go on by itself.
fn check_copies(seen: &hotspare_control::GroupStatus, name: &str, me: &str) -> Result<(), Failure> {
    if let Some(holder) = &seen.holder {
        return Err(no(format!("{holder} leads {}: the data is there", seen.name)));
    }
    if !seen.quorum {
        return Err(no(format!("{} has no majority: first `hotspare force --lost`", seen.name)));
    }
    if seen.copies.is_empty() || seen.copies.iter().any(|copy| copy == me) {
        return Err(no(format!(
            "the copy of {name} on {me} counts, or nobody knows which does: there is nothing to force"
        )));
    }
    let ready = seen.candidates.iter().find(|candidate| candidate.ready && seen.copies.contains(&candidate.name));
    match ready {
        Some(other) => Err(no(format!("the copy of {name} on {} counts and is ready: it can lead", other.name))),
        None => Ok(()),
    }
}

/// The generation of the copy on this node, which must be whole.
fn generation(name: &str) -> Result<String, Failure> {
    let asked = std::process::Command::new("hotspare-replicate").args(["status", name, "--json"]).output();
    let said = asked.map_err(Exit::Unavailable.why("cannot run hotspare-replicate"))?;
    if !said.status.success() {
        return Err(Failure::new(Exit::Unavailable, String::from_utf8_lossy(&said.stderr).trim().to_owned()));
    }
    let status: serde_json::Value = serde_json::from_slice(&said.stdout)
        .map_err(Exit::Protocol.why("hotspare-replicate's answer is not understood"))?;
    if status["whole"] != true {
        return Err(no(format!(
            "the copy of {name} here is a mixture of old and new: no file system survives that. If it is all that is left, \
             copy what can be read from the backing"
        )));
    }
    let generation = status["generation"].as_str().filter(|generation| *generation != "0");
    generation.map(str::to_owned).ok_or_else(|| no(format!("the copy of {name} here never had any data")))
}

/// Writes down what is given up, and for what.
fn abandon(document: &mut KdlDocument, name: &str, generation: &str, (to, reason): (&str, &str)) {
    let groups = document.nodes_mut().iter_mut().filter(|node| node.name().value() == "group");
    let children = groups.filter_map(|group| group.children_mut().as_mut());
    for volume in children.flat_map(|children| children.nodes_mut().iter_mut()) {
        if volume.name().value() == "volume" && volume.get(0).and_then(|value| value.as_string()) == Some(name) {
            let mut node = KdlNode::new("abandon");
            node.push(KdlEntry::new(generation));
            node.push(KdlEntry::new_prop("for", to));
            node.push(KdlEntry::new_prop("reason", reason));
            node.autoformat();
            // A line of its own, whether or not the one before it has an end.
            let format =
                KdlNodeFormat { leading: "\n        ".into(), terminator: "\n".into(), ..KdlNodeFormat::default() };
            node.set_format(format);
            let children = volume.ensure_children().nodes_mut();
            children.retain(|child| child.name().value() != "abandon");
            children.push(node);
        }
    }
}

/// Puts `forced` into the file.
fn write(forced: &Forced) -> Result<(), Failure> {
    change(|document| {
        document.nodes_mut().retain(|node| node.name().value() != "forced");
        document.nodes_mut().push(node(forced));
    })
}

/// Changes the file; what else is there stays as it was written.
fn change(edit: impl FnOnce(&mut KdlDocument)) -> Result<(), Failure> {
    let path = Path::new(PATH);
    let text = std::fs::read_to_string(path).map_err(Exit::Config.why(format!("cannot read {PATH}")))?;
    let mut document = KdlDocument::parse_v2(&text).map_err(Exit::Config.why(format!("cannot read {PATH}")))?;
    edit(&mut document);
    let text = document.to_string();
    Config::parse(PATH, &text).map_err(|problems| Failure::new(Exit::Config, problems.render(false)))?;
    let fresh = path.with_extension("new");
    let failed = Exit::CantCreate.why(format!("cannot write {PATH}"));
    std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path)).map_err(failed)
}

fn node(forced: &Forced) -> KdlNode {
    let mut node = KdlNode::new("forced");
    node.push(KdlEntry::new_prop("count", i128::from(forced.count)));
    node.push(KdlEntry::new_prop("reason", forced.reason.as_str()));
    let mut children = KdlDocument::new();
    for (name, list) in [("lost", &forced.lost), ("back", &forced.back), ("votes", &forced.votes)] {
        if !list.is_empty() {
            let mut child = KdlNode::new(name);
            list.iter().for_each(|item| child.push(KdlEntry::new(item.as_str())));
            children.nodes_mut().push(child);
        }
    }
    node.set_children(children);
    node.autoformat();
    node
}

/// One record that says who did this and why.
fn tell(forced: &Forced, what: &str) {
    let uid = std::env::var("SUDO_UID").unwrap_or_else(|_| nix::unistd::getuid().to_string());
    let fields = [("UID", uid), ("REASON", forced.reason.clone()), ("LOST", forced.lost.join(" "))];
    if let Err(error) = journal::keep(message_id::FORCED, Priority::Warning, format!("an operator {what}"), &fields) {
        eprintln!("hotspare: this is not in the journal: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_written_into_the_volume_and_nothing_else_changes() {
        for text in ["volume \"data\" { backing \"/dev/a\" }", "volume \"data\" { backing \"/dev/a\"; }"] {
            let mut document = KdlDocument::parse_v2(&format!("group \"default\" {{\n{text}\n}}\n")).unwrap();
            abandon(&mut document, "data", "ab", ("alpha", "why"));
            let volume = document.nodes()[0].children().unwrap().nodes()[0].clone();
            let again = KdlDocument::parse_v2(&document.to_string()).unwrap();
            assert_eq!(
                again.nodes()[0].children().unwrap().nodes()[0].children().unwrap().nodes().len(),
                2,
                "{volume}"
            );
        }
        let text = include_str!("../../../kdl-examples/volume.kdl");
        let mut document = KdlDocument::parse_v2(text).unwrap();
        for generation in ["ab", "cd"] {
            abandon(&mut document, "data", generation, ("alpha", "the other room has burned down"));
            abandon(&mut document, "other", generation, ("alpha", "no such volume"));
        }
        let after = Config::parse("volume.kdl", &document.to_string()).unwrap();
        let given_up = after.volume("data").unwrap().1.abandon.clone().unwrap();
        assert_eq!((given_up.generation, given_up.to.as_str()), (0xcd, "alpha"));
        let mut before = Config::parse("volume.kdl", text).unwrap().groups;
        before[0].volumes[0].abandon = Some(given_up);
        assert_eq!(after.groups, before);
        assert!(document.to_string().contains("// on every candidate,"), "remarks stay");
    }
}
