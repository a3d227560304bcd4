//! The voter's part in one cluster: its sessions, its groups, its registers.

use crate::seat::{Role, Seat};
use hotspare_config::{Config, Node};
use hotspare_core::joining::{JoinCommand, Stage};
use hotspare_core::message::Fellow;
use hotspare_core::voter::VoterCommand;
use hotspare_core::{GroupId, NodeId, Stamp, Value};
use hotspare_daemon::datagrams::{Port, routes};
use hotspare_daemon::{Exit, Failure, Priority, clock, identity, message_id, record};
use hotspare_wire::{Body, Endpoint, Frame, Service, decode, encode};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// One cluster that this process votes in.
pub struct ClusterVoter {
    pub config: Config,
    me: Node,
    /// Sessions with the lease clients, and with the other arbiters: the same keys, two daemons.
    clients: Endpoint,
    fellows: Endpoint,
    to_clients: BTreeMap<NodeId, Vec<SocketAddr>>,
    to_fellows: BTreeMap<NodeId, Vec<SocketAddr>>,
    seats: BTreeMap<GroupId, Seat>,
}

/// Bytes for a node: all its addresses.
pub type Outgoing = (Vec<u8>, Vec<SocketAddr>);

impl ClusterVoter {
    /// Opens all registers of `config`.
    ///
    /// # Errors
    /// If this machine is no voter of the cluster, or a register must not be used.
    pub fn open(config: Config, node: Option<&str>, state: &Path, run: &Path) -> Result<ClusterVoter, Failure> {
        let me = identity::this_node(&config, node)?.clone();
        let learns = config.forced.as_ref().is_some_and(|forced| forced.back.contains(&me.name));
        if !config.voters.contains(&me.name) && !learns {
            let message = format!("\"{}\" is no voter of the cluster \"{}\"", me.name, config.cluster);
            return Err(Failure::new(Exit::Config, message));
        }
        let key = identity::key_of(&me)?;
        let endpoint = |service| identity::endpoint(&config, &key, service, config.shortest_step());
        let (clients, fellows) = (endpoint(Service::Vote), endpoint(Service::Fellow));
        let boot = clock::boot_digest().map_err(Exit::OsErr.why("cannot read the boot id"))?;
        let folder = state.join(&config.cluster);
        let memory = run.join(&config.cluster);
        for folder in [&folder, &memory] {
            std::fs::create_dir_all(folder)
                .map_err(Exit::CantCreate.why(format!("cannot make {}", folder.display())))?;
        }
        let seat = |group| Seat::open(&config, &me, group, (&folder, &memory), boot);
        let seats = config.groups.iter().map(|group| Ok((group.id, seat(group)?)));
        let seats = seats.collect::<Result<BTreeMap<_, _>, Failure>>()?;
        let (to_clients, to_fellows) = (routes(&config, &me, Port::Lease), routes(&config, &me, Port::Arbiter));
        Ok(ClusterVoter { config, me, clients, fellows, to_clients, to_fellows, seats })
    }

    /// Whether `datagram` is meant for this cluster.
    #[must_use]
    pub fn owns(&self, datagram: &[u8]) -> bool {
        self.clients.owns(datagram) || self.fellows.owns(datagram)
    }

    /// Takes a datagram in; returns what is to be sent.
    ///
    /// # Errors
    /// If a register could not be written: then this voter must not answer, nor go on.
    pub fn receive(&mut self, now: Stamp, datagram: &[u8]) -> Result<Vec<Outgoing>, Failure> {
        let since = Duration::from_nanos(now.boot);
        let from_client = self.clients.owns(datagram);
        let (endpoint, routes) =
            if from_client { (&mut self.clients, &self.to_clients) } else { (&mut self.fellows, &self.to_fellows) };
        let received = endpoint.receive(since, datagram);
        let route = |node| routes.get(&node).cloned().unwrap_or_default();
        let mut out: Vec<Outgoing> = received.send.into_iter().map(|(node, bytes)| (bytes, route(node))).collect();
        let Some((from, bytes)) = received.message else { return Ok(out) };
        let frames = match decode(&bytes) {
            Ok(frames) => frames,
            Err(error) => {
                tracing::warn!("cannot read a message from {}: {error}", self.config.node_name(from));
                return Ok(out);
            }
        };
        let mut letters = Letters::default();
        for Frame { group, body } in frames {
            let Some(seat) = self.seats.get_mut(&group) else { continue };
            match (body, &mut seat.role) {
                (Body::ToVoter(message), Role::Voting(voter)) if from_client => {
                    let commands = voter.handle(now, from, message);
                    carry_out(&self.config, seat, now, commands, &mut letters)?;
                }
                (Body::Fellow(Fellow::Recalled { round, stage, register, boot }), Role::Joining(joining))
                    if !from_client =>
                {
                    let commands = joining.on_recalled(from, round, (stage, register), boot);
                    join(seat, commands.into_iter().collect(), &mut letters)?;
                }
                (Body::Fellow(message), _) if !from_client => {
                    let answer = seat.recall(&message).map(Body::Fellow);
                    letters.fellows.entry(from).or_default().extend(answer.map(|body| Frame { group, body }));
                }
                _ => {} // a voter that has not joined says nothing (V8)
            }
        }
        out.extend(self.seal(now, letters));
        Ok(out)
    }

    /// Answers what was parked and can be answered now; asks the fellows what a joining voter has to know.
    ///
    /// # Errors
    /// As [`ClusterVoter::receive`].
    pub fn tick(&mut self, now: Stamp) -> Result<Vec<Outgoing>, Failure> {
        let mut letters = Letters::default();
        for seat in self.seats.values_mut() {
            match &mut seat.role {
                Role::Voting(voter) => {
                    let commands = voter.tick(now);
                    carry_out(&self.config, seat, now, commands, &mut letters)?;
                }
                Role::Joining(joining) => {
                    let commands = joining.tick(now);
                    join(seat, commands, &mut letters)?;
                }
            }
        }
        Ok(self.seal(now, letters))
    }

    /// Boot-clock time of the next [`ClusterVoter::tick`].
    #[must_use]
    pub fn wake_at(&self, now: Stamp) -> Option<u64> {
        self.seats.values().filter_map(|seat| seat.wake_at(now)).min()
    }

    fn seal(&mut self, now: Stamp, letters: Letters) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for (letters, endpoint, routes) in [
            (letters.clients, &mut self.clients, &self.to_clients),
            (letters.fellows, &mut self.fellows, &self.to_fellows),
        ] {
            for (to, frames) in letters {
                let route = routes.get(&to).cloned().unwrap_or_default();
                for chunk in frames.chunks(6) {
                    let sealed = endpoint.send(Duration::from_nanos(now.boot), to, encode(chunk));
                    out.extend(sealed.into_iter().map(|bytes| (bytes, route.clone())));
                }
            }
        }
        out
    }

    /// Groups in which this voter does not vote yet, and why.
    pub fn joining(&self) -> impl Iterator<Item = (&str, &str)> {
        self.seats.values().filter_map(|seat| match &seat.role {
            Role::Joining(joining) if joining.stage() == Stage::Returning => Some((
                seat.group.name.as_str(),
                "this voter was off, and the other one may have gone on without it: it votes when it has heard that one",
            )),
            Role::Joining(_) => Some((
                seat.group.name.as_str(),
                "this voter has no register: it learns from the other voters before it votes",
            )),
            Role::Voting(_) => None,
        })
    }

    /// What this voter knows, for `status`.
    #[must_use]
    pub fn status(&self, now: Stamp) -> Json {
        let name = |id| self.config.node_name(id);
        let groups = self.seats.values().map(|seat| match &seat.role {
            Role::Voting(voter) => {
                let accepted = voter.register().accepted.map(|(_, value)| value);
                let live = voter.live(now);
                json!({
                    "name": seat.group.name,
                    "epoch": accepted.map_or(0, |value| value.epoch.0),
                    "recorded": accepted.map(|value| name(value.holder)),
                    "holder": live.map(|live| name(live.holder)),
                    "left_ms": live.map(|live| u64::try_from(live.left.as_millis()).unwrap_or(u64::MAX)),
                    "quarantine": voter.in_quarantine(now),
                })
            }
            Role::Joining(joining) => json!({
                "name": seat.group.name,
                "joining": format!("{:?}", joining.stage()).to_lowercase(),
                "waits_for": joining.silent().map(name).collect::<Vec<_>>(),
            }),
        });
        json!({"cluster": self.config.cluster, "node": self.me.name, "groups": groups.collect::<Vec<_>>()})
    }
}

/// Frames for nodes, collected so that those for one node share a datagram.
#[derive(Default)]
struct Letters {
    clients: BTreeMap<NodeId, Vec<Frame>>,
    fellows: BTreeMap<NodeId, Vec<Frame>>,
}

fn carry_out(
    config: &Config,
    seat: &mut Seat,
    now: Stamp,
    commands: Vec<VoterCommand>,
    letters: &mut Letters,
) -> Result<(), Failure> {
    for command in commands {
        match command {
            VoterCommand::Persist(register) => {
                let before = seat.store.kept.register.accepted;
                seat.persist(now, register)?;
                if let Some((_, value)) = register.accepted.filter(|accepted| Some(*accepted) != before) {
                    tell_change(config, &seat.group.name, value);
                }
            }
            VoterCommand::Remember(memory) => seat.remember(&memory),
            VoterCommand::Reply { to, message } => {
                let frame = Frame { group: seat.group.id, body: Body::FromVoter(message) };
                letters.clients.entry(to).or_default().push(frame);
            }
        }
    }
    Ok(())
}

fn join(seat: &mut Seat, commands: Vec<JoinCommand>, letters: &mut Letters) -> Result<(), Failure> {
    for command in commands {
        match command {
            JoinCommand::Send { to, message } => {
                let frame = Frame { group: seat.group.id, body: Body::Fellow(message) };
                letters.fellows.entry(to).or_default().push(frame);
            }
            JoinCommand::Keep(stage, register) => seat.keep(stage, register)?,
        }
    }
    Ok(())
}

fn tell_change(config: &Config, group: &str, value: Value) {
    let holder = config.node_name(value.holder).to_owned();
    let message = format!("{group}: recorded {holder} as holder in epoch {}", value.epoch);
    let fields = [("GROUP", group.to_owned()), ("EPOCH", value.epoch.to_string()), ("NODE", holder)];
    record(message_id::ARBITER_REGISTER, Priority::Info, message, &fields);
}
