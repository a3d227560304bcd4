//! Programs that are run for their answer, and may hang.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Waits until a program ends that leads a process group of its own (`process_group(0)`). `None`: it had not ended after `limit`, and was killed
/// with all of its group.
///
/// # Errors
/// If it cannot be waited for.
pub fn wait_within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let ended = end_within(child, limit)?;
    if ended.is_none() {
        let _ = killpg(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGKILL);
        child.wait()?;
    }
    Ok(ended)
}

/// Waits until a program ends. `None`: it has not ended after `limit`, and goes on; one that waits for a disk which hangs could not be killed.
///
/// # Errors
/// If it cannot be waited for.
pub fn end_within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    let end = pidfd_open(rustix::process::Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let left = limit.saturating_sub(began.elapsed());
        // Rounded up: not woken again and again in the last millisecond.
        let most = PollTimeout::try_from(left.as_millis() + u128::from(!left.is_zero())).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], most) {
            Ok(0) if began.elapsed() >= limit => return Ok(None),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return child.wait().map(Some),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    fn shell(script: &str) -> Child {
        Command::new("/bin/sh").args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn how_it_ended_is_told_and_what_hangs_is_killed_with_its_children() {
        let long = Duration::from_secs(60);
        assert_eq!(wait_within(&mut shell("exit 3"), long).unwrap().unwrap().code(), Some(3));
        let mut hangs = shell("tail -f /dev/null & tail -f /dev/null");
        assert_eq!(wait_within(&mut hangs, Duration::from_millis(50)).unwrap(), None);
        // All of them had the pipe open: its end says that all of them are gone.
        hangs.stdout.unwrap().read_to_end(&mut Vec::new()).unwrap();
    }
}
