//! Man pages and completions, from the very structures that parse the arguments.

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

macro_rules! programs {
    ($($module:ident $path:literal),*) => { $(#[path = $path] #[allow(dead_code)] mod $module;)* };
}
programs!(
    arbiter "../../../bins/arbiter/src/args.rs",
    fence "../../../bins/fence/src/args.rs",
    gate "../../../bins/gate/src/args.rs",
    generator "../../../bins/generator/src/args.rs",
    heartbeat "../../../bins/heartbeat/src/args.rs",
    hotspare "../../../bins/hotspare/src/args.rs",
    lease "../../../bins/lease/src/args.rs",
    leased "../../../bins/leased/src/args.rs",
    probe "../../../bins/probe/src/args.rs",
    replicate "../../../bins/replicate/src/args.rs",
    vip_claim "../../../bins/vip-claim/src/args.rs"
);

/// Each program: its command, its section, what its page says besides.
fn programs() -> Vec<(Command, &'static str, &'static str)> {
    vec![
        (arbiter::Args::command(), "8", include_str!("pages/arbiter.roff")),
        (fence::Args::command(), "8", include_str!("pages/fence.roff")),
        (gate::Args::command(), "8", include_str!("pages/gate.roff")),
        (generator::Args::command(), "8", ""),
        (heartbeat::Args::command(), "8", include_str!("pages/heartbeat.roff")),
        (hotspare::Args::command(), "1", ""),
        (lease::Args::command(), "1", include_str!("pages/lease.roff")),
        (leased::Args::command(), "8", include_str!("pages/leased.roff")),
        (probe::Args::command(), "8", include_str!("pages/probe.roff")),
        (replicate::Args::command(), "8", include_str!("pages/replicate.roff")),
        (vip_claim::Args::command(), "8", include_str!("pages/vip-claim.roff")),
    ]
}

const COMMON: &str = include_str!("pages/common.roff");

/// File name to content, of everything that is generated.
pub fn render() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for (command, section, more) in programs() {
        // The version would change every page with every release.
        let command = command.version("").disable_version_flag(true);
        let name = command.get_name().to_owned();
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).section(section).source("hotspare").date("").render(&mut page)?;
        for sub in command.get_subcommands() {
            page.extend(format!(".SH \"COMMAND {}\"\n", sub.get_name().to_uppercase()).bytes());
            let man = clap_mangen::Man::new(sub.clone());
            man.render_description_section(&mut page)?;
            man.render_options_section(&mut page)?;
        }
        page.extend(more.bytes());
        page.extend(COMMON.bytes());
        files.insert(Path::new("docs/man").join(format!("{name}.{section}")), page);
        for (shell, file) in [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Fish, format!("{name}.fish")),
            (Shell::Zsh, format!("_{name}")),
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command.clone(), &name, &mut script);
            files.insert(Path::new("docs/completions").join(file), script);
        }
    }
    Ok(files)
}

pub fn write(root: &Path) -> Result<()> {
    for (path, content) in render()? {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("in a folder"))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}
