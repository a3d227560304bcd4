//! A tenure, followed on its page by whoever must not act past it and is no gate: `vip-claim`, a volume, a script's lock, the
//! claim of a shared disk. Looked at before each thing that others would notice, since between two looks the machine may have
//! stood still for longer than the lease (systemd.md, the stop timetable).

use crate::{PageError, PageReader, path};
use hotspare_core::lease::Tenure;
use hotspare_core::{Epoch, Incarnation, Stamp, Timetable};
use std::time::Duration;

/// Where the tenure is in its timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// 8/12: nothing is begun or completed until it is renewed.
    Hold,
    /// 9/12, given up, or another one: it is over for good.
    Over,
}

pub struct Tenancy {
    page: PageReader,
    last: Tenure,
}

impl Tenancy {
    /// The tenure of this node in `group`.
    ///
    /// # Errors
    /// If it holds no lease there, or nothing says so.
    pub fn open(group: &str) -> Result<Tenancy, PageError> {
        let page = PageReader::open(&path(group))?;
        Tenancy::on(page).ok_or_else(|| PageError::NotHeld { group: group.into() })
    }

    /// The tenure on `page`, if it is held.
    #[must_use]
    pub fn on(page: PageReader) -> Option<Tenancy> {
        let last = page.read().filter(|tenure| tenure.held)?;
        Some(Tenancy { page, last })
    }

    #[must_use]
    pub fn life(&self) -> Incarnation {
        self.last.value.incarnation
    }

    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.last.value.epoch
    }

    /// As it was granted last.
    #[must_use]
    pub fn timetable(&self) -> Timetable {
        Timetable::new(self.last.lease)
    }

    /// Reads the page. One that its writer left half-written says what it said before.
    pub fn look(&mut self, now: Stamp) -> Standing {
        let current = self.page.read().unwrap_or(self.last);
        if !current.held || current.value.incarnation != self.last.value.incarnation {
            return Standing::Over;
        }
        self.last = current;
        let past = |span| now.any_past(current.sent.plus(span));
        match (past(self.timetable().kill()), past(self.timetable().begin_stop())) {
            (true, _) => Standing::Over,
            (false, true) => Standing::Hold,
            (false, false) => Standing::Good,
        }
    }

    /// How long until [`Tenancy::look`] may say something else, unless the lease is renewed; `hold`: also that it is time to hold.
    #[must_use]
    pub fn until_step(&self, now: Stamp, hold: bool) -> Duration {
        let steps = [hold.then(|| self.timetable().begin_stop()), Some(self.timetable().kill())];
        let next = steps.into_iter().flatten().map(|span| self.last.sent.plus(span)).find(|step| !now.any_past(*step));
        let wait = next.map_or(0, |step| now.wake_before(step).saturating_sub(now.boot));
        Duration::from_nanos(wait).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PageWriter;
    use hotspare_core::{NodeId, Value};

    fn at(ms: u64) -> Stamp {
        Stamp::default().plus(Duration::from_millis(ms))
    }

    fn tenure(nonce: u64, sent: u64) -> Tenure {
        let value = Value::tenure(Epoch(nonce), NodeId(1), Incarnation { boot: 1, nonce });
        Tenure { value, sent: at(sent), lease: Duration::from_millis(1200), held: true }
    }

    #[test]
    fn it_is_held_until_its_timetable_says_otherwise_or_the_page_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.page");
        let (mut writer, _) = PageWriter::open(&path).unwrap();
        let follow = || Tenancy::on(PageReader::open(&path).unwrap());
        assert!(follow().is_none(), "nothing is on it yet");
        writer.publish(&tenure(1, 1000));
        let mut tenancy = follow().unwrap();
        let mut standing = |now| tenancy.look(at(now));
        assert_eq!(standing(1799), Standing::Good);
        assert_eq!(standing(1800), Standing::Hold);
        assert_eq!(standing(1900), Standing::Over);
        writer.publish(&tenure(1, 1850));
        assert_eq!(standing(1900), Standing::Good, "renewed in time");
        assert_eq!(tenancy.until_step(at(1900), true), Duration::from_millis(750));
        assert_eq!(tenancy.until_step(at(1900), false), Duration::from_millis(850));
        assert_eq!(tenancy.look(Stamp { boot: at(9000).boot, raw: at(1900).raw }), Standing::Over, "a suspend counts");
        writer.publish(&tenure(2, 1900));
        assert_eq!(tenancy.look(at(1950)), Standing::Over, "another tenure is not this one");
        writer.publish(&Tenure { held: false, ..tenure(2, 1900) });
        assert!(follow().is_none());
    }
}
