//! vip-claim: an address for as long as the program runs, and not a moment longer than its lease.
//!
//! One loop around four things that can happen: a signal, an address changed, a neighbour spoke, time passed.

mod args;
mod permit;

use args::Args;
use hotspare_address::announce::Announcer;
use hotspare_address::{AddressError, Netlink, Watch, interface_index};
use hotspare_daemon::{Exit, Failure, Priority, clock, message_id, notify, record, run};
use ipnetwork::IpNetwork;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use permit::Permit;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

/// Announcements after each claim: five in the first second, for switches that just woke up; then paced.
const BURST: [u64; 5] = [0, 20, 100, 300, 1000];
const PACE: Duration = Duration::from_secs(30);
/// Between two answers to the same rival.
const RIVAL_PAUSE: Duration = Duration::from_secs(1);
/// While the address is missing, the permit is looked at this often.
const MISSING: Duration = Duration::from_millis(10);
const PROBES: u32 = 3;
const PROBE_PAUSE: Duration = Duration::from_millis(70);

fn main() -> ExitCode {
    run(|args: Args| claim(&args))
}

fn failed(error: AddressError) -> Failure {
    let exit = match &error {
        AddressError::NoInterface(_) => Exit::Unavailable,
        AddressError::Refused { source, .. } if source.raw_os_error() == Some(1) => Exit::NoPerm,
        AddressError::Socket(_) | AddressError::Refused { .. } | AddressError::Garbled(_) => Exit::OsErr,
    };
    Failure::new(exit, error)
}

struct Claim {
    net: IpNetwork,
    index: u32,
    /// As asked for; else what the lease makes of it, which a new configuration may shorten.
    lifetime: Option<Duration>,
    netlink: Netlink,
    announcer: Announcer,
    permit: Permit,
    interface: String,
    group: Option<String>,
    present: bool,
    /// Boot-clock times, in nanoseconds.
    renew_at: u64,
    announce_at: Vec<u64>,
    quiet_until: u64,
}

fn ns(span: Duration) -> u64 {
    hotspare_core::time::nanos(span)
}

fn claim(args: &Args) -> Result<Exit, Failure> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.thread_block().map_err(Exit::OsErr.why("cannot handle signals"))?;
    let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    let signals = signals.map_err(Exit::OsErr.why("cannot handle signals"))?;
    let index = interface_index(&args.interface).map_err(failed)?;
    let permit = Permit::new(args.group.as_deref())?;
    let announcer = Announcer::new(&args.interface, index, args.address.ip()).map_err(|error| {
        let exit = if error.raw_os_error() == Some(1) { Exit::NoPerm } else { Exit::OsErr };
        Failure::new(exit, format!("cannot speak on {} (CAP_NET_RAW is needed): {error}", args.interface))
    })?;
    notify::leave_closing("packets", announcer.as_fd());
    let mut claim = Claim {
        net: args.address,
        index,
        lifetime: args.lifetime.map(Duration::from_secs),
        netlink: Netlink::new().map_err(failed)?,
        announcer,
        permit,
        interface: args.interface.clone(),
        group: args.group.clone(),
        present: false,
        renew_at: 0,
        announce_at: Vec::new(),
        quiet_until: 0,
    };
    claim.sweep()?;
    if args.group.is_none() && !args.no_probe {
        claim.probe()?;
    }
    let watch = Watch::new().map_err(failed)?;
    claim.keep()?;
    if !claim.present {
        return Err(Failure::new(Exit::TempFail, "the lease was lost before the address could be claimed"));
    }
    claim.tell(message_id::ADDRESS_CLAIMED, Priority::Info, "claimed");
    notify::ready(&format!("{} on {}", claim.net, claim.interface));
    if args.once {
        return Ok(Exit::Done);
    }
    claim.watch(&signals, &watch)
}

impl Claim {
    fn tell(&self, id: &str, priority: Priority, what: &str) {
        let mut fields = vec![("ADDRESS", self.net.to_string()), ("INTERFACE", self.interface.clone())];
        fields.extend(self.group.clone().map(|group| ("GROUP", group)));
        record(id, priority, format!("{} on {}: {what}", self.net, self.interface), &fields);
    }

    /// Removes what a former life left, on any interface.
    fn sweep(&mut self) -> Result<(), Failure> {
        for (index, prefix) in self.netlink.find(self.net.ip()).map_err(failed)? {
            let net = IpNetwork::new(self.net.ip(), prefix).expect("the kernel's own prefix");
            self.netlink.delete(index, net).map_err(failed)?;
        }
        Ok(())
    }

    /// Asks the neighbours whether anybody has the address.
    fn probe(&mut self) -> Result<(), Failure> {
        for _ in 0..PROBES {
            self.announcer.probe().map_err(Exit::OsErr.why(format!("cannot probe on {}", self.interface)))?;
            let timeout = PollTimeout::try_from(PROBE_PAUSE).expect("short");
            let _ = poll(&mut [PollFd::new(self.announcer.as_fd(), PollFlags::POLLIN)], timeout);
            if let Some(rival) = self.announcer.overheard() {
                let mac = rival.mac.map(|byte| format!("{byte:02x}")).join(":");
                let message = format!("{} is in use by {mac}; --no-probe takes it all the same", self.net.ip());
                return Err(Failure::new(Exit::TempFail, message));
            }
        }
        Ok(())
    }

    /// Adds or prolongs the address if it may be here; leaves its removal to the gate.
    fn keep(&mut self) -> Result<(), Failure> {
        let now = clock::now();
        if !self.permit.allows(now) {
            self.present = self.is_there()?;
            self.renew_at = now.boot + ns(MISSING);
            return Ok(());
        }
        let was_there = self.present && self.is_there()?;
        let lifetime = self.lifetime.unwrap_or_else(|| self.permit.lifetime());
        self.netlink.add(self.index, self.net, Some(lifetime)).map_err(failed)?;
        self.renew_at = now.boot + ns(lifetime / 3);
        if !was_there {
            if self.present {
                self.tell(message_id::ADDRESS_READDED, Priority::Notice, "was removed by somebody else; put back");
            }
            self.announce_at = BURST.iter().map(|ms| now.boot + ms * 1_000_000).collect();
        }
        self.present = true;
        self.announce();
        Ok(())
    }

    fn is_there(&mut self) -> Result<bool, Failure> {
        let found = self.netlink.find(self.net.ip()).map_err(failed)?;
        Ok(found.iter().any(|(index, _)| *index == self.index))
    }

    /// Tells the neighbours, when that is due. Not if this program stood still past its lease and wakes up before the gate does:
    /// they would send to a machine that must not answer.
    fn announce(&mut self) {
        let now = clock::now();
        if self.announce_at.first().is_none_or(|at| *at > now.boot) {
            return;
        }
        self.announce_at.retain(|at| *at > now.boot);
        if self.announce_at.is_empty() {
            self.announce_at.push(now.boot + ns(PACE));
        }
        if self.permit.allows(now) {
            // An interface that is down now may be up at the next one; the address itself stays.
            let _ = self.announcer.announce();
        }
    }

    fn watch(&mut self, signals: &SignalFd, watch: &Watch) -> Result<Exit, Failure> {
        loop {
            let now = clock::now().boot;
            let due = self.announce_at.first().copied().unwrap_or(u64::MAX).min(self.renew_at);
            let span = Duration::from_nanos(due.saturating_sub(now)).max(Duration::from_millis(1));
            let mut ready = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(watch.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.announcer.as_fd(), PollFlags::POLLIN),
            ];
            let _ = poll(&mut ready, PollTimeout::try_from(span).unwrap_or(PollTimeout::MAX));
            let happened = |n: usize| ready[n].any().unwrap_or(false);
            let (signalled, changed, heard) = (happened(0), happened(1), happened(2));
            if signalled && matches!(signals.read_signal(), Ok(Some(_))) {
                notify::stopping("removing the address");
                let ended = self.hang_up();
                self.netlink.delete(self.index, self.net).map_err(failed)?;
                let ended = ended + self.hang_up(); // what came in between
                let what =
                    if ended == 0 { "released".to_owned() } else { format!("released; {ended} connections ended") };
                self.tell(message_id::ADDRESS_RELEASED, Priority::Info, &what);
                return Ok(Exit::Done);
            }
            if changed {
                watch.drain();
            }
            if heard && let Some(rival) = self.announcer.overheard() {
                self.answer(rival);
            }
            let gone = changed && !self.is_there()?;
            if gone || clock::now().boot >= self.renew_at {
                self.keep()?;
            }
            self.announce();
            notify::alive();
        }
    }

    /// Whoever is connected hears now that this address moves, and no service waits in vain for an answer over it.
    fn hang_up(&self) -> usize {
        hotspare_address::hang_up(self.net.ip()).unwrap_or_else(|error| {
            eprintln!("connections of {} are left to themselves: {error}", self.net.ip());
            0
        })
    }

    /// A rival claims our address: whoever holds the lease is right, so say so again.
    fn answer(&mut self, rival: hotspare_address::announce::Rival) {
        let now = clock::now();
        if now.boot < self.quiet_until || !self.permit.allows(now) {
            return;
        }
        self.quiet_until = now.boot + ns(RIVAL_PAUSE);
        let mac = rival.mac.map(|byte| format!("{byte:02x}")).join(":");
        self.tell(message_id::ADDRESS_RIVAL, Priority::Warning, &format!("also claimed by {mac}; announcing again"));
        self.announce_at.insert(0, now.boot);
    }
}
