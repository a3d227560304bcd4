//! What a group has outside of its processes: addresses. Removals are prepared beforehand and allocate nothing.

use hotspare_address::{AddressError, Delete, Netlink, Placed, interface_index};

pub struct Addresses {
    netlink: Netlink,
    placed: Vec<Placed>,
    deletes: Vec<Delete>,
}

impl Addresses {
    /// Prepares the removal of each address. An interface that does not exist has no addresses.
    ///
    /// # Errors
    /// If there is no netlink.
    pub fn new(placed: &[Placed]) -> Result<Addresses, AddressError> {
        let deletes = placed.iter().filter_map(|address| {
            let index = interface_index(&address.interface).ok()?;
            Some(Delete::prepare(index, address.net))
        });
        let deletes = deletes.collect();
        Ok(Addresses { netlink: Netlink::new()?, placed: placed.to_vec(), deletes })
    }

    /// Removes all of them. True: all are gone.
    pub fn remove(&mut self) -> bool {
        let mut gone = true;
        for delete in &mut self.deletes {
            gone &= delete.carry_out(&self.netlink);
        }
        gone
    }

    /// Looks for the addresses on *every* interface and removes them there; what could not be removed.
    ///
    /// # Errors
    /// If the kernel does not say where they are.
    pub fn sweep(&mut self) -> Result<Vec<String>, AddressError> {
        let mut left = Vec::new();
        for address in &self.placed {
            for (index, prefix) in self.netlink.find(address.net.ip())? {
                let net = ipnetwork(address, prefix);
                if !matches!(self.netlink.delete(index, net), Ok(true)) {
                    left.push(address.to_string());
                }
            }
        }
        Ok(left)
    }
}

fn ipnetwork(address: &Placed, prefix: u8) -> ipnetwork::IpNetwork {
    ipnetwork::IpNetwork::new(address.net.ip(), prefix).expect("the kernel's own prefix")
}
