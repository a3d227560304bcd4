//! One alarm on the boot clock: exact to the microsecond, and right across a suspend, which tokio's timers are not. They also wake a
//! program twice for each sleep over 64 ms, which is a third of what an idle daemon costs.

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Woken by what comes in, and not by room for what goes out: nobody waits for that.
///
/// # Errors
/// If the runtime cannot watch it.
pub(crate) fn watched<T: AsFd + AsRawFd + 'static>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `AsFd` with no borrowed lifetime: the owner keeps its descriptor open for as long as it lives, and
    // both traits of the standard library's types name the same one.
    #[allow(unsafe_code)]
    let watched = unsafe { AsyncFd::register_with_interest(owner, Interest::READABLE) };
    Ok(watched?)
}

/// One that a program without a runtime waits for among other descriptors: readable from its time on, at once after a suspend
/// that went past it.
pub struct Timer(TimerFd);

impl Timer {
    /// # Errors
    /// If the kernel has no timer for us.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Timer(TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?))
    }

    /// Rings at `boot`, in nanoseconds of the boot clock, and at no time it was set to before.
    ///
    /// # Errors
    /// If the timer is broken.
    pub fn set(&self, boot: u64) -> io::Result<()> {
        // A time of zero would disarm it.
        let at = TimeSpec::nanoseconds(i64::try_from(boot.max(1)).unwrap_or(i64::MAX));
        Ok(self.0.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub struct Alarm {
    timer: Timer,
    rung: AsyncFd<OwnedFd>,
    /// What it is set to.
    set: u64,
}

impl Alarm {
    /// # Errors
    /// If the kernel has no timer for us.
    pub fn new() -> io::Result<Alarm> {
        let timer = Timer::new()?;
        let rung = watched(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Alarm { timer, rung, set: 0 })
    }

    /// Waits until `boot`, in nanoseconds of the boot clock. Safe to cancel.
    ///
    /// # Errors
    /// If the timer is broken.
    pub async fn until(&mut self, boot: u64) -> io::Result<()> {
        if self.set != boot {
            self.timer.set(boot)?;
            self.set = boot;
        }
        self.rung.async_io(Interest::READABLE, |_| Ok(self.timer.0.wait()?)).await?;
        self.set = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// No test can suspend the machine; the kernel says by which clock a timer goes (timerfd.c, `show_fdinfo`).
    #[test]
    fn it_goes_by_the_clock_that_counts_a_suspend_and_to_a_time_and_not_for_one() {
        let timer = Timer::new().unwrap();
        timer.set(clock::now().boot + 3_600_000_000_000).unwrap();
        let said = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", timer.as_fd().as_raw_fd())).unwrap();
        assert!(said.contains("clockid: 7\n"), "not CLOCK_BOOTTIME: {said}");
        assert!(said.contains("settime flags: 01\n"), "not TFD_TIMER_ABSTIME: {said}");
    }

    #[test]
    fn it_rings_when_it_is_time_and_not_before_also_when_set_anew() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut alarm = Alarm::new().unwrap();
            for wait in [30_000_000, 0, 1_000_000] {
                let at = clock::now().boot + wait;
                alarm.until(at).await.unwrap();
                assert!(clock::now().boot >= at);
            }
            // Given up while it is set, then set to an earlier time, then to one that has passed.
            let far = clock::now().boot + 3_600_000_000_000;
            tokio::select! {
                biased;
                _ = alarm.until(far) => panic!("an hour has not passed"),
                () = std::future::ready(()) => {}
            }
            alarm.until(clock::now().boot + 1_000_000).await.unwrap();
            alarm.until(1).await.unwrap();
        });
    }
}
