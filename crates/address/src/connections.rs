//! TCP connections of an address that goes away: the kernel is asked to end them (sock_diag(7), `SOCK_DESTROY`), so that both
//! ends hear of it now. Otherwise a client waits for an answer that has no way back, and a server that stops
//! gracefully waits for the client: nginx five seconds, others minutes.

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The older question, which is for all families at once: each question makes the kernel walk through all buckets of its table of
/// connections, 2 ms where there are 256 thousand of them, while clients wait.
const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DESTROY: u16 = 21;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const TCP: u8 = 6;
/// `struct nlmsghdr`; behind it `struct inet_diag_req`, `struct inet_diag_req_v2` or `struct inet_diag_msg`.
const HEADER: usize = 16;
/// Where `struct inet_diag_sockid` lies in a request to end a connection (`struct inet_diag_req_v2`) and in an answer, behind the header.
const ID: std::ops::Range<usize> = 8..56;
const ID_ANSWER: std::ops::Range<usize> = 4..52;
/// Where the states lie in `struct inet_diag_req`, and how long it is.
const STATES: std::ops::Range<usize> = 52..56;
const QUESTION: usize = 60;
const AF_INET: u8 = 2;
/// All states of a connection; a listener (10), a closed one (7) and what only waits for time to pass (6) are none.
const CONNECTED: u32 = 0xfff & !(1 << 10) & !(1 << 7) & !(1 << 6);

fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    let length = u32::try_from(HEADER + body.len()).expect("short");
    bytes[0..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Which connections there are.
fn question() -> Vec<u8> {
    let mut body = [0; QUESTION];
    body[STATES].copy_from_slice(&CONNECTED.to_ne_bytes());
    request(TCPDIAG_GETSOCK, DUMP, &body)
}

/// End this one.
fn order(family: u8, id: &[u8]) -> Vec<u8> {
    let mut body = [0; ID.end];
    (body[0], body[1]) = (family, TCP);
    body[4..8].copy_from_slice(&CONNECTED.to_ne_bytes());
    body[ID].copy_from_slice(id);
    request(SOCK_DESTROY, ACK, &body)
}

/// The local address of a connection: behind the two ports, in network order.
fn local(family: u8, id: &[u8]) -> IpAddr {
    let bytes: [u8; 16] = id[4..20].try_into().expect("sixteen");
    match family {
        AF_INET => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
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
    socket.send(&question(), 0)?;
    read(&socket, |kind, body| match (kind, body) {
        (NLMSG_DONE, _) => Ok(true),
        (NLMSG_ERROR, _) => verdict(body).map(|()| true),
        (_, [family, ..]) => {
            let id = body.get(ID_ANSWER).filter(|id| local(*family, id) == ip);
            found.extend(id.map(|id| (*family, id.to_vec())));
            Ok(false)
        }
        (_, []) => Err(io::ErrorKind::InvalidData.into()),
    })?;
    let mut ended = 0;
    for (family, id) in found {
        socket.send(&order(family, &id), 0)?;
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
        let both = TcpListener::bind(("::", 0)).unwrap();
        let mut mapped = TcpStream::connect(("127.77.0.1", both.local_addr().unwrap().port())).unwrap();
        let mut accepted = both.accept().unwrap().0;
        let (mut server, mut client, listener) = pair("127.77.0.1");
        let (_kept, mut other, _) = pair("127.77.0.2");
        let ended = match hang_up("127.77.0.1".parse().unwrap()) {
            Ok(ended) => ended,
            Err(error) => {
                assert!(!nix::unistd::geteuid().is_root(), "{error}");
                return assert_eq!(error.raw_os_error(), Some(1), "{error}");
            }
        };
        assert!(ended >= 2, "the servers' ends, and with them perhaps the clients'");
        let kind = |result: io::Result<usize>| result.unwrap_err().kind();
        let mut byte = [0];
        assert_eq!(kind(server.read(&mut byte)), io::ErrorKind::ConnectionAborted);
        assert_eq!(kind(client.read(&mut byte)), io::ErrorKind::ConnectionReset);
        assert_eq!(kind(accepted.read(&mut byte)), io::ErrorKind::ConnectionAborted, "a socket for both families");
        assert_eq!(kind(mapped.read(&mut byte)), io::ErrorKind::ConnectionReset);
        other.set_nonblocking(true).unwrap();
        assert_eq!(kind(other.read(&mut byte)), io::ErrorKind::WouldBlock);
        assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok(), "the listener is none of its business");
    }
}
