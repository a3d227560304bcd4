//! Who has the volume open, past the greeting: requests come in, are cut into pieces for the engine, and are answered when all of
//! their pieces have ended. Everything happens in the engine's own loop.

use crate::buffer::{Buffer, Shared};
use crate::nbd::{self, Asked, CONNECTIONS_MAX, HEAD, bad};
use crate::sockets::{Inbox, Outbox, Poll, read_some};
use hotspare_volume::{Op, Range};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::net::UnixStream;

/// Requests of one client that are under way, and their bytes; further ones are read when one of these has ended.
const DEPTH: usize = 256;
const BYTES_MAX: u64 = 64 << 20;

/// A piece of a request.
pub struct Piece {
    pub op: Op,
    pub range: Range,
    /// What is to be written, or what was read.
    pub bytes: Option<Shared>,
    whole: u64,
    place: usize,
}

/// A request, whose pieces end one by one.
struct Whole {
    client: u64,
    handle: u64,
    weight: u64,
    reads: bool,
    left: usize,
    failed: bool,
    pieces: Vec<Option<Shared>>,
}

/// A request whose data is on its way in.
struct Filling {
    whole: u64,
    op: Op,
    pieces: Vec<Range>,
    place: usize,
    buffer: Buffer,
    filled: usize,
}

struct Client {
    stream: UnixStream,
    inbox: Inbox,
    filling: Option<Filling>,
    out: Outbox,
    under_way: usize,
    weight: u64,
    /// More may have come than there was room for.
    stalled: bool,
    /// What is waited for: something to read, room to write.
    interest: (bool, bool),
}

impl Client {
    fn has_room(&self) -> bool {
        // Whoever does not listen to answers is not asked for more.
        self.under_way < DEPTH && self.weight + (self.out.waiting() as u64) < BYTES_MAX
    }
}

#[derive(Default)]
pub struct Clients {
    open: BTreeMap<u64, Client>,
    wholes: HashMap<u64, Whole>,
    next: u64,
}

impl Clients {
    /// Takes in a client that was greeted; `number` is what it is waited for with.
    ///
    /// # Errors
    /// If there are too many already, or it cannot be waited for.
    pub fn add(&mut self, number: u64, stream: UnixStream, poll: &Poll) -> io::Result<()> {
        if self.open.len() >= CONNECTIONS_MAX {
            return Err(bad(format!("there are {CONNECTIONS_MAX} NBD connections already")));
        }
        stream.set_nonblocking(true)?;
        poll.add(&stream, number)?;
        let (inbox, out) = (Inbox::new(), Outbox::default());
        let (filling, interest) = (None, (true, false));
        let client = Client { stream, inbox, filling, out, under_way: 0, weight: 0, stalled: false, interest };
        self.open.insert(number, client);
        Ok(())
    }

    /// Everybody is hung up on.
    pub fn hang_up(&mut self) {
        self.open.clear();
        self.wholes.clear();
    }

    /// Takes in what client `number` has sent: its requests, in pieces.
    pub fn read(&mut self, number: u64, pieces: &mut Vec<Piece>) {
        if let Err(error) = self.take_in(number, pieces) {
            if error.kind() != io::ErrorKind::UnexpectedEof {
                tracing::info!("an NBD connection ended: {error}");
            }
            self.open.remove(&number);
        }
    }

    /// Those that have sent more than there was room for, and now there is.
    pub fn hungry(&self) -> Vec<u64> {
        let waits = |client: &Client| client.stalled && client.has_room();
        self.open.iter().filter(|(_, client)| waits(client)).map(|(number, _)| *number).collect()
    }

    fn take_in(&mut self, number: u64, pieces: &mut Vec<Piece>) -> io::Result<()> {
        let Some(client) = self.open.get_mut(&number) else { return Ok(()) };
        let mut more = true;
        client.stalled = false;
        loop {
            if let Some(filling) = &mut client.filling {
                if !fill(filling, &mut client.inbox, &mut client.stream, pieces)? {
                    return Ok(());
                }
                client.filling = None;
            }
            while let Some(head) = client.inbox.rest().first_chunk::<HEAD>().filter(|_| client.has_room()) {
                let asked = nbd::asked(head)?.ok_or(io::ErrorKind::UnexpectedEof)?;
                client.inbox.skip(HEAD);
                let Some(op) = asked.op.filter(|_| !asked.pieces().is_empty()) else {
                    client.out.end().extend(nbd::answer(asked.handle, true)); // nothing that could be done
                    continue;
                };
                (client.under_way, client.weight) = (client.under_way + 1, client.weight + asked.weight());
                self.next += 1;
                self.wholes.insert(self.next, Whole::new(number, &asked));
                client.filling = begin(self.next, (op, &asked), pieces);
                if client.filling.is_some() {
                    break;
                }
            }
            if client.filling.is_some() {
                continue;
            }
            client.stalled = !client.has_room();
            if !more || client.stalled {
                return Ok(());
            }
            more = client.inbox.fill(&mut client.stream)?;
        }
    }

    /// A piece has ended.
    pub fn complete(&mut self, piece: Piece, ok: bool) {
        let Some(whole) = self.wholes.get_mut(&piece.whole) else { return };
        whole.failed |= !ok || (whole.reads && piece.bytes.is_none());
        if whole.reads {
            whole.pieces[piece.place] = piece.bytes;
        }
        whole.left -= 1;
        if whole.left > 0 {
            return;
        }
        let Some(whole) = self.wholes.remove(&piece.whole) else { return };
        let Some(client) = self.open.get_mut(&whole.client) else { return };
        (client.under_way, client.weight) = (client.under_way - 1, client.weight - whole.weight);
        // An error comes without data, which the client would take for the next answer.
        client.out.end().extend(nbd::answer(whole.handle, whole.failed));
        if !whole.failed {
            whole.pieces.into_iter().flatten().for_each(|bytes| client.out.share(bytes));
        }
    }

    /// Lets go what goes, and waits for the right things of each client.
    pub fn flush(&mut self, poll: &Poll) {
        self.open.retain(|number, client| {
            let wants = |client: &Client| (client.has_room() || client.filling.is_some(), !client.out.is_empty());
            let flushed = client.out.flush(&mut client.stream).and_then(|()| {
                let wants = wants(client);
                if wants != client.interest {
                    client.interest = wants;
                    poll.change(&client.stream, *number, wants)?;
                }
                Ok(())
            });
            flushed.is_ok() // who is gone wants no answer
        });
    }
}

impl Whole {
    fn new(client: u64, asked: &Asked) -> Whole {
        let (reads, count) = (asked.op == Some(Op::Read), asked.pieces().len());
        let pieces = if reads { vec![None; count] } else { Vec::new() };
        Whole { client, handle: asked.handle, weight: asked.weight(), reads, left: count, failed: false, pieces }
    }
}

/// The pieces of a request without data; one with data has to be filled first.
fn begin(whole: u64, (op, asked): (Op, &Asked), pieces: &mut Vec<Piece>) -> Option<Filling> {
    let ranges = asked.pieces();
    if asked.data() > 0 {
        let buffer = Buffer::new(usize::try_from(ranges[0].len).expect("a piece"));
        return Some(Filling { whole, op, pieces: ranges, place: 0, buffer, filled: 0 });
    }
    let piece = |(place, range)| Piece { op, range, bytes: None, whole, place };
    pieces.extend(ranges.into_iter().enumerate().map(piece));
    None
}

/// Goes on with a request's data; false: not all of it is there.
fn fill(
    filling: &mut Filling,
    inbox: &mut Inbox,
    stream: &mut UnixStream,
    pieces: &mut Vec<Piece>,
) -> io::Result<bool> {
    loop {
        let place = &mut filling.buffer.bytes_mut()[filling.filled..];
        let length = if inbox.rest().is_empty() {
            // What is missing goes where it belongs without another copy.
            let Some(length) = read_some(stream, place)? else { return Ok(false) };
            length
        } else {
            let length = place.len().min(inbox.rest().len());
            place[..length].copy_from_slice(&inbox.rest()[..length]);
            inbox.skip(length);
            length
        };
        filling.filled += length;
        if filling.filled < filling.buffer.bytes().len() {
            continue;
        }
        let next = filling.pieces.get(filling.place + 1);
        let fresh = Buffer::new(next.map_or(0, |range| usize::try_from(range.len).expect("a piece")));
        let bytes = std::mem::replace(&mut filling.buffer, fresh);
        let (range, place) = (filling.pieces[filling.place], filling.place);
        let (op, whole) = (filling.op, filling.whole);
        pieces.push(Piece { op, range, bytes: Some(Shared::new(bytes)), whole, place });
        if next.is_none() {
            return Ok(true);
        }
        (filling.place, filling.filled) = (filling.place + 1, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_volume::What;
    use std::io::{Read, Write};

    const NUMBER: u64 = 7;
    /// Several pieces, the last of them not a whole one.
    const LONG: u32 = 5 * (nbd::PIECE as u32) / 2 + 512;

    fn request(kind: u16, handle: u64, (at, length): (u64, u32), data: &[u8]) -> Vec<u8> {
        let head =
            [nbd::REQUEST.to_be_bytes().as_slice(), &[0, 0], &kind.to_be_bytes(), &handle.to_be_bytes()].concat();
        [head.as_slice(), &at.to_be_bytes(), &length.to_be_bytes(), data].concat()
    }

    struct Bench {
        clients: Clients,
        poll: Poll,
        theirs: UnixStream,
        pieces: Vec<Piece>,
    }

    impl Bench {
        fn new() -> Bench {
            let (theirs, ours) = UnixStream::pair().unwrap();
            let (poll, ..) = Poll::new::<()>().unwrap();
            let mut clients = Clients::default();
            clients.add(NUMBER, ours, &poll).unwrap();
            Bench { clients, poll, theirs, pieces: Vec::new() }
        }

        fn ask(&mut self, bytes: &[u8]) {
            self.theirs.write_all(bytes).unwrap();
            self.clients.read(NUMBER, &mut self.pieces);
        }

        fn hear(&mut self, length: usize) -> Vec<u8> {
            self.clients.flush(&self.poll);
            let mut bytes = vec![0; length];
            self.theirs.read_exact(&mut bytes).unwrap();
            bytes
        }
    }

    #[test]
    fn a_request_is_whole_however_it_comes_in_and_is_answered_when_all_of_it_has_ended() {
        let mut bench = Bench::new();
        let data: Vec<u8> = (0..LONG).map(|at| at.to_le_bytes()[1]).collect();
        let asked = [request(1, 1, (4096, LONG), &data), request(3, 2, (0, 0), &[])].concat();
        for part in asked.chunks(70_001) {
            bench.ask(part);
        }
        let ranges: Vec<(u64, u64)> = bench.pieces.iter().map(|piece| (piece.range.at, piece.range.len)).collect();
        let flush = bench.pieces.pop().unwrap();
        assert_eq!((flush.op, ranges.last()), (Op::Flush, Some(&(0, 0))));
        assert_eq!(ranges[..ranges.len() - 1].iter().map(|(_, len)| len).sum::<u64>(), u64::from(LONG));
        let came: Vec<u8> =
            bench.pieces.iter().flat_map(|piece| piece.bytes.as_ref().unwrap().bytes().to_vec()).collect();
        assert!(came == data && ranges.len() > 2);
        bench.clients.complete(flush, true);
        assert_eq!(bench.hear(16), nbd::answer(2, false), "whoever has ended first is answered first");
        let pieces = std::mem::take(&mut bench.pieces);
        for (n, piece) in pieces.into_iter().enumerate() {
            bench.clients.complete(piece, n != 0);
        }
        assert_eq!(bench.hear(16), nbd::answer(1, true), "one piece has failed");
    }

    #[test]
    fn a_read_is_answered_in_order_and_with_an_error_alone_if_any_of_it_is_missing() {
        for missing in [false, true] {
            let mut bench = Bench::new();
            let length = LONG;
            bench.ask(&request(0, 9, (0, length), &[]));
            let mut expected = nbd::answer(9, missing).to_vec();
            let pieces = std::mem::take(&mut bench.pieces);
            assert!(pieces.len() > 2);
            for piece in &pieces {
                let bytes = vec![u8::try_from(piece.place).unwrap(); usize::try_from(piece.range.len).unwrap()];
                expected.extend(bytes.iter().filter(|_| !missing));
            }
            for mut piece in pieces.into_iter().rev() {
                let bytes = vec![u8::try_from(piece.place).unwrap(); usize::try_from(piece.range.len).unwrap()];
                piece.bytes = (!missing || piece.place != 1).then(|| Shared::new(Buffer::from(bytes.as_slice())));
                bench.clients.complete(piece, true);
            }
            let mut said = bench.hear(16);
            let theirs = bench.theirs.try_clone().unwrap();
            theirs.set_nonblocking(true).unwrap();
            while said.len() < expected.len() {
                bench.clients.flush(&bench.poll);
                let mut part = vec![0; 100_000];
                let length = bench.theirs.read(&mut part).unwrap();
                said.extend(&part[..length]);
            }
            assert!(said == expected);
            assert!(bench.theirs.read(&mut [0]).is_err(), "nothing that would be taken for the next answer");
        }
    }

    #[test]
    fn who_asks_for_too_much_at_a_time_waits_and_goes_on_when_there_is_room() {
        let mut bench = Bench::new();
        for handle in 0..DEPTH as u64 + 10 {
            bench.ask(&request(0, handle, (0, 512), &[]));
        }
        assert_eq!(bench.pieces.len(), DEPTH);
        bench.clients.flush(&bench.poll);
        assert!(bench.clients.hungry().is_empty());
        for mut piece in bench.pieces.drain(..5).collect::<Vec<_>>() {
            piece.bytes = Some(Shared::new(Buffer::new(512)));
            bench.clients.complete(piece, true);
        }
        assert_eq!(bench.clients.hungry(), [NUMBER]);
        bench.clients.read(NUMBER, &mut bench.pieces);
        assert_eq!(bench.pieces.len(), DEPTH);
    }

    #[test]
    fn who_does_not_listen_to_answers_is_not_asked_for_more() {
        let mut bench = Bench::new();
        let mut answered = 0_u64;
        for handle in 0..200 {
            bench.ask(&request(0, handle, (0, 1 << 20), &[]));
            for mut piece in std::mem::take(&mut bench.pieces) {
                piece.bytes = Some(Shared::new(Buffer::new(1 << 20)));
                bench.clients.complete(piece, true);
                answered += 1;
            }
            bench.clients.flush(&bench.poll);
        }
        assert!((60..70).contains(&answered), "{answered} MiB are kept for it");
        assert!(bench.clients.hungry().is_empty());
        bench.theirs.set_nonblocking(true).unwrap();
        while bench.clients.hungry().is_empty() {
            assert!(bench.theirs.read(&mut vec![0; 1 << 20]).unwrap() > 0);
            bench.clients.flush(&bench.poll);
        }
        bench.clients.read(NUMBER, &mut bench.pieces);
        assert!(!bench.pieces.is_empty(), "it goes on when it listens");
    }

    #[test]
    fn what_makes_no_sense_is_refused_or_hung_up_on() {
        let mut bench = Bench::new();
        bench.ask(&request(99, 1, (0, 512), &[]));
        bench.ask(&request(1, 2, (0, 0), &[]));
        assert!(bench.pieces.is_empty());
        assert_eq!(bench.hear(32), [nbd::answer(1, true), nbd::answer(2, true)].concat());
        bench.ask(&request(4, 3, (1 << 40, u32::MAX), &[]));
        let discarded = bench.pieces.iter().filter(|piece| matches!(piece.op, Op::Write { what: What::Discard, .. }));
        assert_eq!(discarded.map(|piece| piece.range.len).sum::<u64>(), u64::from(u32::MAX));
        bench.ask(&[7; HEAD]);
        assert!(bench.clients.open.is_empty());
        let mut bench = Bench::new();
        bench.ask(&request(1, 1, (0, nbd::DATA_MAX + 1), &[]));
        assert!(bench.clients.open.is_empty() && bench.pieces.is_empty());
        let (theirs, ours) = UnixStream::pair().unwrap();
        for number in 0..CONNECTIONS_MAX as u64 {
            bench.clients.add(number + 10, ours.try_clone().unwrap(), &bench.poll).unwrap();
        }
        assert!(bench.clients.add(99, theirs, &bench.poll).is_err());
    }
}
