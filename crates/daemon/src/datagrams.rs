//! UDP to and from the other nodes: every datagram goes out over every link; the session layer drops the copies.

use hotspare_config::{Config, Node};
use hotspare_core::NodeId;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which daemon of a node: they listen on consecutive ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Heartbeat = 0,
    Arbiter = 1,
    Lease = 2,
}

impl Port {
    /// The UDP port of this daemon in the cluster of `config`.
    #[must_use]
    pub fn number(self, config: &Config) -> u16 {
        config.port + self as u16
    }
}

/// Where each node listens, all links; this node itself by loopback, so that a cut cable does not part its daemons.
#[must_use]
pub fn routes(config: &Config, me: &Node, port: Port) -> BTreeMap<NodeId, Vec<SocketAddr>> {
    let number = port.number(config);
    let route = |node: &Node| {
        let addresses = if node.id == me.id { vec![IpAddr::V4(Ipv4Addr::LOCALHOST)] } else { node.links.clone() };
        (node.id, addresses.into_iter().map(|ip| SocketAddr::new(ip, number)).collect())
    };
    config.living().map(route).collect()
}

/// The sockets of one daemon: one for each address family that the cluster uses.
pub struct Datagrams {
    v4: AsyncFd<UdpSocket>,
    v6: Option<AsyncFd<UdpSocket>>,
    /// Datagrams that the kernel did not take; they count as lost.
    pub unsent: u64,
}

impl Datagrams {
    /// Listens on `port` on all addresses.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn bind(port: u16, config: &Config) -> io::Result<Datagrams> {
        let v4 = watched(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?)?;
        let wants_v6 = config.nodes.iter().flat_map(|node| &node.links).any(IpAddr::is_ipv6);
        let v6 = if wants_v6 { Some(watched(bind_v6(port)?)?) } else { None };
        Ok(Datagrams { v4, v6, unsent: 0 })
    }

    /// The next datagram. Safe to cancel.
    ///
    /// # Errors
    /// Never for what a peer did; only if the socket itself is broken.
    pub async fn receive(&self, buffer: &mut [u8; 2048]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let received = match &self.v6 {
                None => next(&self.v4, buffer).await,
                Some(v6) => {
                    let mut other = [0; 2048];
                    tokio::select! {
                        received = next(&self.v4, buffer) => received,
                        received = next(v6, &mut other) => received.inspect(|(length, _)| buffer[..*length].copy_from_slice(&other[..*length])),
                    }
                }
            };
            match received {
                // An ICMP error for something we sent: the peer is down, which is for the timers to find out.
                Err(error) if is_icmp(&error) => {}
                other => return other,
            }
        }
    }

    /// Sends without waiting; what the kernel does not take is lost, like any datagram.
    pub fn send(&mut self, bytes: &[u8], to: &[SocketAddr]) {
        for address in to {
            let sent = match (address.is_ipv4(), &self.v6) {
                (true, _) => self.v4.get_ref().send_to(bytes, address),
                (false, Some(v6)) => v6.get_ref().send_to(bytes, address),
                (false, None) => continue,
            };
            if sent.is_err() {
                self.unsent += 1;
            }
        }
    }
}

fn bind_v6(port: u16) -> io::Result<UdpSocket> {
    use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn6, sockopt};
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket::socket(AddressFamily::Inet6, SockType::Datagram, flags, None)?;
    socket::setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    let address = std::net::SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    socket::bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrIn6::from(address))?;
    Ok(UdpSocket::from(fd))
}

fn watched(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    socket.set_nonblocking(true)?;
    crate::alarm::watched(socket)
}

async fn next(socket: &AsyncFd<UdpSocket>, buffer: &mut [u8; 2048]) -> io::Result<(usize, SocketAddr)> {
    socket.async_io(Interest::READABLE, |socket| socket.recv_from(buffer)).await
}

fn is_icmp(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}
