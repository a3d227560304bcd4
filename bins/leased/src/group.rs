//! One group on this node: its lease client, its page, its gate, its callers.

mod status;

use crate::control::Caller;
use crate::copies::Followers;
use crate::story::{self, Words, may_retry};
use hotspare_config::{Config, Group, Node};
use hotspare_control::{How, Life, Order, Proof, Tell};
use hotspare_core::lease::{Command, DataConfig, Ended, Input, Lease, LeaseConfig, PhaseName, Request, Tenure};
use hotspare_core::message::{Fenced, Pause};
use hotspare_core::{Incarnation, NodeId, Stamp};
use hotspare_daemon::{Exit, Failure, clock};
use hotspare_page::PageWriter;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How long a gate that is gone may leave its proof open, in leases.
const PROOF_PATIENCE: u32 = 2;

/// Where the gates leave their claims and proofs.
const GATES: &str = "/run/hotspare-gate";

/// Who waits for the answer to a request.
struct Waiting {
    caller: Caller,
    answer: Sender<Tell>,
    /// It is a gate: the answer hands the tenure to it.
    gate: bool,
}

pub struct GroupRun {
    pub config: Group,
    lease: Lease,
    page: PageWriter,
    tenure: Option<Tenure>,
    gate: Option<(Caller, Sender<Tell>)>,
    /// The gate of which life hung up, and when: what fails from then on fails because of that, and a proof is due.
    gate_gone: Option<(Incarnation, Stamp)>,
    waiting: BTreeMap<u64, Waiting>,
    next_request: u64,
    /// The last decision in words.
    why: String,
    /// What of the standby role is not active; `None`: not known yet.
    lacking: Option<Vec<String>>,
    /// Process 1 has yet to make the units of the configuration in force: with those of the older one the role would be another.
    stale: bool,
    /// What is asked whether this node reaches its clients, and what each said last.
    uplinks: BTreeMap<Caller, bool>,
    pub(crate) copies: Followers,
}

/// A life as it travels in JSON.
pub fn life_out(incarnation: Incarnation) -> Life {
    Life { boot: incarnation.boot.to_string(), nonce: incarnation.nonce.to_string() }
}

fn life_in(life: &Life) -> Option<Incarnation> {
    Some(Incarnation { boot: life.boot.parse().ok()?, nonce: life.nonce.parse().ok()? })
}

fn ended(how: How) -> Ended {
    match how {
        How::Stopped => Ended::Stopped,
        How::Died => Ended::Died,
        How::Expired => Ended::Expired,
    }
}

impl GroupRun {
    /// Opens the page of `group` and takes up what a former life of this daemon left there.
    ///
    /// # Errors
    /// If the page cannot be used.
    pub fn open(config: &Config, me: &Node, group: &Group, boot: u64) -> Result<GroupRun, Failure> {
        let path = hotspare_page::path(&group.name);
        let (page, former) = PageWriter::open(&path).map_err(|error| Failure::new(Exit::OsErr, error))?;
        let lease = Lease::new(
            LeaseConfig {
                me: me.id,
                candidates: group.candidates.iter().map(|name| NodeId::of(name)).collect(),
                voters: config.voter_ids(),
                timetable: group.timetable,
                boot_grace: group.boot_grace,
                hold_down: group.hold_down,
                failback: group.failback,
                automatic: !group.is_lock(),
                prepares: group.standby_units.is_empty(),
                moves_per_hour: group.moves_per_hour,
                epoch_floor: config.epoch_floor(),
                // Until its volumes have said more.
                data: (!group.volumes.is_empty()).then_some(DataConfig { born_here: false, fit: false }),
                abandoned: group.volumes.first().and_then(|volume| {
                    let abandon = volume.abandon.as_ref()?;
                    Some((abandon.generation, abandon.to == me.name))
                }),
                fence: crate::shots::fencing(config, me, group),
            },
            clock::now(),
            boot,
            clock::seed(),
        )
        .with_pause(recall_pause(&group.name));
        let former = former.filter(|tenure| tenure.value.incarnation.boot == boot);
        let lease = match former {
            // A tenure without a claim has no gate: nothing of it runs, and a gate on its way will have to ask. A claim
            // is made before the gate asks, so that none can slip in between.
            Some(tenure) => {
                let life = tenure.value.incarnation;
                let claimed = file(&group.name, "claim").exists();
                let proven = read_proof(&group.name).is_some_and(|(proven, _)| proven == life);
                lease.readopt(tenure, proven || !claimed)
            }
            None => lease,
        };
        let mut run = GroupRun {
            config: group.clone(),
            lease,
            page,
            tenure: former,
            gate: None,
            gate_gone: None,
            waiting: BTreeMap::new(),
            next_request: 1,
            why: String::new(),
            lacking: None,
            stale: false,
            uplinks: BTreeMap::new(),
            copies: Followers::of(group),
        };
        if !group.is_lock() {
            // What can't be made is tried again, and told of, when the order is given.
            ["take", "yield"].iter().for_each(|what| drop(Order::new(&group.name, what).prepare()));
        }
        run.want("take", false);
        Ok(run)
    }

    /// Boot-clock time at which a tick is due.
    pub fn wake_at(&self) -> u64 {
        self.lease.wake_at()
    }

    /// What follows from a gate that hung up and left no proof. A gate's lease is not renewed any more then, and the
    /// proof stays owed. A script's cgroup is not ours to look into: what it ran is taken to be over when its lease is.
    pub fn overdue(&self, now: Stamp) -> Option<Input> {
        self.left_behind().or_else(|| self.unproven(now))
    }

    /// A gate that this life of the daemon never spoke to, or that is gone, has left no claim: it ended without having
    /// opened, or its proof was given while nobody listened. Nothing of the tenure runs.
    fn left_behind(&self) -> Option<Input> {
        let tenure = self.tenure.filter(|_| self.gate.is_none() && !self.config.is_lock())?;
        let waits = (tenure.held && self.lease.is_claimed()) || self.lease.phase() == PhaseName::Lost;
        let gone = waits && !file(&self.config.name, "claim").exists();
        let incarnation = tenure.value.incarnation;
        let how =
            read_proof(&self.config.name).filter(|(life, _)| *life == incarnation).map_or(Ended::Died, |(_, how)| how);
        gone.then_some(Input::Emptied { incarnation, how })
    }

    /// After a restart this daemon has no connection to its gate: whether there is one, its lock says.
    pub fn notice_gate(&mut self, now: Stamp) {
        let unknown = self.gate.is_none() && self.gate_gone().is_none() && !self.config.is_lock();
        if unknown && self.lease.is_claimed() && !gate_lives(&self.config.name) {
            self.gate_gone = self.tenure.map(|tenure| (tenure.value.incarnation, now));
        }
    }

    /// When the gate of this very tenure hung up. That one of a former tenure did is over and done with.
    fn gate_gone(&self) -> Option<Stamp> {
        let life = self.tenure?.value.incarnation;
        self.gate_gone.filter(|(gone, _)| *gone == life).map(|(_, since)| since)
    }

    fn unproven(&self, now: Stamp) -> Option<Input> {
        let (since, tenure) = (self.gate_gone()?, self.tenure?);
        let waited = now.longest_since(since);
        let holds = matches!(self.lease.phase(), PhaseName::Held | PhaseName::Yielding);
        if self.config.is_lock() && waited > tenure.lease {
            return Some(Input::Emptied { incarnation: tenure.value.incarnation, how: Ended::Died });
        }
        let patience = if self.config.is_lock() { Duration::ZERO } else { tenure.lease * PROOF_PATIENCE };
        (holds && waited >= patience).then_some(Input::Abandoned)
    }

    /// Feeds `input` to the core; what is to be sent comes back, the rest is done here.
    pub fn handle(&mut self, config: &Config, me: &Node, now: Stamp, input: Input) -> Vec<Command> {
        let mut inputs = vec![input];
        let stale = Path::new(hotspare_control::STALE).join(&self.config.name).exists();
        if std::mem::replace(&mut self.stale, stale) != stale {
            inputs.insert(0, self.stands_by());
        }
        if self.lease.phase() == PhaseName::Lost
            && let Some((incarnation, how)) = read_proof(&self.config.name)
        {
            // The message may have been lost while this daemon was stopped; the file is not.
            inputs.push(Input::Emptied { incarnation, how });
        }
        let mut network = Vec::new();
        for input in inputs {
            for command in self.lease.handle(now, input) {
                self.carry_out(config, me, command, &mut network);
            }
        }
        if let Some(wanted) = self.copies.wanted(&self.lease) {
            for command in self.lease.handle(now, wanted) {
                self.carry_out(config, me, command, &mut network);
            }
        }
        self.copies.tell(config, &self.lease);
        network
    }

    fn carry_out(&mut self, config: &Config, me: &Node, command: Command, network: &mut Vec<Command>) {
        match command {
            Command::Publish(tenure) => {
                self.page.publish(&tenure);
                self.tenure = Some(tenure);
                if !tenure.held {
                    self.want("take", false);
                }
            }
            // A gate that waits already will be told; the target is on its way then.
            Command::TakeRole if self.waiting.values().any(|waiting| waiting.gate) => {}
            Command::TakeRole | Command::PrepareRole => self.want("take", true),
            Command::ForgetRole => self.want("take", false),
            Command::YieldRole => {
                self.want("yield", true);
                if let Some((_, gate)) = self.gate.as_ref().filter(|_| self.config.is_lock()) {
                    let reason = "an operator asked for another node".into();
                    let _ = gate.try_send(Tell::Refused { reason, retry: true });
                }
            }
            Command::Answer { request, verdict } => self.answer(config, request, verdict),
            Command::Keep(pause) => keep_pause(&self.config.name, pause),
            Command::Copies(_) => {} // whoever follows is told of it with everything else
            Command::Journal(event) => self.why = story::tell(config, &me.name, &self.config, event),
            Command::ToVoter { .. } | Command::ToPeer { .. } | Command::LookForFailures | Command::Fence(_) => {
                network.push(command);
            }
        }
    }

    /// Raises or lowers the file that makes PID 1 start a role: a path unit watches it. `take` is a state; of `yield` every
    /// write counts, and it is never removed, because that would count as well.
    fn want(&mut self, what: &str, on: bool) {
        if self.config.is_lock() {
            return;
        }
        let order = Order::new(&self.config.name, what);
        if !on {
            order.take_back();
        } else if let Err(error) = order.give() {
            tracing::error!("{error}; the role cannot be started or stopped from here");
        }
    }

    fn answer(&mut self, config: &Config, request: u64, verdict: hotspare_core::lease::Verdict) {
        use hotspare_core::lease::Verdict;
        let Some(waiting) = self.waiting.remove(&request) else { return };
        let words = Words { config, group: &self.config };
        let text = words.verdict(verdict);
        let tell = match (verdict, self.tenure) {
            (Verdict::Held(epoch), Some(tenure)) if waiting.gate => {
                self.gate = Some((waiting.caller, waiting.answer.clone()));
                self.gate_gone = None;
                Tell::Held { epoch: epoch.0, life: life_out(tenure.value.incarnation) }
            }
            (Verdict::Held(_) | Verdict::HandedTo(_), _) => Tell::Done { text },
            _ => Tell::Refused { reason: text, retry: may_retry(verdict) },
        };
        let _ = waiting.answer.try_send(tell);
    }

    /// A gate, or a script's `hotspare-lease hold`, wants in. Returns what the core must hear of it.
    pub fn attach(&mut self, caller: Caller, answer: Sender<Tell>, ask: bool, hold: bool) -> Vec<Input> {
        let refuse = |reason: &str| {
            let _ = answer.try_send(Tell::Refused { reason: reason.into(), retry: false });
            Vec::new()
        };
        if hold != self.config.is_lock() {
            return refuse(if hold {
                "this group is driven by its units: use `systemctl start` on its primary target, or `hotspare switchover`"
            } else {
                "this group has no units; `hotspare-lease hold` takes it"
            });
        }
        if self.gate.is_some() || self.lease.is_claimed() {
            return refuse("the lease of this group is in use on this node already");
        }
        let held = self.tenure.filter(|tenure| tenure.held && self.lease.phase() == PhaseName::Held);
        if let Some(tenure) = held {
            let life = tenure.value.incarnation;
            let told = answer.try_send(Tell::Held { epoch: tenure.value.epoch.0, life: life_out(life) });
            self.gate = Some((caller, answer));
            self.gate_gone = None;
            self.want("take", false);
            return if told.is_ok() { vec![Input::Claimed(life)] } else { Vec::new() };
        }
        self.want("take", false);
        if self.stale {
            let reason = "process 1 has yet to make the units of the configuration in force (hotspare-refresh.service): try again";
            return refuse(reason);
        }
        let id = self.request(Waiting { caller, answer, gate: true });
        vec![Input::GateWaiting(true), Input::Request(Request { id, to: None, ask })]
    }

    /// The inputs that follow once a waiting gate got the lease.
    pub fn claimed(&self) -> Option<Input> {
        let tenure = self.tenure.filter(|tenure| tenure.held && self.gate.is_some())?;
        Some(Input::Claimed(tenure.value.incarnation))
    }

    pub fn switchover(&mut self, caller: Caller, answer: Sender<Tell>, to: Option<NodeId>) -> Input {
        let id = self.request(Waiting { caller, answer, gate: false });
        Input::Request(Request { id, to, ask: true })
    }

    fn request(&mut self, waiting: Waiting) -> u64 {
        // Unique across restarts of this daemon too: a peer's late answer must not meet another request.
        let id = clock::now().boot ^ (self.next_request << 56);
        self.next_request += 1;
        self.waiting.insert(id, waiting);
        id
    }

    pub fn emptied(&mut self, proof: &Proof) -> Option<Input> {
        let incarnation = life_in(&proof.life)?;
        self.gate = None;
        self.gate_gone = None;
        Some(Input::Emptied { incarnation, how: ended(proof.how) })
    }

    /// A service failed for good; not of its own if its gate is gone.
    pub fn give_up(&self) -> Option<Input> {
        self.gate_gone().is_none().then_some(Input::GiveUp)
    }

    pub fn role_up(&mut self) -> Option<Input> {
        self.tenure.map(|tenure| Input::RoleUp(tenure.value.incarnation))
    }

    /// A caller is gone: its wishes go with it. The end of a *gate* is proven by its ExecStopPost, not by this.
    pub fn hung_up(&mut self, caller: Caller) -> Vec<Input> {
        let gone: Vec<u64> =
            self.waiting.iter().filter(|(_, waiting)| waiting.caller == caller).map(|(id, _)| *id).collect();
        let mut inputs = Vec::new();
        for id in gone {
            self.lease.withdraw(id);
            if self.waiting.remove(&id).is_some_and(|waiting| waiting.gate) {
                inputs.push(Input::GateWaiting(false));
            }
        }
        inputs.extend(self.copies.hung_up(caller));
        if self.uplinks.remove(&caller).is_some() {
            inputs.push(self.uplink());
        }
        if self.gate.as_ref().is_some_and(|(gate, _)| *gate == caller) {
            self.gate = None;
            self.gate_gone = self.tenure.map(|tenure| (tenure.value.incarnation, clock::now()));
        }
        inputs
    }

    /// One of the things that tell whether this node reaches its clients says so.
    pub fn note_uplink(&mut self, caller: Caller, good: bool) -> Input {
        self.uplinks.insert(caller, good);
        self.uplink()
    }

    /// One that answers is enough; where nobody says anything nothing is known to be wrong.
    fn uplink(&self) -> Input {
        Input::Uplink(self.uplinks.is_empty() || self.uplinks.values().any(|good| *good))
    }

    /// What has to be active on a node that stands by: the target, the path units by which the role is started and stopped, and what says
    /// that its shared disks are free.
    pub fn units_of_standby(&self) -> Vec<String> {
        let paths = self.config.path_units();
        let target = (!paths.is_empty()).then(|| self.config.unit_name("cluster-standby", "target"));
        let disks = (0..self.config.shared.len()).map(|n| self.config.disk_free_unit(n));
        target.into_iter().chain(paths).chain(disks).collect()
    }

    /// These of them are not active.
    pub fn standby_lacks(&mut self, units: Vec<String>) -> Input {
        self.lacking = Some(units);
        self.stands_by()
    }

    fn stands_by(&self) -> Input {
        Input::Standby(!self.stale && self.lacking.as_ref().is_some_and(Vec::is_empty))
    }

    /// Units whose failure is the role's.
    pub fn units_that_may_fail(&self) -> Vec<String> {
        let probes = (0..self.config.probes.len()).map(|n| self.config.probe_unit(n));
        self.config.storage_units().into_iter().chain(self.config.units.iter().cloned()).chain(probes).collect()
    }

    /// Whose life is being ended, so that its lease need not be waited for.
    pub fn fence_target(&self) -> Option<Fenced> {
        self.lease.fence_target()
    }

    pub fn paused(&self) -> bool {
        self.lease.status().paused
    }

    /// Whether stopping this daemon now would leave something half done. The next life would not know to whom the role was to go, and
    /// might ask for it itself.
    pub fn is_handing_over(&self) -> bool {
        let ends = matches!(self.lease.phase(), PhaseName::Yielding | PhaseName::HandingOver);
        ends || self.lease.yielding().is_some()
    }
}

/// Where what has to survive a reboot is kept.
fn state_file(group: &str) -> PathBuf {
    let folder = std::env::var_os("STATE_DIRECTORY").map_or_else(|| PathBuf::from("/var/lib/hotspare"), PathBuf::from);
    folder.join(format!("{group}.pause"))
}

fn recall_pause(group: &str) -> Pause {
    let text = std::fs::read_to_string(state_file(group)).unwrap_or_default();
    let word = text.trim().split_once(' ').and_then(|(version, on)| Some((version.parse().ok()?, on.parse().ok()?)));
    word.map_or_else(Pause::default, |(version, on)| Pause { version, on })
}

fn keep_pause(group: &str, pause: Pause) {
    let (path, fresh) = (state_file(group), state_file(group).with_extension("new"));
    let text = format!("{} {}\n", pause.version, pause.on);
    if let Err(error) = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &path)) {
        tracing::error!(
            "cannot write {}: {error}; after a restart this node asks the others whether it is paused",
            path.display()
        );
    }
}

fn gate_lives(group: &str) -> bool {
    let lock = std::fs::File::open(file(group, "lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

fn file(group: &str, what: &str) -> PathBuf {
    Path::new(GATES).join(format!("{group}.{what}"))
}

fn read_proof(group: &str) -> Option<(Incarnation, Ended)> {
    let proof: Proof = serde_json::from_slice(&std::fs::read(file(group, "proof")).ok()?).ok()?;
    Some((life_in(&proof.life)?, ended(proof.how)))
}
