use clap::Parser;
use std::path::PathBuf;

/// Votes on who may lead: the voter of one or many hotspare clusters.
///
/// Keeps one small durable register per group. Needs no privileges, no bus and no other daemon. Every voting node
/// runs one; a third machine that runs only this is enough to make two nodes a safe cluster.
#[derive(Debug, Parser)]
#[command(name = "hotspare-arbiter", version)]
pub struct Args {
    /// The configuration; give it once for each cluster to vote in.
    #[arg(long, value_name = "FILE", default_value = "/etc/hotspare/cluster.kdl")]
    pub config: Vec<PathBuf>,
    /// Read every *.kdl file of this folder as well, one cluster each.
    #[arg(long, value_name = "DIR", default_value = "/etc/hotspare/clusters.d")]
    pub config_dir: PathBuf,
    /// The node of the configuration that this machine is [default: the host name].
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Where the registers are kept [default: $STATE_DIRECTORY].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Check configuration, key and registers, and exit.
    #[arg(long)]
    pub check: bool,
}
