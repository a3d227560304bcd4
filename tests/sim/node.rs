//! One simulated machine: its clocks, and for each group its disk, its /run, its daemons and its process 1.

use crate::data::{Replica, Writer};
use crate::seeded::{ModelFault, out};
use crate::systemd::{Manager, State, Unit};
use crate::units::Units;
use hotspare_core::joining::{Joining, Stage};
use hotspare_core::lease::{Ended, Input, Lease, PhaseName, Tenure};
use hotspare_core::message::Pause;
use hotspare_core::rng::Rng;
use hotspare_core::voter::{Memory, Register, Voter};
use hotspare_core::{Incarnation, NodeId, Stamp, Timetable};
use hotspare_wire::register::{self, BYTES, Kept, SLOT, Unusable};
use std::collections::BTreeMap;
use std::time::Duration;

/// Two clocks that start at boot and run at rates of their own; `raw` stops in suspend, both in a pause of the VM.
#[derive(Clone, Debug)]
pub struct Clock {
    booted_at: u64,
    boot_rate_ppm: u64,
    raw_rate_ppm: u64,
    /// Suspends of this boot: (from, to), in true time.
    suspends: Vec<(u64, u64)>,
    /// Pauses of the virtual machine: (from, to), in true time.
    pauses: Vec<(u64, u64)>,
    /// Times in which NTP slews the boot clock by so many millionths: (from, to, millionths). The raw clock is not slewed.
    slews: Vec<(u64, u64, i64)>,
}

fn within(spans: &[(u64, u64)], now: u64) -> u64 {
    spans.iter().map(|(from, to)| now.min(*to) - now.min(*from)).sum()
}

impl Clock {
    pub fn new(now: u64, spread_ppm: u64, rng: &mut Rng) -> Clock {
        let mut rate = || 1_000_000 - spread_ppm + rng.below(2 * spread_ppm + 1);
        let (boot_rate_ppm, raw_rate_ppm) = (rate(), rate());
        let (suspends, pauses, slews) = (Vec::new(), Vec::new(), Vec::new());
        Clock { booted_at: now, boot_rate_ppm, raw_rate_ppm, suspends, pauses, slews }
    }

    pub fn read(&self, now: u64) -> Stamp {
        let up = now - self.booted_at - within(&self.pauses, now);
        let asleep = within(&self.suspends, now);
        let slewed = |(from, to, ppm): &(u64, u64, i64)| i128::from(now.min(*to) - now.min(*from)) * i128::from(*ppm);
        let millionths = |span: u64, ppm: u64| i128::from(span) * i128::from(ppm);
        let boot = millionths(up, self.boot_rate_ppm) + self.slews.iter().map(slewed).sum::<i128>();
        let raw = millionths(up.saturating_sub(asleep), self.raw_rate_ppm);
        let nanos = |millionths: i128| u64::try_from(millionths / 1_000_000).expect("fits");
        Stamp { boot: nanos(boot), raw: nanos(raw) }
    }

    /// NTP mends the time of day: until `to` the boot clock runs faster or slower by `ppm`, more than rho allows.
    pub fn slew(&mut self, from: u64, to: u64, ppm: i64) {
        if self.slews.last().is_none_or(|(_, end, _)| *end <= from) {
            self.slews.push((from, to, ppm));
        }
    }

    /// A true time at which the boot clock shows `boot` or more.
    pub fn true_time_of(&self, boot: u64) -> u64 {
        let span = u128::from(boot) * 1_000_000 / u128::from(self.boot_rate_ppm);
        let paused: u64 = self.pauses.iter().map(|(from, to)| to - from).sum();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        let mut at = self.booted_at.saturating_add(span).saturating_add(paused).saturating_add(1);
        if self.slews.is_empty() || boot > u64::MAX / 4 {
            return at;
        }
        // The rates are close to one: each step leaves less than a quarter of what was wrong.
        for _ in 0..20 {
            let shown = self.read(at.max(self.booted_at)).boot;
            match shown.checked_sub(boot) {
                Some(0..1_000) => return at,
                Some(late) => at = at.saturating_sub(late - late / 8),
                None => at += boot - shown,
            }
        }
        if self.read(at.max(self.booted_at)).boot < boot { at + 1_000_000 } else { at }
    }

    pub fn suspend(&mut self, from: u64, to: u64) {
        Self::add(&mut self.suspends, from, to);
    }

    pub fn pause(&mut self, from: u64, to: u64) {
        if let Some((_, end, _)) = self.slews.last_mut() {
            *end = from.min(*end); // nobody slews what stands still
        }
        Self::add(&mut self.pauses, from, to);
    }

    fn add(spans: &mut Vec<(u64, u64)>, from: u64, to: u64) {
        let from = spans.last().map_or(from, |(_, end)| from.max(*end));
        spans.push((from, to.max(from)));
    }
}

/// A register on a disk, as the bytes that the arbiter writes. A power cut may tear the write under way.
#[derive(Clone, Debug)]
pub struct Disk {
    pub bytes: Vec<u8>,
    sequence: u64,
    /// As it was written last.
    pub stage: Stage,
}

impl Disk {
    pub fn blank() -> Disk {
        let mut disk = Disk { bytes: vec![0; BYTES], sequence: 0, stage: Stage::Fresh };
        disk.write(&Kept::default(), SLOT);
        disk.write(&Kept::default(), SLOT);
        disk
    }

    /// Writes `kept`; only its first `whole` bytes get there.
    pub fn write(&mut self, kept: &Kept, whole: usize) {
        self.sequence += 1;
        if whole == SLOT {
            self.stage = kept.stage;
        }
        let (place, slot) = register::slot(self.sequence, OWNER, kept);
        self.bytes[place..place + whole].copy_from_slice(&slot[..whole]);
    }

    /// Whether it would be believed as it is, whichever byte rots next.
    pub fn whole(&self) -> bool {
        (0..4).all(|copy| {
            let mut other = self.bytes.clone();
            other[(copy ^ 1) * SLOT / 2..][..SLOT / 2].fill(0);
            register::read(&other, OWNER).is_ok()
        })
    }

    fn read(&mut self) -> Result<Kept, Unusable> {
        let (sequence, kept) = register::read(&self.bytes, OWNER)?;
        (self.sequence, self.stage) = (sequence, kept.stage);
        Ok(kept)
    }
}

const OWNER: u64 = 1;

/// The guard of a tenure.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    pub life: Incarnation,
    pub serial: u64,
}

/// What leased remembers of its gate: gone when leased is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shell {
    pub attached: bool,
    pub gone: Option<(Incarnation, Stamp)>,
    /// The request of a gate that waits for an answer.
    pub waiting: Option<u64>,
    pub next_request: u64,
}

/// One group on one machine.
#[derive(Debug)]
pub struct Part {
    pub disk: Disk,
    /// What the disk says, as far as the voter was told.
    pub register: Register,
    // /run
    pub memory: Option<Memory>,
    pub page: Option<Tenure>,
    /// Until when the pages of this tenure could be believed, the last one that was shown and those that went further.
    pub shown: Vec<Stamp>,
    /// A gate is on its way (`None` inside) or has charge of that life.
    pub claim: Option<Option<Incarnation>>,
    pub proof: Option<(Incarnation, Ended)>,
    pub take: bool,
    /// The start of the role was queued for a hand-over that was announced, and no gate has asked since.
    pub prepared: bool,
    // processes
    pub voter: Option<Voter>,
    /// As long as it does not vote.
    pub joining: Option<Joining>,
    pub lease: Option<Lease>,
    pub shell: Shell,
    pub manager: Manager,
    pub gate: Option<Gate>,
    /// Units with processes in the group's slice.
    pub populated: Vec<Unit>,
    pub address: bool,
    /// The tenure that what runs here was started in.
    pub life: Option<Incarnation>,
    pub keeper_runs: bool,
    /// Counts what process 1 began with each unit: a report of an earlier one is stale.
    pub begun: BTreeMap<Unit, u64>,
    pub serial: u64,
    /// True times of the next wake-ups that count; others are stale.
    pub lease_wake: u64,
    pub voter_wake: u64,
    pub paused: bool,
    /// On disk: the last word on pausing.
    pub pause: Pause,
    /// When the node said that it abstains, until when (true time).
    pub abstains_until: u64,
    /// Since when its gate has had no role behind it.
    pub idle_since: Option<u64>,
    /// Somebody stopped the role by hand: neither is active, and that is as it should be.
    pub told_off: bool,
    /// Somebody started a unit of the role by hand since the gate opened: a stop that was under way may have been undone.
    pub meddled: bool,
    /// Somebody stopped the service by hand.
    pub stopped_by_hand: bool,
    /// A gate was ordered before the lease came, and has not asked yet: the path unit starts it, and again if it is stopped.
    pub ordered: bool,
    /// An operator asked for this node since it last held.
    pub asked: bool,
    /// When it acquired the lease, until a gate has charge of it.
    pub untaken_since: Option<u64>,
    /// Until then no gate can be started here.
    pub gate_broken_until: u64,
    /// A predecessor has named this node, which confirms it now.
    pub named: bool,
    /// It held when it was last asked anything.
    pub held: bool,
    /// It could have led when its lease client was asked something last: what has changed since, that one may not know.
    pub could: bool,
    /// What this voter owes, in true time: nobody but the node may be promised anything before.
    pub owes: Option<((NodeId, Incarnation), u64)>,
    /// F4: until then a voter that joins again may owe a lease of its former life.
    pub owed_until: Option<Stamp>,
    /// On disk: this node's copy of the data.
    pub replica: Replica,
    /// What it knows of the others' while it leads.
    pub writer: Writer,
    /// The longest lease that the register says may have been granted.
    pub disk_lease: Duration,
}

impl Part {
    fn new(units: &Units) -> Part {
        Part {
            disk: Disk::blank(),
            register: Register::default(),
            memory: None,
            page: None,
            shown: Vec::new(),
            claim: None,
            proof: None,
            take: false,
            prepared: false,
            voter: None,
            joining: None,
            lease: None,
            shell: Shell::default(),
            manager: Manager::new(&units.graph),
            gate: None,
            populated: Vec::new(),
            address: false,
            life: None,
            keeper_runs: false,
            begun: BTreeMap::new(),
            serial: 0,
            lease_wake: 0,
            voter_wake: 0,
            paused: false,
            pause: Pause::default(),
            abstains_until: 0,
            asked: false,
            named: false,
            held: false,
            could: false,
            idle_since: None,
            told_off: false,
            meddled: false,
            stopped_by_hand: false,
            ordered: false,
            untaken_since: None,
            gate_broken_until: 0,
            owes: None,
            owed_until: None,
            replica: Replica::default(),
            writer: Writer::default(),
            disk_lease: Duration::ZERO,
        }
    }

    /// What the lease client says of its tenure, for all to see.
    pub fn show(&mut self, tenure: Tenure) {
        let end = tenure.sent.plus(Timetable::new(tenure.lease).believed());
        let goes_on = self.page.is_some_and(|page| page.value.incarnation == tenure.value.incarnation);
        self.shown.retain(|known| goes_on && !end.both_past(*known));
        self.shown.push(end);
        self.page = Some(tenure);
    }

    /// When the gate of this very tenure hung up.
    pub fn gate_gone(&self) -> Option<Stamp> {
        let life = self.page?.value.incarnation;
        let bound = |gone: &Incarnation| *gone == life || out(ModelFault::OldGateHauntsNewTenure);
        self.shell.gone.filter(|(gone, _)| bound(gone)).map(|(_, since)| since)
    }

    /// Something of the primary role is here.
    pub fn acts(&self) -> bool {
        self.address || !self.populated.is_empty()
    }

    pub fn standby_input(&self, units: &Units) -> Input {
        Input::Standby(self.manager.is_active(units.standby))
    }

    /// H0: it stands by, or a gate waits here or is about to: whoever stops what has been prepared has the path unit start it again.
    pub fn could_lead(&self, units: &Units) -> bool {
        let waits = self.manager.state(units.gate) == State::Activating;
        let comes = self.ordered || (self.prepared && self.manager.has_job(units.primary));
        self.manager.is_active(units.standby) || waits || comes
    }

    pub fn phase(&self) -> Option<PhaseName> {
        self.lease.as_ref().map(|lease| lease.phase())
    }

    fn cut_power(&mut self, units: &Units) {
        (self.memory, self.page, self.proof, self.claim) = (None, None, None, None);
        (self.take, self.voter, self.lease, self.gate) = (false, None, None, None);
        self.joining = None;
        (self.prepared, self.ordered) = (false, false);
        (self.shell, self.manager) = (Shell::default(), Manager::new(&units.graph));
        self.populated.clear();
        self.shown.clear();
        (self.address, self.keeper_runs, self.asked, self.paused, self.told_off) = (false, false, false, false, false);
        (self.abstains_until, self.untaken_since, self.gate_broken_until, self.idle_since) = (0, None, 0, None);
        (self.stopped_by_hand, self.writer) = (false, Writer::default());
        self.begun.clear();
    }

    /// The register as the disk has it; `Err`: this voter cannot start.
    pub fn open_disk(&mut self) -> Result<Kept, Unusable> {
        let kept = self.disk.read()?;
        self.register = kept.register;
        Ok(kept)
    }
}

/// One machine.
#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub candidate: bool,
    pub powered: bool,
    /// Until then (true time) nothing on this machine runs.
    pub asleep_until: u64,
    /// Until then (true time) the lease client is stopped.
    pub stopped_until: u64,
    pub boot: u64,
    /// Nothing can be written to /run: no proof, no claim.
    pub run_full: bool,
    /// It reaches what its clients come from.
    pub uplink: bool,
    /// Its configuration has the other length of the lease.
    pub new_config: bool,
    pub clock: Clock,
    pub parts: Vec<Part>,
}

impl Node {
    pub fn new(id: NodeId, candidate: bool, groups: usize, units: &Units, rng: &mut Rng) -> Node {
        Node {
            id,
            candidate,
            powered: false,
            asleep_until: 0,
            uplink: true,
            stopped_until: 0,
            boot: 0,
            run_full: false,
            new_config: false,
            clock: Clock::new(0, 0, rng),
            parts: (0..groups).map(|_| Part::new(units)).collect(),
        }
    }

    /// Everything volatile is gone at once.
    pub fn cut_power(&mut self, units: &Units) {
        self.powered = false;
        self.parts.iter_mut().for_each(|part| part.cut_power(units));
    }

    pub fn power_on(&mut self, now: u64, spread_ppm: u64, rng: &mut Rng) {
        assert!(!self.powered);
        self.powered = true;
        self.asleep_until = 0;
        self.stopped_until = 0;
        self.run_full = false;
        self.boot += 1;
        self.clock = Clock::new(now, spread_ppm, rng);
    }

    pub fn runs(&self, now: u64) -> bool {
        self.powered && now >= self.asleep_until
    }

    /// When the gate looks next, in true time, as `bins/gate` does: at the first step of the timetable by the faster clock,
    /// often from there on, and now and then before.
    pub fn gate_looks_at(&self, group: usize, now: u64) -> u64 {
        let Some(page) = &self.parts[group].page else { return now };
        let (table, stamp) = (Timetable::new(page.lease), self.clock.read(now));
        let begin = page.sent.plus(table.begin_stop());
        if stamp.any_past(begin) {
            return now + span(table.step()) / 10;
        }
        self.clock.true_time_of(stamp.wake_before(begin).min(stamp.boot + ms(250))).max(now + 1_000)
    }

    /// Whether the gate has to kill now: the page says so, or its time is up.
    pub fn gate_must_kill(&self, group: usize, now: u64) -> bool {
        let part = &self.parts[group];
        let (Some(gate), Some(page)) = (&part.gate, &part.page) else { return false };
        let over = page.value.incarnation != gate.life || !page.held;
        let late = self.clock.read(now).any_past(page.sent.plus(Timetable::new(page.lease).kill()));
        over || (late && !crate::seeded::out(crate::seeded::ModelFault::GateIgnoresDeadline))
    }

    /// Whether this node believes at `now` that it may act.
    pub fn believes(&self, group: usize, now: u64) -> Option<Incarnation> {
        let page = self.parts[group].page.as_ref().filter(|page| self.powered && page.held)?;
        let end = page.sent.plus(Timetable::new(page.lease).believed());
        (!self.clock.read(now).any_past(end)).then_some(page.value.incarnation)
    }

    /// Whether the last round that a majority granted is older than anybody may believe in.
    pub fn past_belief(&self, group: usize, now: u64) -> bool {
        self.parts[group]
            .page
            .as_ref()
            .is_none_or(|page| self.clock.read(now).any_past(page.sent.plus(Timetable::new(page.lease).believed())))
    }

    /// Whether no page of this tenure was ever shown that anybody may still count on: a gate sleeps by the one it saw last.
    pub fn past_all_beliefs(&self, group: usize, now: u64) -> bool {
        let stamp = self.clock.read(now);
        self.parts[group].shown.iter().all(|end| stamp.any_past(*end))
    }

    pub fn serves(&self, group: usize, units: &Units) -> bool {
        let part = &self.parts[group];
        let active = |unit| part.manager.state(unit) == State::Active;
        part.gate.is_some() && part.address && active(units.primary) && active(units.service)
    }
}

/// Spans of the model, in nanoseconds of true time.
pub fn ms(n: u64) -> u64 {
    n * 1_000_000
}

/// A span as true time.
pub fn span(duration: Duration) -> u64 {
    hotspare_core::time::nanos(duration)
}
