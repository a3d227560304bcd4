use clap::{Parser, Subcommand};

/// The cluster's lease for shell scripts: like flock(1), but only one node of the cluster gets it.
///
/// Exit codes of `hold`: those of COMMAND; 69 if the lease was lost while COMMAND ran (it was killed in time); 75 if the
/// lease was never held.
#[derive(Debug, Parser)]
#[command(name = "hotspare-lease", version)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take the lease of GROUP and run COMMAND while it is held; without COMMAND, hold it until stopped.
    ///
    /// COMMAND gets HOTSPARE_GROUP and HOTSPARE_EPOCH (the fencing token). It and all its descendants are killed before
    /// another node may take the lease. GROUP must be one without units and addresses: a pure lock.
    Hold {
        group: String,
        /// Give up if the lease is not free within this many seconds [default: wait for ever].
        #[arg(long, short, value_name = "SECONDS")]
        timeout: Option<u64>,
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Print a line whenever the holder of GROUP changes.
    Watch {
        group: String,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Give the lease of GROUP to another node that is ready.
    Release { group: String },
    /// Who holds GROUP, in which epoch. Exits with 0 if this node does, 1 if not.
    Show {
        group: String,
        #[arg(long)]
        json: bool,
    },
}
