//! Telling the neighbours: gratuitous ARP (RFC 5227) and unsolicited neighbour advertisements (RFC 4861), and asking
//! them first: an ARP probe.

use crate::bpf::{BYTE, HALF, WORD, only_if};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, recv, sendto, socket,
};
use socket2::{SockFilter, SockRef};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const ETH_ARP: u16 = 0x0806;
const ETH_IPV6: u16 = 0x86dd;
const BROADCAST: [u8; 6] = [0xff; 6];

/// What was overheard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    pub mac: [u8; 6],
}

/// Speaks and listens for one address on one interface.
pub struct Announcer {
    socket: OwnedFd,
    index: u32,
    mac: [u8; 6],
    ip: IpAddr,
}

impl Announcer {
    /// Opens a packet socket on the interface; needs CAP_NET_RAW.
    ///
    /// # Errors
    /// If the kernel refuses, or the interface has no Ethernet address.
    pub fn new(interface: &str, index: u32, ip: IpAddr) -> io::Result<Announcer> {
        let mac = hardware_address(interface)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Of no protocol before it is bound: changing one costs a grace period of the kernel, some 10 ms.
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        let announcer = Announcer { socket, index, mac, ip };
        SockRef::from(&announcer.socket).attach_filter(&filter(ip))?;
        let kind = if ip.is_ipv4() { ETH_ARP } else { ETH_IPV6 };
        bind(announcer.socket.as_raw_fd(), &link(index, kind, BROADCAST))?;
        Ok(announcer)
    }

    fn send(&self, frame: &[u8], to: [u8; 6], kind: u16) -> io::Result<()> {
        sendto(self.socket.as_raw_fd(), frame, &link(self.index, kind, to), MsgFlags::empty())?;
        Ok(())
    }

    /// Tells all neighbours that the address is here now.
    ///
    /// # Errors
    /// If the interface is down or gone.
    pub fn announce(&self) -> io::Result<()> {
        match self.ip {
            IpAddr::V4(ip) => {
                // As a request and as a reply: some stacks heed only one of the two.
                self.send(&arp(1, self.mac, ip, [0; 6], ip), BROADCAST, ETH_ARP)?;
                self.send(&arp(2, self.mac, ip, BROADCAST, ip), BROADCAST, ETH_ARP)
            }
            IpAddr::V6(ip) => {
                let to = [0x33, 0x33, 0, 0, 0, 1];
                self.send(&advertisement(self.mac, ip), to, ETH_IPV6)
            }
        }
    }

    /// Asks whether anybody has the address, without claiming it (IPv4; IPv6 asks by a neighbour solicitation).
    ///
    /// # Errors
    /// If the interface is down or gone.
    pub fn probe(&self) -> io::Result<()> {
        match self.ip {
            IpAddr::V4(ip) => self.send(&arp(1, self.mac, Ipv4Addr::UNSPECIFIED, [0; 6], ip), BROADCAST, ETH_ARP),
            IpAddr::V6(ip) => {
                let o = ip.octets();
                self.send(&solicitation(self.mac, ip), [0x33, 0x33, 0xff, o[13], o[14], o[15]], ETH_IPV6)
            }
        }
    }

    /// Reads what has come in; the last neighbour that claims our address, if one does.
    pub fn overheard(&self) -> Option<Rival> {
        let mut frame = [0; 1514];
        let mut rival = None;
        while let Ok(length) = recv(self.socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            rival = claim(&frame[..length], self.ip).filter(|mac| *mac != self.mac).map(|mac| Rival { mac }).or(rival);
        }
        rival
    }
}

impl AsFd for Announcer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lets through what may be a claim of `ip` ([`claim`] looks closer): everything else that comes in over a busy interface must
/// not wake this program.
fn filter(ip: IpAddr) -> Vec<SockFilter> {
    let wanted: Vec<(u16, u32, u32)> = match ip {
        IpAddr::V4(ip) => vec![(HALF, 12, ETH_ARP.into()), (WORD, 28, ip.to_bits())],
        IpAddr::V6(ip) => {
            let target = (0..4_u8).map(|n| (WORD, 62 + 4 * u32::from(n), (ip.to_bits() >> (96 - 32 * n)) as u32));
            [(HALF, 12, ETH_IPV6.into()), (BYTE, 20, 58), (BYTE, 54, 136)].into_iter().chain(target).collect()
        }
    };
    only_if(&wanted)
}

/// The interface's Ethernet address, from the kernel rather than from /sys, which may show another network namespace.
fn hardware_address(interface: &str) -> io::Result<[u8; 6]> {
    let found = nix::ifaddrs::getifaddrs()?
        .filter(|known| known.interface_name == interface)
        .find_map(|known| known.address?.as_link_addr()?.addr());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "the interface has no Ethernet address"))
}

/// A link-layer socket address. `nix` can only read them, so the bytes of `struct sockaddr_ll` are laid out here.
fn link(index: u32, protocol: u16, to: [u8; 6]) -> LinkAddr {
    let mut raw = [0_u8; 20];
    raw[0..2].copy_from_slice(&(AddressFamily::Packet as u16).to_ne_bytes());
    raw[2..4].copy_from_slice(&protocol.to_be_bytes());
    raw[4..8].copy_from_slice(&index.to_ne_bytes());
    raw[11] = 6;
    raw[12..18].copy_from_slice(&to);
    // SAFETY: `raw` is exactly a `struct sockaddr_ll` (packet(7)); it is read for the length that is given.
    #[allow(unsafe_code)]
    unsafe { LinkAddr::from_raw(raw.as_ptr().cast(), Some(20)) }.expect("a complete address")
}

fn arp(operation: u8, mac: [u8; 6], sender: Ipv4Addr, target_mac: [u8; 6], target: Ipv4Addr) -> Vec<u8> {
    let mut frame = [BROADCAST.as_slice(), &mac, &ETH_ARP.to_be_bytes()].concat();
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(mac);
    frame.extend(sender.octets());
    frame.extend(target_mac);
    frame.extend(target.octets());
    frame
}

fn ipv6(mac: [u8; 6], to_mac: [u8; 6], (from, to): (Ipv6Addr, Ipv6Addr), icmp: &mut [u8]) -> Vec<u8> {
    let length = u16::try_from(icmp.len()).expect("short");
    let mut sum: u32 = from.segments().iter().chain(&to.segments()).map(|word| u32::from(*word)).sum();
    sum += u32::from(length) + 58;
    sum += icmp.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let check = !u16::try_from(sum).expect("folded");
    icmp[2..4].copy_from_slice(&check.to_be_bytes());
    let mut frame = [to_mac.as_slice(), &mac, &ETH_IPV6.to_be_bytes(), &[0x60, 0, 0, 0]].concat();
    frame.extend(length.to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend_from_slice(icmp);
    frame
}

/// An unsolicited neighbour advertisement with the override flag, to all nodes.
fn advertisement(mac: [u8; 6], ip: Ipv6Addr) -> Vec<u8> {
    let mut icmp = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    icmp.extend(ip.octets());
    icmp.extend([2, 1]);
    icmp.extend(mac);
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    ipv6(mac, [0x33, 0x33, 0, 0, 0, 1], (ip, all), &mut icmp)
}

/// A neighbour solicitation from the unspecified address: duplicate address detection (RFC 4862).
fn solicitation(mac: [u8; 6], ip: Ipv6Addr) -> Vec<u8> {
    let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend(ip.octets());
    let o = ip.octets();
    let low = u16::from(o[13]);
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | low, u16::from_be_bytes([o[14], o[15]]));
    ipv6(mac, [0x33, 0x33, 0xff, o[13], o[14], o[15]], (Ipv6Addr::UNSPECIFIED, to), &mut icmp)
}

/// The hardware address that claims `ip` in `frame`, if the frame is such a claim.
fn claim(frame: &[u8], ip: IpAddr) -> Option<[u8; 6]> {
    let kind = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
    let source: [u8; 6] = frame.get(6..12)?.try_into().ok()?;
    match ip {
        IpAddr::V4(ip) if kind == ETH_ARP => {
            let sender: [u8; 4] = frame.get(28..32)?.try_into().ok()?;
            (sender == ip.octets()).then_some(frame.get(22..28)?.try_into().ok()?)
        }
        IpAddr::V6(ip) if kind == ETH_IPV6 => {
            let advertised = frame.get(20) == Some(&58) && frame.get(54) == Some(&136);
            (advertised && frame.get(62..78) == Some(&ip.octets())).then_some(source)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    #[test]
    fn a_gratuitous_arp_is_a_claim_and_a_probe_is_not() {
        let ip = Ipv4Addr::new(192, 0, 2, 10);
        assert_eq!(claim(&arp(1, MAC, ip, [0; 6], ip), ip.into()), Some(MAC));
        assert_eq!(claim(&arp(1, MAC, Ipv4Addr::UNSPECIFIED, [0; 6], ip), ip.into()), None);
        assert_eq!(claim(&arp(1, MAC, ip, [0; 6], ip)[..20], ip.into()), None);
        assert_eq!(arp(1, MAC, ip, [0; 6], ip).len(), 42);
    }

    #[test]
    fn an_advertisement_is_a_claim_with_a_true_checksum() {
        let ip: Ipv6Addr = "2001:db8::10".parse().unwrap();
        let frame = advertisement(MAC, ip);
        assert_eq!(claim(&frame, ip.into()), Some(MAC));
        assert_eq!(claim(&solicitation(MAC, ip), ip.into()), None);
        // The sum over pseudo header and message, checksum included, is all ones (RFC 1071).
        let words =
            |bytes: &[u8]| -> u32 { bytes.chunks(2).map(|p| u32::from(u16::from_be_bytes([p[0], p[1]]))).sum() };
        let mut sum = words(&frame[22..]) + 32 + 58;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!(sum, 0xffff);
    }
}
