//! The kernel's NBD client, asked by generic netlink (linux/nbd-netlink.h): a block device whose other end is a socket of ours.

use crate::nbd::FLAGS;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

const HEADER: usize = 16; // struct nlmsghdr
const GENERIC: usize = 4; // struct genlmsghdr
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NBD_CMD_CONNECT: u8 = 1;
const NBD_CMD_DISCONNECT: u8 = 2;
const NBD_CMD_RECONFIGURE: u8 = 3;
const NBD_ATTR_INDEX: u16 = 1;
const NBD_ATTR_SIZE_BYTES: u16 = 2;
const NBD_ATTR_BLOCK_SIZE_BYTES: u16 = 3;
const NBD_ATTR_TIMEOUT: u16 = 4;
const NBD_ATTR_SERVER_FLAGS: u16 = 5;
const NBD_ATTR_CLIENT_FLAGS: u16 = 6;
const NBD_ATTR_SOCKETS: u16 = 7;
const NBD_ATTR_BACKEND_IDENTIFIER: u16 = 10;
const NBD_SOCK_ITEM: u16 = 1;
const NBD_SOCK_FD: u16 = 1;
const NESTED: u16 = 0x8000;
/// The device is gone with its connection, when its last user has closed it.
const DESTROY_ON_DISCONNECT: u64 = 1;
/// The smallest request, in bytes: a file system that was made on a disk with small sectors goes on to work.
const BLOCK: u64 = 512;

/// Attributes: a kind and its bytes each.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = attributes;
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let [length, found] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_ne_bytes);
        let length = usize::from(length);
        let value = rest.get(4..length)?;
        if found & !NESTED == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// Asks `family` to do `command`; the attributes of the answer, if it is more than "done".
fn ask(family: u16, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let length = u32::try_from(HEADER + GENERIC + attributes.len()).expect("short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([family.to_ne_bytes(), (REQUEST | ACK).to_ne_bytes()].concat());
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(attributes);
    socket.send(&bytes, 0)?;
    let mut answer = Vec::new();
    loop {
        let (buffer, _) = socket.recv_from_full()?;
        let mut rest = buffer.as_slice();
        while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
            let length = u32::from_ne_bytes(*header.first_chunk().expect("longer")) as usize;
            let Some(body) = rest.get(HEADER..length) else { return Err(io::ErrorKind::InvalidData.into()) };
            if u16::from_ne_bytes([header[4], header[5]]) == NLMSG_ERROR {
                let code = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                return if code == 0 { Ok(answer) } else { Err(io::Error::from_raw_os_error(-code)) };
            }
            answer = body.get(GENERIC..).unwrap_or_default().to_vec();
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn family() -> io::Result<u16> {
    let answer = ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &attribute(CTRL_ATTR_FAMILY_NAME, b"nbd\0"))?;
    let id = find(&answer, CTRL_ATTR_FAMILY_ID).and_then(|id| id.first_chunk());
    id.map(|id| u16::from_ne_bytes(*id)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Makes a device of `size` bytes, whose requests come over the socket; its number. It is known by `identifier`, as long as it is there.
///
/// # Errors
/// If the kernel has no NBD client, or refuses.
pub fn connect(identifier: &str, size: u64) -> io::Result<(u32, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let fd = u32::try_from(theirs.as_raw_fd()).map_err(io::Error::other)?;
    let item = attribute(NBD_SOCK_ITEM | NESTED, &attribute(NBD_SOCK_FD, &fd.to_ne_bytes()));
    let attributes = [
        attribute(NBD_ATTR_SIZE_BYTES, &size.to_ne_bytes()),
        attribute(NBD_ATTR_BLOCK_SIZE_BYTES, &BLOCK.to_ne_bytes()),
        attribute(NBD_ATTR_TIMEOUT, &0_u64.to_ne_bytes()), // requests wait: this program never loses one
        attribute(NBD_ATTR_SERVER_FLAGS, &u64::from(FLAGS).to_ne_bytes()),
        attribute(NBD_ATTR_CLIENT_FLAGS, &DESTROY_ON_DISCONNECT.to_ne_bytes()),
        attribute(NBD_ATTR_SOCKETS | NESTED, &item),
        attribute(NBD_ATTR_BACKEND_IDENTIFIER, format!("{identifier}\0").as_bytes()),
    ];
    let answer = ask(family()?, NBD_CMD_CONNECT, &attributes.concat())?;
    let index = find(&answer, NBD_ATTR_INDEX).and_then(|index| index.first_chunk());
    Ok((index.map(|index| u32::from_ne_bytes(*index)).ok_or(io::ErrorKind::InvalidData)?, ours))
}

/// It has `size` bytes from now on; the kernel tells udev.
///
/// # Errors
/// If the kernel refuses.
pub fn resize(index: u32, identifier: &str, size: u64) -> io::Result<()> {
    let attributes = [
        attribute(NBD_ATTR_INDEX, &index.to_ne_bytes()),
        attribute(NBD_ATTR_SIZE_BYTES, &size.to_ne_bytes()),
        attribute(NBD_ATTR_BACKEND_IDENTIFIER, format!("{identifier}\0").as_bytes()),
    ];
    ask(family()?, NBD_CMD_RECONFIGURE, &attributes.concat()).map(drop)
}

/// Ends it: what is under way fails, and so does what comes later.
///
/// # Errors
/// If the kernel refuses.
pub fn disconnect(index: u32) -> io::Result<()> {
    ask(family()?, NBD_CMD_DISCONNECT, &attribute(NBD_ATTR_INDEX, &index.to_ne_bytes())).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_nested_and_found_again() {
        let inner = attribute(NBD_SOCK_FD, &7_u32.to_ne_bytes());
        let all = [attribute(9, b"abc"), attribute(NBD_ATTR_SOCKETS | NESTED, &inner), attribute(3, &[])].concat();
        assert_eq!(all.len() % 4, 0);
        assert_eq!(find(&all, 9), Some(b"abc".as_slice()));
        assert_eq!(
            find(&all, NBD_ATTR_SOCKETS).and_then(|nested| find(nested, NBD_SOCK_FD)),
            Some(7_u32.to_ne_bytes().as_slice())
        );
        assert_eq!(find(&all, 3), Some([].as_slice()));
        assert_eq!(find(&all, 4), None);
        assert_eq!(find(&[255, 0, 1, 0], 1), None, "longer than what is there");
    }
}
