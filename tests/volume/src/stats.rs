//! Figures of a run, or of many.

/// What happened in a run, or in many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub runs: u64,
    pub events: u64,
    pub power_cuts: u64,
    pub kills: u64,
    /// Tenures that went on with another life of the engine.
    pub resumed: u64,
    pub cuts: u64,
    /// Disks of whoever leads that were taken for hanging.
    pub hangs: u64,
    pub tenures: u64,
    pub writes: u64,
    pub flushes: u64,
    pub joins: u64,
    pub drops: u64,
    pub growths: u64,
    /// Asynchronous copies that were further behind than they may be.
    pub left_behind: u64,
    pub copied: u64,
    /// Blocks that were compared while they were written to.
    pub compared: u64,
    pub seconds: u64,
}

impl Stats {
    /// Adds another run's figures.
    pub fn add(&mut self, other: &Stats) {
        self.runs += other.runs;
        self.events += other.events;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.resumed += other.resumed;
        self.cuts += other.cuts;
        self.hangs += other.hangs;
        self.tenures += other.tenures;
        self.writes += other.writes;
        self.flushes += other.flushes;
        self.joins += other.joins;
        self.drops += other.drops;
        self.growths += other.growths;
        self.left_behind += other.left_behind;
        self.copied += other.copied;
        self.compared += other.compared;
        self.seconds += other.seconds;
    }
}

impl std::fmt::Display for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stats {
            runs,
            events,
            power_cuts,
            kills,
            resumed,
            cuts,
            hangs,
            tenures,
            writes,
            flushes,
            joins,
            drops,
            growths,
            left_behind,
            copied,
            seconds,
            compared,
        } = self;
        write!(
            f,
            "runs {runs}, power cuts {power_cuts}, daemons killed {kills} (tenure resumed {resumed}), links cut {cuts}, disks that hung {hangs}, tenures {tenures}, "
        )?;
        write!(
            f,
            "writes {writes}, flushes {flushes}, joins {joins}, drops {drops}, growths {growths}, left behind {left_behind}, blocks to copy {copied}, compared {compared}, "
        )?;
        write!(f, "events {events}, hours {}", seconds / 3600)
    }
}
