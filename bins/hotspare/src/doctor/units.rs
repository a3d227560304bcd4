//! The user's units: what of the table in docs/configuration.md applies here.

use super::{Report, output};
use hotspare_config::Group;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const PROPERTIES: &str = "LoadState,Type,RemainAfterExit,WantedBy,TriggeredBy,TimeoutStopUSec,ExecStart";
/// A stop that may take longer than this is named.
const STOP_MAX: Duration = Duration::from_secs(90);

type Properties = BTreeMap<String, String>;

pub fn of_group(group: &Group, report: &mut Report) {
    for unit in group.units.iter().chain(&group.standby_units) {
        let text = output("systemctl", &["show", "-p", PROPERTIES, unit]).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let properties: Properties = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        judge(unit, &properties, group, report);
    }
    for path in group.path_units() {
        if output("systemctl", &["is-active", &path]).is_none_or(|state| state.trim() != "active") {
            let why = format!(
                "systemctl status {path} says why; have all {} inotify instances of root been used up?",
                instances()
            );
            report.bad("unit", format!("{path} is not active, and the role cannot be started or stopped here: {why}"));
        }
    }
    for address in &group.addresses {
        outside_the_slice(group, address.net.ip(), report);
    }
}

fn instances() -> String {
    std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap_or_default().trim().to_owned()
}

/// The rules, on what systemd says of a unit.
fn judge(unit: &str, properties: &Properties, group: &Group, report: &mut Report) {
    let get = |key: &str| properties.get(key).map_or("", String::as_str);
    match get("LoadState") {
        "loaded" => {}
        "masked" => return report.bad("unit", format!("{unit} is masked: systemctl unmask {unit}")),
        "not-found" => return report.bad("unit", format!("{unit} is not installed here, and the role cannot start")),
        other => return report.bad("unit", format!("{unit} cannot be loaded ({other}): systemctl status {unit}")),
    }
    let before = report.0.len();
    if get("Type") == "oneshot" && get("RemainAfterExit") == "no" {
        report.bad("unit", format!("{unit} is a oneshot that is over when it is done: give it RemainAfterExit=yes"));
    }
    if get("ExecStart").contains("path=/bin/true") || get("ExecStart").contains("path=/usr/bin/true") {
        report.bad(
            "unit",
            format!(
                "{unit} does nothing itself: list the unit that does the work (systemctl list-dependencies {unit})"
            ),
        );
    }
    if get("Type") == "dbus" {
        report.warn("unit", format!("{unit} is started by the bus as well; elsewhere such a start fails at the gate"));
    }
    for activator in get("TriggeredBy").split_whitespace() {
        if !group.units.iter().any(|listed| listed == activator) {
            report.warn(
                "unit",
                format!(
                    "{unit} is started by {activator}, which waits on every node: add unit \"{activator}\" before it"
                ),
            );
        }
    }
    let wanted: Vec<&str> = get("WantedBy").split_whitespace().filter(|by| !by.starts_with("cluster-")).collect();
    if !wanted.is_empty() {
        report.fine(
            "unit",
            format!(
                "{unit} is enabled in {}: at boot its start fails at the gate, and moves nothing",
                wanted.join(", ")
            ),
        );
    }
    if get("TimeoutStopUSec") == "infinity" || span(get("TimeoutStopUSec")).is_some_and(|stop| stop > STOP_MAX) {
        report.warn(
            "unit",
            format!(
                "{unit} may take {} to stop, and a planned move with it: set TimeoutStopSec=",
                get("TimeoutStopUSec")
            ),
        );
    }
    if report.0.len() == before {
        report.fine("unit", format!("{unit} is fit for a role"));
    }
}

/// A span as systemctl prints it: "1min 30s".
fn span(text: &str) -> Option<Duration> {
    text.split_whitespace().map(hotspare_config::parse_span).sum()
}

/// Whoever has a socket on an address of the group and is not in its slice is not stopped with the role: a container, a virtual
/// machine, a process that somebody started by hand.
fn outside_the_slice(group: &Group, address: IpAddr, report: &mut Report) {
    let Some(sockets) = output("ss", &["-Hnltup", "src", &address.to_string()]) else { return };
    let slice = format!("cluster-{}.slice", group.name);
    let mut strangers: Vec<String> = Vec::new();
    for pid in sockets.split("pid=").skip(1).filter_map(|rest| rest.split(',').next()) {
        let cgroup = std::fs::read_to_string(Path::new("/proc").join(pid).join("cgroup")).unwrap_or_default();
        if cgroup.is_empty() || cgroup.contains(&slice) {
            continue;
        }
        let name = std::fs::read_to_string(Path::new("/proc").join(pid).join("comm")).unwrap_or_default();
        let text = format!("pid {pid} ({})", name.trim());
        if !strangers.contains(&text) {
            strangers.push(text);
        }
    }
    for stranger in strangers {
        report.bad(
            "slice",
            format!("{stranger} listens on {address} outside {slice}: it does not stop with the role; run it as a unit of the group"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    fn judged(pairs: &[(&str, &str)]) -> Vec<(Grade, String)> {
        let text = include_str!("../../../../kdl-examples/three-node.kdl");
        let config = hotspare_config::Config::parse("three-node.kdl", text).unwrap();
        let mut properties: Properties = [("LoadState", "loaded"), ("Type", "simple"), ("TimeoutStopUSec", "1min 30s")]
            .into_iter()
            .chain(pairs.iter().copied())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        properties.entry("RemainAfterExit".into()).or_insert_with(|| "no".into());
        let mut report = Report::default();
        judge("web.service", &properties, &config.groups[0], &mut report);
        report.0.into_iter().map(|finding| (finding.grade, finding.text)).collect()
    }

    #[test]
    fn each_row_of_the_table_is_named() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Grade, &'a str);
        let cases: [Case<'_>; 10] = [
            (&[], Grade::Fine, "fit for a role"),
            (&[("WantedBy", "multi-user.target cluster-primary.target")], Grade::Fine, "enabled in multi-user.target:"),
            (&[("TriggeredBy", "web.socket")], Grade::Warn, "add unit \"web.socket\""),
            (&[("TriggeredBy", "nginx.service")], Grade::Fine, "fit for a role"),
            (&[("Type", "oneshot")], Grade::Bad, "RemainAfterExit=yes"),
            (&[("Type", "oneshot"), ("RemainAfterExit", "yes")], Grade::Fine, "fit for a role"),
            (&[("ExecStart", "{ path=/bin/true ; argv[]=/bin/true }")], Grade::Bad, "list the unit that does the work"),
            (&[("Type", "dbus")], Grade::Warn, "started by the bus"),
            (&[("TimeoutStopUSec", "infinity")], Grade::Warn, "TimeoutStopSec="),
            (&[("LoadState", "not-found")], Grade::Bad, "not installed here"),
        ];
        for (pairs, grade, text) in cases {
            let found = judged(pairs);
            assert!(found.iter().any(|(g, t)| *g == grade && t.contains(text)), "{pairs:?}: {found:?}");
            assert_eq!(found.iter().map(|(grade, _)| *grade).max(), Some(grade), "{pairs:?}: {found:?}");
        }
    }
}
