//! hotspare-lease: the scripts' door to the lease.

mod args;
mod hold;

use args::{Args, Command};
use hotspare_control::{Ask, Client, GroupStatus, Tell};
use hotspare_daemon::{Exit, Failure, run};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// How often `watch` looks.
const LOOK: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    run(|args: Args| match args.command {
        Command::Hold { group, timeout, command } => hold::hold(&group, timeout, &command),
        Command::Watch { group, json } => watch(&group, json),
        Command::Release { group } => release(group),
        Command::Show { group, json } => {
            let (node, status) = group_status(&group)?;
            println!("{}", line(&node, &status, json));
            Ok(if status.holder.as_ref() == Some(&node) { Exit::Done } else { Exit::No })
        }
    })
}

fn group_status(group: &str) -> Result<(String, GroupStatus), Failure> {
    let unavailable = |error| Failure::new(Exit::Unavailable, error);
    let status = match Client::leased().map_err(unavailable)?.call(&Ask::Status).map_err(unavailable)? {
        Tell::Status(status) => status,
        other => return Err(Failure::new(Exit::Protocol, format!("unexpected answer {other:?}"))),
    };
    let known: Vec<_> = status.groups.iter().map(|group| group.name.clone()).collect();
    match status.groups.into_iter().find(|known| known.name == group) {
        Some(found) => Ok((status.node, found)),
        None => Err(Failure::new(Exit::Usage, format!("no group \"{group}\" here (there is: {})", known.join(", ")))),
    }
}

fn line(node: &str, status: &GroupStatus, json: bool) -> String {
    let here = status.holder.as_deref() == Some(node);
    if json {
        let GroupStatus { name, holder, epoch, quorum, .. } = status;
        return json!({"group": name, "holder": holder, "here": here, "epoch": epoch, "quorum": quorum}).to_string();
    }
    let holder = status.holder.as_deref().unwrap_or("nobody");
    let place = if here { " (this node)" } else { "" };
    format!(
        "{}: {holder}{place}, epoch {}{}",
        status.name,
        status.epoch,
        if status.quorum { "" } else { ", no quorum" }
    )
}

fn watch(group: &str, json: bool) -> Result<Exit, Failure> {
    use std::io::Write;
    let mut last = String::new();
    loop {
        let (node, status) = group_status(group)?;
        let now = line(&node, &status, json);
        if now != last {
            if writeln!(std::io::stdout(), "{now}").and_then(|()| std::io::stdout().flush()).is_err() {
                return Ok(Exit::Done); // the reader of the pipe has seen enough
            }
            last = now;
        }
        std::thread::sleep(LOOK);
    }
}

fn release(group: String) -> Result<Exit, Failure> {
    let (node, status) = group_status(&group)?;
    if status.holder.as_ref() != Some(&node) {
        return Err(Failure::new(Exit::No, format!("this node does not hold {group}")));
    }
    let unavailable = |error| Failure::new(Exit::Unavailable, error);
    match Client::leased().map_err(unavailable)?.call(&Ask::Switchover { group, to: None }).map_err(unavailable)? {
        Tell::Done { text } => {
            println!("{text}");
            Ok(Exit::Done)
        }
        Tell::Refused { reason, .. } => Err(Failure::new(Exit::TempFail, reason)),
        Tell::Error { reason, denied } => Err(Failure::new(if denied { Exit::NoPerm } else { Exit::Usage }, reason)),
        other => Err(Failure::new(Exit::Protocol, format!("unexpected answer {other:?}"))),
    }
}
