//! The bus, at arm's length: what systemd says of the standby role comes in, what we publish goes out. When the bus
//! is gone, the last known state stays true and a new connection is tried until one succeeds.

use crate::restarts;
use futures_util::StreamExt;
use futures_util::stream::select_all;
use hotspare_bus::lease1::{self, Lease1};
use hotspare_bus::systemd::{self, ManagerProxy, UnitProxy};
use hotspare_core::GroupId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender};

/// Between two tries to reach the bus.
const RETRY: Duration = Duration::from_millis(500);

/// What systemd says of a group.
pub enum News {
    /// Which of what makes a node stand by is not active: its standby target, or a path unit that would start the role.
    StandbyLacks(Vec<String>),
    /// A unit of its primary role has failed for good.
    Failed,
}

/// What the bus is wanted for.
pub enum Errand {
    /// Publish this state of the group of that name.
    Publish(String, Lease1),
    /// Look whether a unit of the group's primary role has failed.
    LookForFailures(GroupId),
}

/// A group, its name, what makes a node stand by, and the units of its primary role if it has any.
#[derive(Clone)]
pub struct Watched {
    pub group: GroupId,
    pub name: String,
    pub standby: Vec<String>,
    pub units: Vec<String>,
}

/// What is wanted of the bus, kept while there is none.
#[derive(Default)]
struct Known {
    /// The state of each group as it was published last.
    states: BTreeMap<String, Lease1>,
    /// Groups whose units are still to be looked at.
    looks: BTreeSet<GroupId>,
}

impl Known {
    fn note(&mut self, errand: Errand) {
        match errand {
            Errand::Publish(name, state) => drop(self.states.insert(name, state)),
            Errand::LookForFailures(group) => drop(self.looks.insert(group)),
        }
    }
}

/// Follows the targets and publishes what comes in on `updates`, for ever.
pub async fn run(watched: Vec<Watched>, changes: Sender<(GroupId, News)>, mut errands: Receiver<Errand>) {
    let mut known = Known::default();
    loop {
        if let Err(error) = connected(&watched, &changes, &mut errands, &mut known).await {
            tracing::debug!("no bus: {error}");
        }
        if changes.is_closed() {
            return;
        }
        tokio::time::sleep(RETRY).await;
        while let Ok(errand) = errands.try_recv() {
            known.note(errand);
        }
    }
}

async fn connected(
    watched: &[Watched],
    changes: &Sender<(GroupId, News)>,
    errands: &mut Receiver<Errand>,
    known: &mut Known,
) -> zbus::Result<()> {
    let connection = zbus::Connection::system().await?;
    for item in watched {
        connection
            .object_server()
            .at(lease1::path(&item.name), known.states.get(&item.name).cloned().unwrap_or_default())
            .await?;
    }
    if let Err(error) = connection.request_name(lease1::NAME).await {
        tracing::warn!("not published as {} on the bus: {error}", lease1::NAME);
    }
    let manager = ManagerProxy::new(&connection).await?;
    manager.subscribe().await?;
    let mut followers = tokio::task::JoinSet::new();
    for item in watched {
        if !item.standby.is_empty() {
            let (manager, group, names, changes) = (manager.clone(), item.group, item.standby.clone(), changes.clone());
            followers.spawn(async move { follow_standby(manager, group, names, changes).await });
        }
        for service in item.units.iter().filter(|unit| unit.ends_with(".service")) {
            let (manager, service) = (manager.clone(), service.clone());
            followers.spawn(async move { restarts::hasten(manager, &service).await });
        }
    }
    loop {
        look_for_failures(&manager, watched, changes, &mut known.looks).await?;
        let errand = tokio::select! {
            Some(ended) = followers.join_next() => return ended.unwrap_or(Ok(())), // the connection is gone
            errand = errands.recv() => errand,
        };
        let Some(errand) = errand else { return Ok(()) };
        if let Errand::Publish(name, state) = &errand {
            let interface = connection.object_server().interface::<_, Lease1>(lease1::path(name)).await?;
            interface.get_mut().await.update(state.clone(), interface.signal_emitter()).await?;
        }
        known.note(errand);
    }
}

/// Tells which of `names` are not active, now and whenever that changes.
async fn follow_standby(
    manager: ManagerProxy<'static>,
    group: GroupId,
    names: Vec<String>,
    changes: Sender<(GroupId, News)>,
) -> zbus::Result<()> {
    let (mut units, mut streams) = (Vec::new(), Vec::new());
    for name in names {
        let path = manager.load_unit(&name).await?;
        let unit = UnitProxy::builder(manager.inner().connection()).path(path).build().await?;
        streams.push(unit.receive_active_state_changed().await);
        units.push((name, unit));
    }
    let mut any = select_all(streams);
    loop {
        let mut lacking = Vec::new();
        for (name, unit) in &units {
            if !unit.active_state().await.is_ok_and(|state| state == "active") {
                lacking.push(name.clone());
            }
        }
        if changes.send((group, News::StandbyLacks(lacking))).await.is_err() || any.next().await.is_none() {
            return Ok(());
        }
    }
}

/// Units that failed while nobody could be told, or while a pause was on (decision 0013).
async fn look_for_failures(
    manager: &ManagerProxy<'_>,
    watched: &[Watched],
    changes: &Sender<(GroupId, News)>,
    looks: &mut BTreeSet<GroupId>,
) -> zbus::Result<()> {
    while let Some(group) = looks.first().copied() {
        let item = watched.iter().find(|item| item.group == group);
        let (name, units) = item.map_or(("", &[][..]), |item| (&item.name, &item.units));
        let failed = systemd::failed(manager, units).await?;
        looks.remove(&group);
        if failed.is_empty() {
            tracing::info!("{name}: no unit of the role has failed meanwhile");
        } else {
            tracing::warn!("{name}: {} failed, and nobody has started it again", failed.join(", "));
            let _ = changes.send((group, News::Failed)).await;
        }
    }
    Ok(())
}
