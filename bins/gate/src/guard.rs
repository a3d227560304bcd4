//! The guard itself: from the moment the lease is held to the moment nothing runs.
//!
//! ```text
//!  0 -- renewals move it --> 8/12 addresses off   9/12 kill the slice   10/12 reboot(2)
//! ```
//! After [`Guard::new`] it allocates nothing, opens nothing and talks to nobody: a page, two cgroup files, one netlink
//! socket. It sleeps until the next step and looks at the page again before it takes it.

use crate::effects::Addresses;
use crate::slice::Slice;
use hotspare_core::lease::Tenure;
use hotspare_core::{Incarnation, Stamp, Timetable};
use hotspare_daemon::alarm::Timer;
use hotspare_daemon::{clock, notify};
use hotspare_page::PageReader;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use std::os::fd::AsFd;
use std::time::Duration;

/// The page is looked at this often between the steps: a lease that is given up early is acted on this fast. The steps themselves are
/// taken on time.
const LOOK: Duration = Duration::from_millis(250);

/// What the gate has to do at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The lease is good; look again no later than then (boot clock, ns).
    Wait(u64),
    /// Take the addresses off; they come back if the lease is renewed before the kill.
    BeginStop,
    Kill,
    SelfFence,
}

/// The step that is due at `now`, for the tenure as last seen. Pure, so that the tests can walk the grid.
#[must_use]
pub fn due(now: Stamp, tenure: &Tenure, mine: Incarnation) -> Step {
    let table = Timetable::new(tenure.lease);
    let past = |span| now.any_past(tenure.sent.plus(span));
    let over = !tenure.held || tenure.value.incarnation != mine;
    if past(table.self_fence()) {
        Step::SelfFence
    } else if over || past(table.kill()) {
        Step::Kill
    } else if past(table.begin_stop()) {
        Step::BeginStop
    } else {
        let look = now.boot + hotspare_core::time::nanos(LOOK);
        Step::Wait(now.wake_before(tenure.sent.plus(table.begin_stop())).min(look))
    }
}

/// How the guard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// systemd stopped it.
    Stopped,
    /// Somebody else did, by a signal: process 1 has no job that would say what comes next.
    Told { pid: u32 },
    /// The lease was lost; the slice is empty, the addresses are off.
    Expired,
}

/// The file without which process 1 starts no unit of the role. Its name is made beforehand: closing allocates nothing.
pub struct Door(std::ffi::CString);

impl Door {
    /// Opens the door.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn open(path: &std::path::Path) -> std::io::Result<Door> {
        std::fs::write(path, "")?;
        Ok(Door(std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?))
    }

    fn shut(&self) {
        let _ = nix::unistd::unlink(self.0.as_c_str());
    }
}

/// Everything a guard needs, opened beforehand.
pub struct Guard {
    page: PageReader,
    slice: Slice,
    addresses: Addresses,
    mine: Incarnation,
    last: Tenure,
    signals: SignalFd,
    timer: Timer,
    door: Door,
    off: bool,
}

/// What the guard tells the outside, in the only moments it does.
pub trait Witness {
    fn begin_stop(&mut self, tenure: &Tenure);
    fn resumed(&mut self, tenure: &Tenure);
    fn kill(&mut self, tenure: &Tenure);
    fn self_fence(&mut self, tenure: &Tenure);
}

impl Guard {
    #[must_use]
    pub fn new(
        page: PageReader,
        (slice, addresses): (Slice, Addresses),
        tenure: Tenure,
        (signals, timer): (SignalFd, Timer),
        door: Door,
    ) -> Guard {
        Guard { page, slice, addresses, mine: tenure.value.incarnation, last: tenure, signals, timer, door, off: false }
    }

    /// Guards until the end.
    pub fn watch(&mut self, witness: &mut impl Witness) -> End {
        let end = self.watch_on(witness);
        self.door.shut();
        end
    }

    fn watch_on(&mut self, witness: &mut impl Witness) -> End {
        loop {
            notify::alive();
            match due(clock::now(), &self.look(), self.mine) {
                Step::Wait(until) => {
                    if self.off {
                        self.off = false; // vip-claim puts the addresses back and announces them
                        witness.resumed(&self.last);
                    }
                    if let Some(end) = self.sleep(until) {
                        return end;
                    }
                }
                Step::BeginStop => {
                    self.addresses.remove();
                    if !self.off {
                        self.off = true;
                        witness.begin_stop(&self.last);
                    }
                    let step = Timetable::new(self.last.lease).step() / 10;
                    if let Some(end) = self.sleep(clock::now().boot + hotspare_core::time::nanos(step)) {
                        return end;
                    }
                }
                Step::Kill | Step::SelfFence => return self.end(witness),
            }
        }
    }

    /// The page as it is, or as it was if its writer died in mid-write: the deadline holds either way.
    fn look(&mut self) -> Tenure {
        if let Some(tenure) = self.page.read() {
            self.last = tenure;
        }
        self.last
    }

    /// Kills until nothing is left; reboots if that takes too long.
    fn end(&mut self, witness: &mut impl Witness) -> End {
        // From here on the lease is over, whatever the page says later.
        let lost = self.last;
        let reboot_at = lost.sent.plus(Timetable::new(lost.lease).self_fence());
        let (began, step) = (clock::now(), Timetable::new(lost.lease).step());
        // A lease that was revoked early (a later epoch exists) leaves less time than the grid says, not more.
        let patience = began.plus(step);
        // A gate that slept past the whole grid kills first: that takes milliseconds, a reboot many seconds. On time this
        // changes nothing: the kill comes a whole step before the reboot.
        let tried = began.plus(step / 2);
        self.door.shut(); // what is killed here must not be started again
        witness.kill(&lost);
        loop {
            self.slice.kill();
            let gone = self.addresses.remove();
            if !self.slice.populated() && gone {
                return End::Expired;
            }
            let now = clock::now();
            if now.any_past(tried) && (now.any_past(reboot_at) || now.any_past(patience)) {
                witness.self_fence(&lost);
                reboot();
            }
            notify::alive();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sleeps until `until` on the boot clock, or until somebody wants the gate to stop. A sleep that a suspend falls into ends
    /// when the machine wakes up, and not when the rest of it has passed too: poll's own clock stands still meanwhile.
    fn sleep(&mut self, until: u64) -> Option<End> {
        let soon = clock::now().boot + 1_000_000;
        // Without the timer it looks at every chance, which is late for nothing.
        let timeout = self.timer.set(until.max(soon)).map_or(PollTimeout::from(1u8), |()| PollTimeout::NONE);
        let ready = [self.signals.as_fd(), self.timer.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let _ = poll(&mut { ready }, timeout);
        match self.signals.read_signal() {
            Ok(Some(signal)) if signal.ssi_pid == 1 => Some(End::Stopped),
            Ok(Some(signal)) => Some(End::Told { pid: signal.ssi_pid }),
            _ => None,
        }
    }
}

/// The machine goes down now, without asking anybody. In a container this ends the container.
pub fn reboot() -> ! {
    let _ = nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_AUTOBOOT);
    let _ = std::fs::write("/proc/sysrq-trigger", "b");
    loop {
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_core::{Epoch, NodeId, Value};

    const LIFE: Incarnation = Incarnation { boot: 1, nonce: 1 };

    fn at(ms: u64) -> Stamp {
        Stamp::default().plus(Duration::from_millis(ms))
    }

    fn tenure() -> Tenure {
        let value = Value::tenure(Epoch(1), NodeId(1), LIFE);
        Tenure { value, sent: at(1000), lease: Duration::from_millis(1200), held: true }
    }

    #[test]
    fn the_steps_come_on_the_grid() {
        let step = |ms: u64| due(at(1000 + ms), &tenure(), LIFE);
        assert!(matches!(step(0), Step::Wait(_)));
        assert_eq!(step(790), Step::Wait(at(1800).boot), "wakes exactly at 8/12");
        assert_eq!(step(800), Step::BeginStop);
        assert_eq!(step(899), Step::BeginStop);
        assert_eq!(step(900), Step::Kill);
        assert_eq!(step(1000), Step::SelfFence);
    }

    #[test]
    fn it_wakes_by_the_clock_that_is_there_first() {
        let slewed = Stamp { boot: at(1600).boot, raw: at(1700).raw };
        assert_eq!(due(slewed, &tenure(), LIFE), Step::Wait(at(1700).boot));
        let slewed = Stamp { boot: at(1700).boot, raw: at(1600).raw };
        assert_eq!(due(slewed, &tenure(), LIFE), Step::Wait(at(1800).boot));
    }

    #[test]
    fn a_suspend_counts() {
        let woken = Stamp { boot: at(60_000).boot, raw: at(1100).raw };
        assert_eq!(due(woken, &tenure(), LIFE), Step::SelfFence);
    }

    #[test]
    fn another_life_or_a_revoked_lease_is_no_lease() {
        assert_eq!(due(at(1000), &tenure(), Incarnation { boot: 1, nonce: 2 }), Step::Kill);
        assert_eq!(due(at(1000), &Tenure { held: false, ..tenure() }, LIFE), Step::Kill);
    }
}
