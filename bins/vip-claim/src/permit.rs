//! Whether the address may be here now: always without a group, else only while the lease is safely held.

use hotspare_core::Stamp;
use hotspare_daemon::{Exit, Failure};
use hotspare_page::{PageError, Standing, Tenancy};
use std::time::Duration;

pub enum Permit {
    Always,
    Leased(Tenancy),
}

impl Permit {
    /// A permit that follows the lease of `group`, or none.
    ///
    /// # Errors
    /// If this node does not hold the lease.
    pub fn new(group: Option<&str>) -> Result<Permit, Failure> {
        let Some(group) = group else { return Ok(Permit::Always) };
        Tenancy::open(group).map(Permit::Leased).map_err(|error| {
            let exit = if matches!(error, PageError::NotHeld { .. }) { Exit::TempFail } else { Exit::Unavailable };
            Failure::new(exit, error)
        })
    }

    /// True until the first step of the stop timetable: from there on the gate takes the address off.
    pub fn allows(&mut self, now: Stamp) -> bool {
        match self {
            Permit::Always => true,
            Permit::Leased(tenancy) => tenancy.look(now) == Standing::Good,
        }
    }

    /// How long the kernel keeps an address that nobody prolongs.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        match self {
            Permit::Always => Duration::from_secs(3),
            Permit::Leased(tenancy) => tenancy.timetable().address_lifetime(),
        }
    }
}
