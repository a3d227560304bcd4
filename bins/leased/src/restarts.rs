//! A service that died once is back when its `RestartSec=` says, not up to a quarter of a second later: process 1 lets the
//! timer of a restart slip by 250 ms (the accuracy that sd-event takes when none is asked for), so as to wake up less often,
//! but looks at what is due whenever something wakes it. It is asked for a sign of life at that moment.

use futures_util::StreamExt;
use hotspare_bus::systemd::{ManagerProxy, ServiceProxy, UnitProxy};
use std::time::Duration;
use zbus::fdo::PeerProxy;

/// Follows `service` until the connection is gone.
///
/// # Errors
/// If systemd cannot be asked at all.
pub async fn hasten(manager: ManagerProxy<'static>, service: &str) -> zbus::Result<()> {
    let (connection, path) = (manager.inner().connection(), manager.load_unit(service).await?);
    let unit = UnitProxy::builder(connection).path(&path).build().await?;
    let service = ServiceProxy::builder(connection).path(&path).build().await?;
    let process_1 = PeerProxy::new(connection, manager.inner().destination(), manager.inner().path()).await?;
    let mut states = unit.receive_sub_state_changed().await;
    while let Some(state) = states.next().await {
        if state.get().await.is_ok_and(|state| state == "auto-restart")
            && let Ok(wait) = service.restart_usec_next().await
        {
            tokio::time::sleep(Duration::from_micros(wait)).await;
            let _ = process_1.ping().await; // what it answers does not matter
        }
    }
    Ok(())
}
