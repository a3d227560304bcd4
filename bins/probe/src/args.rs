use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Asks a service whether it answers as it should, again and again.
///
/// Says that it is ready (sd_notify) after so many good answers in a row, and exits with 1 when so many in a row were bad after
/// that. As a unit of the primary role, made from `probe` in the configuration, its end makes the node give the role up. As a unit of every
/// candidate, made from `uplink`, it tells the lease client whether the node reaches its clients.
#[derive(Debug, Parser)]
#[command(name = "hotspare-probe", version)]
pub struct Args {
    /// From the beginning of one question to that of the next.
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = span)]
    pub interval: Duration,
    /// An answer that takes longer is bad.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span)]
    pub timeout: Duration,
    /// So many good answers in a row make it good.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rise: u32,
    /// So many bad answers in a row make it bad.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub fall: u32,
    /// The group to name in the journal.
    #[arg(long, value_name = "GROUP", default_value = "default")]
    pub group: String,
    /// Asked on every candidate, whether it reaches its clients: tell the lease client of this node what is known, and go on.
    #[arg(long, conflicts_with = "once")]
    pub uplink: bool,
    /// Ask once: exit with 0 if the answer is good, with 1 if it is not.
    #[arg(long)]
    pub once: bool,
    #[command(subcommand)]
    pub kind: Kind,
}

/// What is asked.
#[derive(Clone, Debug, Subcommand)]
pub enum Kind {
    /// Send an ICMP echo request; good if it is answered. Needs CAP_NET_RAW.
    Ping {
        #[arg(value_name = "ADDRESS")]
        address: std::net::IpAddr,
    },
    /// GET an http:// address; good if the status is 200 to 399. Redirections are not followed.
    Http {
        #[arg(value_name = "URL")]
        url: String,
    },
    /// Connect to an address and port; good if somebody listens.
    Tcp {
        #[arg(value_name = "ADDRESS:PORT", value_parser = place)]
        address: SocketAddr,
    },
    /// Run a program; good if it exits with 0. It is killed, with all its children, when its time is up.
    Exec {
        #[arg(value_name = "PROGRAM")]
        program: PathBuf,
        #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn place(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an address and a port, for example 127.0.0.1:5432 or [::1]:80".into())
}

fn span(text: &str) -> Result<Duration, String> {
    let span = hotspare_config::parse_span(text).filter(|span| !span.is_zero());
    span.ok_or_else(|| "a number and a unit, for example 500ms, 2s or 1min".into())
}
