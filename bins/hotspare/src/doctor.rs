//! `hotspare doctor`: what of this host or its units stands in the way, before it does. It looks and says; it changes nothing.

mod cluster;
mod host;
mod units;
mod volumes;

pub use cluster::drift;

use hotspare_config::{Config, Node};
use hotspare_daemon::{Exit, Failure, identity};
use std::path::Path;
use std::process::Command;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Fine,
    /// It works, and there is a risk.
    Warn,
    /// It does not work, or not when it has to.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub grade: Grade,
    pub what: String,
    /// What was found; and what to do, unless it is fine.
    pub text: String,
}

/// Collects findings.
#[derive(Default)]
pub struct Report(pub Vec<Finding>);

impl Report {
    fn add(&mut self, grade: Grade, what: &str, text: impl Into<String>) {
        self.0.push(Finding { grade, what: what.into(), text: text.into() });
    }
    pub fn fine(&mut self, what: &str, text: impl Into<String>) {
        self.add(Grade::Fine, what, text);
    }
    pub fn warn(&mut self, what: &str, text: impl Into<String>) {
        self.add(Grade::Warn, what, text);
    }
    pub fn bad(&mut self, what: &str, text: impl Into<String>) {
        self.add(Grade::Bad, what, text);
    }
}

/// What a program prints, if it runs and likes it.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let done = Command::new(program).args(arguments).env("LC_ALL", "C").output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

/// All findings about this host.
///
/// # Errors
/// If there is no configuration to go by, or this machine is not in it.
pub fn look(file: &Path, json: bool) -> Result<Exit, Failure> {
    let config = hotspare_config::load(file)?;
    let me = identity::this_node(&config, None)?.clone();
    let mut report = Report::default();
    look_at(&config, &me, &mut report);
    let worst = report.0.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Fine);
    if json {
        let line = |finding: &Finding| {
            let grade = format!("{:?}", finding.grade).to_lowercase();
            serde_json::json!({"grade": grade, "what": finding.what, "text": finding.text})
        };
        crate::print(&format!("{}\n", serde_json::Value::from(report.0.iter().map(line).collect::<Vec<_>>())));
    } else {
        let line = |finding: &Finding| {
            let grade = match finding.grade {
                Grade::Fine => "ok  ",
                Grade::Warn => "warn",
                Grade::Bad => "BAD ",
            };
            format!("{grade}  {}: {}\n", finding.what, finding.text)
        };
        crate::print(&report.0.iter().map(line).collect::<String>());
    }
    Ok(if worst == Grade::Bad { Exit::No } else { Exit::Done })
}

fn look_at(config: &Config, me: &Node, report: &mut Report) {
    host::systemd(report);
    host::key(me, report);
    host::links(config, me, report);
    host::clocks(report);
    host::pauses(config, report);
    host::disk(config, me, report);
    host::run_folder(report);
    host::watchdog(report);
    host::firewall(config, report);
    cluster::daemons(config, me, report);
    cluster::joining(report);
    cluster::reachable(report);
    cluster::same_file(config, report);
    for group in config.groups_of(&me.name) {
        units::of_group(group, report);
        volumes::of_group(config, me, group, report);
    }
}
