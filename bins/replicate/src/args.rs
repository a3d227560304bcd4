use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A block device on the primary, kept identical on the others; nothing that was acknowledged is lost.
#[derive(Debug, Parser)]
#[command(name = "hotspare-replicate", version)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = hotspare_config::PATH)]
    pub config: PathBuf,
    /// The node that this machine is, if it is not called like its host.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    #[command(subcommand)]
    pub act: Act,
}

#[derive(Debug, Subcommand)]
pub enum Act {
    /// Make this node's copy. Once, on each candidate; on one of them with --first.
    Create {
        #[arg(value_name = "VOLUME")]
        volume: String,
        /// The data is here: what is on the backing stays, and the others become copies of it.
        #[arg(long)]
        first: bool,
        /// Also over a copy that is there already, which is lost.
        #[arg(long)]
        again: bool,
        /// Make a file system on it first; what is on the backing is lost.
        #[arg(long, value_name = "TYPE", requires = "first", value_parser = ["ext4", "xfs", "btrfs"])]
        format: Option<String>,
    },
    /// Run the copy: be written to, or take in what another node writes. hotspare-replicate@VOLUME.service does this.
    Run {
        #[arg(value_name = "VOLUME")]
        volume: String,
    },
    /// Have the volume ready for its user for as long as this runs. hotspare-volume@VOLUME.service does this.
    Serve {
        #[arg(value_name = "VOLUME")]
        volume: String,
    },
    /// End the block device that a holder has left which was killed: what is under way fails, and so does what comes later.
    /// hotspare-volume-end@VOLUME.service does this. One that is served is left alone.
    End {
        #[arg(value_name = "VOLUME")]
        volume: String,
    },
    /// Look whether all copies are the same, while they are written to; what differs is copied again. On the node that leads; exits
    /// with 1 if something differed. hotspare-verify@VOLUME.timer does this once a week.
    Verify {
        #[arg(value_name = "VOLUME")]
        volume: String,
    },
    /// Show its user as much as all copies have room for. On the node that leads, when every backing was made larger and every
    /// hotspare-replicate@VOLUME.service restarted. The file system on it is made larger after that, by its own tool.
    Resize {
        #[arg(value_name = "VOLUME")]
        volume: String,
    },
    /// Say how the copies are.
    Status {
        #[arg(value_name = "VOLUME")]
        volume: String,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
}
