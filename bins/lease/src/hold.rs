//! `hold`: the gate of a script. The same timetable as hotspare-gate's, on a process tree instead of a slice.

use hotspare_control::{Ask, Client, How, Life, Proof, Tell};
use hotspare_core::Incarnation;
use hotspare_daemon::{Exit, Failure, clock};
use hotspare_page::{PageReader, Standing, Tenancy};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// How often the page is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// A command that is asked to end gets this long before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Why the hold is over.
enum Over {
    Ended(i32),
    Lost,
    /// Somebody wants it to end: a signal, or an operator's switchover.
    Asked,
}

pub fn hold(group: &str, timeout: Option<u64>, command: &[String]) -> Result<Exit, Failure> {
    nix::sys::prctl::set_child_subreaper(true).map_err(Exit::OsErr.why("cannot become a subreaper"))?;
    let signals = signals()?;
    let mut client = Client::leased().map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let (epoch, life) = acquire(&mut client, &signals, group, timeout)?;
    let mine = Incarnation { boot: number(&life.boot)?, nonce: number(&life.nonce)? };
    let page = PageReader::open(&hotspare_page::path(group)).map_err(|error| Failure::new(Exit::OsErr, error))?;
    let over = match Tenancy::on(page).filter(|tenancy| tenancy.life() == mine) {
        Some(mut tenancy) => work(&mut tenancy, &client, &signals, (group, epoch), command)?,
        None => Over::Lost, // between the answer and this; it is proven below all the same
    };
    let how = if matches!(over, Over::Lost) { How::Expired } else { How::Stopped };
    kill_all();
    let _ = client.send(&Ask::Emptied { group: group.into(), proof: Proof { life, how } });
    let _ = client.patience(Some(Duration::from_secs(1))).and_then(|()| client.receive().map(drop));
    match over {
        Over::Ended(0) | Over::Asked => Ok(Exit::Done),
        Over::Ended(code) => std::process::exit(code),
        Over::Lost => {
            Err(Failure::new(Exit::Unavailable, format!("lost the lease of {group}; the command was killed")))
        }
    }
}

/// Runs the command for as long as the lease is held.
fn work(
    tenancy: &mut Tenancy,
    client: &Client,
    signals: &SignalFd,
    (group, epoch): (&str, u64),
    command: &[String],
) -> Result<Over, Failure> {
    let child = match command.split_first() {
        Some((program, rest)) => Some(start(group, epoch, program, rest)?),
        None => {
            println!("holding {group} in epoch {epoch}");
            None
        }
    };
    let over = watch(tenancy, client, signals, child);
    if matches!(over, Over::Asked) {
        signal_all(&descendants(), Signal::SIGTERM);
        let end = clock::now().plus(GRACE);
        while !descendants().is_empty() && !clock::now().any_past(end) && good(tenancy) {
            reap();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(over)
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(Exit::Protocol.why("the daemon's answer is not understood"))
}

fn signals() -> Result<SignalFd, Failure> {
    let mut set = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD].into_iter().for_each(|signal| set.add(signal));
    set.thread_block().map_err(Exit::OsErr.why("cannot handle signals"))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(Exit::OsErr.why("cannot handle signals"))
}

fn acquire(client: &mut Client, signals: &SignalFd, group: &str, timeout: Option<u64>) -> Result<(u64, Life), Failure> {
    client
        .send(&Ask::Attach { group: group.into(), ask: false, wait: true })
        .map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let end = timeout.map(|seconds| clock::now().plus(Duration::from_secs(seconds)));
    loop {
        let left = end.map_or(LOOK * 50, |end| clock::now().longest_until(end));
        if left.is_zero() {
            return Err(Failure::new(
                Exit::TempFail,
                format!("the lease of {group} was not free within the time given"),
            ));
        }
        let mut ready =
            [PollFd::new(client.socket().as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::try_from(left.min(LOOK * 50)).unwrap_or(PollTimeout::MAX));
        let (answered, signalled) = (ready[0].any().unwrap_or(false), ready[1].any().unwrap_or(false));
        if signalled {
            return Err(Failure::new(Exit::TempFail, "stopped before the lease was held"));
        }
        if !answered {
            continue;
        }
        return match client.receive().map_err(|error| Failure::new(Exit::Unavailable, error))? {
            Tell::Held { epoch, life } => Ok((epoch, life)),
            Tell::Refused { reason, .. } => Err(Failure::new(Exit::TempFail, format!("not held: {reason}"))),
            Tell::Error { reason, denied: true } => Err(Failure::new(Exit::NoPerm, reason)),
            Tell::Error { reason, .. } => Err(Failure::new(Exit::Usage, reason)),
            other => Err(Failure::new(Exit::Protocol, format!("unexpected answer {other:?}"))),
        };
    }
}

fn start(group: &str, epoch: u64, program: &str, rest: &[String]) -> Result<Pid, Failure> {
    let mut command = Command::new(program);
    command.args(rest).env("HOTSPARE_GROUP", group).env("HOTSPARE_EPOCH", epoch.to_string());
    // SAFETY: both calls are async-signal-safe system calls, made between fork and exec.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(|| {
            SigSet::empty().thread_set_mask()?;
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        });
    }
    let child = command.spawn().map_err(Exit::Usage.why(format!("cannot run {program}")))?;
    Ok(Pid::from_raw(i32::try_from(child.id()).expect("a pid")))
}

/// Whether the kill of its timetable has not come.
fn good(tenancy: &mut Tenancy) -> bool {
    tenancy.look(clock::now()) != Standing::Over
}

fn watch(tenancy: &mut Tenancy, client: &Client, signals: &SignalFd, child: Option<Pid>) -> Over {
    let mut connected = true;
    loop {
        if !good(tenancy) {
            return Over::Lost;
        }
        let socket =
            PollFd::new(client.socket().as_fd(), if connected { PollFlags::POLLIN } else { PollFlags::empty() });
        let mut ready = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), socket];
        let _ = poll(&mut ready, PollTimeout::try_from(LOOK).expect("short"));
        if connected && ready[1].any().unwrap_or(false) {
            let mut one = [0; 1];
            // A word from the daemon means: let go. An end of file means that it restarts, which moves nothing.
            match std::io::Read::read(&mut client.socket(), &mut one) {
                Ok(1) => return Over::Asked,
                _ => connected = false,
            }
        }
        while let Ok(Some(signal)) = signals.read_signal() {
            if signal.ssi_signo != Signal::SIGCHLD as u32 {
                return Over::Asked;
            }
        }
        for (pid, code) in reap() {
            if Some(pid) == child {
                return Over::Ended(code);
            }
        }
    }
}

/// Collects children that have ended, adopted ones too.
fn reap() -> Vec<(Pid, i32)> {
    let mut ended = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => ended.push((pid, code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => ended.push((pid, 128 + signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(_) => return ended,
            Ok(_) => {}
        }
    }
}

/// Every process below this one. As a subreaper, this process inherits those whose parents are gone.
fn descendants() -> Vec<Pid> {
    let children = |pid: i32| -> Vec<i32> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
    };
    let mut found = children(i32::try_from(std::process::id()).expect("a pid"));
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found.into_iter().map(Pid::from_raw).collect()
}

/// Sends `signal` to each; who is gone already needs none.
fn signal_all(pids: &[Pid], signal: Signal) {
    for pid in pids {
        let _ = kill(*pid, signal);
    }
}

/// Kills until nothing is left below this process: what forks in between is found in the next round.
fn kill_all() {
    loop {
        reap();
        let left = descendants();
        if left.is_empty() {
            return;
        }
        signal_all(&left, Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(1));
    }
}
