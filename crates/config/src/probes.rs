//! What a `probe` or an `uplink` line must satisfy, and its defaults.

use crate::fields::{Spanned, complain};
use crate::problem::{Problem, suggest};
use crate::schema::{RawGroup, RawProbe};
use crate::{Probe, ProbeKind};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const FALL: u32 = 3;
/// Oftener would be load, rarer would be no probe.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3600));
const KINDS: [&str; 3] = ["http", "tcp", "exec"];
const UPLINK_KINDS: [&str; 4] = ["ping", "tcp", "http", "exec"];

pub fn probes(group: &RawGroup, problems: &mut Vec<Problem>) -> Vec<Probe> {
    if let (Some(probe), true, true) = (group.probes.first(), group.units.is_empty(), group.addresses.is_empty()) {
        let help = "a group without units and addresses is a lock for scripts, and nothing of it runs";
        complain(problems, probe.span, format!("\"{}\" has nothing to probe", group.name.value), help);
    }
    group.probes.iter().filter_map(|probe| one(probe, &KINDS, problems)).collect()
}

pub fn uplinks(group: &RawGroup, problems: &mut Vec<Problem>) -> Vec<Probe> {
    if let (Some(uplink), true, true) = (group.uplinks.first(), group.units.is_empty(), group.addresses.is_empty()) {
        let help = "a group without units and addresses is a lock for scripts, and never moves by itself";
        complain(problems, uplink.span, format!("\"{}\" has nothing that clients would reach", group.name.value), help);
    }
    for user in group.uplinks.iter().filter_map(|uplink| uplink.user.as_ref()) {
        complain(
            problems,
            user.span,
            "`user` is for probes of the service",
            "remove this: root asks, without its powers",
        );
    }
    group.uplinks.iter().filter_map(|uplink| one(uplink, &UPLINK_KINDS, problems)).collect()
}

fn one(raw: &RawProbe, kinds: &[&str], problems: &mut Vec<Problem>) -> Option<Probe> {
    let kind = kind(raw, kinds, problems);
    let span = |given: &Option<Spanned<Duration>>, default| given.as_ref().map_or(default, |span| span.value);
    let (interval, timeout) = (span(&raw.interval, INTERVAL), span(&raw.timeout, TIMEOUT));
    for (given, what) in [(&raw.interval, "interval"), (&raw.timeout, "timeout")] {
        if let Some(given) = given.as_ref().filter(|given| !(INTERVALS.0..=INTERVALS.1).contains(&given.value)) {
            complain(problems, given.span, format!("this `{what}` is not on offer"), "from \"50ms\" to \"1h\"");
        }
    }
    let mut count = |given: &Option<Spanned<i128>>, default, what| {
        let Some(given) = given else { return default };
        u32::try_from(given.value).ok().filter(|count| (1..=1000).contains(count)).unwrap_or_else(|| {
            complain(problems, given.span, format!("`{what}` is out of range"), "1 to 1000 answers in a row");
            default
        })
    };
    let (rise, fall) = (count(&raw.rise, 1, "rise"), count(&raw.fall, FALL, "fall"));
    Some(Probe { kind: kind?, interval, timeout, rise, fall, user: raw.user.as_ref().map(|user| user.value.clone()) })
}

fn kind(raw: &RawProbe, kinds: &[&str], problems: &mut Vec<Problem>) -> Option<ProbeKind> {
    let [kind, target, more @ ..] = raw.words.as_slice() else { return None };
    if !kinds.contains(&kind.value.as_str()) {
        let message = format!("there is no probe of \"{}\" here", kind.value);
        complain(problems, kind.span, message, suggest(&kind.value, kinds));
        return None;
    }
    if let (Some(extra), true) = (more.first(), kind.value != "exec") {
        complain(problems, extra.span, format!("a probe of \"{}\" takes one thing to ask", kind.value), "remove this");
    }
    if let (Some(user), true) = (&raw.user, kind.value != "exec") {
        complain(problems, user.span, "only a program is run by a user", "remove this");
    }
    match kind.value.as_str() {
        "http" => {
            let good = target.value.strip_prefix("http://").is_some_and(|rest| !rest.is_empty());
            let blank = target.value.contains(|c: char| c.is_whitespace() || c.is_control());
            if !good || blank {
                let help = "for example \"http://127.0.0.1/health\"; for https: probe \"exec\" \"/usr/bin/curl\" \"-sf\" \"https://...\"";
                complain(problems, target.span, format!("\"{}\" is not an http:// address", target.value), help);
                return None;
            }
            Some(ProbeKind::Http(target.value.clone()))
        }
        "tcp" => match target.value.parse() {
            Ok(address) => Some(ProbeKind::Tcp(address)),
            Err(_) => {
                let help = "for example \"127.0.0.1:5432\" or \"[::1]:5432\"; a name may need a network to resolve";
                complain(problems, target.span, format!("\"{}\" is not an address and a port", target.value), help);
                None
            }
        },
        "exec" => {
            if !target.value.starts_with('/') {
                let help = "where it is, in full: \"/usr/bin/pg_isready\"";
                complain(problems, target.span, format!("\"{}\" is not the path of a program", target.value), help);
            }
            let words = raw.words.iter().skip(1);
            if let Some(word) = words.clone().find(|word| word.value.contains(char::is_control)) {
                complain(problems, word.span, "a control character in an argument", "put it into a script");
            }
            Some(ProbeKind::Exec(words.map(|word| word.value.clone()).collect()))
        }
        _ => match target.value.parse() {
            Ok(address) => Some(ProbeKind::Ping(address)),
            Err(_) => {
                let help = "an address, for example that of the router: \"192.0.2.254\"";
                complain(problems, target.span, format!("\"{}\" is not an address", target.value), help);
                None
            }
        },
    }
}
