//! Whether the address may be here now: always without a group, else only while the lease is safely held.

use hotspare_core::lease::Tenure;
use hotspare_core::{Incarnation, Stamp, Timetable};
use hotspare_daemon::{Exit, Failure};
use hotspare_page::PageReader;
use std::time::Duration;

pub enum Permit {
    Always,
    Leased { page: PageReader, life: Incarnation, last: Tenure },
}

impl Permit {
    /// A permit that follows the lease of `group`, or none.
    ///
    /// # Errors
    /// If this node does not hold the lease.
    pub fn new(group: Option<&str>) -> Result<Permit, Failure> {
        let Some(group) = group else { return Ok(Permit::Always) };
        let page =
            PageReader::open(&hotspare_page::path(group)).map_err(|error| Failure::new(Exit::Unavailable, error))?;
        let not_held = || Failure::new(Exit::TempFail, format!("this node does not hold the lease of {group}"));
        let last = page.read().filter(|tenure| tenure.held).ok_or_else(not_held)?;
        Ok(Permit::Leased { page, life: last.value.incarnation, last })
    }

    /// True until the first step of the stop timetable: from there on the gate takes the address off.
    pub fn allows(&mut self, now: Stamp) -> bool {
        let Permit::Leased { page, life, last } = self else { return true };
        if let Some(tenure) = page.read() {
            *last = tenure;
        }
        let begin_stop = last.sent.plus(Timetable::new(last.lease).begin_stop());
        last.held && last.value.incarnation == *life && !now.any_past(begin_stop)
    }

    /// How long the kernel keeps an address that nobody prolongs.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        match self {
            Permit::Always => Duration::from_secs(3),
            Permit::Leased { last, .. } => Timetable::new(last.lease).address_lifetime(),
        }
    }
}
