use clap::Parser;
use std::path::PathBuf;

/// Holds the leases of this node: reads, bids, renews, hands over, lets go, for all groups.
///
/// Unprivileged, always on, restartable at any time: a restarted hotspare-leased takes its leases up again and moves
/// nothing. It starts a role only when the lease is already held, and never stops one in time itself: that is the
/// work of hotspare-gate, which needs nothing but the deadline. At SIGHUP it reads the file again, in the same process
/// (`hotspare apply` has it do so); a file with mistakes changes nothing.
#[derive(Debug, Parser)]
#[command(name = "hotspare-leased", version)]
pub struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/hotspare/cluster.kdl")]
    pub config: PathBuf,
    /// The node of the configuration that this machine is [default: the host name].
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Check configuration and key, and exit.
    #[arg(long)]
    pub check: bool,
}
