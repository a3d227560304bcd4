//! What the bus is told of this copy. Nothing here waits for it: what it does not take is told later, or not at all.

use crate::role::Status;
use hotspare_bus::replicate1::{self, Replicate1};
use std::io;
use std::time::Duration;
use tokio::sync::watch::{Receiver, Sender, channel};

/// How long a bus that is gone is left alone.
const AGAIN: Duration = Duration::from_secs(5);

/// What is published of `status`.
pub fn of(status: &Status) -> Replicate1 {
    let copies = status.copies.iter().map(|copy| {
        let rate = copy.resync.map_or(0, |resync| resync.bytes_per_second);
        (copy.node.clone(), copy.connected, copy.joined, copy.differs, rate)
    });
    Replicate1 {
        role: status.role.clone(),
        state: status.state.clone(),
        epoch: status.epoch,
        whole: status.whole,
        copies: copies.collect(),
    }
}

/// Starts the thread that speaks to the bus.
///
/// # Errors
/// If there is no thread to be had.
pub fn start(volume: &str) -> io::Result<Sender<Replicate1>> {
    let (sender, news) = channel(Replicate1::default());
    let volume = volume.to_owned();
    std::thread::Builder::new().name("bus".into()).spawn(
        move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(publish(&volume, news)),
            Err(error) => tracing::warn!("not published on the bus: {error}"),
        },
    )?;
    Ok(sender)
}

/// Keeps the bus up to date, for ever.
async fn publish(volume: &str, mut news: Receiver<Replicate1>) {
    loop {
        if let Err(error) = publish_once(volume, &mut news).await {
            tracing::debug!("no bus: {error}");
        }
        if news.has_changed().is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn publish_once(volume: &str, news: &mut Receiver<Replicate1>) -> zbus::Result<()> {
    let connection = zbus::Connection::system().await?;
    let first = news.borrow_and_update().clone();
    connection.object_server().at(replicate1::path(volume), first).await?;
    if let Err(error) = connection.request_name(replicate1::name(volume)).await {
        tracing::warn!("not published as {} on the bus: {error}", replicate1::name(volume));
    }
    let interface = connection.object_server().interface::<_, Replicate1>(replicate1::path(volume)).await?;
    while news.changed().await.is_ok() {
        let newer = news.borrow_and_update().clone();
        interface.get_mut().await.update(newer, interface.signal_emitter()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::{Copy, Resync};

    #[test]
    fn a_copy_on_its_way_is_told_with_its_rate() {
        let resync = Some(Resync { bytes_left: 10, bytes_per_second: 5, seconds_left: Some(2) });
        let copy = |node: &str, resync| Copy {
            node: node.into(),
            connected: true,
            joined: resync_is_over(resync),
            counts: None,
            differs: 4096,
            behind: None,
            resync,
        };
        let status = Status {
            volume: "data".into(),
            group: "default".into(),
            backing: "/dev/x".into(),
            bytes: 1,
            room: 1,
            role: "primary".into(),
            state: "serves".into(),
            epoch: 7,
            whole: true,
            generation: "1".into(),
            requests: 0,
            after_a_crash: 0,
            copies: vec![copy("beta", resync), copy("gamma", None)],
            verifying: None,
            heard_seconds: None,
        };
        let told = of(&status);
        let copies = [("beta".into(), true, false, 4096, 5), ("gamma".into(), true, true, 4096, 0)];
        assert_eq!((told.role.as_str(), told.epoch, told.copies.as_slice()), ("primary", 7, copies.as_slice()));
    }

    fn resync_is_over(resync: Option<Resync>) -> bool {
        resync.is_none()
    }
}
