use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Looks at a hotspare cluster and tells it what an operator wants.
#[derive(Debug, Parser)]
#[command(name = "hotspare", version)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a configuration file: all mistakes at once, with what would be right. Exits with 78 if there are any.
    Check {
        #[arg(value_name = "FILE", default_value = "/etc/hotspare/cluster.kdl")]
        file: PathBuf,
    },
    /// Make this node's private key, and print the public one for the configuration.
    Keygen {
        /// Where to put the private key (mode 0600).
        #[arg(long, value_name = "FILE", default_value = "/etc/hotspare/node.key")]
        out: PathBuf,
        /// Replace a key that is there.
        #[arg(long)]
        force: bool,
    },
    /// Who leads, why, who votes, what is missing, and what would happen if this node died now.
    Status {
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Move a group in an orderly way. A refusal disturbs nothing.
    Switchover {
        #[arg(default_value = "default")]
        group: String,
        /// The node that shall lead [default: this one, or if it leads already, the best other].
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
    },
    /// Put a changed configuration in force on this node, without moving a role. What concerns a group that is held here
    /// waits until it moves; `hotspare status` shows it as pending until then.
    Apply {
        /// Change nothing: say what would happen, and exit with 1 if it would cost a role or the cluster's votes.
        #[arg(long)]
        dry_run: bool,
        /// With --dry-run: a file that is not in its place yet.
        #[arg(long, value_name = "FILE", default_value = "/etc/hotspare/cluster.kdl", requires = "dry_run")]
        file: PathBuf,
    },
    /// Look at this host: versions, clocks, disk, network, watchdog, the units of its groups. Changes nothing; exits with 1 if
    /// something does not work, or will not when it has to.
    Doctor {
        #[arg(long, value_name = "FILE", default_value = "/etc/hotspare/cluster.kdl")]
        config: PathBuf,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Go on without a majority, when the nodes that are missing are gone for good. Read docs/operations.md
    /// first: what only they knew is lost, and if one of them still runs, two nodes act at once.
    Force {
        /// A node that is gone and switched off; once for each.
        #[arg(long, value_name = "NODE", required_unless_present_any = ["back", "vote", "volume"])]
        lost: Vec<String>,
        /// On the node whose copy of this volume shall count, when none of those that do is left: what it lacks is lost. It is for all
        /// volumes of its group.
        #[arg(long, value_name = "VOLUME", conflicts_with_all = ["lost", "back", "vote"])]
        volume: Option<String>,
        /// A node that was gone and has been made anew: it may lead again, and learns what a voter has to know.
        #[arg(long, value_name = "NODE", conflicts_with_all = ["lost", "vote"])]
        back: Option<String>,
        /// On a node that came back and has learned enough: it votes again.
        #[arg(long, conflicts_with = "lost")]
        vote: bool,
        /// Why; it is kept in the configuration and in the journal.
        #[arg(long, value_name = "TEXT", required_unless_present_any = ["back", "vote"])]
        reason: Option<String>,
    },
    /// Stop all moves that nobody asked for, on all candidates, also across reboots. Leases are kept.
    Pause,
    /// Allow them again.
    Resume,
    /// Explain what follows from the configuration.
    Explain {
        #[command(subcommand)]
        what: Explain,
    },
    /// The story of the cluster on this node: journalctl with the right filter.
    Events {
        /// Go on as it happens.
        #[arg(long, short)]
        follow: bool,
        /// One group only.
        #[arg(long)]
        group: Option<String>,
        /// For scripts: one JSON object per line.
        #[arg(long)]
        json: bool,
        /// Explain each event (the catalog).
        #[arg(long, short = 'x')]
        explain: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Explain {
    /// Every time that follows from a group's outage budget.
    Timing {
        #[arg(long, value_name = "FILE", default_value = "/etc/hotspare/cluster.kdl")]
        config: PathBuf,
    },
}
