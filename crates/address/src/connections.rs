//! TCP connections of an address that goes away: the kernel is asked to end them (sock_diag(7), `SOCK_DESTROY`), so that both
//! ends hear of it now. Otherwise a client waits for an answer that has no way back, and a server that stops
//! gracefully waits for the client: nginx five seconds, others minutes.

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const TCP: u8 = 6;
/// `struct nlmsghdr`; behind it `struct inet_diag_req_v2` or `struct inet_diag_msg`.
const HEADER: usize = 16;
/// Where `struct inet_diag_sockid` lies in both of them, behind the header, and how long it is.
const ID: std::ops::Range<usize> = 8..56;
const ID_ANSWER: std::ops::Range<usize> = 4..52;
const FAMILIES: [u8; 2] = [2, 10]; // AF_INET, AF_INET6
/// All states of a connection; a listener (10), a closed one (7) and what only waits for time to pass (6) are none.
const CONNECTED: u32 = 0xfff & !(1 << 10) & !(1 << 7) & !(1 << 6);

fn request(kind: u16, flags: u16, family: u8, id: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = vec![0; HEADER + ID.end];
    let length = u32::try_from(bytes.len()).expect("short");
    bytes[0..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
    let body = &mut bytes[HEADER..];
    (body[0], body[1]) = (family, TCP);
    body[4..8].copy_from_slice(&CONNECTED.to_ne_bytes());
    if let Some(id) = id {
        body[ID].copy_from_slice(id);
    }
    bytes
}

/// The local address of a connection: behind the two ports, in network order.
fn local(family: u8, id: &[u8]) -> IpAddr {
    let bytes: [u8; 16] = id[4..20].try_into().expect("sixteen");
    match family {
        2 => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        _ => IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(),
    }
}

/// Calls `each` for the kind and the body of every message in the answer until it says that this was the last.
fn read(socket: &Socket, mut each: impl FnMut(u16, &[u8]) -> io::Result<bool>) -> io::Result<()> {
    loop {
        let (buffer, _) = socket.recv_from_full()?;
        let mut rest = buffer.as_slice();
        while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
            let length = u32::from_ne_bytes(header[0..4].try_into().expect("four"));
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some(body) = rest.get(HEADER..length) else { return Err(io::ErrorKind::InvalidData.into()) };
            if each(u16::from_ne_bytes(header[4..6].try_into().expect("two")), body)? {
                return Ok(());
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The kernel's answer to a request, as an error or none.
fn verdict(body: &[u8]) -> io::Result<()> {
    let code = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
}

/// Ends every TCP connection whose local address is `ip`, with a reset for its other end; how many there were. Call it while
/// the address is still there, or the resets have no way out.
///
/// # Errors
/// If the kernel has no such function (`CONFIG_INET_DIAG_DESTROY`), or does not allow it (`CAP_NET_ADMIN`).
pub fn hang_up(ip: IpAddr) -> io::Result<usize> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
    for family in FAMILIES {
        socket.send(&request(SOCK_DIAG_BY_FAMILY, DUMP, family, None), 0)?;
        read(&socket, |kind, body| match kind {
            NLMSG_DONE => Ok(true),
            NLMSG_ERROR => verdict(body).map(|()| true),
            _ => {
                let id = body.get(ID_ANSWER).filter(|id| local(family, id) == ip);
                found.extend(id.map(|id| (family, id.to_vec())));
                Ok(false)
            }
        })?;
    }
    let mut ended = 0;
    for (family, id) in found {
        socket.send(&request(SOCK_DESTROY, ACK, family, Some(&id)), 0)?;
        read(&socket, |kind, body| if kind == NLMSG_ERROR { verdict(body).map(|()| true) } else { Ok(false) })
            .map(|()| ended += 1)
            .or_else(|error| if error.raw_os_error() == Some(2) { Ok(()) } else { Err(error) })?; // gone by itself
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    /// As root the connection ends on both sides and others do not; without rights the kernel says so.
    #[test]
    fn connections_of_one_address_end_and_others_do_not() {
        let pair = |ip: &str| {
            let listener = TcpListener::bind((ip, 0)).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (listener.accept().unwrap().0, client, listener)
        };
        let (mut server, mut client, listener) = pair("127.77.0.1");
        let (_kept, mut other, _) = pair("127.77.0.2");
        let ended = match hang_up("127.77.0.1".parse().unwrap()) {
            Ok(ended) => ended,
            Err(error) => {
                assert!(!nix::unistd::geteuid().is_root(), "{error}");
                return assert_eq!(error.raw_os_error(), Some(1), "{error}");
            }
        };
        assert!(ended >= 1, "the server's end, and with it perhaps the client's");
        let kind = |result: io::Result<usize>| result.unwrap_err().kind();
        let mut byte = [0];
        assert_eq!(kind(server.read(&mut byte)), io::ErrorKind::ConnectionAborted);
        assert_eq!(kind(client.read(&mut byte)), io::ErrorKind::ConnectionReset);
        other.set_nonblocking(true).unwrap();
        assert_eq!(kind(other.read(&mut byte)), io::ErrorKind::WouldBlock);
        assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok(), "the listener is none of its business");
    }
}
