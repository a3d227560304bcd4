//! A changed configuration: what of it is not in force yet, and how to put it in force without moving a role.

use hotspare_config::{Config, PATH};
use hotspare_control::{Ask, NodeStatus, Tell};
use hotspare_daemon::{Exit, Failure, identity};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Where a gate keeps the configuration that the units of its group were made from.
const GATES: &str = "/run/hotspare-gate";
const LEASED: &str = "hotspare-leased.service";
/// How long the lease client may take to come back with the new file.
const RELOAD: Duration = Duration::from_secs(10);

/// What of the file is not in force on this node, one line each.
#[must_use]
pub fn pending(status: &NodeStatus) -> Vec<String> {
    let config = match hotspare_config::load(Path::new(PATH)) {
        Ok(config) => config,
        Err(hotspare_config::LoadError::Mistakes(_)) => {
            return vec![format!("{PATH} has mistakes and changes nothing; `hotspare check` names them")];
        }
        Err(error) => return vec![error.to_string()],
    };
    let mut lines = Vec::new();
    if format!("{:016x}", config.digest) != status.config {
        lines.push(format!("{PATH} has changed; `hotspare apply` puts it in force"));
    }
    lines.extend(held_back(&config));
    let other =
        crate::doctor::drift(&status.config).map(|(_, names)| names.join(", ")).filter(|names| !names.is_empty());
    lines.extend(
        other.map(|names| format!("{names} runs with another {PATH} than this node: hotspare apply there, or here")),
    );
    lines
}

/// Groups whose units are those of an older file, because the role is held here.
fn held_back(config: &Config) -> Vec<String> {
    let changed = config.groups.iter().filter(|group| {
        let active = Path::new(GATES).join(format!("{}.kdl", group.name));
        let active = hotspare_config::load(&active).ok();
        active.is_some_and(|active| active.group(&group.name).is_some_and(|held| held != *group))
    });
    let line = |group: &hotspare_config::Group| {
        format!("{}: its change waits until the role moves (hotspare switchover {})", group.name, group.name)
    };
    changed.map(line).collect()
}

pub(crate) fn voters_of(status: &NodeStatus) -> Vec<&str> {
    let mut names: Vec<&str> =
        status.groups.iter().flat_map(|group| &group.voters).map(|voter| voter.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether these voters may follow those in a running cluster: an operator has said who is gone for good, or lets one of those
/// vote again (decision 0015). In all other changes a majority of before and one of after might have no voter in common.
pub(crate) fn may_follow(before: &[&str], after: &[&str], config: &Config) -> bool {
    let again =
        |voter: &str| config.forced.as_ref().is_some_and(|forced| forced.votes.iter().any(|name| name == voter));
    let added: Vec<&&str> = after.iter().filter(|voter| !before.contains(voter)).collect();
    let mut removed = before.iter().filter(|voter| !after.contains(voter));
    removed.all(|voter| config.is_lost(voter)) && added.len() <= 1 && added.iter().all(|voter| again(voter))
}

pub(crate) fn systemctl(arguments: &[&str]) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(Exit::Unavailable, format!("systemctl {}: {why}", arguments.join(" ")));
    let done = Command::new("systemctl").args(arguments).status().map_err(|error| failed(error.to_string()))?;
    if done.success() { Ok(()) } else { Err(failed(format!("{done}"))) }
}

/// Has the lease client begin again in its own process: a restart waits for process 1, and on a machine with far too much to do that can
/// take longer than the lease. False: it does not run, or did not do it.
fn reloaded(in_force: Option<&str>, digest: &str, call: &impl Fn(&Ask) -> Result<Tell, Failure>) -> bool {
    let is = |in_force: &str| in_force == digest;
    match in_force {
        None => return false,
        Some(in_force) if is(in_force) => return true,
        Some(_) => {}
    }
    if systemctl(&["kill", "--signal=HUP", LEASED]).is_err() {
        return false;
    }
    let since = Instant::now();
    while since.elapsed() < RELOAD {
        if matches!(call(&Ask::Status), Ok(Tell::Status(status)) if is(&status.config)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// `hotspare apply`: reloads process 1 and has the daemons read the file, one after the other.
pub fn apply(call: impl Fn(&Ask) -> Result<Tell, Failure>) -> Result<Exit, Failure> {
    let config = hotspare_config::load(Path::new(PATH))?;
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(Exit::NoPerm, "only root may do this"));
    }
    let mut in_force = None;
    if let Ok(Tell::Status(status)) = call(&Ask::Status) {
        in_force = Some(status.config.clone());
        let (before, mut after) = (voters_of(&status), config.voters.iter().map(String::as_str).collect::<Vec<_>>());
        after.sort_unstable();
        if !before.is_empty() && !may_follow(&before, &after, &config) {
            let message = format!(
                "the voters would change from {} to {}, and then two majorities might not meet. A machine is replaced under its \
                 old name (hotspare-arbiter(8), REPLACING A VOTER); for other voters stop the whole cluster first \
                 (hotspare-arbiter(8), OTHER VOTERS)",
                before.join(", "),
                after.join(", ")
            );
            return Err(Failure::new(Exit::No, message));
        }
    }
    systemctl(&["daemon-reload"])?;
    let me = identity::this_node(&config, None)?.name.clone();
    for (_, volume) in config.volumes() {
        // Whoever uses it sees a pause: its holder keeps what is under way. A node that is no candidate any more has no copy.
        let verb = if volume.backings.contains_key(&me) { "try-restart" } else { "stop" };
        systemctl(&[verb, &format!("hotspare-replicate@{}.service", volume.name)])?;
    }
    // The voter last: its renewals must not wait for the others.
    systemctl(&["try-restart", "hotspare-heartbeat.service"])?;
    let verb = if reloaded(in_force.as_deref(), &format!("{:016x}", config.digest), &call) {
        "start" // it runs: of what it wants, the standby targets of groups that are new
    } else {
        "try-restart"
    };
    systemctl(&[verb, LEASED])?;
    systemctl(&["try-restart", "hotspare-arbiter.service"])?;
    println!("{PATH} is in force on this node");
    for line in held_back(&config) {
        println!("pending: {line}");
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_change_only_by_an_operators_word() {
        let text = include_str!("../../../kdl-examples/forced.kdl");
        let lost = Config::parse("forced.kdl", text).unwrap();
        let voting = text.replace("back \"beta\"", "back \"beta\"\n    votes \"beta\"");
        let voting = Config::parse("forced.kdl", &voting).unwrap();
        let calm = include_str!("../../../kdl-examples/three-node.kdl");
        let calm = Config::parse("three-node.kdl", calm).unwrap();
        assert!(may_follow(&["alpha", "beta", "witness"], &["alpha", "beta", "witness"], &calm));
        assert!(!may_follow(&["alpha", "beta", "witness"], &["alpha"], &calm), "nobody is lost");
        assert!(!may_follow(&["alpha"], &["alpha", "beta", "witness"], &calm));
        assert!(!may_follow(&["alpha", "beta", "witness"], &["alpha", "beta", "gamma"], &calm), "another name");
        assert!(may_follow(&["alpha", "witness"], &["alpha"], &lost), "the witness is lost");
        assert!(!may_follow(&["alpha"], &["alpha", "beta"], &lost), "it is back, and does not vote yet");
        assert!(may_follow(&["alpha"], &["alpha", "beta"], &voting));
        assert!(!may_follow(&["alpha"], &["alpha", "beta", "witness"], &voting));
    }
}
