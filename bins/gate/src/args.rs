use clap::{Parser, ValueEnum};
use hotspare_address::Placed;
use std::path::PathBuf;

/// Guards a held lease: nothing of the group runs on this node when its time is up.
///
/// Started by systemd as cluster-lease.service; not meant to be run by hand. Takes its place only when this node holds
/// the lease of GROUP, reads the deadline from a page that hotspare-leased writes, and goes by it even if everything
/// else on the node is dead or stopped: at 8/12 of the lease without a renewal the addresses go, at 9/12 the whole
/// slice is killed, at 10/12 the machine reboots if anything is left.
#[derive(Debug, Parser)]
#[command(name = "hotspare-gate", version)]
pub struct Args {
    /// The group to guard.
    pub group: String,
    /// The slice that the group's services run in [default: cluster-GROUP.slice].
    #[arg(long, value_name = "SLICE")]
    pub slice: Option<String>,
    /// An address of the group, as ADDRESS/PREFIX@INTERFACE; give it once for each.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Vec<Placed>,
    /// The configuration that the units were made from; a copy of it is kept while the lease is held.
    #[arg(long, value_name = "FILE", default_value = "/etc/hotspare/cluster.kdl")]
    pub config: PathBuf,
    /// What to do.
    #[arg(long, value_enum, default_value_t = Act::Guard)]
    pub act: Act,
}

/// The moments in which systemd runs the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Act {
    /// Be the gate (ExecStart=).
    Guard,
    /// Prove that nothing is left, killing what is (ExecStopPost=).
    Prove,
    /// Have process 1 make the units of the configuration in force, for all groups (hotspare-refresh.service).
    Refresh,
    /// Say that the whole role is up.
    Up,
    /// Say that a service failed for good.
    GiveUp,
}

impl Args {
    /// The slice to guard.
    #[must_use]
    pub fn slice(&self) -> String {
        self.slice.clone().unwrap_or_else(|| format!("cluster-{}.slice", self.group))
    }
}
