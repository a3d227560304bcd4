//! The only place that reads a clock.

use hotspare_core::Stamp;
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use std::time::Duration;

/// Both clocks of the protocol, now.
#[must_use]
pub fn now() -> Stamp {
    let read = |clock| -> u64 {
        let time = clock_gettime(clock).expect("the kernel has this clock");
        hotspare_core::time::nanos(Duration::from(time))
    };
    Stamp { boot: read(ClockId::CLOCK_BOOTTIME), raw: read(ClockId::CLOCK_MONOTONIC_RAW) }
}

/// Sleeps until `boot`, in nanoseconds of the boot clock: no longer than that, if a suspend comes in between.
pub fn sleep_until(boot: u64) {
    let at = TimeSpec::nanoseconds(i64::try_from(boot).unwrap_or(i64::MAX));
    // A signal ends it early, and whoever calls looks again.
    let _ = clock_nanosleep(ClockId::CLOCK_BOOTTIME, ClockNanosleepFlags::TIMER_ABSTIME, &at);
}

/// A digest of this boot's id. A container has its own.
///
/// # Errors
/// If the kernel does not tell.
pub fn boot_digest() -> std::io::Result<u64> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(hotspare_core::id::fnv1a(id.trim().as_bytes()))
}

/// When this machine (or this container) started, on the boot clock. `None` if /proc does not tell.
///
/// `CLOCK_BOOTTIME` counts from the start of the *kernel*; a container that was switched off and on again shares its
/// host's clock, so what counts is when its own process 1 began.
#[must_use]
pub fn started() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/1/stat").ok()?;
    let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    // USER_HZ is 100 on every architecture Linux runs systemd on.
    Some(Duration::from_millis(ticks.checked_mul(10)?))
}

/// A number nobody can guess.
#[must_use]
pub fn seed() -> u64 {
    let key = hotspare_wire::Key::generate().0;
    u64::from_ne_bytes(*key.first_chunk().expect("longer"))
}
