//! hotspare-leased: sockets, timers and callers around `hotspare_core::lease`, one per group.
//!
//! ```text
//!  datagram  caller  timer  standby target         one loop, nothing awaited between input and commands
//!      \        \      |      /
//!       '--------> GroupRun::handle ---> datagrams out, page, path units, answers, journal
//! ```

mod args;
mod bus;
mod control;
mod copies;
mod group;
mod restarts;
mod shots;
mod story;

use args::Args;
use bus::{Errand, News, Watched};
use control::Call;
use group::GroupRun;
use hotspare_config::{Config, Node, Proof};
use hotspare_control::{Ask, NodeStatus, Tell};
use hotspare_core::lease::{Command, DataConfig, Input};
use hotspare_core::{Epoch, GroupId, NodeId};
use hotspare_daemon::alarm::Alarm;
use hotspare_daemon::datagrams::{Datagrams, Port, routes};
use hotspare_daemon::{Exit, Failure, clock, identity, journal, notify, run};
use hotspare_wire::{Body, Endpoint, Frame, Service, decode, encode};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Sender, channel};

/// The loop turns at least this often, to feed the watchdog.
const TURN: u64 = 500_000_000;
/// How long a hand-over may hold up the end of this daemon at shutdown.
const LINGER: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    run(|args: Args| {
        let config = hotspare_config::load(&args.config)?;
        let me = identity::this_node(&config, args.node.as_deref())?.clone();
        let key = identity::key_of(&me)?;
        if args.check {
            println!("{}: node {} of cluster {}", args.config.display(), me.name, config.cluster);
            return Ok(Exit::Done);
        }
        journal::init();
        let endpoint = |service| identity::endpoint(&config, &key, service, config.shortest_step());
        let (voters, peers) = (endpoint(Service::Vote), endpoint(Service::Lease));
        let boot = clock::boot_digest().map_err(Exit::OsErr.why("cannot read the boot id"))?;
        let groups = config.groups_of(&me.name).map(|group| Ok((group.id, GroupRun::open(&config, &me, group, boot)?)));
        let groups = groups.collect::<Result<BTreeMap<_, _>, Failure>>()?;
        // For the gate: which file is in force.
        let digest = std::path::Path::new(hotspare_page::FOLDER).join("digest");
        std::fs::write(&digest, format!("{:016x}", config.digest))
            .map_err(Exit::CantCreate.why(format!("cannot write {}", digest.display())))?;
        let (to_voters, to_peers) = (routes(&config, &me, Port::Arbiter), routes(&config, &me, Port::Lease));
        let (bus, errands) = channel(64);
        shots::Shots::forget(config.nodes.iter().map(|node| node.name.clone()));
        let (published, shots) = (BTreeMap::new(), shots::Shots::default());
        let node = NodeRun { config, me, voters, peers, to_voters, to_peers, groups, bus, published, shots };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime.map_err(Exit::OsErr.why("cannot start"))?.block_on(serve(node, &args, errands))? {
            Leave::End => Ok(Exit::Done),
            Leave::Again => Err(begin_again()),
        }
    })
}

/// How this life of the daemon ends.
#[derive(Clone, Copy)]
enum Leave {
    End,
    /// Another one in the same process: it is there at once, however much process 1 has to do.
    Again,
}

/// What to do at SIGHUP. A file with mistakes changes nothing; a key that is not the file's has to be fetched by process 1.
fn at_reload(args: &Args) -> Option<Leave> {
    let loaded = hotspare_config::load(&args.config).map_err(Failure::from);
    let me = loaded.and_then(|config| identity::this_node(&config, args.node.as_deref()).cloned());
    match me {
        Ok(me) => Some(if identity::key_of(&me).is_ok() { Leave::Again } else { Leave::End }),
        Err(failure) => {
            tracing::error!("the configuration in force stays: {}", failure.message);
            None
        }
    }
}

/// Only returns if it could not be; then process 1 starts this program anew.
fn begin_again() -> Failure {
    journal::flush();
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    Exit::OsErr.why("cannot begin again")(std::process::Command::new(program).args(words).exec())
}

/// Everything this daemon knows.
struct NodeRun {
    config: Config,
    me: Node,
    /// Sessions with the arbiters, and with the lease clients of the other candidates: the same key, two daemons.
    voters: Endpoint,
    peers: Endpoint,
    to_voters: BTreeMap<NodeId, Vec<SocketAddr>>,
    to_peers: BTreeMap<NodeId, Vec<SocketAddr>>,
    groups: BTreeMap<GroupId, GroupRun>,
    bus: Sender<Errand>,
    published: BTreeMap<GroupId, hotspare_bus::lease1::Lease1>,
    shots: shots::Shots,
}

async fn serve(mut node: NodeRun, args: &Args, errands: tokio::sync::mpsc::Receiver<Errand>) -> Result<Leave, Failure> {
    let port = Port::Lease.number(&node.config);
    let socket = Datagrams::bind(port, &node.config);
    let mut socket = socket.map_err(Exit::Unavailable.why(format!("cannot listen on UDP port {port}")))?;
    let mut calls = control::listen().map_err(Exit::CantCreate.why("cannot make the control socket"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Exit::OsErr.why("cannot handle signals"))?;
    let mut reload = signal(SignalKind::hangup()).map_err(Exit::OsErr.why("cannot handle signals"))?;
    let mut alarm = Alarm::new().map_err(Exit::OsErr.why("cannot make a timer"))?;
    let (changes, mut news) = channel(64);
    tokio::spawn(bus::run(node.watched(), changes, errands));
    notify::ready("starting");
    let mut leaving: Option<(u64, Leave)> = None;
    loop {
        let now = clock::now();
        if let Some((since, leave)) = leaving {
            let busy = node.groups.values().any(GroupRun::is_handing_over);
            if !busy || Duration::from_nanos(now.boot - since) > LINGER {
                return Ok(leave); // leases are left as they are: the next life of this daemon takes them up
            }
        }
        let due = node.groups.values().map(GroupRun::wake_at).min().unwrap_or(u64::MAX);
        let due = due.min(node.shots_wake_at()).min(now.boot + TURN);
        let mut buffer = [0; 2048];
        let event = tokio::select! {
            received = socket.receive(&mut buffer) => {
                let (length, _) = received.map_err(Exit::OsErr.why("the network socket failed"))?;
                Event::Datagram(length)
            }
            rung = alarm.until(due) => rung.map(|()| Event::Timer).map_err(Exit::OsErr.why("the timer failed"))?,
            Some(call) = calls.recv() => Event::Call(call),
            Some((group, news)) = news.recv() => Event::News(group, news),
            _ = terminate.recv() => Event::Leave(Leave::End),
            _ = reload.recv() => match at_reload(args) {
                Some(leave) => Event::Leave(leave),
                None => Event::Timer,
            },
        };
        let mut out = Outgoing::default();
        match event {
            Event::Datagram(length) => node.datagram(&buffer[..length], &mut out),
            Event::Timer => {}
            Event::Call(call) => node.call(call, &mut out),
            Event::News(group, news) => {
                let input = match news {
                    News::StandbyLacks(units) => node.groups.get_mut(&group).map(|run| run.standby_lacks(units)),
                    News::Failed => node.groups.get(&group).and_then(GroupRun::give_up),
                };
                input.into_iter().for_each(|input| node.input(group, input, &mut out));
            }
            Event::Leave(leave) => {
                let (since, first) = leaving.unwrap_or((now.boot, leave));
                // Whoever is told to end does not begin again.
                leaving = Some((since, if matches!(first, Leave::End) { first } else { leave }));
                for run in node.groups.values().filter(|run| run.is_handing_over()) {
                    let (group, most) = (&run.config.name, LINGER.as_secs());
                    tracing::info!("{group}: told to end: stays until the role is handed over, {most} s at most");
                }
            }
        }
        node.tick(&mut out);
        node.send(out, &mut socket);
        notify::alive();
        node.publish();
    }
}

enum Event {
    Datagram(usize),
    Timer,
    Call(Call),
    News(GroupId, News),
    Leave(Leave),
}

/// What one turn of the loop sends, collected so that frames for one node share a datagram.
#[derive(Default)]
struct Outgoing {
    voters: BTreeMap<NodeId, Vec<Frame>>,
    peers: BTreeMap<NodeId, Vec<Frame>>,
    raw: Vec<(Vec<u8>, Vec<SocketAddr>)>,
}

impl NodeRun {
    fn watched(&self) -> Vec<Watched> {
        let watched = |(id, run): (&GroupId, &GroupRun)| {
            let (name, standby) = (run.config.name.clone(), run.units_of_standby());
            Watched { group: *id, name, standby, units: run.units_that_may_fail() }
        };
        self.groups.iter().map(watched).collect()
    }

    fn datagram(&mut self, datagram: &[u8], out: &mut Outgoing) {
        let now = Duration::from_nanos(clock::now().boot);
        let from_voter = self.voters.owns(datagram);
        let (endpoint, routes) =
            if from_voter { (&mut self.voters, &self.to_voters) } else { (&mut self.peers, &self.to_peers) };
        let received = endpoint.receive(now, datagram);
        for (node, bytes) in received.send {
            out.raw.push((bytes, routes.get(&node).cloned().unwrap_or_default()));
        }
        let Some((from, bytes)) = received.message else { return };
        let frames = match decode(&bytes) {
            Ok(frames) => frames,
            Err(error) => return tracing::warn!("cannot read a message from {}: {error}", self.config.node_name(from)),
        };
        for Frame { group, body } in frames {
            let input = match body {
                Body::FromVoter(message) if from_voter => Input::Voter { from, message },
                Body::Peer(message) if !from_voter => Input::Peer { from, message },
                _ => continue,
            };
            self.input(group, input, out);
        }
    }

    fn input(&mut self, group: GroupId, input: Input, out: &mut Outgoing) {
        let Some(run) = self.groups.get_mut(&group) else { return };
        let mut commands = run.handle(&self.config, &self.me, clock::now(), input);
        if let Some(claimed) = run.claimed() {
            commands.extend(run.handle(&self.config, &self.me, clock::now(), claimed));
        }
        for command in commands {
            match command {
                Command::ToVoter { to, message } => {
                    out.voters.entry(to).or_default().push(Frame { group, body: Body::ToVoter(message) });
                }
                Command::ToPeer { to, message } => {
                    out.peers.entry(to).or_default().push(Frame { group, body: Body::Peer(message) });
                }
                Command::Fence(target) => self.order_shot(target.node),
                Command::LookForFailures if self.bus.try_send(Errand::LookForFailures(group)).is_err() => {
                    tracing::warn!("the bus is behind: whether a service has failed is not known");
                }
                _ => {}
            }
        }
    }

    fn tick(&mut self, out: &mut Outgoing) {
        let now = clock::now().boot;
        let due: Vec<GroupId> = self.groups.iter().filter(|(_, run)| run.wake_at() <= now).map(|(id, _)| *id).collect();
        for group in due {
            self.input(group, Input::Tick, out);
        }
        let stamp = clock::now();
        self.give_up_shots(stamp, out);
        self.groups.values_mut().for_each(|run| run.notice_gate(stamp));
        let overdue = self.groups.iter().filter_map(|(id, run)| Some((*id, run.overdue(stamp)?)));
        for (group, input) in overdue.collect::<Vec<_>>() {
            self.input(group, input, out);
        }
    }

    fn send(&mut self, out: Outgoing, socket: &mut Datagrams) {
        let now = Duration::from_nanos(clock::now().boot);
        for (frames, endpoint, routes) in
            [(out.voters, &mut self.voters, &self.to_voters), (out.peers, &mut self.peers, &self.to_peers)]
        {
            for (node, frames) in frames {
                for chunk in frames.chunks(6) {
                    for datagram in endpoint.send(now, node, encode(chunk)) {
                        socket.send(&datagram, routes.get(&node).map_or(&[], Vec::as_slice));
                    }
                }
            }
        }
        for (datagram, to) in out.raw {
            socket.send(&datagram, &to);
        }
    }

    fn call(&mut self, call: Call, out: &mut Outgoing) {
        match call {
            Call::HungUp { caller } => {
                self.shot_ended(caller, None, out);
                for group in self.groups.keys().copied().collect::<Vec<_>>() {
                    let inputs = self.groups.get_mut(&group).expect("its own key").hung_up(caller);
                    inputs.into_iter().for_each(|input| self.input(group, input, out));
                }
            }
            Call::Asks { root: false, ask, answer, .. } if !matches!(ask, Ask::Status) => {
                let reason = "only root may do this".into();
                let _ = answer.try_send(Tell::Error { reason, denied: true });
            }
            Call::Asks { caller, ask, answer, .. } => self.ask(caller, ask, answer, out),
        }
    }

    fn ask(&mut self, caller: u64, ask: Ask, answer: Sender<Tell>, out: &mut Outgoing) {
        let done = |text: &str| {
            let _ = answer.try_send(Tell::Done { text: text.into() });
        };
        let (name, inputs) = match &ask {
            Ask::Status => {
                let _ = answer.try_send(Tell::Status(Box::new(self.status())));
                return;
            }
            Ask::Pause { on } => {
                for group in self.groups.keys().copied().collect::<Vec<_>>() {
                    self.input(group, Input::Pause(*on), out);
                }
                return done(if *on { "paused" } else { "resumed" });
            }
            Ask::Fence { node } => {
                let _ = answer.try_send(match self.shot_begins(caller, node, out) {
                    Ok(text) => Tell::Done { text },
                    Err(reason) => Tell::Error { reason, denied: false },
                });
                return;
            }
            Ask::Fenced { proof } => {
                let refused = self.shot_ended(caller, proof.as_deref().and_then(Proof::of), out);
                return done(&if refused.is_empty() { "noted".into() } else { refused.join("; ") });
            }
            Ask::Listen => {
                let reason = "hotspare-leased does not stream; use `hotspare events --follow`".into();
                let _ = answer.try_send(Tell::Error { reason, denied: false });
                return;
            }
            Ask::Attach { group, .. }
            | Ask::Up { group }
            | Ask::Emptied { group, .. }
            | Ask::GiveUp { group }
            | Ask::Uplink { group, .. }
            | Ask::Volume { group, .. }
            | Ask::InSync { group, .. }
            | Ask::Switchover { group, .. } => (group.clone(), ask.clone()),
        };
        let id = GroupId::of(&name);
        let Some(run) = self.groups.get_mut(&id) else {
            let known: Vec<_> = self.groups.values().map(|run| run.config.name.as_str()).collect();
            let reason = format!("this node is no candidate of a group \"{name}\" (it is of: {})", known.join(", "));
            let _ = answer.try_send(Tell::Error { reason, denied: false });
            return;
        };
        let inputs: Vec<Input> = match inputs {
            Ask::Attach { ask, wait, .. } => run.attach(caller, answer, ask, wait),
            Ask::Up { .. } => {
                done("noted");
                run.role_up().into_iter().collect()
            }
            Ask::Emptied { proof, .. } => {
                done("noted");
                run.emptied(&proof).into_iter().collect()
            }
            Ask::Uplink { good, .. } => {
                done("noted");
                vec![run.note_uplink(caller, good)]
            }
            Ask::GiveUp { .. } => {
                done("noted");
                run.give_up().into_iter().collect()
            }
            Ask::Volume { volume, born, fit, .. } => {
                match run.copies.attach(&volume, (caller, answer.clone()), DataConfig { born_here: born, fit }) {
                    Some(input) => vec![input],
                    None => {
                        let reason =
                            format!("the group {name} has no volume \"{volume}\" in this node's configuration");
                        let _ = answer.try_send(Tell::Error { reason, denied: false });
                        return;
                    }
                }
            }
            Ask::InSync { volume, epoch, wish, set, .. } => {
                run.copies.wish(caller, &volume, (Epoch(epoch), wish), &set);
                vec![Input::Tick] // what follows from it is looked for with every input
            }
            Ask::Switchover { to, .. } => {
                if let Some(to) = to.as_ref().filter(|to| !run.config.candidates.contains(to)) {
                    let reason =
                        format!("\"{to}\" is no candidate of {name} (these are: {})", run.config.candidates.join(", "));
                    let _ = answer.try_send(Tell::Error { reason, denied: false });
                    return;
                }
                vec![run.switchover(caller, answer, to.map(|to| NodeId::of(&to)))]
            }
            Ask::Status | Ask::Pause { .. } | Ask::Listen | Ask::Fence { .. } | Ask::Fenced { .. } => {
                unreachable!("answered above")
            }
        };
        inputs.into_iter().for_each(|input| self.input(id, input, out));
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            cluster: self.config.cluster.clone(),
            node: self.me.name.clone(),
            config: format!("{:016x}", self.config.digest),
            paused: self.groups.values().any(GroupRun::paused),
            fences: self.fence_lines(),
            // In the order of the file, as its writer thinks of them.
            groups: (self.config.groups.iter())
                .filter_map(|group| Some(self.groups.get(&group.id)?.status(&self.config, &self.me)))
                .collect(),
        }
    }

    /// Tells systemd and the bus what changed.
    fn publish(&mut self) {
        let mut changed = false;
        for (id, run) in &self.groups {
            let state = run.bus_state(&self.config, &self.me);
            if self.published.get(id) != Some(&state)
                && self.bus.try_send(Errand::Publish(run.config.name.clone(), state.clone())).is_ok()
            {
                self.published.insert(*id, state);
                changed = true;
            }
        }
        if changed {
            let line = |(id, state): (&GroupId, &hotspare_bus::lease1::Lease1)| {
                let name = &self.groups[id].config.name;
                format!(
                    "{name}: {} (epoch {}, {})",
                    state.role,
                    state.epoch,
                    if state.quorum { "quorum" } else { "no quorum" }
                )
            };
            let lines: Vec<_> = self.published.iter().map(line).collect();
            notify::status_soon(lines.join("; "));
        }
    }
}
