use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Tells the other nodes that this one lives, over every link, and knows which of them do.
///
/// A hint, never the judge: no role moves because of it. Without a subcommand it is the daemon.
#[derive(Debug, Parser)]
#[command(name = "hotspare-heartbeat", version)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
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

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what the daemon hears: the state of every link first, then each change as it happens.
    Listen {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// End after the state of every link.
        #[arg(long)]
        once: bool,
    },
    /// Make places for the nodes of the configuration on the disk that it names for heartbeats. Once, on one node, as root; and again when
    /// there is another node.
    Format {
        /// Also where something is on it already.
        #[arg(long)]
        again: bool,
    },
}
