//! The failure detector: what one peer's beats over one link say of it. A hint, never the judge.
//!
//! ```text
//!  Unknown --beat--> Alive --late--> Late --3 late--> Suspect --dead--> Dead
//!     '-- boot grace over ----------------------------------------------^
//! ```
//! Time in which this process itself was not scheduled does not count against the peer (pain 5 of peers.md: a
//! listener that slept must not declare the speaker dead).

use crate::time::Stamp;
use std::time::Duration;

/// Every time of the heartbeat, in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatTimes {
    /// Time between two beats.
    pub interval: Duration,
    /// Silence after which a link is late: a warning, nothing more.
    pub late: Duration,
    /// Silence after which a link is dead.
    pub dead: Duration,
    /// How long after its own start a listener waits for a peer it has never heard.
    pub boot_grace: Duration,
}

/// What is believed of a link to a peer, or of a peer over all its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Alive,
    /// Longer than `late` without a beat.
    Late,
    /// Half-way from late to dead.
    Suspect,
    /// Never heard, and the boot grace is not over.
    Unknown,
    Dead,
}

/// A beat as it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Counts up by one with every beat of a daemon's life.
    pub sequence: u64,
    /// The peer hears us on this link.
    pub hears_us: bool,
    /// Our own beat that the peer heard last, and how long it had it when it sent this.
    pub echo: Option<(Stamp, Duration)>,
}

/// The detector of one link to one peer.
#[derive(Clone, Debug)]
pub struct Detector {
    times: HeartbeatTimes,
    started: Stamp,
    last_tick: Stamp,
    heard: Option<Stamp>,
    sequence: u64,
    /// One bit per expected beat, newest in the lowest bit: 1 = it came.
    window: u64,
    expected: u32,
    health: Health,
    /// Smoothed round trip (RFC 6298, alpha = 1/8).
    pub round_trip: Option<Duration>,
    pub hears_us: bool,
}

impl Detector {
    /// A detector that has heard nothing yet.
    #[must_use]
    pub fn new(times: HeartbeatTimes, now: Stamp) -> Detector {
        assert!(times.interval < times.late && times.late < times.dead, "{times:?}");
        Detector {
            times,
            started: now,
            last_tick: now,
            heard: None,
            sequence: 0,
            window: 0,
            expected: 0,
            health: Health::Unknown,
            round_trip: None,
            hears_us: false,
        }
    }

    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// Silence so far, this process's own gaps taken out.
    #[must_use]
    pub fn silence(&self, now: Stamp) -> Option<Duration> {
        self.heard.map(|heard| now.longest_since(heard))
    }

    /// Lost beats among the last 64, in percent.
    #[must_use]
    pub fn loss_percent(&self) -> u32 {
        if self.expected == 0 {
            return 0;
        }
        let counted = self.expected.min(64);
        (counted - self.window.count_ones().min(counted)) * 100 / counted
    }

    /// Takes a beat in. An old or repeated one changes nothing. Returns the new health if it changed.
    pub fn on_beat(&mut self, now: Stamp, beat: Beat) -> Option<Health> {
        let restarted = beat.sequence + 1000 < self.sequence;
        if beat.sequence <= self.sequence && !restarted && self.heard.is_some() {
            return None;
        }
        let step = if self.heard.is_none() || restarted { 1 } else { beat.sequence - self.sequence };
        self.window = if step >= 64 { 1 } else { (self.window << step) | 1 };
        self.expected = self.expected.saturating_add(u32::try_from(step.min(64)).expect("bounded")).min(64);
        self.sequence = beat.sequence;
        self.heard = Some(now);
        self.hears_us = beat.hears_us;
        if let Some((sent, held)) = beat.echo {
            let sample = now.longest_since(sent).saturating_sub(held);
            self.round_trip = Some(self.round_trip.map_or(sample, |smooth| (smooth * 7 + sample) / 8));
        }
        self.settle(now)
    }

    /// Moves time on. Returns the new health if it changed.
    pub fn tick(&mut self, now: Stamp) -> Option<Health> {
        let gap = now.longest_since(self.last_tick).saturating_sub(self.times.interval);
        if gap > self.times.interval {
            // We were not running: what the peer sent meanwhile may lie unread in the socket.
            self.heard = self.heard.map(|heard| heard.plus(gap));
            self.started = self.started.plus(gap);
        }
        self.last_tick = now;
        self.settle(now)
    }

    fn settle(&mut self, now: Stamp) -> Option<Health> {
        let HeartbeatTimes { late, dead, boot_grace, .. } = self.times;
        let health = match self.silence(now) {
            None if now.longest_since(self.started) < boot_grace => Health::Unknown,
            None => Health::Dead,
            Some(silence) if silence >= dead => Health::Dead,
            Some(silence) if silence >= (late + dead) / 2 => Health::Suspect,
            Some(silence) if silence >= late => Health::Late,
            Some(_) => Health::Alive,
        };
        let changed = health != self.health;
        self.health = health;
        changed.then_some(health)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: HeartbeatTimes = HeartbeatTimes {
        interval: Duration::from_millis(100),
        late: Duration::from_millis(300),
        dead: Duration::from_millis(1000),
        boot_grace: Duration::from_secs(10),
    };

    fn at(ms: u64) -> Stamp {
        Stamp::default().plus(Duration::from_millis(ms))
    }

    fn beat(sequence: u64) -> Beat {
        Beat { sequence, hears_us: true, echo: None }
    }

    /// Ticks every interval from `from` to `to` and returns what changed.
    fn tick(detector: &mut Detector, from: u64, to: u64) -> Vec<(u64, Health)> {
        (from..=to).step_by(100).filter_map(|ms| Some((ms, detector.tick(at(ms))?))).collect()
    }

    #[test]
    fn late_then_suspect_then_dead_then_alive_again() {
        let mut detector = Detector::new(TIMES, at(0));
        assert_eq!(detector.on_beat(at(0), beat(1)), Some(Health::Alive));
        let story = tick(&mut detector, 100, 1200);
        assert_eq!(story, [(300, Health::Late), (700, Health::Suspect), (1000, Health::Dead)]);
        assert_eq!(detector.on_beat(at(1250), beat(13)), Some(Health::Alive));
        assert!(detector.loss_percent() > 80, "{}", detector.loss_percent());
    }

    #[test]
    fn a_peer_never_heard_has_the_boot_grace() {
        let mut detector = Detector::new(TIMES, at(0));
        assert_eq!(tick(&mut detector, 100, 9_900), []);
        assert_eq!(tick(&mut detector, 10_000, 10_000), [(10_000, Health::Dead)]);
    }

    #[test]
    fn our_own_pause_is_not_held_against_the_peer() {
        let mut detector = Detector::new(TIMES, at(0));
        detector.on_beat(at(0), beat(1));
        tick(&mut detector, 100, 100);
        assert_eq!(detector.tick(at(7_100)), None, "seven seconds of our own sleep are not silence");
        assert_eq!(detector.health(), Health::Alive);
    }

    #[test]
    fn a_repeated_beat_is_no_sign_of_life() {
        let mut detector = Detector::new(TIMES, at(0));
        detector.on_beat(at(0), beat(5));
        tick(&mut detector, 100, 400);
        assert_eq!(detector.on_beat(at(400), beat(5)), None);
        assert_eq!(detector.health(), Health::Late);
    }

    #[test]
    fn beats_that_are_missing_are_counted_and_a_restarted_peer_begins_anew() {
        let mut detector = Detector::new(TIMES, at(0));
        assert_eq!(detector.loss_percent(), 0);
        for sequence in [2000, 2001, 2004] {
            detector.on_beat(at(100), beat(sequence));
        }
        assert_eq!(detector.loss_percent(), 40, "two of five");
        assert_eq!(detector.on_beat(at(150), beat(1004)), None);
        assert_eq!(detector.loss_percent(), 40, "a thousand behind is old");
        assert_eq!(detector.silence(at(160)), Some(Duration::from_millis(60)));
        detector.on_beat(at(200), beat(1));
        assert_eq!(detector.silence(at(260)), Some(Duration::from_millis(60)), "more is a restart");
        for sequence in 2..=64 {
            detector.on_beat(at(200), beat(sequence));
        }
        assert_eq!(detector.loss_percent(), 0, "the last 64");
        detector.on_beat(at(200), beat(128));
        assert_eq!(detector.loss_percent(), 98, "63 of 64");
        detector.on_beat(at(200), beat(1127));
        assert_eq!(detector.on_beat(at(300), beat(127)), None);
        assert_eq!(detector.silence(at(300)), Some(Duration::from_millis(100)), "127 is old: exactly a thousand");
    }

    #[test]
    fn what_the_peer_hears_and_the_smooth_round_trip() {
        let mut detector = Detector::new(TIMES, at(0));
        detector.on_beat(at(100), Beat { sequence: 1, hears_us: false, echo: Some((at(20), Duration::ZERO)) });
        assert!(!detector.hears_us);
        detector.on_beat(at(200), Beat { sequence: 2, hears_us: true, echo: Some((at(40), Duration::ZERO)) });
        assert!(detector.hears_us);
        assert_eq!(detector.round_trip, Some(Duration::from_millis(90)), "an eighth of the new one");
    }

    #[test]
    fn a_pause_of_ours_counts_from_two_intervals_on() {
        let mut detector = Detector::new(TIMES, at(0));
        detector.on_beat(at(0), beat(1));
        tick(&mut detector, 100, 100);
        assert_eq!(detector.tick(at(300)), Some(Health::Late), "200 ms are no pause: 300 ms of silence");
        let mut detector = Detector::new(TIMES, at(0));
        detector.on_beat(at(0), beat(1));
        tick(&mut detector, 100, 100);
        assert_eq!(detector.tick(at(310)), None, "110 ms of it were ours");
    }

    #[test]
    fn round_trip_leaves_out_the_time_the_peer_sat_on_it() {
        let mut detector = Detector::new(TIMES, at(0));
        let echo = Some((at(100), Duration::from_millis(80)));
        detector.on_beat(at(190), Beat { sequence: 1, hears_us: true, echo });
        assert_eq!(detector.round_trip, Some(Duration::from_millis(10)));
    }
}
