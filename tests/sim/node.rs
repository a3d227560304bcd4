//! One simulated machine: clocks, disk, /run, the daemons, and a small model of gate and role.

use hotspare_core::lease::{Ended, Input, Lease, LeaseConfig, Tenure};
use hotspare_core::rng::Rng;
use hotspare_core::voter::{Memory, Register, Voter};
use hotspare_core::{Incarnation, NodeId, Stamp, Timetable};
use std::time::Duration;

/// Two clocks that start at boot and run at rates within rho of true time; `raw` stops in suspend.
#[derive(Clone, Debug)]
pub struct Clock {
    booted_at: u64,
    boot_rate_ppm: u64,
    raw_rate_ppm: u64,
    /// Suspends of this boot: (from, to), in true time.
    suspends: Vec<(u64, u64)>,
}

impl Clock {
    pub fn new(now: u64, rng: &mut Rng) -> Clock {
        // 48 000 ppm: just inside rho = 5 %.
        let mut rate = || 1_000_000 - 48_000 + rng.below(96_001);
        Clock { booted_at: now, boot_rate_ppm: rate(), raw_rate_ppm: rate(), suspends: Vec::new() }
    }

    pub fn read(&self, now: u64) -> Stamp {
        let scaled = |span: u64, ppm: u64| u64::try_from(u128::from(span) * u128::from(ppm) / 1_000_000).expect("fits");
        let up = now - self.booted_at;
        let asleep: u64 = self.suspends.iter().map(|(from, to)| now.min(*to) - now.min(*from)).sum();
        Stamp { boot: scaled(up, self.boot_rate_ppm), raw: scaled(up - asleep, self.raw_rate_ppm) }
    }

    /// The first true time at which the boot clock shows `boot`.
    pub fn true_time_of(&self, boot: u64) -> u64 {
        let span = u128::from(boot) * 1_000_000 / u128::from(self.boot_rate_ppm);
        self.booted_at.saturating_add(u64::try_from(span).unwrap_or(u64::MAX)).saturating_add(1)
    }

    pub fn suspend(&mut self, from: u64, to: u64) {
        let from = self.suspends.last().map_or(from, |(_, end)| from.max(*end));
        self.suspends.push((from, to.max(from)));
    }
}

/// The gate of a tenure and what it guards.
#[derive(Clone, Debug)]
pub struct Gate {
    pub incarnation: Incarnation,
    /// Something of the role runs, or an address is up.
    pub active: bool,
    pub up: bool,
    /// Distinguishes its events from those of an earlier gate.
    pub serial: u64,
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
    /// The boot in which the voter last started: the boot id in its store.
    voter_boot: u64,
    pub clock: Clock,
    // disk
    pub register: Register,
    // /run
    pub memory: Memory,
    pub page: Option<Tenure>,
    pub proof: Option<(Incarnation, Ended)>,
    // processes
    pub voter: Option<Voter>,
    pub lease: Option<Lease>,
    pub gate: Option<Gate>,
    pub serial: u64,
    /// True times of the next wake-ups that count; others are stale.
    pub lease_wake: u64,
    pub voter_wake: u64,
    /// The systemd job that starts the role is queued.
    pub taking: bool,
}

impl Node {
    pub fn new(id: NodeId, candidate: bool, rng: &mut Rng) -> Node {
        Node {
            id,
            candidate,
            powered: false,
            asleep_until: 0,
            stopped_until: 0,
            boot: 0,
            voter_boot: 0,
            clock: Clock::new(0, rng),
            register: Register::default(),
            memory: Memory::default(),
            page: None,
            proof: None,
            voter: None,
            lease: None,
            gate: None,
            serial: 0,
            lease_wake: 0,
            voter_wake: 0,
            taking: false,
        }
    }

    /// Everything volatile is gone at once.
    pub fn cut_power(&mut self) {
        self.powered = false;
        (self.memory, self.page, self.proof) = (Memory::default(), None, None);
        (self.voter, self.lease, self.gate, self.taking) = (None, None, None, false);
    }

    pub fn power_on(&mut self, now: u64, rng: &mut Rng) {
        assert!(!self.powered);
        self.powered = true;
        self.asleep_until = 0;
        self.stopped_until = 0;
        self.boot += 1;
        self.clock = Clock::new(now, rng);
    }

    /// Notes that the voter starts in `boot`; true if it did so before in this boot.
    pub fn voter_restarts_in(&mut self, boot: u64) -> bool {
        std::mem::replace(&mut self.voter_boot, boot) == boot
    }

    pub fn start_voter(&mut self, candidates: Vec<NodeId>, table: Timetable, same_boot: bool) {
        let quarantine = (!same_boot).then(|| Stamp::default().plus(table.quarantine()));
        self.voter = Some(Voter::new(candidates, table, (self.register, self.memory), quarantine));
    }

    pub fn start_lease(&mut self, config: LeaseConfig, now: u64, seed: u64) {
        let lease = Lease::new(config, self.clock.read(now), self.boot, seed);
        self.lease = Some(match self.page {
            Some(tenure) => {
                let emptied = self.proof.is_some_and(|(life, _)| life == tenure.value.incarnation);
                // A tenure that no gate opened for has nothing running: the gate's own record says so.
                let unclaimed = self.gate.as_ref().is_none_or(|gate| gate.incarnation != tenure.value.incarnation);
                lease.readopt(tenure, emptied || unclaimed)
            }
            None => lease,
        });
    }

    pub fn runs(&self, now: u64) -> bool {
        self.powered && now >= self.asleep_until
    }

    /// When the gate must look again: the next step of the stop timetable, in true time.
    pub fn gate_due(&self) -> Option<u64> {
        let page = self.page.as_ref()?;
        self.gate.as_ref()?;
        let kill = page.sent.plus(Timetable::new(page.lease).kill());
        Some(self.clock.true_time_of(kill.boot.min(kill.raw)))
    }

    /// Whether the gate has to kill now: the page says so, or its time is up.
    pub fn gate_must_kill(&self, now: u64) -> bool {
        let (Some(gate), Some(page)) = (&self.gate, &self.page) else { return false };
        let over = page.value.incarnation != gate.incarnation || !page.held;
        gate.active && (over || self.clock.read(now).any_past(page.sent.plus(Timetable::new(page.lease).kill())))
    }

    /// Whether this node believes at `now` that it may act.
    pub fn believes(&self, now: u64) -> Option<Incarnation> {
        let page = self.page.as_ref().filter(|page| self.powered && page.held)?;
        let end = page.sent.plus(Timetable::new(page.lease).believed());
        (!self.clock.read(now).any_past(end)).then_some(page.value.incarnation)
    }

    pub fn standby_input(&self) -> Input {
        Input::Standby(self.gate.is_none() && !self.taking)
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
