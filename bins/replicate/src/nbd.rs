//! The volume as an NBD server on a unix socket (the protocol: doc/proto.md of the NBD project): fixed newstyle, simple replies, and
//! flush, FUA, trim and write-zeroes as what they are.

use crate::buffer::{Buffer, Shared};
use crate::engine::News;
use hotspare_volume::geometry::{BLOCK, PIECE_BLOCKS};
use hotspare_volume::{Op, Range, What};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

pub const REQUEST: u32 = 0x2560_9513;
pub const REPLY: u32 = 0x6744_6698;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const PIECE: u64 = BLOCK * PIECE_BLOCKS;
/// The longest read or write of data that is taken, in bytes.
pub const DATA_MAX: u32 = 32 << 20;
/// Has flags, flush, FUA, trim, write zeroes, several connections.
pub const FLAGS: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 8;
/// Requests of one connection that are under way, and their bytes; further ones are read when one of these has ended.
const DEPTH: usize = 256;
const BYTES_MAX: u64 = 64 << 20;
/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 16;
/// The smallest, the best and the largest request.
const SIZES: [u32; 3] = [512, 65536, DATA_MAX];

/// What every connection needs to know.
pub struct Server {
    pub size: u64,
    /// Requests are taken.
    pub serving: AtomicBool,
    pub news: Sender<News>,
    pub next: AtomicU64,
    /// Open connections, to be hung up on when the role goes.
    pub open: Mutex<BTreeMap<u64, UnixStream>>,
}

/// A piece of a request, as the engine has it.
pub struct Piece {
    pub op: Op,
    pub range: Range,
    /// What is to be written, or what was read.
    pub bytes: Option<Shared>,
    whole: Arc<Whole>,
    place: usize,
}

/// What a connection may still take in.
#[derive(Default)]
struct Room {
    taken: Mutex<(usize, u64)>,
    left: Condvar,
}

impl Room {
    /// Waits until there is room for one more request of so many bytes.
    fn enter(&self, bytes: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.0 >= DEPTH || (taken.0 > 0 && taken.1 + bytes > BYTES_MAX) {
            taken = self.left.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = (taken.0 + 1, taken.1 + bytes);
    }

    fn leave(&self, bytes: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = (taken.0 - 1, taken.1 - bytes);
        self.left.notify_one();
    }
}

/// A request, whose pieces end one by one.
struct Whole {
    handle: u64,
    /// What it takes of the room of its connection.
    bytes: u64,
    reads: bool,
    left: AtomicUsize,
    failed: AtomicBool,
    pieces: Mutex<Vec<Option<Shared>>>,
    replies: SyncSender<Arc<Whole>>,
}

impl Piece {
    /// This piece has ended. The reply goes out with the last one.
    pub fn end(self, ok: bool) {
        if !ok || (self.whole.reads && self.bytes.is_none()) {
            self.whole.failed.store(true, Ordering::Relaxed);
        }
        if self.whole.reads {
            self.whole.pieces.lock().unwrap_or_else(PoisonError::into_inner)[self.place] = self.bytes;
        }
        if self.whole.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let replies = self.whole.replies.clone();
            let _ = replies.try_send(self.whole); // room for all that are under way; a connection that is gone wants none
        }
    }
}

/// Takes connections until the program ends.
pub fn listen(listener: UnixListener, server: Arc<Server>) {
    for stream in listener.incoming().flatten() {
        let server = server.clone();
        let spawned = std::thread::Builder::new().name("nbd".into()).spawn(move || {
            if let Err(error) = serve(&stream, &server)
                && error.kind() != io::ErrorKind::UnexpectedEof
            {
                tracing::info!("an NBD connection ended: {error}");
            }
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread for an NBD connection: {error}");
        }
    }
}

impl Server {
    /// Every connection ends: what is under way was answered.
    pub fn hang_up(&self) {
        self.serving.store(false, Ordering::Release);
        for stream in std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner)).values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
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

fn serve(stream: &UnixStream, server: &Arc<Server>) -> io::Result<()> {
    let mut wire = stream;
    if !greet(&mut wire, server.size, server.serving.load(Ordering::Acquire))? {
        return Ok(());
    }
    let id = server.next.fetch_add(1, Ordering::Relaxed);
    {
        let mut open = server.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= CONNECTIONS_MAX {
            return Err(bad(format!("there are {CONNECTIONS_MAX} NBD connections already")));
        }
        open.insert(id, stream.try_clone()?);
    }
    let ended = transmit(stream, server);
    server.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    ended
}

/// Requests and replies, until the client is gone.
fn transmit(stream: &UnixStream, server: &Arc<Server>) -> io::Result<()> {
    let (replies, ended) = sync_channel::<Arc<Whole>>(DEPTH);
    let mut back = stream.try_clone()?;
    let room = Arc::new(Room::default());
    let freed = room.clone();
    std::thread::Builder::new().name("nbd-replies".into()).spawn(move || {
        for whole in ended {
            let gone = reply(&mut back, &whole).is_err();
            freed.leave(whole.bytes);
            if gone {
                let _ = back.shutdown(std::net::Shutdown::Both);
            }
        }
    })?;
    let mut wire = io::BufReader::with_capacity(128 << 10, stream);
    while request(&mut wire, server, (&room, &replies))? {}
    Ok(())
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

/// Reads one request and hands it to the engine; false: the client says goodbye.
fn request(
    wire: &mut impl Read,
    server: &Server,
    (room, replies): (&Room, &SyncSender<Arc<Whole>>),
) -> io::Result<bool> {
    let head: [u8; 28] = take(wire)?;
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
        2 => return Ok(false),
        3 => Some(Op::Flush),
        4 => write(What::Discard),
        6 => write(What::Zeroes),
        _ => None,
    };
    let data = matches!(op, Some(Op::Write { what: What::Data, .. }));
    if (data || op == Some(Op::Read)) && length > DATA_MAX {
        return Err(bad(format!("an NBD request is for {length} bytes, more than {DATA_MAX}")));
    }
    let bytes = if data || op == Some(Op::Read) { u64::from(length) } else { 0 };
    room.enter(bytes);
    let whole_range = Range { at, len: u64::from(length) };
    let pieces = if op == Some(Op::Flush) { vec![Range { at: 0, len: 0 }] } else { cut(whole_range) };
    let count = pieces.len().max(1);
    let whole = Arc::new(Whole {
        handle,
        bytes,
        reads: op == Some(Op::Read),
        left: AtomicUsize::new(count),
        failed: AtomicBool::new(false),
        pieces: Mutex::new(vec![None; count]),
        replies: replies.clone(),
    });
    for (place, range) in pieces.iter().copied().enumerate() {
        let mut bytes = None;
        if data {
            let mut buffer = Buffer::new(usize::try_from(range.len).expect("a piece"));
            wire.read_exact(buffer.bytes_mut())?;
            bytes = Some(Arc::new(buffer));
        }
        let piece = Piece { op: op.unwrap_or(Op::Flush), range, bytes, whole: whole.clone(), place };
        match op {
            Some(_) if server.serving.load(Ordering::Acquire) => {
                let tag = server.next.fetch_add(1, Ordering::Relaxed);
                let _ = server.news.send(News::Request { tag, piece });
            }
            _ => piece.end(false),
        }
    }
    if pieces.is_empty() {
        Piece { op: Op::Flush, range: whole_range, bytes: None, whole, place: 0 }.end(false);
    }
    Ok(true)
}

/// Cuts a long range into pieces.
fn cut(range: Range) -> Vec<Range> {
    let Some(end) = range.at.checked_add(range.len) else { return vec![range] }; // refused as it is
    let starts = (range.at..end).step_by(usize::try_from(PIECE).expect("small"));
    starts.map(|at| Range { at, len: PIECE.min(end - at) }).collect()
}

fn reply(back: &mut UnixStream, whole: &Whole) -> io::Result<()> {
    let failed = whole.failed.load(Ordering::Acquire);
    let error: u32 = if failed { 5 } else { 0 };
    let head = [REPLY.to_be_bytes().as_slice(), &error.to_be_bytes(), &whole.handle.to_be_bytes()].concat();
    let pieces = whole.pieces.lock().unwrap_or_else(PoisonError::into_inner);
    let data = pieces.iter().flatten().filter(|_| whole.reads && !failed);
    let mut slices: Vec<io::IoSlice<'_>> = vec![io::IoSlice::new(&head)];
    slices.extend(data.map(|bytes| io::IoSlice::new(bytes.bytes())));
    let mut slices = slices.as_mut_slice();
    while !slices.is_empty() {
        match back.write_vectored(slices)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => io::IoSlice::advance_slices(&mut slices, written),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of_two_pieces() -> (Vec<Piece>, std::sync::mpsc::Receiver<Arc<Whole>>) {
        let (replies, ended) = sync_channel(1);
        let (left, failed, pieces) = (AtomicUsize::new(2), AtomicBool::new(false), Mutex::new(vec![None; 2]));
        let whole = Arc::new(Whole { handle: 7, bytes: 1024, reads: true, left, failed, pieces, replies });
        let piece = |place: usize| {
            let bytes = Some(Arc::new(Buffer::from([u8::try_from(place).unwrap(); 512].as_slice())));
            Piece { op: Op::Read, range: Range { at: 0, len: 512 }, bytes, whole: whole.clone(), place }
        };
        (vec![piece(0), piece(1)], ended)
    }

    /// What goes over the wire for a request that has ended.
    fn answer(whole: &Whole) -> Vec<u8> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        reply(&mut ours, whole).unwrap();
        drop(ours);
        let mut said = Vec::new();
        theirs.read_to_end(&mut said).unwrap();
        said
    }

    #[test]
    fn a_read_is_answered_when_all_of_it_is_there_in_order_and_with_an_error_if_any_of_it_is_not() {
        let (mut pieces, ended) = read_of_two_pieces();
        pieces.pop().unwrap().end(true);
        assert!(ended.try_recv().is_err(), "half of it");
        pieces.pop().unwrap().end(true);
        let said = answer(&ended.try_recv().unwrap());
        assert_eq!((said.len(), &said[4..8], said[16], said[16 + 512]), (16 + 1024, [0; 4].as_slice(), 0, 1));
        for (ok, lost) in [(false, false), (true, true)] {
            let (mut pieces, ended) = read_of_two_pieces();
            pieces.pop().unwrap().end(true);
            let mut piece = pieces.pop().unwrap();
            if lost {
                piece.bytes = None;
            }
            piece.end(ok);
            let said = answer(&ended.try_recv().unwrap());
            assert_eq!(
                (said.len(), said[7]),
                (16, 5),
                "an error, and no data that the client would take for the next reply"
            );
        }
    }

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
    fn connections_that_have_ended_are_not_counted() {
        let (news, _engine) = std::sync::mpsc::channel();
        let (serving, next) = (AtomicBool::new(true), AtomicU64::new(1));
        let server = Arc::new(Server { size: 1 << 20, serving, news, next, open: Mutex::default() });
        for _ in 0..2 * CONNECTIONS_MAX {
            let (client, ours) = UnixStream::pair().unwrap();
            let serving = server.clone();
            let served = std::thread::spawn(move || serve(&ours, &serving));
            assert_eq!(join(&mut &client).unwrap(), 1 << 20);
            drop(client);
            let _ = served.join().unwrap();
        }
        assert!(server.open.lock().unwrap().is_empty());
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
