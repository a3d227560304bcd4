use clap::Parser;
use std::path::PathBuf;

/// Turns the cluster configuration into systemd units. Run by systemd at boot and at daemon-reload.
///
/// A configuration with mistakes makes no new units: the mistakes go to the journal and the boot goes on. A group that
/// is held on this node keeps the units that it was started with.
#[derive(Debug, Parser)]
#[command(name = "hotspare-generator", version)]
pub struct Args {
    /// Where the units go (systemd's "normal" folder).
    pub normal: PathBuf,
    /// Where systemd would like early units; not used.
    #[arg(hide = true)]
    pub early: Option<PathBuf>,
    /// Where systemd would like late units; not used.
    #[arg(hide = true)]
    pub late: Option<PathBuf>,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/hotspare/cluster.kdl")]
    pub config: PathBuf,
    /// The node of the configuration that this machine is [default: the host name].
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Where the gates keep the configuration in force.
    #[arg(long, value_name = "DIR", default_value = "/run/hotspare-gate")]
    pub active: PathBuf,
}
