//! The bus, at arm's length: what systemd says of the standby targets comes in, what we publish goes out. When the bus
//! is gone, the last known state stays true and a new connection is tried until one succeeds.

use futures_util::StreamExt;
use hotspare_bus::lease1::{self, Lease1};
use hotspare_bus::systemd::{ManagerProxy, UnitProxy};
use hotspare_core::GroupId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender};

/// Between two tries to reach the bus.
const RETRY: Duration = Duration::from_millis(500);

/// The standby target of a group is active, or not.
pub struct StandbyChanged {
    pub group: GroupId,
    pub active: bool,
}

/// A group, its name, and its standby target if it has one.
#[derive(Clone)]
pub struct Watched {
    pub group: GroupId,
    pub name: String,
    pub target: Option<String>,
}

/// The state of each group as it was published last.
type Known = BTreeMap<String, Lease1>;

/// Follows the targets and publishes what comes in on `updates`, for ever.
pub async fn run(watched: Vec<Watched>, changes: Sender<StandbyChanged>, mut updates: Receiver<(String, Lease1)>) {
    let mut known = Known::new();
    loop {
        if let Err(error) = connected(&watched, &changes, &mut updates, &mut known).await {
            tracing::debug!("no bus: {error}");
        }
        if changes.is_closed() {
            return;
        }
        tokio::time::sleep(RETRY).await;
        while let Ok((name, state)) = updates.try_recv() {
            known.insert(name, state);
        }
    }
}

async fn connected(
    watched: &[Watched],
    changes: &Sender<StandbyChanged>,
    updates: &mut Receiver<(String, Lease1)>,
    known: &mut Known,
) -> zbus::Result<()> {
    let connection = zbus::Connection::system().await?;
    for item in watched {
        connection
            .object_server()
            .at(lease1::path(&item.name), known.get(&item.name).cloned().unwrap_or_default())
            .await?;
    }
    if let Err(error) = connection.request_name(lease1::NAME).await {
        tracing::warn!("not published as {} on the bus: {error}", lease1::NAME);
    }
    let manager = ManagerProxy::new(&connection).await?;
    manager.subscribe().await?;
    let mut followers = tokio::task::JoinSet::new();
    for item in watched {
        let Some(target) = &item.target else { continue };
        let path = manager.load_unit(target).await?;
        let unit = UnitProxy::builder(&connection).path(path).build().await?;
        let (group, changes) = (item.group, changes.clone());
        followers.spawn(async move {
            let mut stream = unit.receive_active_state_changed().await;
            loop {
                let active = unit.active_state().await.is_ok_and(|state| state == "active");
                if changes.send(StandbyChanged { group, active }).await.is_err() || stream.next().await.is_none() {
                    return;
                }
            }
        });
    }
    loop {
        tokio::select! {
            Some(_) = followers.join_next() => return Ok(()), // a stream ended: the connection is gone
            update = updates.recv() => {
                let Some((name, state)) = update else { return Ok(()) };
                let interface = connection.object_server().interface::<_, Lease1>(lease1::path(&name)).await?;
                known.insert(name, state.clone());
                interface.get_mut().await.update(state, interface.signal_emitter()).await?;
            }
        }
    }
}
