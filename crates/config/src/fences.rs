//! What a `fence` line must satisfy, and its defaults.

use crate::fields::{Spanned, complain};
use crate::problem::{Problem, suggest};
use crate::schema::{RawFence, RawNode};
use crate::{Fence, FenceKind, Proof};
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
const LEVELS: std::ops::RangeInclusive<i128> = 1..=9;
const KINDS: [&str; 3] = ["agent", "run", "pill"];
/// Options of fence agents that are secrets, by the names that their metadata gives them.
const SECRETS: [&str; 6] = ["password", "passwd", "secret", "secret_key", "snmp_priv_passwd", "token"];
/// What this program says to an agent by itself.
const OURS: [&str; 3] = ["action", "nodename", "option"];

/// `disk`: whether there is one that heartbeats are written to.
pub fn fences(node: &RawNode, disk: bool, problems: &mut Vec<Problem>) -> Vec<Fence> {
    node.fences.iter().filter_map(|fence| one(fence, disk, problems)).collect()
}

/// What a group takes for a proof.
pub fn proofs(raw: &[Spanned<String>], problems: &mut Vec<Problem>) -> Vec<Proof> {
    let mut proofs = Vec::new();
    for word in raw {
        match Proof::of(&word.value) {
            None => {
                let message = format!("\"{}\" is no proof that a machine is off", word.value);
                complain(problems, word.span, message, suggest(&word.value, &Proof::ALL.map(Proof::word)));
            }
            Some(proof) if proofs.contains(&proof) => {
                complain(problems, word.span, format!("\"{}\" is there twice", word.value), "remove one of the two");
            }
            Some(proof) => proofs.push(proof),
        }
    }
    if raw.is_empty() { Proof::ALL.to_vec() } else { proofs }
}

fn one(raw: &RawFence, disk: bool, problems: &mut Vec<Problem>) -> Option<Fence> {
    let kind = kind(raw, disk, problems);
    let timeout = raw.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.value);
    if let Some(given) = raw.timeout.as_ref().filter(|_| !(TIMEOUTS.0..=TIMEOUTS.1).contains(&timeout)) {
        complain(problems, given.span, "this `timeout` is not on offer", "from \"1s\" to \"10min\"");
    }
    let level = raw.level.as_ref().map_or(1, |level| level.value);
    if let Some(given) = raw.level.as_ref().filter(|_| !LEVELS.contains(&level)) {
        let help = "1 to 9: all methods of a level must succeed, and the next level is tried when they do not";
        complain(problems, given.span, "`level` is out of range", help);
    }
    let (mut options, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for (list, all) in [(&raw.options, &mut options), (&raw.secrets, &mut secrets)] {
        for (key, value) in list {
            match kind {
                Some(FenceKind::Run(_)) => {
                    let help =
                        "a program gets arguments: fence \"run\" \"/path\" \"argument\"; a secret it reads itself";
                    complain(problems, key.span, "a program takes no options", help);
                }
                Some(FenceKind::Pill) => complain(problems, key.span, "a pill takes no options", "remove this"),
                _ => {}
            }
            good_key(key, problems);
            if value.value.chars().any(char::is_control) {
                complain(problems, value.span, "a control character in a value", "one line, as the agent reads it");
            }
            all.insert(key.value.clone(), value.value.clone());
        }
    }
    for (key, _) in &raw.options {
        if SECRETS.contains(&key.value.as_str()) {
            let help = format!("the name of a systemd credential instead: secret \"{}\" \"NAME\"", key.value);
            complain(problems, key.span, format!("\"{}\" is a secret, and everybody reads this file", key.value), help);
        }
    }
    for (key, name) in &raw.secrets {
        let good = !name.value.is_empty() && name.value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !good || name.value.starts_with('.') {
            let help = "letters, digits, dashes, dots: the name of a file in /etc/credstore";
            complain(problems, name.span, format!("\"{}\" is no name of a credential", name.value), help);
        }
        if options.contains_key(&key.value) {
            complain(problems, key.span, format!("`{}` is given twice", key.value), "keep one of the two");
        }
    }
    let level = u8::try_from(level).unwrap_or(1);
    Some(Fence { kind: kind?, level, timeout, options, secrets })
}

fn good_key(key: &Spanned<String>, problems: &mut Vec<Problem>) {
    let text = key.value.as_str();
    if OURS.contains(&text) {
        complain(problems, key.span, format!("`{text}` is said to the agent by hotspare-fence itself"), "remove this");
    } else if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        let help = "as the agent's metadata calls it: ip, username, plug";
        complain(problems, key.span, format!("\"{text}\" is no name of an option"), help);
    }
}

fn kind(raw: &RawFence, disk: bool, problems: &mut Vec<Problem>) -> Option<FenceKind> {
    let (kind, words) = raw.words.split_first()?;
    if kind.value == "pill" {
        if let Some(extra) = words.first() {
            complain(problems, extra.span, "a pill takes no arguments", "fence \"pill\", and nothing else");
        }
        if !disk {
            let help = "a disk that all nodes see: heartbeat { disk \"/dev/disk/by-id/...\"; }";
            complain(problems, kind.span, "there is no disk that a pill could be put on", help);
        }
        return Some(FenceKind::Pill);
    }
    let [program, more @ ..] = words else {
        let help = "fence \"agent\" \"fence_ipmilan\" { ... }, or fence \"run\" \"/path/to/program\"";
        complain(problems, kind.span, format!("\"{}\" of what?", kind.value), help);
        return None;
    };
    match kind.value.as_str() {
        "agent" => {
            if let Some(extra) = more.first() {
                complain(
                    problems,
                    extra.span,
                    "an agent takes no arguments",
                    "option \"ip\" \"203.0.113.5\" in braces",
                );
            }
            let name = program.value.rsplit('/').next().unwrap_or_default();
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let whole = program.value == name || program.value.starts_with('/');
            if !name.starts_with("fence_") || !plain || !whole {
                let help = "for example \"fence_ipmilan\"; anything else: fence \"run\" \"/path/to/program\"";
                complain(problems, program.span, format!("\"{}\" is no name of a fence agent", program.value), help);
            }
            Some(FenceKind::Agent(program.value.clone()))
        }
        "run" => {
            if !program.value.starts_with('/') {
                let help = "where it is, in full: \"/usr/local/sbin/power\"";
                complain(problems, program.span, format!("\"{}\" is not the path of a program", program.value), help);
            }
            let words = &raw.words[1..];
            if let Some(word) = words.iter().find(|word| word.value.contains(char::is_control)) {
                complain(problems, word.span, "a control character in an argument", "put it into a script");
            }
            Some(FenceKind::Run(words.iter().map(|word| word.value.clone()).collect()))
        }
        other => {
            let message = format!("\"{other}\" is no way to switch a machine off");
            complain(problems, kind.span, message, suggest(other, &KINDS));
            None
        }
    }
}
