//! IP addresses on interfaces, by netlink: add with a finite lifetime, remove, list, watch, announce, hang up.

pub mod announce;
mod bpf;
mod connections;
mod netlink;

pub use connections::hang_up;
pub use netlink::{AddressError, Delete, Netlink, Watch, interface_index};

use ipnetwork::IpNetwork;

/// An address on an interface, written `192.0.2.10/24@eth0` on command lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub net: IpNetwork,
    pub interface: String,
}

impl std::str::FromStr for Placed {
    type Err = String;

    fn from_str(text: &str) -> Result<Placed, String> {
        let wrong = || format!("\"{text}\" is not ADDRESS/PREFIX@INTERFACE, for example 192.0.2.10/24@eth0");
        let (net, interface) = text.split_once('@').ok_or_else(wrong)?;
        let net = if net.contains('/') { net.parse().ok() } else { None }.ok_or_else(wrong)?;
        if interface.is_empty() || interface.len() > 15 || interface.contains(['/', ' ']) {
            return Err(wrong());
        }
        Ok(Placed { net, interface: interface.to_owned() })
    }
}

impl std::fmt::Display for Placed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.net, self.interface)
    }
}
