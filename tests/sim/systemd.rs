//! A small model of systemd's jobs: transactions, ordering, propagation of stops and failures.
//!
//! It reads the very units that hotspare-generator writes (`tests/golden`), so that a wrong line there is a wrong line
//! here. What it knows was read in systemd's transaction.c and job.c and is compared with a real one by
//! `vm-tests/jobs.py`, case by case. It leaves out what our units do not use: reloads, restarts, timeouts, isolation
//! (all our units ignore it).

use std::collections::{BTreeMap, BTreeSet};

/// A unit, by its place in [`Graph::names`].
pub type Unit = usize;

/// Dependencies of one unit, in both directions.
#[derive(Clone, Debug, Default)]
pub struct Deps {
    pub requires: Vec<Unit>,
    pub requisite: Vec<Unit>,
    pub binds_to: Vec<Unit>,
    pub wants: Vec<Unit>,
    pub conflicts: Vec<Unit>,
    pub after: Vec<Unit>,
    pub part_of: Vec<Unit>,
    pub stopped_with: Vec<Unit>,
    pub on_failure: Vec<Unit>,
    conflicted_by: Vec<Unit>,
    /// Stopped when this one is: RequiredBy, RequisiteOf, BoundBy, ConsistsOf.
    stops: Vec<Unit>,
    /// PropagatesStopTo: stopped when this one is *asked* to stop, not when it only stops along with another.
    stops_if_asked: Vec<Unit>,
    bound_by: Vec<Unit>,
    /// Their starts fail when this one's does: RequiredBy, RequisiteOf, BoundBy.
    fails: Vec<Unit>,
}

/// All units and how they hang together.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub names: Vec<String>,
    pub deps: Vec<Deps>,
    /// StopWhenUnneeded=.
    pub transient: Vec<Unit>,
    /// AssertPathExists= on the file that the gate makes.
    pub behind_gate: Vec<Unit>,
}

impl Graph {
    /// Reads unit files and drop-ins, as (file name, text).
    #[must_use]
    pub fn load(files: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (file, text) in files {
            let name = file.split_once(".d/").map_or(*file, |(name, _)| name);
            let unit = graph.unit(name);
            if text.contains("\nStopWhenUnneeded=yes\n") {
                graph.transient.push(unit);
            }
            if text.contains("\nAssertPathExists=/run/hotspare-gate/default.open\n") {
                graph.behind_gate.push(unit);
            }
            for line in text.lines() {
                let Some((key, values)) = line.split_once('=') else { continue };
                let values: Vec<Unit> = match key {
                    "PropagatesStopTo" => {
                        for name in values.split_whitespace() {
                            let other = graph.unit(name);
                            graph.deps[other].stopped_with.push(unit);
                        }
                        continue;
                    }
                    "Requires" | "Requisite" | "BindsTo" | "Wants" | "Conflicts" | "After" | "PartOf"
                    | "StopPropagatedFrom" | "OnFailure" => {
                        values.split_whitespace().map(|name| graph.unit(name)).collect()
                    }
                    _ => continue,
                };
                let deps = &mut graph.deps[unit];
                match key {
                    "Requires" => deps.requires.extend(values),
                    "Requisite" => deps.requisite.extend(values),
                    "BindsTo" => deps.binds_to.extend(values),
                    "Wants" => deps.wants.extend(values),
                    "Conflicts" => deps.conflicts.extend(values),
                    "After" => deps.after.extend(values),
                    "PartOf" => deps.part_of.extend(values),
                    "StopPropagatedFrom" => deps.stopped_with.extend(values),
                    _ => deps.on_failure.extend(values),
                }
            }
        }
        graph.reverse();
        graph
    }

    fn unit(&mut self, name: &str) -> Unit {
        if let Some(known) = self.find(name) {
            return known;
        }
        self.names.push(name.to_owned());
        self.deps.push(Deps::default());
        self.names.len() - 1
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<Unit> {
        self.names.iter().position(|known| known == name)
    }

    /// The unit called `name`, which must exist.
    #[must_use]
    pub fn named(&self, name: &str) -> Unit {
        self.find(name).unwrap_or_else(|| panic!("no unit {name}"))
    }

    fn reverse(&mut self) {
        for unit in 0..self.names.len() {
            let deps = self.deps[unit].clone();
            deps.conflicts.iter().for_each(|other| self.deps[*other].conflicted_by.push(unit));
            for list in [&deps.requires, &deps.requisite, &deps.binds_to, &deps.part_of] {
                list.iter().for_each(|other| self.deps[*other].stops.push(unit));
            }
            deps.stopped_with.iter().for_each(|other| self.deps[*other].stops_if_asked.push(unit));
            for list in [&deps.requires, &deps.requisite, &deps.binds_to] {
                list.iter().for_each(|other| self.deps[*other].fails.push(unit));
            }
            deps.binds_to.iter().for_each(|other| self.deps[*other].bound_by.push(unit));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Inactive,
    Failed,
    Activating,
    Active,
    Deactivating,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Start,
    Stop,
    Verify,
}

/// What happens to jobs that are in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Replace,
    Fail,
}

/// What the machine must do for process 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Start(Unit),
    Stop(Unit),
}

#[derive(Clone, Copy, Debug)]
struct Job {
    kind: Kind,
    running: bool,
    order: u64,
}

/// Process 1 of one machine.
#[derive(Clone, Debug)]
pub struct Manager {
    states: Vec<State>,
    jobs: BTreeMap<Unit, Job>,
    order: u64,
    acts: Vec<Act>,
    /// The file that the gate makes is there.
    pub open: bool,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    unit: Unit,
    kind: Kind,
    matters: bool,
    alive: bool,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    subject: usize,
    object: usize,
    matters: bool,
    conflicts: bool,
}

#[derive(Default)]
struct Transaction {
    jobs: Vec<Planned>,
    links: Vec<Link>,
}

impl Manager {
    #[must_use]
    pub fn new(graph: &Graph) -> Manager {
        Manager {
            states: vec![State::Inactive; graph.names.len()],
            jobs: BTreeMap::new(),
            order: 0,
            acts: Vec::new(),
            open: false,
        }
    }

    #[must_use]
    pub fn state(&self, unit: Unit) -> State {
        self.states[unit]
    }

    #[must_use]
    pub fn has_job(&self, unit: Unit) -> bool {
        self.jobs.contains_key(&unit)
    }

    #[must_use]
    pub fn is_active(&self, unit: Unit) -> bool {
        self.states[unit] == State::Active
    }

    /// What was decided since the last call.
    pub fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// `systemctl start|stop`: false if the transaction was refused.
    pub fn enqueue(&mut self, graph: &Graph, unit: Unit, kind: Kind, mode: Mode) -> bool {
        let well = self.plan(graph, unit, kind, mode);
        self.run(graph);
        well
    }

    /// Installs the jobs; they run when everything that follows from one event has been decided.
    fn plan(&mut self, graph: &Graph, unit: Unit, kind: Kind, mode: Mode) -> bool {
        let mut plan = Transaction::default();
        let anchor = plan.add(graph, unit, kind, None);
        plan.weigh(anchor);
        plan.drop_redundant(self, anchor);
        plan.collect(anchor);
        if !plan.merge(anchor) {
            return false;
        }
        plan.drop_redundant(self, anchor);
        plan.collect(anchor);
        let planned: Vec<Planned> = plan.jobs.into_iter().filter(|job| job.alive).collect();
        let conflicting = |job: &Planned| self.jobs.get(&job.unit).is_some_and(|old| clash(old.kind, job.kind));
        if mode == Mode::Fail && planned.iter().any(conflicting) {
            return false;
        }
        for job in planned {
            self.install(job.unit, job.kind);
        }
        true
    }

    fn install(&mut self, unit: Unit, kind: Kind) {
        self.order += 1;
        let fresh = Job { kind, running: false, order: self.order };
        match self.jobs.get_mut(&unit) {
            Some(old) if old.kind == kind || (old.kind == Kind::Start && kind == Kind::Verify) => {}
            Some(old) => *old = fresh, // the old one is cancelled; nobody is told of a failure
            None => {
                self.jobs.insert(unit, fresh);
            }
        }
    }

    /// Whether a job has to wait for another one.
    fn blocked(&self, graph: &Graph, unit: Unit, kind: Kind) -> bool {
        self.jobs.iter().filter(|(other, _)| **other != unit).any(|(other, job)| {
            let after = graph.deps[unit].after.contains(other) && kind != Kind::Stop;
            let before = graph.deps[*other].after.contains(&unit) && job.kind == Kind::Stop;
            after || before
        })
    }

    fn run(&mut self, graph: &Graph) {
        loop {
            let mut waiting: Vec<(Unit, Job)> =
                self.jobs.iter().filter(|(_, job)| !job.running).map(|(unit, job)| (*unit, *job)).collect();
            waiting.sort_by_key(|(_, job)| job.order);
            let ready = waiting.into_iter().find(|(unit, job)| {
                let state = self.states[*unit];
                let settling = matches!(
                    (job.kind, state),
                    (Kind::Start, State::Deactivating) | (Kind::Verify, State::Activating | State::Deactivating)
                );
                !settling && !self.blocked(graph, *unit, job.kind)
            });
            let Some((unit, job)) = ready else { return };
            self.begin(graph, unit, job.kind);
        }
    }

    fn begin(&mut self, graph: &Graph, unit: Unit, kind: Kind) {
        let target = graph.names[unit].ends_with(".target");
        match (kind, self.states[unit]) {
            (Kind::Start | Kind::Verify, State::Active) | (Kind::Stop, State::Inactive | State::Failed) => {
                self.jobs.remove(&unit);
            }
            (Kind::Verify, _) => self.fail_job(graph, unit),
            (Kind::Start, _) => {
                // A unit that is bound to another and ordered after it does not start without it.
                let unbound = |other: &&Unit| !self.is_active(**other) && graph.deps[unit].after.contains(other);
                if graph.deps[unit].binds_to.iter().any(|other| unbound(&other)) {
                    return self.fail_job(graph, unit);
                }
                if !self.open && graph.behind_gate.contains(&unit) {
                    // "Assertion failed": its dependents fail, its own OnFailure is not started.
                    self.jobs.remove(&unit);
                    return self.fail_dependents(graph, unit);
                }
                if target {
                    // One that stops when nobody needs it is over at once (cluster-yield.target).
                    let stays = !graph.transient.contains(&unit);
                    self.states[unit] = if stays { State::Active } else { State::Inactive };
                    self.jobs.remove(&unit);
                    return;
                }
                self.mark(unit, State::Activating);
                self.acts.push(Act::Start(unit));
            }
            (Kind::Stop, _) if target => {
                self.states[unit] = State::Inactive;
                self.jobs.remove(&unit);
            }
            (Kind::Stop, _) => {
                self.mark(unit, State::Deactivating);
                self.acts.push(Act::Stop(unit));
            }
        }
    }

    fn mark(&mut self, unit: Unit, state: State) {
        self.states[unit] = state;
        if let Some(job) = self.jobs.get_mut(&unit) {
            job.running = true;
        }
    }

    /// The job of `unit` ends by "dependency": whoever needs it fails as well, and its OnFailure is started.
    fn fail_job(&mut self, graph: &Graph, unit: Unit) {
        let Some(job) = self.jobs.remove(&unit) else { return };
        self.fail_dependents(graph, unit);
        if job.kind == Kind::Start {
            self.trigger(graph, unit);
        }
    }

    fn fail_dependents(&mut self, graph: &Graph, unit: Unit) {
        for other in graph.deps[unit].fails.clone() {
            if self.jobs.get(&other).is_some_and(|job| job.kind != Kind::Stop && !job.running) {
                self.fail_job(graph, other);
            }
        }
    }

    fn trigger(&mut self, graph: &Graph, unit: Unit) {
        for handler in graph.deps[unit].on_failure.clone() {
            self.plan(graph, handler, Kind::Start, Mode::Replace);
        }
    }

    /// The start of `unit` has come to its end.
    pub fn started(&mut self, graph: &Graph, unit: Unit, well: bool) {
        if self.states[unit] != State::Activating {
            return;
        }
        // A stop that was asked for meanwhile, and waits for others to stop first, stays.
        let wanted = self.jobs.get(&unit).is_some_and(|job| job.kind != Kind::Stop);
        if wanted {
            self.jobs.remove(&unit);
        }
        if well {
            self.states[unit] = State::Active;
        } else {
            self.states[unit] = State::Failed;
            if wanted {
                self.fail_dependents(graph, unit);
            }
            self.trigger(graph, unit);
        }
        self.run(graph);
    }

    /// A oneshot that does not remain is over.
    pub fn over(&mut self, graph: &Graph, unit: Unit) {
        if matches!(self.states[unit], State::Activating | State::Active) {
            self.states[unit] = State::Inactive;
            self.jobs.remove(&unit);
            self.run(graph);
        }
    }

    /// The main process of `unit` ended by itself: it is stopping now, and [`Manager::stopped`] follows.
    pub fn exited(&mut self, unit: Unit) {
        if matches!(self.states[unit], State::Active | State::Activating) {
            self.states[unit] = State::Deactivating;
        }
    }

    /// `unit` has stopped; `failed` if nobody asked for it.
    pub fn stopped(&mut self, graph: &Graph, unit: Unit, failed: bool) {
        let asked = self.jobs.get(&unit).is_some_and(|job| job.kind == Kind::Stop && job.running);
        self.states[unit] = if failed && !asked { State::Failed } else { State::Inactive };
        self.jobs.retain(|other, job| *other != unit || job.kind != Kind::Stop); // done, even if it was still waiting
        if !asked {
            if self.jobs.get(&unit).is_some_and(|job| job.running) {
                self.jobs.remove(&unit); // its start failed
                self.fail_dependents(graph, unit);
            }
            for other in graph.deps[unit].bound_by.clone() {
                if matches!(self.states[other], State::Active | State::Activating) {
                    self.plan(graph, other, Kind::Stop, Mode::Replace);
                }
            }
            if failed {
                self.trigger(graph, unit);
            }
        }
        self.run(graph);
    }

    /// Units in the order of the graph, with states, for the story.
    #[must_use]
    pub fn describe(&self, graph: &Graph) -> String {
        let units = graph.names.iter().zip(&self.states).filter(|(_, state)| **state != State::Inactive);
        units.map(|(name, state)| format!("{name}={state:?}")).collect::<Vec<_>>().join(" ")
    }
}

fn clash(one: Kind, other: Kind) -> bool {
    (one == Kind::Stop) != (other == Kind::Stop)
}

impl Transaction {
    fn link(&mut self, subject: Option<usize>, object: usize, matters: bool, conflicts: bool) {
        if let Some(subject) = subject {
            self.links.push(Link { subject, object, matters, conflicts });
        }
    }

    fn add(&mut self, graph: &Graph, unit: Unit, kind: Kind, by: Option<(usize, bool, bool)>) -> usize {
        let known = self.jobs.iter().position(|job| job.unit == unit && job.kind == kind);
        let index = known.unwrap_or(self.jobs.len());
        if known.is_none() {
            self.jobs.push(Planned { unit, kind, matters: false, alive: true });
        }
        if let Some((subject, matters, conflicts)) = by {
            self.link(Some(subject), index, matters, conflicts);
        }
        if known.is_some() {
            return index;
        }
        let deps = graph.deps[unit].clone();
        let mut pull = |units: &[Unit], kind, matters, conflicts| {
            for other in units {
                self.add(graph, *other, kind, Some((index, matters, conflicts)));
            }
        };
        match kind {
            Kind::Start => {
                pull(&deps.requires, Kind::Start, true, false);
                pull(&deps.binds_to, Kind::Start, true, false);
                pull(&deps.wants, Kind::Start, false, false);
                pull(&deps.requisite, Kind::Verify, true, false);
                pull(&deps.conflicts, Kind::Stop, true, true);
                pull(&deps.conflicted_by, Kind::Stop, false, false);
            }
            Kind::Stop => {
                pull(&deps.stops, Kind::Stop, true, false);
                if by.is_none() {
                    pull(&deps.stops_if_asked, Kind::Stop, true, false);
                }
            }
            Kind::Verify => {}
        }
        index
    }

    /// Marks what the anchor cannot do without.
    fn weigh(&mut self, anchor: usize) {
        let mut todo = vec![anchor];
        while let Some(index) = todo.pop() {
            if std::mem::replace(&mut self.jobs[index].matters, true) {
                continue;
            }
            todo.extend(self.links.iter().filter(|link| link.subject == index && link.matters).map(|link| link.object));
        }
    }

    fn remove(&mut self, index: usize, with_dependents: bool) {
        if !std::mem::replace(&mut self.jobs[index].alive, false) {
            return;
        }
        let needing: Vec<usize> =
            self.links.iter().filter(|link| link.object == index && link.matters).map(|link| link.subject).collect();
        self.links.retain(|link| link.object != index && link.subject != index);
        if with_dependents {
            needing.into_iter().for_each(|subject| self.remove(subject, true));
        }
    }

    fn drop_redundant(&mut self, manager: &Manager, anchor: usize) {
        let units: BTreeSet<Unit> = self.jobs.iter().filter(|job| job.alive).map(|job| job.unit).collect();
        for unit in units {
            let own: Vec<usize> =
                (0..self.jobs.len()).filter(|at| self.jobs[*at].alive && self.jobs[*at].unit == unit).collect();
            let redundant = own.iter().all(|at| {
                let kind = self.jobs[*at].kind;
                let there = match kind {
                    Kind::Start | Kind::Verify => manager.states[unit] == State::Active,
                    Kind::Stop => matches!(manager.states[unit], State::Inactive | State::Failed),
                };
                *at != anchor && there && !manager.jobs.get(&unit).is_some_and(|old| clash(old.kind, kind))
            });
            if redundant {
                own.into_iter().for_each(|at| self.remove(at, false));
            }
        }
    }

    /// What nobody needs any more goes.
    fn collect(&mut self, anchor: usize) {
        loop {
            let idle = (0..self.jobs.len())
                .find(|at| *at != anchor && self.jobs[*at].alive && !self.links.iter().any(|link| link.object == *at));
            let Some(at) = idle else { return };
            self.remove(at, false);
        }
    }

    /// One job for each unit; false if two that matter contradict each other.
    fn merge(&mut self, anchor: usize) -> bool {
        loop {
            let mut clashing = None;
            for one in 0..self.jobs.len() {
                for other in one + 1..self.jobs.len() {
                    let (a, b) = (self.jobs[one], self.jobs[other]);
                    if a.alive && b.alive && a.unit == b.unit && clash(a.kind, b.kind) {
                        clashing = Some((one, other));
                    }
                }
            }
            let Some((one, other)) = clashing else { break };
            let (stop, go) = if self.jobs[one].kind == Kind::Stop { (one, other) } else { (other, one) };
            let drop = match (self.jobs[stop].matters, self.jobs[go].matters) {
                (true, true) => return false,
                (true, false) => go,
                (false, true) => stop,
                (false, false) if self.links.iter().any(|link| link.object == stop && link.conflicts) => go,
                (false, false) => stop,
            };
            self.remove(drop, true);
            if !self.jobs[anchor].alive {
                return false;
            }
            self.collect(anchor);
        }
        for at in 0..self.jobs.len() {
            let job = self.jobs[at];
            let started = |other: &Planned| other.alive && other.unit == job.unit && other.kind == Kind::Start;
            if job.alive && job.kind == Kind::Verify && self.jobs.iter().any(started) {
                self.jobs[at].alive = false;
            }
        }
        true
    }
}
