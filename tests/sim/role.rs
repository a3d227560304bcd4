//! What a machine does for its process 1: the gate, the proof, the user's services, the address. Mirrors
//! `bins/gate` and `bins/leased/src/group.rs`, step by step, with time passing and power failing between the steps.

use crate::cluster::{Happening, World};
use crate::node::{Gate, ms};
use crate::seeded::{ModelFault, out};
use crate::systemd::{Act, Kind, Mode, State, Unit};
use hotspare_core::lease::{Ended, Input, PhaseName, Request, Verdict};
use hotspare_core::{Incarnation, Timetable};

/// A step of something that a unit does; it happens unless the unit was begun anew or the power failed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The start is over, well or not.
    Started(bool),
    /// The stop is over.
    Stopped,
    /// The gate sweeps what a former life left, and asks for the lease.
    GateAsks { tries: u32 },
    /// The gate is about to open for a tenure.
    GateOpens(Incarnation),
    /// Look whether the slice is empty; then the proof is written. `own`: this is the gate's own ExecStopPost.
    Proves { how: Ended, refused: bool, own: bool, began: bool },
}

/// A node, and a group on it.
pub type Place = (usize, usize);

impl World {
    /// `systemctl start|stop UNIT`, by whomever; then process 1 works.
    pub fn job(&mut self, (node, group): Place, unit: Unit, kind: Kind, mode: Mode) -> bool {
        let graph = self.units.clone();
        let well = self.nodes[node].parts[group].manager.enqueue(&graph.graph, unit, kind, mode);
        self.tell(|| format!("node {node}.{group}: {kind:?} {} ({well})", graph.graph.names[unit]));
        self.settle(node, group);
        well
    }

    /// Carries out what process 1 decided, until it waits for something; tells the lease client what changed.
    pub fn settle(&mut self, node: usize, group: usize) {
        loop {
            let acts = self.nodes[node].parts[group].manager.acts();
            if acts.is_empty() {
                break;
            }
            for act in acts {
                match act {
                    Act::Start(unit) => self.begin_start(node, group, unit),
                    Act::Stop(unit) => self.begin_stop(node, group, unit),
                }
            }
        }
        self.watch_paths(node, group);
        let units = self.units.clone();
        let standby = self.nodes[node].parts[group].standby_input(&units);
        self.lease(node, group, standby);
    }

    /// cluster-take.path: the raised file starts the primary target whenever that is not active.
    fn watch_paths(&mut self, node: usize, group: usize) {
        let target = self.units.primary;
        let manager = &self.nodes[node].parts[group].manager;
        let idle = !manager.is_active(target) && !manager.has_job(target);
        if self.nodes[node].parts[group].take && idle && !self.stuck(node, group, target) {
            self.job((node, group), target, Kind::Start, Mode::Replace);
        }
    }

    /// cluster-yield.path: every write of the file starts the yield target, which stops the gate.
    pub fn give(&mut self, node: usize, group: usize, boot: u64) {
        if self.nodes[node].boot == boot && self.nodes[node].powered {
            let target = self.units.give;
            self.job((node, group), target, Kind::Start, Mode::Replace);
        }
    }

    /// A path unit triggers again only after its target was down for a moment: here, after a pause.
    fn stuck(&mut self, node: usize, group: usize, target: Unit) -> bool {
        let key = self.units.graph.names.len() + target;
        let last = self.nodes[node].parts[group].begun.get(&key).copied();
        let stuck = last.is_some_and(|at| self.now < at + ms(100));
        if !stuck {
            let now = self.now;
            self.nodes[node].parts[group].begun.insert(key, now);
        } else {
            let boot = self.nodes[node].boot;
            self.at(self.now + ms(101), Happening::Paths { node, group, boot });
        }
        stuck
    }

    pub fn paths(&mut self, node: usize, group: usize, boot: u64) {
        if self.nodes[node].boot == boot && self.nodes[node].powered {
            self.watch_paths(node, group);
        }
    }

    fn step_in(&mut self, (node, group): Place, unit: Unit, delay: u64, step: Step) {
        let boot = self.nodes[node].boot;
        let serial = self.nodes[node].parts[group].begun.get(&unit).copied().unwrap_or(0);
        self.at(self.now + delay, Happening::Unit { node, group, unit, boot, serial, step });
    }

    fn begin(&mut self, node: usize, group: usize, unit: Unit) {
        let part = &mut self.nodes[node].parts[group];
        part.serial += 1;
        part.begun.insert(unit, part.serial);
    }

    fn begin_start(&mut self, node: usize, group: usize, unit: Unit) {
        self.begin(node, group, unit);
        let quick = self.rng.below(ms(5));
        let units = self.units.clone();
        if unit == units.gate && self.now < self.nodes[node].parts[group].gate_broken_until {
            return self.step_in((node, group), unit, quick, Step::Started(false));
        }
        if unit == units.gate {
            let delay = ms(1) + self.rng.below(ms(20));
            return self.step_in((node, group), unit, delay, Step::GateAsks { tries: 0 });
        }
        if unit == units.prove {
            // Killed as well, now and then: RestartMode=direct keeps the job and tries again.
            let again = if self.faults_on && self.rng.one_in(6) { ms(30) } else { 0 };
            let began = Step::Proves { how: Ended::Died, refused: false, own: false, began: true };
            return self.step_in((node, group), unit, ms(1) + quick + again, began);
        }
        let part = &mut self.nodes[node].parts[group];
        // vip-claim runs in the group's slice: it is an effect of the role (decision 0007).
        if unit == units.service || unit == units.address {
            part.populated.push(unit);
        }
        if unit == units.keeper {
            part.keeper_runs = true;
        }
        let delay = if unit == units.service { ms(1) + self.rng.below(ms(1200)) } else { quick };
        // A service that does not start, now and then: its Restart= is exhausted.
        let well = unit != units.service || !self.faults_on || !self.rng.one_in(60);
        self.step_in((node, group), unit, delay, Step::Started(well));
    }

    fn begin_stop(&mut self, node: usize, group: usize, unit: Unit) {
        let units = self.units.clone();
        if unit == units.gate {
            // SIGTERM: the gate goes, ExecStopPost comes. Still on its way in, it was never answered.
            let was_open = self.nodes[node].parts[group].gate.is_some();
            self.nodes[node].parts[group].manager.open = false;
            self.gate_process_ends(node, group);
            self.begin(node, group, unit);
            return self.prove_in((node, group), unit, Ended::Stopped, !was_open);
        }
        self.begin(node, group, unit);
        let slow = if self.rng.one_in(10) { ms(8000) } else { ms(700) };
        let delay =
            if unit == units.service || unit == units.keeper { self.rng.below(slow) } else { self.rng.below(ms(5)) };
        self.step_in((node, group), unit, delay, Step::Stopped);
    }

    /// The process of the gate is gone: its connection to leased closes, its wish goes with it.
    fn gate_process_ends(&mut self, node: usize, group: usize) {
        self.nodes[node].parts[group].gate = None;
        let now = self.nodes[node].clock.read(self.now);
        let part = &mut self.nodes[node].parts[group];
        let shell = &mut part.shell;
        if shell.attached {
            (shell.attached, shell.gone) = (false, part.page.map(|page| (page.value.incarnation, now)));
        }
        if let Some(id) = shell.waiting.take() {
            if let Some(lease) = &mut self.nodes[node].parts[group].lease {
                lease.withdraw(id);
            }
            self.lease(node, group, Input::Tick);
        }
    }

    fn prove_in(&mut self, (node, group): Place, unit: Unit, how: Ended, refused: bool) {
        let delay = ms(1) + self.rng.below(ms(20));
        self.step_in((node, group), unit, delay, Step::Proves { how, refused, own: true, began: true });
    }

    /// A step of a unit is due.
    pub fn unit(&mut self, (node, group): (usize, usize), unit: Unit, (boot, serial): (u64, u64), step: Step) {
        if self.nodes[node].boot != boot || !self.nodes[node].powered {
            return;
        }
        if self.now < self.nodes[node].asleep_until {
            let wakes = self.nodes[node].asleep_until + ms(1);
            return self.at(wakes, Happening::Unit { node, group, unit, boot, serial, step });
        }
        if self.nodes[node].parts[group].begun.get(&unit) != Some(&serial) {
            return;
        }
        let units = self.units.clone();
        match step {
            Step::Started(well) => self.unit_started(node, group, unit, well),
            Step::Stopped => {
                self.vanish(node, group, unit);
                self.nodes[node].parts[group].manager.stopped(&units.graph, unit, false);
                self.settle(node, group);
            }
            Step::GateAsks { tries } => self.gate_asks(node, group, tries),
            Step::GateOpens(life) => self.gate_opens(node, group, life),
            Step::Proves { how, refused, own, began } => self.proves(node, group, unit, (how, refused, own, began)),
        }
    }

    fn vanish(&mut self, node: usize, group: usize, unit: Unit) {
        let units = self.units.clone();
        let part = &mut self.nodes[node].parts[group];
        part.populated.retain(|known| *known != unit);
        if unit == units.address {
            part.address = false;
        }
        if unit == units.keeper {
            part.keeper_runs = false;
        }
    }

    fn unit_started(&mut self, node: usize, group: usize, unit: Unit, well: bool) {
        let units = self.units.clone();
        if !well {
            self.vanish(node, group, unit);
        }
        if unit == units.address {
            // vip-claim reads the page itself and claims nothing in a tenure that is over.
            let fresh = !self.nodes[node].past_belief(group, self.now);
            let held = self.nodes[node].parts[group].page.is_some_and(|page| page.held);
            self.nodes[node].parts[group].address = fresh && held;
        }
        self.nodes[node].parts[group].manager.started(&units.graph, unit, well);
        if unit == units.up && well {
            let life = self.nodes[node].parts[group].page.map(|page| page.value.incarnation);
            if let Some(life) = life {
                self.lease(node, group, Input::RoleUp(life));
            }
        }
        if unit == units.give_up {
            self.give_up(node, group);
            self.nodes[node].parts[group].manager.over(&units.graph, unit);
        }
        if unit == units.enter {
            let (primary, standby) = (units.primary, units.standby);
            let manager = &self.nodes[node].parts[group].manager;
            if !manager.is_active(primary) && !manager.has_job(primary) {
                self.job((node, group), standby, Kind::Start, Mode::Fail);
            }
        }
        self.settle(node, group);
    }

    fn give_up(&mut self, node: usize, group: usize) {
        let goes_on = self.nodes[node].stopped_until;
        if self.now < goes_on && self.nodes[node].parts[group].lease.is_some() {
            // It waits in the connection for one that was stopped; one that has to be started anew looks for itself.
            let boot = self.nodes[node].boot;
            return self.at(goes_on + 1, Happening::LookForFailures { node, group, boot });
        }
        let gate_gone = self.nodes[node].parts[group].gate_gone().is_some();
        if !gate_gone {
            self.lease(node, group, Input::GiveUp);
        }
    }

    /// As `bins/leased/src/bus.rs`: a unit that failed while nobody could be told, or while a pause was on.
    pub fn look_for_failures(&mut self, (node, group): Place, boot: u64) {
        let units = self.units.clone();
        let manager = &self.nodes[node].parts[group].manager;
        let failed = manager.state(units.service) == State::Failed && !manager.has_job(units.service);
        if failed && self.nodes[node].boot == boot && !out(ModelFault::FailureForgotten) {
            self.give_up(node, group);
        }
    }

    fn gate_asks(&mut self, node: usize, group: usize, tries: u32) {
        let units = self.units.clone();
        self.kill(node, group);
        self.nodes[node].parts[group].address = false;
        let now = self.nodes[node].clock.read(self.now);
        let stopped = self.now < self.nodes[node].stopped_until;
        let part = &mut self.nodes[node].parts[group];
        part.manager.open = false;
        if self.nodes[node].run_full {
            return self.gate_fails(node, group, true);
        }
        let part = &mut self.nodes[node].parts[group];
        part.proof = None;
        part.claim = Some(None);
        let Some(lease) = part.lease.as_ref().filter(|_| !stopped) else {
            if tries < 100 {
                return self.step_in((node, group), units.gate, ms(50), Step::GateAsks { tries: tries + 1 });
            }
            return self.gate_fails(node, group, true);
        };
        if part.shell.attached || lease.is_claimed() {
            return self.gate_fails(node, group, true);
        }
        let held = part.page.filter(|page| page.held && lease.phase() == PhaseName::Held);
        if let Some(page) = held {
            let life = page.value.incarnation;
            (part.shell.attached, part.shell.gone, part.take) = (true, None, false);
            self.lease(node, group, Input::Claimed(life));
            let delay = self.gate_delay();
            return self.step_in((node, group), units.gate, delay, Step::GateOpens(life));
        }
        let expects = lease.expects();
        (part.take, part.prepared, part.ordered) = (false, false, false);
        part.shell.next_request += 1;
        let id = now.boot ^ (part.shell.next_request << 56);
        part.shell.waiting = Some(id);
        let asked = self.nodes[node].parts[group].asked;
        self.nodes[node].parts[group].asked |= !expects;
        self.lease(node, group, Input::Request(Request { id, to: None, ask: true }));
        // Refused at once: it was started for a hand-over that is not to be, and nobody asked.
        let part = &mut self.nodes[node].parts[group];
        part.asked = asked || (part.asked && part.shell.waiting.is_some());
    }

    /// From the answer to the open gate: a few milliseconds, but a busy machine may take its time.
    fn gate_delay(&mut self) -> u64 {
        let busy = self.faults_on && self.rng.one_in(15);
        let longest = if busy { crate::node::span(self.profile.lease) * 2 } else { ms(10) };
        self.rng.below(longest)
    }

    /// leased answered a request; a gate may have waited for it.
    pub fn answered(&mut self, node: usize, group: usize, request: u64, verdict: Verdict) {
        let part = &mut self.nodes[node].parts[group];
        if part.shell.waiting != Some(request) {
            return;
        }
        part.shell.waiting = None;
        match (verdict, part.page) {
            (Verdict::Held(_), Some(page)) if page.held => {
                let life = page.value.incarnation;
                (part.shell.attached, part.shell.gone, part.take) = (true, None, false);
                self.lease(node, group, Input::Claimed(life));
                let (gate, delay) = (self.units.gate, self.gate_delay());
                self.step_in((node, group), gate, delay, Step::GateOpens(life));
            }
            _ => self.gate_fails(node, group, true),
        }
    }

    /// leased is gone: a gate that waits for its answer gives up.
    pub fn hang_up(&mut self, node: usize, group: usize) {
        let shell = std::mem::take(&mut self.nodes[node].parts[group].shell);
        if shell.waiting.is_some() {
            self.gate_fails(node, group, true);
        }
    }

    /// The gate's process ends before it was open.
    fn gate_fails(&mut self, node: usize, group: usize, refused: bool) {
        let gate = self.units.gate;
        self.gate_process_ends(node, group);
        self.nodes[node].parts[group].manager.exited(gate);
        self.prove_in((node, group), gate, if refused { Ended::Died } else { Ended::Expired }, refused);
    }

    fn gate_opens(&mut self, node: usize, group: usize, life: Incarnation) {
        let stamp = self.nodes[node].clock.read(self.now);
        let part = &mut self.nodes[node].parts[group];
        part.claim = Some(Some(life));
        let open = part.page.filter(|page| page.held && page.value.incarnation == life);
        let open = open.filter(|page| {
            let late = stamp.any_past(page.sent.plus(Timetable::new(page.lease).begin_stop()));
            !late || out(ModelFault::GateOpensLate)
        });
        if let Some(page) = open {
            self.nodes[node].parts[group].meddled = false;
            let late = stamp.any_past(page.sent.plus(Timetable::new(page.lease).believed()));
            assert!(!late, "opens_in_time: the gate of node {node} opens on a deadline that is past");
            assert!(!self.nodes[node].parts[group].acts(), "opens_in_time: something of a former life runs on {node}");
        }
        if open.is_none() {
            self.tell(|| format!("node {node}.{group}: the gate stays shut"));
            return self.gate_fails(node, group, false);
        }
        let units = self.units.clone();
        let part = &mut self.nodes[node].parts[group];
        let serial = part.begun[&units.gate];
        part.gate = Some(Gate { life, serial });
        part.manager.open = true;
        part.life = Some(life);
        part.manager.started(&units.graph, units.gate, true);
        self.tell(|| format!("node {node}.{group}: the gate is open"));
        let look = self.nodes[node].gate_looks_at(group, self.now);
        self.at(look, Happening::GateLooks { node, group, serial });
        self.settle(node, group);
    }

    pub fn gate_looks(&mut self, node: usize, group: usize, serial: u64) {
        if self.now < self.nodes[node].asleep_until {
            return; // it looks when it wakes up: see `faults::suspend`
        }
        let Some(gate) = self.nodes[node].parts[group].gate.filter(|gate| gate.serial == serial) else { return };
        if !self.nodes[node].gate_must_kill(group, self.now) {
            let look = self.nodes[node].gate_looks_at(group, self.now);
            return self.at(look, Happening::GateLooks { node, group, serial });
        }
        self.stats.kills += 1;
        self.tell(|| format!("node {node}.{group}: the gate kills"));
        self.nodes[node].parts[group].manager.open = false;
        self.kill(node, group);
        if !out(ModelFault::GateLeavesAddress) {
            self.nodes[node].parts[group].address = false;
        }
        let _ = gate;
        self.gate_exits(node, group, Ended::Expired);
    }

    /// The open gate ends, by itself or by a signal.
    pub fn gate_exits(&mut self, node: usize, group: usize, how: Ended) {
        let gate = self.units.gate;
        self.gate_process_ends(node, group);
        self.nodes[node].parts[group].manager.exited(gate);
        self.begin(node, group, gate);
        // After `cgroup.kill` some kernels kill ExecStopPost as well (decision 0006): there is no proof then.
        if how == Ended::Died && self.faults_on && self.rng.one_in(3) {
            let units = self.units.clone();
            self.nodes[node].parts[group].manager.stopped(&units.graph, gate, true);
            return self.settle(node, group);
        }
        self.prove_in((node, group), gate, how, false);
    }

    /// `cgroup.kill` on the slice. Takes a few milliseconds to be true.
    fn kill(&mut self, node: usize, group: usize) {
        let units = self.units.clone();
        for unit in std::mem::take(&mut self.nodes[node].parts[group].populated) {
            self.begin(node, group, unit);
            self.nodes[node].parts[group].manager.stopped(&units.graph, unit, true);
        }
        self.settle(node, group);
    }

    fn proves(&mut self, node: usize, group: usize, unit: Unit, (how, refused, own, began): (Ended, bool, bool, bool)) {
        let units = self.units.clone();
        if began {
            self.nodes[node].parts[group].manager.open = false; // and process 1 says that it has noticed
        }
        if began && own && !refused {
            crate::invariants::stops_in_order::check(self, node, group, how);
        }
        if began && self.nodes[node].parts[group].acts() && !out(ModelFault::ProofWhilePopulated) {
            // One look, a kill, and another look a moment later.
            self.kill(node, group);
            if !out(ModelFault::ProofLeavesAddress) {
                self.nodes[node].parts[group].address = false;
            }
            let delay = ms(1) + self.rng.below(ms(5));
            return self.step_in((node, group), unit, delay, Step::Proves { how, refused, own, began: false });
        }
        if self.nodes[node].run_full && self.nodes[node].parts[group].claim.is_some() {
            // Everything is dead, and that cannot be written down.
            let manager = &mut self.nodes[node].parts[group].manager;
            if own {
                manager.stopped(&units.graph, unit, true);
                return self.settle(node, group);
            }
            let again = Step::Proves { how, refused, own, began: true };
            return self.step_in((node, group), unit, ms(2000), again);
        }
        let part = &mut self.nodes[node].parts[group];
        // Without a claim there is nothing to prove: the other of the two did it, or no gate was ever here.
        let life = part.claim.take().and_then(|claim| {
            let on_page = part.page.filter(|page| !refused || !page.held).map(|page| page.value.incarnation);
            claim.or(on_page)
        });
        if let Some(life) = life {
            let how = part.proof.filter(|(known, _)| *known == life).map_or(how, |(_, how)| how);
            part.proof = Some((life, how));
            self.tell(|| format!("node {node}.{group}: proven ({how:?})"));
            crate::invariants::proof_is_true::check(self, node, group);
            self.nodes[node].parts[group].shell.gone = None;
            self.nodes[node].parts[group].shell.attached = false;
            self.lease(node, group, Input::Emptied { incarnation: life, how });
        }
        let manager = &mut self.nodes[node].parts[group].manager;
        if own {
            manager.stopped(&units.graph, unit, how != Ended::Stopped || refused);
        } else {
            manager.over(&units.graph, unit);
        }
        self.settle(node, group);
    }
}
