//! The lease's page, read as the stop timetable wants it (systemd.md): nothing is completed from 8/12 on, everything fails at 9/12.

use hotspare_core::lease::Tenure;
use hotspare_core::{Epoch, NodeId, Timetable};
use hotspare_daemon::clock;
use hotspare_page::PageReader;
use std::time::Duration;

/// Where the tenure is in its timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// 8/12: nothing is completed until it is renewed.
    Hold,
    /// 9/12, or given up: it is over for good.
    Over,
}

/// A tenure of this node, followed on its page.
pub struct Tenancy {
    page: PageReader,
    last: Tenure,
}

impl Tenancy {
    /// The tenure of `me` in `group`.
    ///
    /// # Errors
    /// If it does not hold the lease.
    pub fn open(group: &str, me: NodeId) -> Result<Tenancy, String> {
        let page = PageReader::open(&hotspare_page::path(group)).map_err(|error| error.to_string())?;
        let last = page.read().filter(|tenure| tenure.held && tenure.value.holder == me);
        let last = last.ok_or_else(|| format!("this node does not hold the lease of {group}"))?;
        Ok(Tenancy { page, last })
    }

    pub fn epoch(&self) -> Epoch {
        self.last.value.epoch
    }

    /// Reads the page.
    pub fn look(&mut self) -> Standing {
        let current = self.page.read().unwrap_or(self.last);
        if !current.held || current.value.incarnation != self.last.value.incarnation {
            return Standing::Over;
        }
        self.last = current;
        let (now, table) = (clock::now(), Timetable::new(self.last.lease));
        let past = |span| now.any_past(self.last.sent.plus(span));
        match (past(table.kill()), past(table.begin_stop())) {
            (true, _) => Standing::Over,
            (false, true) => Standing::Hold,
            (false, false) => Standing::Good,
        }
    }

    /// How long until `look` may say something else, unless the lease is renewed; `hold`: also that it is time to hold.
    pub fn until_step(&self, hold: bool) -> Duration {
        let (now, table) = (clock::now(), Timetable::new(self.last.lease));
        let steps = [hold.then(|| table.begin_stop()), Some(table.kill())];
        let next = steps.into_iter().flatten().map(|span| self.last.sent.plus(span)).find(|step| !now.any_past(*step));
        let wait = next.map_or(0, |step| now.wake_before(step).saturating_sub(now.boot));
        Duration::from_nanos(wait).max(Duration::from_millis(1))
    }
}
