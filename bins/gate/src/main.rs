//! hotspare-gate: the guard behind a held lease. Small on purpose: it must work when nothing else does.
//!
//! It needs no network, no bus, no heap and no other process once it is ready; `hotspare-leased` only moves the
//! deadline on the page. `guard` is the timetable, `prove` is what systemd runs after it, in every case.

mod args;
mod effects;
mod guard;
mod prove;
mod slice;

use args::{Act, Args};
use effects::Addresses;
use guard::{Door, End, Guard, Witness};
use hotspare_control::{Ask, Client, Tell};
use hotspare_core::Timetable;
use hotspare_core::lease::Tenure;
use hotspare_daemon::alarm::Timer;
use hotspare_daemon::{Exit, Failure, Priority, clock, message_id, notify, record, run};
use hotspare_page::PageReader;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use slice::Slice;
use std::process::ExitCode;
use std::time::Duration;

/// How long a gate waits for a lease client that is just starting.
const LEASED_PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    run(|args: Args| match args.act {
        Act::Guard => guard(&args),
        Act::Prove => prove::after(&args),
        Act::Refresh => prove::refresh(),
        Act::Up => say(&Ask::Up { group: args.group }),
        Act::GiveUp => say(&Ask::GiveUp { group: args.group }),
    })
}

fn say(ask: &Ask) -> Result<Exit, Failure> {
    match Client::leased().and_then(|mut client| client.call(ask)) {
        Ok(Tell::Done { .. }) => Ok(Exit::Done),
        Ok(Tell::Error { reason, .. } | Tell::Refused { reason, .. }) => Err(Failure::new(Exit::No, reason)),
        Ok(other) => Err(Failure::new(Exit::Protocol, format!("unexpected answer {other:?}"))),
        Err(error) => Err(Failure::new(Exit::Unavailable, error)),
    }
}

fn guard(args: &Args) -> Result<Exit, Failure> {
    let _ = std::fs::create_dir_all(prove::FOLDER);
    let _ = std::fs::remove_file(prove::open_file(&args.group));
    let _ = std::fs::remove_file(prove::file(&args.group, "proof"));
    let signals = signals()?;
    let timer = Timer::new().map_err(Exit::OsErr.why("no timer on the boot clock"))?;
    let mut slice = Slice::new(&args.slice());
    let mut addresses = Addresses::new(&args.address).map_err(Exit::OsErr.why("no netlink"))?;
    // Nothing of a former life may be left when a new one begins.
    if slice.populated() {
        slice.kill();
    }
    let left = addresses.sweep().map_err(Exit::OsErr.why("cannot look for the group's addresses"))?;
    if !left.is_empty() {
        return Err(Failure::new(Exit::OsErr, format!("cannot remove {} left from a former life", left.join(", "))));
    }
    let _lock = prove::hold_lock(&args.group)?;
    prove::announce_claim(&args.group)?;
    let (tenure, _connection) = ask_for_lease(&args.group)?;
    let page = PageReader::open(&hotspare_page::path(&args.group)).map_err(|error| Failure::new(Exit::OsErr, error))?;
    let life = tenure.value.incarnation;
    let life = hotspare_control::Life { boot: life.boot.to_string(), nonce: life.nonce.to_string() };
    prove::write(&prove::file(&args.group, "claim"), &life)?;
    if clock::now().any_past(tenure.sent.plus(Timetable::new(tenure.lease).begin_stop())) {
        return Err(Failure::new(Exit::Unavailable, "the lease was at its end before the gate was ready"));
    }
    // The units in force stay those of this file until the role moves (see hotspare-generator).
    if let Err(error) = std::fs::copy(&args.config, prove::file(&args.group, "kdl")) {
        eprintln!("cannot keep a copy of {}: {error}, proceeding", args.config.display());
    }
    if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE) {
        eprintln!("cannot lock memory: {error}, proceeding");
    }
    let mut witness = Journal { group: args.group.clone() };
    let epoch = tenure.value.epoch;
    witness.record(message_id::GATE_OPEN, Priority::Info, &format!("open, epoch {epoch}"), &tenure);
    let door = Door::open(&prove::open_file(&args.group)).map_err(Exit::CantCreate.why("cannot open the gate"))?;
    notify::ready(&format!("guarding epoch {epoch}"));
    match Guard::new(page, (slice, addresses), tenure, (signals, timer), door).watch(&mut witness) {
        End::Stopped => {
            notify::stopping("stopping");
            prove::at_its_stop(args);
            Ok(Exit::Done)
        }
        // Not "done": then OnFailure= takes the node back to standby.
        End::Told { pid } => {
            Err(Failure::new(Exit::No, format!("ended by a signal of process {pid}: the role ends here")))
        }
        End::Expired => Err(Failure::new(Exit::Unavailable, "the lease is over: everything of the role was killed")),
    }
}

fn signals() -> Result<SignalFd, Failure> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    let failed = "cannot handle signals";
    set.thread_block().map_err(Exit::OsErr.why(failed))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(Exit::OsErr.why(failed))
}

/// Asks the lease client: it holds already, or this start is an operator's wish and it asks the cluster.
fn ask_for_lease(group: &str) -> Result<(Tenure, Client), Failure> {
    let give_up = clock::now().plus(LEASED_PATIENCE);
    let mut client = loop {
        match Client::leased() {
            Ok(client) => break client,
            Err(error) if clock::now().any_past(give_up) => return Err(Failure::new(Exit::TempFail, error)),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let ask = Ask::Attach { group: group.into(), ask: true, wait: false };
    match client.call(&ask).map_err(|error| Failure::new(Exit::TempFail, error))? {
        Tell::Held { .. } => {
            let page =
                PageReader::open(&hotspare_page::path(group)).map_err(|error| Failure::new(Exit::OsErr, error))?;
            let tenure = page.read().filter(|tenure| tenure.held);
            let tenure =
                tenure.ok_or_else(|| Failure::new(Exit::TempFail, "the lease was lost before the gate could open"))?;
            Ok((tenure, client))
        }
        Tell::Refused { reason, .. } | Tell::Error { reason, .. } => {
            let message = format!("{group}: the primary role was refused: {reason}");
            let fields = [("GROUP", group.to_owned()), ("REASON", reason)];
            hotspare_daemon::journal::record_now(message_id::GATE_REFUSED, Priority::Warning, message.clone(), &fields);
            Err(Failure::new(Exit::TempFail, message))
        }
        other => Err(Failure::new(Exit::Protocol, format!("unexpected answer {other:?}"))),
    }
}

struct Journal {
    group: String,
}

impl Journal {
    fn record(&mut self, id: &str, priority: Priority, what: &str, tenure: &Tenure) {
        let fields = [("GROUP", self.group.clone()), ("EPOCH", tenure.value.epoch.to_string())];
        record(id, priority, format!("{}: gate: {what}", self.group), &fields);
    }
}

impl Witness for Journal {
    fn begin_stop(&mut self, tenure: &Tenure) {
        let what = "the lease was not renewed for 8/12 of its length: the addresses are off";
        self.record(message_id::GATE_BEGIN_STOP, Priority::Warning, what, tenure);
    }

    fn resumed(&mut self, tenure: &Tenure) {
        self.record(message_id::GATE_RESUMED, Priority::Notice, "renewed in time: the addresses come back", tenure);
    }

    fn kill(&mut self, tenure: &Tenure) {
        self.record(
            message_id::GATE_KILL,
            Priority::Error,
            "the lease is over: killing everything of the role",
            tenure,
        );
    }

    fn self_fence(&mut self, tenure: &Tenure) {
        self.record(
            message_id::GATE_SELF_FENCE,
            Priority::Emergency,
            "something does not die: the machine reboots now",
            tenure,
        );
    }
}
