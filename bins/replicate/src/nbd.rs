//! The volume as an NBD server on a unix socket (the protocol: doc/proto.md of the NBD project): fixed newstyle, simple replies, and
//! flush, FUA, trim and write-zeroes as what they are.

use crate::engine::News;
use crate::sockets::Post;
use hotspare_volume::geometry::{BLOCK, PIECE_BLOCKS};
use hotspare_volume::{Op, Range, What};
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub const REQUEST: u32 = 0x2560_9513;
pub const REPLY: u32 = 0x6744_6698;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// Bytes of a piece of a request at most.
pub const PIECE: u64 = BLOCK * PIECE_BLOCKS;
/// The longest read or write of data that is taken, in bytes.
pub const DATA_MAX: u32 = 32 << 20;
/// Has flags, flush, FUA, trim, write zeroes, several connections.
pub const FLAGS: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 8;
/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 16;
/// Bytes of the head of a request.
pub const HEAD: usize = 28;
/// How long a greeting may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The smallest, the best and the largest request.
const SIZES: [u32; 3] = [512, 65536, DATA_MAX];

/// Who may be greeted, and where to say that somebody was.
pub struct Door {
    pub size: Arc<AtomicU64>,
    /// Requests are taken.
    pub serving: Arc<AtomicBool>,
    pub post: Post<News>,
}

/// Greets whoever connects, until the program ends.
pub fn listen(listener: UnixListener, door: Arc<Door>) {
    for stream in listener.incoming().flatten() {
        let door = door.clone();
        let spawned = std::thread::Builder::new().name("nbd".into()).spawn(move || {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            match greet(&mut &stream, door.size.load(Ordering::Acquire), door.serving.load(Ordering::Acquire)) {
                Ok(true) => drop(door.post.send(News::Client { stream })),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => tracing::info!("an NBD connection ended: {error}"),
            }
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread for an NBD connection: {error}");
        }
    }
}

pub fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

pub fn take<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Greets whoever has called and haggles; false: the client went away in peace.
///
/// # Errors
/// If it is no NBD client, or a client of a kind that is not served.
pub fn greet(wire: &mut &UnixStream, size: u64, serving: bool) -> io::Result<bool> {
    wire.write_all(b"NBDMAGICIHAVEOPT")?;
    wire.write_all(&(1_u16 | 2).to_be_bytes())?;
    let client = u32::from_be_bytes(take(wire)?);
    if client & 1 == 0 {
        return Err(bad("this NBD client is too old: it does not speak the fixed newstyle"));
    }
    loop {
        if take::<8>(wire)? != *b"IHAVEOPT" {
            return Err(bad("this is no NBD client"));
        }
        let [option, length] = [u32::from_be_bytes(take(wire)?), u32::from_be_bytes(take(wire)?)];
        if length > 4096 {
            return Err(bad("an NBD option is too long"));
        }
        let mut data = vec![0; length as usize];
        wire.read_exact(&mut data)?;
        match option {
            1 if !serving => return Err(bad("the volume is not served on this node")),
            1 => {
                wire.write_all(&size.to_be_bytes())?;
                wire.write_all(&FLAGS.to_be_bytes())?;
                if client & 2 == 0 {
                    wire.write_all(&[0; 124])?;
                }
                return Ok(true);
            }
            2 => {
                option_reply(wire, option, 1, &[])?;
                return Ok(false);
            }
            3 => {
                option_reply(wire, option, 2, &[0; 4])?;
                option_reply(wire, option, 1, &[])?;
            }
            6 | 7 if !serving => option_reply(wire, option, 0x8000_0006, b"the volume is not served on this node")?,
            6 | 7 => {
                let export = [&[0, 0], size.to_be_bytes().as_slice(), &FLAGS.to_be_bytes()].concat();
                option_reply(wire, option, 3, &export)?;
                let sizes: Vec<u8> =
                    [0, 3].into_iter().chain(SIZES.iter().flat_map(|size| size.to_be_bytes())).collect();
                option_reply(wire, option, 3, &sizes)?;
                option_reply(wire, option, 1, &[])?;
                if option == 7 {
                    return Ok(true);
                }
            }
            _ => option_reply(wire, option, 0x8000_0001, &[])?,
        }
    }
}

/// Greets as a client; the size of what is served.
///
/// # Errors
/// If it is no server, or serves nothing at the moment.
pub fn join(wire: &mut &UnixStream) -> io::Result<u64> {
    let greeting: [u8; 18] = take(wire)?;
    if greeting[..16] != *b"NBDMAGICIHAVEOPT" {
        return Err(bad("this is no NBD server"));
    }
    let flags = 1_u32 | 2; // fixed newstyle, no zeros
    let [flags, go, length] = [flags, 7, 6].map(u32::to_be_bytes);
    wire.write_all(&[flags.as_slice(), b"IHAVEOPT", &go, &length, &[0; 6]].concat())?;
    let mut size = None;
    loop {
        let head: [u8; 20] = take(wire)?;
        let word = |at: usize| u32::from_be_bytes(*head[at..].first_chunk().expect("four bytes of it"));
        if head[..8] != OPTION_REPLY.to_be_bytes() || word(16) > 4096 {
            return Err(bad("an NBD server's answer makes no sense"));
        }
        let mut data = vec![0; word(16) as usize];
        wire.read_exact(&mut data)?;
        match (word(12), size) {
            (1, Some(size)) => return Ok(size),
            (3, _) if data.starts_with(&[0, 0]) => {
                size = data.get(2..).and_then(|rest| rest.first_chunk()).map(|size| u64::from_be_bytes(*size));
            }
            (3, _) => {}
            _ => return Err(bad(String::from_utf8_lossy(&data))),
        }
    }
}

fn option_reply(wire: &mut &UnixStream, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len()).expect("short");
    let words = [option, kind, length].map(u32::to_be_bytes).concat();
    wire.write_all(&[OPTION_REPLY.to_be_bytes().as_slice(), &words, data].concat())
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub handle: u64,
    /// `None`: something that is not known, and is answered with an error.
    pub op: Option<Op>,
    pub range: Range,
}

impl Asked {
    /// Bytes that come with it.
    pub fn data(&self) -> u64 {
        if matches!(self.op, Some(Op::Write { what: What::Data, .. })) { self.range.len } else { 0 }
    }

    /// Bytes of memory that it takes until it is answered.
    pub fn weight(&self) -> u64 {
        if self.op == Some(Op::Read) { self.range.len } else { self.data() }
    }

    /// What it is for the engine.
    pub fn pieces(&self) -> Vec<Range> {
        if self.op == Some(Op::Flush) { vec![Range { at: 0, len: 0 }] } else { cut(self.range) }
    }
}

/// Reads the head of a request; `None`: the client says goodbye.
///
/// # Errors
/// If it is none, or too long.
pub fn asked(head: &[u8; HEAD]) -> io::Result<Option<Asked>> {
    let word = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().expect("eight"));
    if u32::from_be_bytes(head[..4].try_into().expect("four")) != REQUEST {
        return Err(bad("an NBD request has no magic"));
    }
    let [flags, kind] = [4, 6].map(|at| u16::from_be_bytes([head[at], head[at + 1]]));
    let (handle, at, length) = (word(8), word(16), u32::from_be_bytes(head[24..].try_into().expect("four")));
    let durable = flags & 1 != 0;
    let write = |what| Some(Op::Write { what, durable });
    let op = match kind {
        0 => Some(Op::Read),
        1 => write(What::Data),
        2 => return Ok(None),
        3 => Some(Op::Flush),
        4 => write(What::Discard),
        6 => write(What::Zeroes),
        _ => None,
    };
    let asked = Asked { handle, op, range: Range { at, len: u64::from(length) } };
    if asked.weight() > u64::from(DATA_MAX) {
        return Err(bad(format!("an NBD request is for {length} bytes, more than {DATA_MAX}")));
    }
    Ok(Some(asked))
}

/// The head of an answer.
pub fn answer(handle: u64, failed: bool) -> [u8; 16] {
    let error: u32 = if failed { 5 } else { 0 };
    let mut head = [0; 16];
    head[..4].copy_from_slice(&REPLY.to_be_bytes());
    head[4..8].copy_from_slice(&error.to_be_bytes());
    head[8..].copy_from_slice(&handle.to_be_bytes());
    head
}

/// Cuts a long range into pieces.
fn cut(range: Range) -> Vec<Range> {
    let Some(end) = range.at.checked_add(range.len) else { return vec![range] }; // refused as it is
    let starts = (range.at..end).step_by(usize::try_from(PIECE).expect("small"));
    starts.map(|at| Range { at, len: PIECE.min(end - at) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_learns_the_size_or_why_it_cannot_have_it() {
        let meet = |serving| {
            let (client, server) = UnixStream::pair().unwrap();
            let greeting = std::thread::spawn(move || greet(&mut &server, 12345, serving));
            let joined = join(&mut &client);
            drop(client);
            (joined, greeting.join().unwrap())
        };
        let (joined, greeted) = meet(true);
        assert_eq!((joined.unwrap(), greeted.unwrap()), (12345, true));
        let (joined, greeted) = meet(false);
        assert_eq!(joined.unwrap_err().to_string(), "the volume is not served on this node");
        assert!(greeted.is_err(), "it waits for another option, and the client is gone");
    }

    #[test]
    fn long_ranges_are_cut_and_none_overflows() {
        let range = |at, len| Range { at, len };
        assert_eq!(cut(range(512, 1024)), [range(512, 1024)]);
        assert_eq!(cut(range(4096, PIECE + 512)), [range(4096, PIECE), range(4096 + PIECE, 512)]);
        assert_eq!(cut(range(0, 0)), []);
        assert_eq!(cut(range(u64::MAX - 5, 100)), [range(u64::MAX - 5, 100)]);
    }
}
