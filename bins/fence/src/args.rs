use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Switches other machines of the cluster off, and says what is proven.
///
/// By the `fence` lines of the configuration: fence agents of the ClusterLabs kind, or programs of your own, in levels. A node is off when
/// every device of a level, asked after it was told, says that there is no power; nothing weaker counts.
#[derive(Debug, Parser)]
#[command(name = "hotspare-fence", version)]
pub struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = hotspare_config::PATH, global = true)]
    pub config: PathBuf,
    /// This node's name, if it is not the host name.
    #[arg(long, value_name = "NAME", global = true)]
    pub node: Option<String>,
    #[command(subcommand)]
    pub act: Act,
}

#[derive(Debug, Subcommand)]
pub enum Act {
    /// Switch a node off. Exits with 0 if that is proven, with 1 if it is not.
    Off {
        #[arg(value_name = "NODE")]
        target: String,
    },
    /// Switch a node on, by all of its devices.
    On {
        #[arg(value_name = "NODE")]
        target: String,
    },
    /// Switch a node off, and on again when it is proven to be off.
    Reboot {
        #[arg(value_name = "NODE")]
        target: String,
    },
    /// Say that a node is off, because you have seen it: where its device died with it. The other one of two nodes without an arbiter
    /// then leads; if the node does run, both do.
    Confirm {
        #[arg(value_name = "NODE")]
        target: String,
        /// How you know; it is kept in the journal.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Ask the devices whether nodes have power; of all nodes, or of one.
    Status {
        #[arg(value_name = "NODE")]
        target: Option<String>,
    },
    /// Show the devices of all nodes, without asking them anything.
    List,
    /// Try everything but the trigger: programs, options, credentials, and what the devices say. Exits with 1 if something is wrong.
    Test {
        #[arg(value_name = "NODE")]
        target: Option<String>,
    },
    /// Take the right to write to a shared disk away from all other nodes, by a persistent reservation (SCSI-3 or NVMe). The units of a group
    /// with a `shared` disk do so when its role starts; exits with 0 if nobody else of the cluster can write to it any more.
    Claim {
        /// Only while this node safely holds the lease of this group; nothing more is taken once it does not. Without it, whoever types
        /// this answers for nobody else writing to the disk.
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        #[arg(value_name = "DEVICE")]
        device: PathBuf,
    },
    /// Say whether a shared disk could be claimed here: it is there, and nothing on this machine has it (a mount of an earlier role). Takes
    /// nothing. A node that stands by asks until it is so, and is not ready before; exits with 1 if it could not.
    Free {
        #[arg(value_name = "DEVICE")]
        device: PathBuf,
    },
}
