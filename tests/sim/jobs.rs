//! The model of process 1 against `jobs.txt`; `vm-tests/jobs.py` holds the real one to the same list.

use crate::systemd::{Act, Kind, Manager, Mode, State};
use crate::units::Units;
use std::collections::BTreeSet;

struct Machine {
    units: Units,
    manager: Manager,
    /// The service takes its time to stop: kept back until the case goes on.
    slow: bool,
    held_back: Vec<Act>,
}

impl Machine {
    fn booted() -> Machine {
        let units = Units::load(true);
        let manager = Manager::new(&units.graph);
        let mut machine = Machine { units, manager, slow: false, held_back: Vec::new() };
        let multi_user = machine.units.multi_user;
        machine.job(multi_user, Kind::Start);
        machine
    }

    fn job(&mut self, unit: usize, kind: Kind) {
        let graph = self.units.graph.clone();
        self.manager.enqueue(&graph, unit, kind, Mode::Replace);
        self.settle();
    }

    /// Carries out what is decided, at once and well, except a stop of the service while it is slow.
    fn settle(&mut self) {
        let graph = self.units.graph.clone();
        loop {
            let mut acts = self.manager.acts();
            if !self.slow {
                acts.extend(std::mem::take(&mut self.held_back));
            }
            if acts.is_empty() {
                return;
            }
            for act in acts {
                match act {
                    Act::Stop(unit) if self.slow && unit == self.units.service => self.held_back.push(act),
                    Act::Start(unit) => {
                        self.manager.open |= unit == self.units.gate;
                        self.manager.started(&graph, unit, true);
                        if unit == self.units.prove {
                            self.manager.over(&graph, unit);
                        }
                    }
                    Act::Stop(unit) => {
                        self.manager.open &= unit != self.units.gate;
                        self.manager.stopped(&graph, unit, false);
                    }
                }
            }
        }
    }

    fn play(&mut self, verb: &str, name: &str) {
        let unit = self.units.graph.named(name);
        match verb {
            "start" => {
                self.job(unit, Kind::Start);
                self.slow = false;
                self.settle();
            }
            "stop" => self.job(unit, Kind::Stop),
            "begin-stop" => {
                self.slow = true;
                self.job(unit, Kind::Start);
            }
            "kill" => {
                let graph = self.units.graph.clone();
                self.manager.open &= unit != self.units.gate;
                self.manager.exited(unit);
                self.manager.stopped(&graph, unit, true);
                self.settle();
            }
            other => panic!("jobs.txt: what is `{other}`?"),
        }
    }
}

/// A case: its name, its steps, what is active and what has failed after the last.
struct Case<'a> {
    name: &'a str,
    steps: Vec<(&'a str, &'a str)>,
    active: BTreeSet<&'a str>,
    failed: BTreeSet<&'a str>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some(step) = line.strip_prefix("    ") else {
            let (steps, active, failed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
            cases.push(Case { name: line, steps, active, failed });
            continue;
        };
        let case = cases.last_mut().expect("a name comes first");
        let (step, after) = step.split_once("=>").map_or((step, None), |(step, after)| (step, Some(after)));
        case.steps.push(step.trim().split_once(' ').expect("verb and unit"));
        for word in after.unwrap_or_default().split_whitespace() {
            match word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
                Some(word) => case.failed.insert(word),
                None => case.active.insert(word),
            };
        }
    }
    cases
}

#[test]
fn the_model_does_what_systemd_does() {
    let cases = cases(include_str!("jobs.txt"));
    assert!(cases.len() > 15, "the list is read");
    let named: BTreeSet<&str> = cases.iter().flat_map(|case| case.active.union(&case.failed).copied()).collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let mut machine = Machine::booted();
        case.steps.iter().for_each(|(verb, unit)| machine.play(verb, unit));
        let with = |state: State| -> BTreeSet<&str> {
            let graph = &machine.units.graph;
            named.iter().copied().filter(|name| machine.manager.state(graph.named(name)) == state).collect()
        };
        let (active, failed) = (with(State::Active), with(State::Failed));
        if (&active, &failed) != (&case.active, &case.failed) {
            wrong.push(format!("{}: active {active:?}, failed {failed:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
