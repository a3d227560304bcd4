//! `hotspare force`: an operator's word in place of a majority. It edits the configuration, where everybody sees it, and puts
//! it in force here; the other survivors get the file and `hotspare apply` (decision 0015).

use crate::apply;
use hotspare_config::{Config, Forced, PATH};
use hotspare_control::{Ask, NodeStatus, Tell};
use hotspare_daemon::{Exit, Failure, Priority, identity, journal, message_id};
use kdl::{KdlDocument, KdlEntry, KdlNode};
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

/// Puts `forced` into the file; what else is there stays as it was written.
fn write(forced: &Forced) -> Result<(), Failure> {
    let path = Path::new(PATH);
    let text = std::fs::read_to_string(path).map_err(Exit::Config.why(format!("cannot read {PATH}")))?;
    let mut document = KdlDocument::parse_v2(&text).map_err(Exit::Config.why(format!("cannot read {PATH}")))?;
    document.nodes_mut().retain(|node| node.name().value() != "forced");
    document.nodes_mut().push(node(forced));
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
