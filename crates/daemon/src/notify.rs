//! Telling systemd. Every call is non-blocking and may fail silently: outside of systemd there is nobody to tell.

use sd_notify::NotifyState;
use std::sync::atomic::{AtomicU64, Ordering};

/// The daemon is up.
pub fn ready(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(status)]);
}

/// No need to feed the watchdog more often than this: its time is ten times as long.
const FEED_EVERY: u64 = 500_000_000;
static FED: AtomicU64 = AtomicU64::new(0);

/// Feeds the watchdog. Called by the decision loop itself, never by a task beside it: that would prove nothing.
pub fn alive() {
    let now = crate::clock::now().boot;
    if now >= FED.load(Ordering::Relaxed) + FEED_EVERY {
        FED.store(now, Ordering::Relaxed);
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}

/// The daemon is going.
pub fn stopping(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}
