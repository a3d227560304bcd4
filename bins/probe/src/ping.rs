//! ICMP echo, as ping(8) does it (RFC 792, RFC 4443).

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Sends one request and waits for its answer.
///
/// # Errors
/// In words, if there is none in time.
pub fn ping(address: IpAddr, timeout: Duration) -> Result<(), String> {
    let (domain, protocol, [request, reply]) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, [8, 0]),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, [128, 129]),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => "a ping needs CAP_NET_RAW".to_owned(),
        _ => format!("cannot make a socket: {error}"),
    })?;
    let began = Instant::now();
    // Names this very request: answers to other programs come here as well.
    let id = hotspare_daemon::clock::seed().to_be_bytes();
    let sent = echo(request, id, address.is_ipv4());
    socket.send_to(&sent, &SocketAddr::new(address, 0).into()).map_err(|error| error.to_string())?;
    loop {
        let left = timeout.checked_sub(began.elapsed()).filter(|left| !left.is_zero());
        let left = left.ok_or_else(|| format!("no answer within {} ms", timeout.as_millis()))?;
        socket.set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
        let mut bytes = [0; 256];
        match (&socket).read(&mut bytes) {
            Ok(length) if answers(&bytes[..length], reply, id, address.is_ipv4()) => return Ok(()),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Type, code, checksum (IPv6: the kernel's business), identifier and sequence number, four bytes more of the same.
fn echo(kind: u8, id: [u8; 8], checked: bool) -> [u8; 12] {
    let mut packet = [0; 12];
    packet[0] = kind;
    packet[4..].copy_from_slice(&id);
    if checked {
        let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = !((folded & 0xffff) + (folded >> 16));
        packet[2..4].copy_from_slice(&folded.to_be_bytes()[2..]);
    }
    packet
}

/// A raw IPv4 socket gets the IP header too.
fn answers(packet: &[u8], reply: u8, id: [u8; 8], v4: bool) -> bool {
    let header = if v4 { packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4) } else { 0 };
    let icmp = packet.get(header..).unwrap_or_default();
    icmp.first() == Some(&reply) && icmp.get(4..12) == Some(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_ping_makes_it_and_only_its_own_answer_counts() {
        let packet = echo(8, [0x12, 0x34, 0, 1, 0xff, 0xff, 0xff, 0xff], true);
        let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        assert_eq!(((sum & 0xffff) + (sum >> 16)) & 0xffff, 0xffff, "with its checksum it adds up to all ones");
        let id = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut answer = vec![0x45; 20];
        answer.extend(echo(0, id, true));
        assert!(answers(&answer, 0, id, true));
        assert!(!answers(&answer, 0, [9; 8], true), "another program's");
        assert!(!answers(&answer[..30], 0, id, true) && !answers(&[], 0, id, true), "cut short");
        assert!(answers(&echo(129, id, false), 129, id, false));
        assert!(!answers(&echo(128, id, false), 129, id, false), "the request itself, on loopback");
    }
}
