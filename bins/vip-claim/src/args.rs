use clap::Parser;
use ipnetwork::IpNetwork;

/// Claims an IP address on an interface for as long as it runs.
///
/// Asks the neighbours first (unless a held lease has proven the address unique), adds the address with a finite
/// lifetime that only this program prolongs, announces it, puts it back when somebody removes it, announces it again
/// when a rival is heard, and removes it on the way out, with a reset for whoever is connected to it. If this program
/// is killed, the kernel removes the address.
#[derive(Debug, Parser)]
#[command(name = "vip-claim", version)]
pub struct Args {
    /// The address and its prefix length, for example 192.0.2.10/24 or 2001:db8::10/64.
    #[arg(value_parser = parse_net)]
    pub address: IpNetwork,
    /// The interface to put it on.
    #[arg(long, short, value_name = "NAME")]
    pub interface: String,
    /// Hold the address only while this node holds the lease of GROUP; without this, as long as the program runs.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Seconds until the kernel removes the address by itself [default: 3, or what the lease asks for].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub lifetime: Option<u64>,
    /// Take the address without asking the neighbours first.
    #[arg(long)]
    pub no_probe: bool,
    /// Add, announce and exit at once; the kernel removes the address when its lifetime is over.
    #[arg(long)]
    pub once: bool,
}

fn parse_net(text: &str) -> Result<IpNetwork, String> {
    let help = "an address with its prefix length, for example 192.0.2.10/24";
    if !text.contains('/') {
        return Err(format!("the prefix length is missing; give {help}"));
    }
    text.parse().map_err(|_| format!("not an address; give {help}"))
}
