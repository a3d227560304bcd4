//! `lab-history FILE`: is a history linearizable? One JSON object per line: `{"key", "op": "read" or "write", "value",
//! "from", "to"}`, times in microseconds; a write whose end nobody saw has `"to": null`.
//!
//! Each key is a register of its own, so each is checked by itself (linearizability is local: Herlihy and Wing, 1990). The
//! search is the just-in-time one of Lowe ("Testing for linearizability", 2017): walk the calls and returns in the order of
//! time, keep every state the register may be in, and let an operation take effect as late as it can.

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// So many operations are shown of a history that no order explains.
const AROUND: usize = 20;

/// One operation on a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub write: bool,
    pub value: String,
    pub from: u64,
    /// `u64::MAX`: it may have taken effect at any time since.
    pub to: u64,
}

/// What may be true at an instant: the value, and which of the operations under way have taken effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Config {
    value: Option<usize>,
    done: BTreeSet<usize>,
}

/// The first operation that no order explains, if there is one.
#[must_use]
pub fn violation(history: &[Operation]) -> Option<usize> {
    let mut values: BTreeMap<&str, usize> = BTreeMap::new();
    for operation in history {
        let next = values.len();
        values.entry(&operation.value).or_insert(next);
    }
    let value = |index: usize| values[history[index].value.as_str()];
    // Calls before returns at the same instant: that allows more orders, never fewer.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (index, operation) in history.iter().enumerate() {
        events.push((operation.from, false, index));
        if operation.to != u64::MAX {
            events.push((operation.to.max(operation.from), true, index));
        }
    }
    events.sort_unstable();
    let mut pending: BTreeSet<usize> = BTreeSet::new();
    let mut configs = BTreeSet::from([Config { value: None, done: BTreeSet::new() }]);
    for (_, returns, index) in events {
        if !returns {
            pending.insert(index);
            if !history[index].write {
                configs = configs.into_iter().map(|config| see(config, index, value(index))).collect();
            }
            continue;
        }
        let mut known = configs;
        let mut todo: Vec<Config> = known.iter().cloned().collect();
        while let Some(config) = todo.pop() {
            for write in pending.iter().filter(|at| history[**at].write && !config.done.contains(at)) {
                let mut next = Config { value: Some(value(*write)), done: config.done.clone() };
                next.done.insert(*write);
                for read in pending.iter().filter(|at| !history[**at].write && value(**at) == value(*write)) {
                    next.done.insert(*read);
                }
                if known.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        configs = known.into_iter().filter(|config| config.done.contains(&index)).collect();
        if configs.is_empty() {
            return Some(index);
        }
        pending.remove(&index);
        configs = configs
            .into_iter()
            .map(|mut config| {
                config.done.remove(&index);
                config
            })
            .collect();
    }
    None
}

/// A read that finds its value there has taken effect.
fn see(mut config: Config, read: usize, value: usize) -> Config {
    if config.value == Some(value) {
        config.done.insert(read);
    }
    config
}

/// What was answered last before `odd` was, and what nobody answered: a person sees at a glance what is odd about it.
fn around<'a>(history: &'a [Operation], odd: &'a Operation) -> impl Iterator<Item = String> + 'a {
    let mut before: Vec<&Operation> = history.iter().filter(|other| other.from <= odd.to).collect();
    before.sort_by_key(|other| if other.to == u64::MAX { other.from } else { other.to });
    let first = before.len().saturating_sub(AROUND);
    before.into_iter().skip(first).map(|other| {
        let what = if other.write { "write" } else { "read" };
        let end = if other.to == u64::MAX { "never answered".into() } else { format!("answered at {}", other.to) };
        format!("{what} {}, asked at {}, {end}", other.value, other.from)
    })
}

fn parse(line: &str) -> Option<(String, Operation)> {
    let json: Json = serde_json::from_str(line).ok()?;
    let write = match json["op"].as_str()? {
        "read" => false,
        "write" => true,
        _ => return None,
    };
    let to = if json["to"].is_null() { u64::MAX } else { json["to"].as_u64()? };
    let operation = Operation { write, value: json["value"].as_str()?.into(), from: json["from"].as_u64()?, to };
    Some((json["key"].as_str()?.to_owned(), operation))
}

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("lab-history: which FILE? One operation per line, as JSON");
        return ExitCode::from(64);
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("lab-history: {path}: {error}");
            return ExitCode::from(66);
        }
    };
    let mut keys: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((key, operation)) = parse(line) else {
            eprintln!("lab-history: {path}:{}: this is no operation: {line}", number + 1);
            return ExitCode::from(65);
        };
        keys.entry(key).or_default().push(operation);
    }
    let mut code = ExitCode::SUCCESS;
    for (key, history) in &keys {
        match violation(history) {
            None => println!("{key}: {} operations, linearizable", history.len()),
            Some(at) => {
                println!("{key}: NOT linearizable: no order explains {:?}", history[at]);
                around(history, &history[at]).for_each(|line| println!("    {line}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: &str, from: u64, to: u64) -> Operation {
        Operation { write: true, value: value.into(), from, to }
    }

    fn read(value: &str, from: u64, to: u64) -> Operation {
        Operation { write: false, ..write(value, from, to) }
    }

    #[test]
    fn good_histories() {
        let good = [
            vec![write("a", 0, 10), read("a", 11, 12)],
            vec![write("a", 0, 10), read("a", 1, 2), read("a", 11, 12)], // seen before the write returned
            vec![write("a", 0, 10), write("b", 20, 30), read("a", 21, 22), read("b", 25, 26)],
            vec![write("a", 0, 10), write("b", 20, u64::MAX), read("a", 100, 101), read("b", 102, 103)], // end unknown
            vec![write("a", 0, 5), write("b", 6, 9), write("a", 10, 12), read("b", 8, 30), read("a", 13, 14)],
        ];
        for history in good {
            assert_eq!(violation(&history), None, "{history:?}");
        }
    }

    #[test]
    fn bad_histories_are_rejected() {
        let bad = [
            (vec![read("a", 0, 1)], 0),                                          // nobody wrote it
            (vec![write("a", 5, 10), read("a", 0, 4)], 1),                       // before it was written
            (vec![write("a", 0, 10), write("b", 20, 30), read("a", 31, 32)], 2), // stale
            (vec![write("a", 0, 10), write("b", 20, 30), read("b", 21, 22), read("a", 23, 24)], 3), // new, then old
            (vec![write("a", 0, 1), write("b", 2, 3), read("a", 4, 9), read("b", 4, 9)], 2), // two answer at a time
        ];
        for (history, at) in bad {
            assert_eq!(violation(&history), Some(at), "{history:?}");
        }
    }

    #[test]
    fn random_histories_of_a_real_register_are_good_and_a_flipped_answer_is_not() {
        let mut rng = hotspare_core::rng::Rng::new(7);
        for _ in 0..200 {
            let (mut now, mut current, mut history) = (0, String::new(), Vec::new());
            for number in 0..60 {
                now += 10;
                let (before, after) = (rng.below(8), rng.below(8));
                if number == 0 || rng.one_in(6) {
                    current = format!("v{number}");
                    history.push(write(&current, now - before, now + after));
                } else {
                    history.push(read(&current, now - before, now + after));
                }
            }
            assert_eq!(violation(&history), None);
            let last = history.len() - 1;
            history.push(read("v0", now + 20, now + 21));
            let stale = current != "v0";
            assert_eq!(violation(&history).is_some(), stale, "{:?}", history[last]);
        }
    }
}
