//! Telling systemd. Every call is non-blocking and may fail silently: outside of systemd there is nobody to tell.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket};
use sd_notify::NotifyState;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Mutex;
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
static SOON: Mutex<Option<String>> = Mutex::new(None);

/// Feeds the watchdog. Called by the decision loop itself, never by a task beside it: that would prove nothing.
pub fn alive() {
    let now = crate::clock::now().boot;
    if now >= FED.load(Ordering::Relaxed) + FEED_EVERY {
        FED.store(now, Ordering::Relaxed);
        let _ = match SOON.lock().ok().and_then(|mut soon| soon.take()) {
            Some(line) => sd_notify::notify(&[NotifyState::Watchdog, NotifyState::Status(&line)]),
            None => sd_notify::notify(&[NotifyState::Watchdog]),
        };
    }
}

/// One line for `systemctl status`, with the next feeding of the watchdog: in the middle of a role change process 1 has better
/// things to do.
pub fn status_soon(status: String) {
    if let Ok(mut soon) = SOON.lock() {
        *soon = Some(status);
    }
}

/// The daemon is going.
pub fn stopping(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Lets process 1 hold a copy of a socket until this unit has stopped (`FileDescriptorStoreMax=`). Who closes a packet
/// socket for the last time waits for a grace period of the kernel, 10 ms and more; process 1 leaves that to a child, and
/// nothing that is ordered after this unit waits for it (decision 0017). What a former life left there is given up.
pub fn leave_closing(name: &str, socket: BorrowedFd<'_>) {
    if let Ok(former) = sd_notify::listen_fds().map(Vec::from_iter)
        && !former.is_empty()
    {
        let _ = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
        // In a thread: nobody waits for it either.
        std::thread::spawn(move || {
            for fd in former {
                let _ = nix::unistd::close(fd);
            }
        });
    }
    let unwatched = NotifyState::Custom("FDPOLL=0");
    let _ = sd_notify::notify_with_fds(&[NotifyState::FdStore, NotifyState::FdName(name), unwatched], &[socket]);
}

/// Waits until process 1 has dealt with everything that was before this call: what it decided to start by then, it has
/// started (sd_notify(3), `BARRIER=1`). False: it did not answer within `patience` milliseconds, or there is nobody to ask.
#[must_use]
pub fn barrier(patience: u16) -> bool {
    ask_barrier(patience).unwrap_or(false)
}

fn ask_barrier(patience: u16) -> nix::Result<bool> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(false) };
    let path = path.as_encoded_bytes();
    let address = match path.strip_prefix(b"@") {
        Some(name) => UnixAddr::new_abstract(name)?,
        None => UnixAddr::new(path)?,
    };
    let (ours, theirs) = nix::unistd::pipe()?;
    let sender = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let rights = [theirs.as_raw_fd()];
    let (text, control) = ([IoSlice::new(b"BARRIER=1")], [ControlMessage::ScmRights(&rights)]);
    sendmsg(sender.as_raw_fd(), &text, &control, MsgFlags::empty(), Some(&address))?;
    drop(theirs);
    // Process 1 closes its copy when it has come to it.
    let mut closed = [PollFd::new(ours.as_fd(), PollFlags::POLLHUP)];
    poll(&mut closed, PollTimeout::from(patience))?;
    Ok(closed[0].any().unwrap_or(false))
}
