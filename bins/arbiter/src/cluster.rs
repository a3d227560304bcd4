//! The voter's part in one cluster: its sessions, its groups, its registers.

use crate::store::{Kept, Store, StoreError};
use hotspare_config::{Config, Node};
use hotspare_core::voter::{Grant, Memory, Voter, VoterCommand};
use hotspare_core::{Epoch, GroupId, Incarnation, NodeId, Stamp, Timetable, Value};
use hotspare_daemon::datagrams::{Port, routes};
use hotspare_daemon::{Exit, Failure, Priority, clock, identity, message_id, record};
use hotspare_wire::{Body, Endpoint, Frame, Service, decode, encode};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

struct GroupVoter {
    name: String,
    voter: Voter,
    store: Store,
    memory_path: PathBuf,
    /// What it grants.
    lease: Duration,
}

/// One cluster that this process votes in.
pub struct ClusterVoter {
    pub config: Config,
    me: Node,
    endpoint: Endpoint,
    routes: BTreeMap<NodeId, Vec<SocketAddr>>,
    groups: BTreeMap<GroupId, GroupVoter>,
    boot: u64,
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
        if !config.voters.contains(&me.name) {
            let message = format!("\"{}\" is no voter of the cluster \"{}\"", me.name, config.cluster);
            return Err(Failure::new(Exit::Config, message));
        }
        let key = identity::key_of(&me)?;
        let patience =
            config.groups.iter().map(|group| group.timetable.step()).min().unwrap_or(Duration::from_millis(100));
        let seed = u32::try_from(clock::seed() >> 32).expect("32 bits");
        let mut endpoint = Endpoint::new(key, identity::cluster_of(&config), Service::Vote, patience, seed);
        config.nodes.iter().for_each(|node| endpoint.add_peer(node.id, node.key));
        let boot = clock::boot_digest().map_err(Exit::OsErr.why("cannot read the boot id"))?;
        let folder = state.join(&config.cluster);
        let memory = run.join(&config.cluster);
        for folder in [&folder, &memory] {
            std::fs::create_dir_all(folder)
                .map_err(Exit::CantCreate.why(format!("cannot make {}", folder.display())))?;
        }
        let mut groups = BTreeMap::new();
        for group in &config.groups {
            let candidates = group.candidates.iter().map(|name| NodeId::of(name)).collect();
            let owner = format!("{}\0{}", me.name, config.cluster);
            let store = Store::open(&folder, &group.name, &owner).map_err(store_failure)?;
            let memory_path = memory.join(format!("{}.json", group.name));
            let opened = start_voter(candidates, group.timetable, store, &memory_path, boot)?;
            let (voter, store) = opened;
            groups.insert(
                group.id,
                GroupVoter { name: group.name.clone(), voter, store, memory_path, lease: group.timetable.lease },
            );
        }
        let routes = routes(&config, &me, Port::Lease);
        Ok(ClusterVoter { config, me, endpoint, routes, groups, boot })
    }

    /// Whether `datagram` is meant for this cluster.
    #[must_use]
    pub fn owns(&self, datagram: &[u8]) -> bool {
        self.endpoint.owns(datagram)
    }

    /// Takes a datagram in; returns what is to be sent.
    ///
    /// # Errors
    /// If a register could not be written: then this voter must not answer, nor go on.
    pub fn receive(&mut self, now: Stamp, datagram: &[u8]) -> Result<Vec<Outgoing>, Failure> {
        let received = self.endpoint.receive(Duration::from_nanos(now.boot), datagram);
        let mut out: Vec<Outgoing> = received.send.into_iter().map(|(node, bytes)| (bytes, self.route(node))).collect();
        let Some((from, bytes)) = received.message else { return Ok(out) };
        match decode(&bytes) {
            Ok(frames) => {
                let mut commands = Vec::new();
                for Frame { group, body } in frames {
                    if let (Some(voter), Body::ToVoter(message)) = (self.groups.get_mut(&group), body) {
                        commands
                            .extend(voter.voter.handle(now, from, message).into_iter().map(|command| (group, command)));
                    }
                }
                out.extend(self.carry_out(now, commands)?);
            }
            Err(error) => tracing::warn!("cannot read a message from {}: {error}", self.config.node_name(from)),
        }
        Ok(out)
    }

    /// Answers what was parked and can be answered now.
    ///
    /// # Errors
    /// As [`ClusterVoter::receive`].
    pub fn tick(&mut self, now: Stamp) -> Result<Vec<Outgoing>, Failure> {
        let mut commands = Vec::new();
        for (group, voter) in &mut self.groups {
            commands.extend(voter.voter.tick(now).into_iter().map(|command| (*group, command)));
        }
        self.carry_out(now, commands)
    }

    /// Boot-clock time of the next [`ClusterVoter::tick`].
    #[must_use]
    pub fn wake_at(&self, now: Stamp) -> Option<u64> {
        self.groups.values().filter_map(|group| group.voter.wake_at(now)).min()
    }

    fn route(&self, node: NodeId) -> Vec<SocketAddr> {
        self.routes.get(&node).cloned().unwrap_or_default()
    }

    fn carry_out(&mut self, now: Stamp, commands: Vec<(GroupId, VoterCommand)>) -> Result<Vec<Outgoing>, Failure> {
        let mut replies: BTreeMap<NodeId, Vec<Frame>> = BTreeMap::new();
        for (id, command) in commands {
            let group = self.groups.get_mut(&id).expect("its own command");
            match command {
                VoterCommand::Persist(register) => {
                    let before = group.store.kept.register.accepted;
                    let lease = match register.accepted == before || group.voter.in_quarantine(now) {
                        true => group.store.kept.lease,
                        false => group.lease, // this value's lease takes the place of all former ones
                    };
                    let kept = Kept { register, lease, ..group.store.kept };
                    group.store.write(kept).map_err(Exit::IoErr.why("cannot write a register; this voter stops"))?;
                    if let Some((_, value)) = register.accepted.filter(|accepted| Some(*accepted) != before) {
                        tell_change(&self.config, &group.name, value);
                    }
                }
                VoterCommand::Remember(memory) => remember(&group.memory_path, self.boot, &memory),
                VoterCommand::Reply { to, message } => {
                    replies.entry(to).or_default().push(Frame { group: id, body: Body::FromVoter(message) });
                }
            }
        }
        let mut out = Vec::new();
        for (to, frames) in replies {
            for chunk in frames.chunks(6) {
                let sealed = self.endpoint.send(Duration::from_nanos(now.boot), to, encode(chunk));
                let route = self.route(to);
                out.extend(sealed.into_iter().map(|bytes| (bytes, route.clone())));
            }
        }
        Ok(out)
    }

    /// What this voter knows, for `status`.
    #[must_use]
    pub fn status(&self, now: Stamp) -> Json {
        let name = |id| self.config.node_name(id);
        let groups = self.groups.values().map(|group| {
            let accepted = group.voter.register().accepted.map(|(_, value)| value);
            let live = group.voter.live(now);
            json!({
                "name": group.name,
                "epoch": accepted.map_or(0, |value| value.epoch.0),
                "recorded": accepted.map(|value| name(value.holder)),
                "holder": live.map(|live| name(live.holder)),
                "left_ms": live.map(|live| u64::try_from(live.left.as_millis()).unwrap_or(u64::MAX)),
                "quarantine": group.voter.in_quarantine(now),
            })
        });
        json!({"cluster": self.config.cluster, "node": self.me.name, "groups": groups.collect::<Vec<_>>()})
    }
}

fn store_failure(error: StoreError) -> Failure {
    let exit = match error {
        StoreError::Io { .. } => Exit::IoErr,
        StoreError::Damaged { .. } | StoreError::Newer { .. } | StoreError::Foreign { .. } => Exit::DataErr,
    };
    Failure::new(exit, error)
}

/// Restart of a voter (lease.md 4.4): the same boot and a readable memory know exactly what is owed; anything else has
/// to wait until every lease that might have been granted is over.
fn start_voter(
    candidates: Vec<NodeId>,
    timetable: Timetable,
    mut store: Store,
    memory_path: &Path,
    boot: u64,
) -> Result<(Voter, Store), Failure> {
    let owed = Timetable::new(store.kept.lease.max(timetable.lease));
    let memory = recall(memory_path, boot);
    let quarantine = match memory {
        Some(_) => None,
        None if store.kept.boot == boot => Some(clock::now().plus(owed.quarantine())),
        // A new boot: no lease is older than it. Where its beginning is not known, now is late enough.
        None => {
            let now = clock::now();
            let began = clock::started().map_or(now, |since| {
                let up = Duration::from_nanos(now.boot).saturating_sub(since);
                let back = |clock: u64| clock.saturating_sub(hotspare_core::time::nanos(up));
                Stamp { boot: back(now.boot), raw: back(now.raw) }
            });
            Some(began.plus(owed.quarantine()))
        }
    };
    // A lease as long as any that may still be owed: it is lowered when the next value is accepted (see `carry_out`).
    let kept = Kept { boot, lease: owed.lease, ..store.kept };
    if kept != store.kept {
        let failed = Exit::IoErr.why("cannot write a register");
        store.write(kept).map_err(failed)?;
    }
    let voter = Voter::new(candidates, timetable, (kept.register, memory.unwrap_or_default()), quarantine);
    remember(memory_path, boot, voter.memory());
    Ok((voter, store))
}

fn tell_change(config: &Config, group: &str, value: Value) {
    let holder = config.node_name(value.holder).to_owned();
    let message = format!("{group}: recorded {holder} as holder in epoch {}", value.epoch);
    let fields = [("GROUP", group.to_owned()), ("EPOCH", value.epoch.to_string()), ("NODE", holder)];
    record(message_id::ARBITER_REGISTER, Priority::Info, message, &fields);
}

/// Puts the volatile part into /run: an atomic rename, no sync.
fn remember(path: &Path, boot: u64, memory: &Memory) {
    let value = |value: &Value| {
        json!([
            value.epoch.0.to_string(),
            value.holder.0.to_string(),
            value.incarnation.boot.to_string(),
            value.incarnation.nonce.to_string()
        ])
    };
    let stamp = |stamp: &Stamp| json!([stamp.boot.to_string(), stamp.raw.to_string()]);
    let grant = memory.grant.map(|grant| {
        let Grant { holder, incarnation, epoch, until } = grant;
        json!({"value": value(&Value { epoch, holder, incarnation }), "until": stamp(&until)})
    });
    let quarantine = memory.quarantine.as_ref().map(stamp);
    let released = memory.released.as_ref().map(value);
    let text = json!({"boot": boot.to_string(), "grant": grant, "released": released, "quarantine": quarantine});
    let text = text.to_string();
    let fresh = path.with_extension("new");
    if std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path)).is_err() {
        // Without memory the next start of this daemon waits out a whole lease, which is safe.
        let _ = std::fs::remove_file(path);
        tracing::warn!("cannot write {}; a restart of the arbiter will wait for a whole lease", path.display());
    }
}

/// What [`remember`] wrote in this boot; `None` if it is not there or not whole.
fn recall(path: &Path, boot: u64) -> Option<Memory> {
    let json: Json = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let number = |json: &Json| json.as_str()?.parse::<u64>().ok();
    if number(&json["boot"])? != boot {
        return None;
    }
    let value = |json: &Json| {
        let incarnation = Incarnation { boot: number(&json[2])?, nonce: number(&json[3])? };
        Some(Value { epoch: Epoch(number(&json[0])?), holder: NodeId(number(&json[1])?), incarnation })
    };
    let stamp = |json: &Json| Some(Stamp { boot: number(&json[0])?, raw: number(&json[1])? });
    let grant = match &json["grant"] {
        Json::Null => None,
        grant => {
            let Value { epoch, holder, incarnation } = value(&grant["value"])?;
            let until = stamp(&grant["until"])?;
            Some(Grant { holder, incarnation, epoch, until })
        }
    };
    let released = match &json["released"] {
        Json::Null => None,
        released => Some(value(released)?),
    };
    let quarantine = match &json["quarantine"] {
        Json::Null => None,
        end => Some(stamp(end)?),
    };
    Some(Memory { grant, released, quarantine })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_survives_a_restart_and_not_a_boot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.json");
        let incarnation = Incarnation { boot: u64::MAX, nonce: u64::MAX - 1 };
        let value = Value { epoch: Epoch(3), holder: NodeId(u64::MAX - 2), incarnation };
        let until = Stamp { boot: u64::MAX - 3, raw: 5 };
        let grant = Grant { holder: value.holder, incarnation, epoch: value.epoch, until };
        let memory = Memory { grant: Some(grant), released: Some(value), quarantine: Some(until) };
        remember(&path, 9, &memory);
        assert_eq!(recall(&path, 9), Some(memory));
        assert_eq!(recall(&path, 10), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(recall(&path, 9), None);
    }
}
