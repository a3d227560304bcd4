//! hotspare-generator: the one place where units come from. No network, no bus, no slow work.

mod args;
mod units;

use args::Args;
use hotspare_config::{Config, Group};
use hotspare_daemon::{Exit, Failure, Priority, identity, message_id, run};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    run(|args: Args| {
        let config = match hotspare_config::load(&args.config) {
            Ok(config) => Some(config),
            Err(hotspare_config::LoadError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                None // not configured (yet): nothing to make, nothing to say
            }
            Err(error) => {
                let fields = [("REASON", error.to_string())];
                let message = format!("no units are made: {error}");
                // Where a generator's words go is not the journal.
                eprintln!("hotspare-generator: {message}");
                let _ = hotspare_daemon::journal::keep(message_id::CONFIG_REFUSED, Priority::Error, message, &fields);
                None
            }
        };
        let mut files = units::Files::new();
        for group in groups(&args, config.as_ref()) {
            files.extend(units::of_group(&group));
        }
        if let Some(config) = &config
            && let Ok(me) = identity::this_node(config, args.node.as_deref())
        {
            files.extend(units::of_fences(config, &me.name));
            files.extend(units::of_disk(config, &me.name));
        }
        write(&args.normal, &files)
    })
}

/// The groups of this node: a held one as it was when it was taken, all others as the file says now.
fn groups(args: &Args, config: Option<&Config>) -> Vec<Group> {
    let name = |config: &Config| identity::this_node(config, args.node.as_deref()).map(|node| node.name.clone());
    let mut groups: Vec<Group> = Vec::new();
    let mut take = |config: &Config, only: Option<&str>| {
        let Ok(me) = name(config) else { return };
        for group in config.groups_of(&me).filter(|group| !group.is_lock()) {
            if only.is_none_or(|only| only == group.name) && groups.iter().all(|known| known.name != group.name) {
                groups.push(group.clone());
            }
        }
    };
    for entry in std::fs::read_dir(&args.active).into_iter().flatten().flatten() {
        let path = entry.path();
        let held = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .filter(|_| path.extension().is_some_and(|kdl| kdl == "kdl"));
        if let (Some(group), Ok(config)) = (held, hotspare_config::load(&path)) {
            take(&config, Some(group));
        }
    }
    if let Some(config) = config {
        take(config, None);
    }
    groups
}

fn write(folder: &Path, files: &units::Files) -> Result<Exit, Failure> {
    for (name, content) in files {
        let path = folder.join(name);
        let parent = path.parent().expect("in the folder");
        let failed = |error| Exit::CantCreate.why(format!("cannot write {}", path.display()))(error);
        std::fs::create_dir_all(parent).map_err(failed)?;
        match content.strip_prefix("link:") {
            Some(target) => {
                let _ = std::fs::remove_file(&path);
                std::os::unix::fs::symlink(target, &path).map_err(failed)?;
            }
            None => std::fs::write(&path, content).map_err(failed)?,
        }
    }
    Ok(Exit::Done)
}
