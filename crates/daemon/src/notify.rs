//! Telling systemd. Every call is non-blocking and may fail silently: outside of systemd there is nobody to tell.

use sd_notify::NotifyState;

/// The daemon is up.
pub fn ready(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(status)]);
}

/// Feeds the watchdog. Called by the decision loop itself, never by a task beside it: that would prove nothing.
pub fn alive() {
    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
}

/// The daemon is going.
pub fn stopping(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}
