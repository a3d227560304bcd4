//! rtnetlink, synchronously: a request, its answer.

use crate::bpf::{HALF, only_if};
use ipnetwork::IpNetwork;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use socket2::SockRef;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;

/// What the kernel, or its absence, says.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("there is no interface {0}; `ip link` lists them")]
    NoInterface(String),
    #[error("netlink: {0}")]
    Socket(#[from] io::Error),
    #[error("the kernel refused to {what} {net}: {source}")]
    Refused { what: &'static str, net: IpNetwork, source: io::Error },
    #[error("the kernel's answer was not understood: {0}")]
    Garbled(String),
}

/// The kernel's number of the interface called `name`.
///
/// # Errors
/// If there is none.
pub fn interface_index(name: &str) -> Result<u32, AddressError> {
    nix::net::if_::if_nametoindex(name).map_err(|_| AddressError::NoInterface(name.to_owned()))
}

/// A netlink socket for requests.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

fn message(index: u32, net: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if net.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = net.prefix();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(net.ip()));
    message.attributes.push(AddressAttribute::Address(net.ip()));
    message
}

fn bytes(payload: RouteNetlinkMessage, flags: u16, sequence: u32) -> Vec<u8> {
    let mut request = NetlinkMessage::from(payload);
    request.header.flags = NLM_F_REQUEST | flags;
    request.header.sequence_number = sequence;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

impl Netlink {
    /// A new socket.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn new() -> Result<Netlink, AddressError> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Sends a request; the messages that answer it.
    fn ask(&mut self, payload: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>, AddressError> {
        self.sequence += 1;
        self.socket.send(&bytes(payload, flags, self.sequence), 0)?;
        let mut answers = Vec::new();
        loop {
            let (buffer, _) = self.socket.recv_from_full()?;
            let mut rest = buffer.as_slice();
            while rest.len() >= 16 {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest);
                let answer = answer.map_err(|error| AddressError::Garbled(error.to_string()))?;
                let length = usize::try_from(answer.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
                if answer.header.sequence_number != self.sequence {
                    continue; // the answer to a request that was given up
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                    NetlinkPayload::Error(error) => return Err(AddressError::Socket(error.to_io())),
                    NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }

    /// Puts `net` on the interface, or prolongs it there. The kernel removes it after `lifetime` (whole seconds) unless
    /// this is called again; `None` lasts for ever. An IPv6 address skips duplicate address detection: the lease, or
    /// our own probe, has proven it unique already.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn add(&mut self, index: u32, net: IpNetwork, lifetime: Option<Duration>) -> Result<(), AddressError> {
        let mut message = message(index, net);
        if let IpNetwork::V4(v4) = net
            && v4.prefix() < 31
        {
            message.attributes.push(AddressAttribute::Broadcast(v4.broadcast()));
        }
        if net.is_ipv6() {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        if let Some(lifetime) = lifetime {
            let mut info = CacheInfo::default();
            let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX - 1).max(1);
            (info.ifa_valid, info.ifa_preferred) = (seconds, seconds);
            message.attributes.push(AddressAttribute::CacheInfo(info));
        }
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        match self.ask(RouteNetlinkMessage::NewAddress(message), flags) {
            Ok(_) => Ok(()),
            Err(AddressError::Socket(source)) => Err(AddressError::Refused { what: "add", net, source }),
            Err(other) => Err(other),
        }
    }

    /// Takes `net` off the interface. False: it was not there.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn delete(&mut self, index: u32, net: IpNetwork) -> Result<bool, AddressError> {
        match self.ask(RouteNetlinkMessage::DelAddress(message(index, net)), NLM_F_ACK) {
            Ok(_) => Ok(true),
            Err(AddressError::Socket(source))
                if matches!(source.raw_os_error(), Some(99 | 19)) /* EADDRNOTAVAIL, ENODEV */ =>
            {
                Ok(false)
            }
            Err(AddressError::Socket(source)) => Err(AddressError::Refused { what: "remove", net, source }),
            Err(other) => Err(other),
        }
    }

    /// Where `ip` is on this machine: interfaces and prefix lengths.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn find(&mut self, ip: IpAddr) -> Result<Vec<(u32, u8)>, AddressError> {
        let mut query = AddressMessage::default();
        query.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let answers = self.ask(RouteNetlinkMessage::GetAddress(query), NLM_F_DUMP)?;
        let found = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(address) => (ip_of(&address) == Some(ip)).then_some(address),
            _ => None,
        });
        Ok(found.map(|address| (address.header.index, address.header.prefix_len)).collect())
    }
}

fn ip_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

/// A removal, made ready beforehand so that carrying it out allocates nothing.
pub struct Delete {
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Delete {
    #[must_use]
    pub fn prepare(index: u32, net: IpNetwork) -> Delete {
        let request = bytes(RouteNetlinkMessage::DelAddress(message(index, net)), NLM_F_ACK, 0x6761_7465);
        Delete { request, answer: vec![0; 4096] }
    }

    /// Removes the address. True: it is gone, or was not there.
    pub fn carry_out(&mut self, netlink: &Netlink) -> bool {
        if netlink.socket.send(&self.request, 0).is_err() {
            return false;
        }
        let mut room = self.answer.as_mut_slice();
        let received = netlink.socket.recv(&mut room, 0);
        // struct nlmsgerr: a 16-byte header, then the error as a negative errno.
        let Ok(length) = received else { return false };
        let error = self.answer.get(16..20).map(|bytes| i32::from_ne_bytes(bytes.try_into().expect("four")));
        length >= 20 && matches!(error, Some(0 | -99 | -19))
    }
}

/// `struct nlmsghdr`: where its type is; the type of a removal.
const TYPE: u32 = 4;
const RTM_DELADDR: u16 = 21;

/// Tells when an address of this machine is removed. Not when one comes: whoever prolongs an address would wake itself up each time.
pub struct Watch(Socket);

impl Watch {
    /// Starts watching.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn new() -> Result<Watch, AddressError> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))?;
        socket.set_non_blocking(true)?;
        let watch = Watch(socket);
        // Classic BPF reads in network order, and the kernel writes its own.
        let removal = u16::from_be_bytes(RTM_DELADDR.to_ne_bytes());
        SockRef::from(&watch).attach_filter(&only_if(&[(HALF, TYPE, removal.into())]))?;
        Ok(watch)
    }

    /// Forgets what has come in so far.
    pub fn drain(&self) {
        let mut buffer = [0_u8; 4096];
        while self.0.recv(&mut buffer.as_mut_slice(), 0).is_ok() {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to the socket in `self`, which outlives the borrow.
        #[allow(unsafe_code)]
        unsafe {
            BorrowedFd::borrow_raw(self.0.as_raw_fd() as RawFd)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, poll};

    fn woken(watch: &Watch) -> bool {
        let woken = poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], 0_u8).unwrap() == 1;
        watch.drain();
        woken
    }

    /// The kernel tells before it answers the request, so that nothing has to be waited for. In a network namespace of this thread's own.
    #[test]
    fn a_removal_wakes_and_an_address_that_comes_or_is_prolonged_does_not() {
        if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
            return assert!(!nix::unistd::geteuid().is_root());
        }
        let (mut netlink, index) = (Netlink::new().unwrap(), interface_index("lo").unwrap());
        let watch = Watch::new().unwrap();
        for net in ["192.0.2.9/24", "2001:db8::9/64"].map(|net| net.parse::<IpNetwork>().unwrap()) {
            netlink.add(index, net, Some(Duration::from_secs(60))).unwrap();
            netlink.add(index, net, Some(Duration::from_secs(90))).unwrap();
            assert_eq!(netlink.find(net.ip()).unwrap(), [(index, net.prefix())]);
            assert!(!woken(&watch), "{net} came");
            netlink.delete(index, net).unwrap();
            assert!(woken(&watch), "{net} went");
        }
    }
}
