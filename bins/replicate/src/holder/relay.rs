//! Requests of one client, kept until they are answered: an engine that dies is replaced, and what it had not answered is asked of
//! the next one. Both sides speak the transmission phase of NBD, so that bytes pass as they are.
//!
//! ```text
//!  kernel or client ----> taken in ----> [kept] ----> engine
//!                  <----- answered once <------------'  (the next engine gets what is kept, in order)
//! ```
//! Asking twice is harmless: the same bytes go to the same place, and who asks has not been told anything yet.

use crate::nbd::{DATA_MAX, REPLY, REQUEST, bad, take};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that are kept for one client; more are read when some of these are answered.
const KEPT_MAX: usize = 64 << 20;
/// What is read at once, in bytes: many small requests, or their answers.
const BUFFER: usize = 128 << 10;
const EIO: u32 = 5;
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;

/// A request, as it came.
#[derive(Clone)]
struct Kept {
    head: [u8; 28],
    data: Arc<Vec<u8>>,
}

impl Kept {
    fn kind(&self) -> u16 {
        u16::from_be_bytes([self.head[6], self.head[7]])
    }

    fn handle(&self) -> [u8; 8] {
        *self.head[8..].first_chunk().expect("eight bytes of it")
    }

    fn length(&self) -> u32 {
        u32::from_be_bytes(*self.head[24..].first_chunk().expect("four bytes of it"))
    }
}

#[derive(Default)]
struct Table {
    next: u64,
    order: BTreeMap<u64, Kept>,
    places: HashMap<[u8; 8], u64>,
    bytes: usize,
    sealed: bool,
}

impl Table {
    fn remove(&mut self, handle: [u8; 8]) -> Option<Kept> {
        let kept = self.order.remove(&self.places.remove(&handle)?)?;
        self.bytes -= kept.data.len();
        Some(kept)
    }
}

/// A client's connection.
pub struct Relay {
    table: Mutex<Table>,
    room: Condvar,
    /// Held while something is sent to the engine, so that the order of what is kept is that of what is sent. Never taken by whoever
    /// reads the answers: the engine may have to be read from before it reads on.
    engine: Mutex<Option<UnixStream>>,
    client: Mutex<UnixStream>,
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// For a client that is at the other end of `client`.
    pub fn new(client: UnixStream) -> Relay {
        Relay { table: Mutex::default(), room: Condvar::new(), engine: Mutex::new(None), client: Mutex::new(client) }
    }

    /// Takes in what the client asks, until it says goodbye or is gone.
    ///
    /// # Errors
    /// If what it says is no NBD, or the connection breaks.
    pub fn take_in(&self, client: &UnixStream) -> io::Result<()> {
        let mut client = io::BufReader::with_capacity(BUFFER, client);
        loop {
            let mut kept = Kept { head: take(&mut client)?, data: Arc::default() };
            if u32::from_be_bytes(*kept.head.first_chunk().expect("four bytes of it")) != REQUEST {
                return Err(bad("an NBD request has no magic"));
            }
            match kept.kind() {
                DISCONNECT => return Ok(()),
                WRITE if kept.length() > DATA_MAX => return Err(bad("an NBD request is too long")),
                WRITE => {
                    let mut data = vec![0; kept.length() as usize];
                    client.read_exact(&mut data)?;
                    kept.data = Arc::new(data);
                }
                _ => {}
            }
            self.ask(kept)?;
        }
    }

    fn ask(&self, kept: Kept) -> io::Result<()> {
        let full = |table: &mut Table| !table.sealed && table.bytes > 0 && table.bytes + kept.data.len() > KEPT_MAX;
        let table = self.room.wait_while(lock(&self.table), full).unwrap_or_else(PoisonError::into_inner);
        drop(table);
        let mut engine = lock(&self.engine);
        let mut table = lock(&self.table);
        if table.sealed {
            drop(table);
            return self.answer(kept.handle(), EIO, &[]);
        }
        let place = table.next;
        if table.places.insert(kept.handle(), place).is_some() {
            return Err(bad("an NBD client uses a handle twice"));
        }
        table.next += 1;
        table.bytes += kept.data.len();
        table.order.insert(place, kept.clone());
        drop(table);
        if engine.as_mut().is_some_and(|engine| send(engine, &kept).is_err()) {
            *engine = None; // what is kept goes to the next one
        }
        Ok(())
    }

    fn answer(&self, handle: [u8; 8], error: u32, data: &[u8]) -> io::Result<()> {
        let head = [REPLY.to_be_bytes().as_slice(), &error.to_be_bytes(), &handle].concat();
        write_both(&mut lock(&self.client), &head, data)
    }

    /// Passes the engine's answers on, until it is gone.
    ///
    /// # Errors
    /// If the client is gone, or the engine's answer is none.
    pub fn pass_on(&self, engine: &UnixStream) -> io::Result<()> {
        let mut engine = io::BufReader::with_capacity(BUFFER, engine);
        loop {
            let Ok(head) = take::<16>(&mut engine) else { return Ok(()) };
            let word = |at: usize| u32::from_be_bytes(*head[at..].first_chunk().expect("four bytes of it"));
            let handle = *head[8..].first_chunk().expect("eight bytes of it");
            if word(0) != REPLY {
                return Err(bad("the engine's answer has no magic"));
            }
            let reads = {
                let table = lock(&self.table);
                let kept = table.places.get(&handle).and_then(|place| table.order.get(place));
                // Answered by the seal already.
                kept.filter(|kept| kept.kind() == READ).map(Kept::length)
            };
            let mut data = vec![0; if word(4) == 0 { reads.unwrap_or(0) as usize } else { 0 }];
            if engine.read_exact(&mut data).is_err() {
                return Ok(()); // half an answer is none
            }
            // First out of the table: the client may use the handle again as soon as it is answered.
            let known = lock(&self.table).remove(handle).is_some();
            self.room.notify_one();
            if known {
                self.answer(handle, word(4), &data)?;
            }
        }
    }

    /// The engine at the other end of `engine` is asked from now on, first what is kept. Its answers must be passed on meanwhile.
    pub fn resume(&self, mut engine: UnixStream) {
        let mut place = lock(&self.engine);
        let kept: Vec<Kept> = lock(&self.table).order.values().cloned().collect();
        *place = kept.iter().try_for_each(|kept| send(&mut engine, kept)).is_ok().then_some(engine);
    }

    /// The client is gone: no engine is needed any more.
    pub fn hang_up(&self) {
        if let Some(engine) = lock(&self.engine).take() {
            let _ = engine.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Everything under way fails, and so does what comes later (R10): an error is no acknowledgement. How much it was.
    pub fn seal(&self) -> usize {
        let kept = {
            let mut table = lock(&self.table);
            table.sealed = true;
            table.places.clear();
            table.bytes = 0;
            std::mem::take(&mut table.order)
        };
        self.room.notify_all();
        kept.values().for_each(|kept| drop(self.answer(kept.handle(), EIO, &[])));
        kept.len()
    }
}

fn send(engine: &mut UnixStream, kept: &Kept) -> io::Result<()> {
    write_both(engine, &kept.head, &kept.data)
}

fn write_both(stream: &mut UnixStream, head: &[u8], data: &[u8]) -> io::Result<()> {
    let mut slices = [io::IoSlice::new(head), io::IoSlice::new(data)];
    let mut slices = slices.as_mut_slice();
    io::IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match stream.write_vectored(slices)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => io::IoSlice::advance_slices(&mut slices, written),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u16, handle: u64, length: u32, data: &[u8]) -> Vec<u8> {
        let magic = REQUEST.to_be_bytes();
        let head = [magic.as_slice(), &[0, 0], &kind.to_be_bytes(), &handle.to_be_bytes(), &[0; 8]].concat();
        [&head, length.to_be_bytes().as_slice(), data].concat()
    }

    fn reply(handle: u64, error: u32, data: &[u8]) -> Vec<u8> {
        [REPLY.to_be_bytes().as_slice(), &error.to_be_bytes(), &handle.to_be_bytes(), data].concat()
    }

    fn hear(stream: &mut UnixStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    struct Bench {
        relay: Arc<Relay>,
        client: UnixStream,
    }

    fn bench() -> Bench {
        let (client, ours) = UnixStream::pair().unwrap();
        let relay = Arc::new(Relay::new(ours.try_clone().unwrap()));
        let taking = relay.clone();
        std::thread::spawn(move || taking.take_in(&ours));
        Bench { relay, client }
    }

    fn engine(bench: &Bench) -> UnixStream {
        let (engine, theirs) = UnixStream::pair().unwrap();
        let (reader, passing) = (theirs.try_clone().unwrap(), bench.relay.clone());
        std::thread::spawn(move || passing.pass_on(&reader));
        bench.relay.resume(theirs);
        engine
    }

    #[test]
    fn what_an_engine_did_not_answer_is_asked_of_the_next_in_order_and_answered_once() {
        let mut bench = bench();
        let mut first = engine(&bench);
        let asked = [request(WRITE, 1, 3, b"one"), request(READ, 2, 4, b""), request(WRITE, 3, 5, b"three")];
        for one in &asked {
            bench.client.write_all(one).unwrap();
            assert_eq!(&hear(&mut first, one.len()), one);
        }
        first.write_all(&reply(1, 0, b"")).unwrap();
        assert_eq!(hear(&mut bench.client, 16), reply(1, 0, b""));
        first.write_all(&reply(2, 0, b"ha")).unwrap(); // half of what was read, then it dies
        drop(first);
        let mut second = engine(&bench);
        for one in &asked[1..] {
            assert_eq!(&hear(&mut second, one.len()), one);
        }
        second.write_all(&[reply(3, 0, b""), reply(2, 0, b"read")].concat()).unwrap();
        assert_eq!(hear(&mut bench.client, 36), [reply(3, 0, b""), reply(2, 0, b"read")].concat());
        bench.client.write_all(&asked[0]).unwrap(); // the handle is free again
        assert_eq!(hear(&mut second, asked[0].len()), asked[0]);
    }

    #[test]
    fn what_is_asked_while_there_is_no_engine_waits_for_one() {
        let mut bench = bench();
        let one = request(WRITE, 9, 2, b"hi");
        bench.client.write_all(&one).unwrap();
        let mut engine = engine(&bench);
        assert_eq!(hear(&mut engine, one.len()), one);
    }

    #[test]
    fn a_sealed_relay_answers_everything_with_an_error_and_an_answer_that_comes_late_is_not_passed_on() {
        let mut bench = bench();
        let mut engine = engine(&bench);
        for one in [request(WRITE, 1, 2, b"hi"), request(READ, 2, 512, b"")] {
            bench.client.write_all(&one).unwrap();
            hear(&mut engine, one.len());
        }
        assert_eq!(bench.relay.seal(), 2);
        assert_eq!(hear(&mut bench.client, 32), [reply(1, EIO, b""), reply(2, EIO, b"")].concat());
        engine.write_all(&reply(1, 0, b"")).unwrap();
        bench.client.write_all(&request(WRITE, 3, 2, b"ho")).unwrap();
        assert_eq!(hear(&mut bench.client, 16), reply(3, EIO, b""), "not the one of 1");
    }

    #[test]
    fn who_speaks_no_nbd_is_hung_up_on() {
        let (client, ours) = UnixStream::pair().unwrap();
        (&client).write_all(&[7; 28]).unwrap();
        assert!(Relay::new(ours.try_clone().unwrap()).take_in(&ours).is_err());
        let (client, ours) = UnixStream::pair().unwrap();
        let taking = std::thread::spawn(move || Relay::new(ours.try_clone().unwrap()).take_in(&ours));
        let twice = request(READ, 1, 512, b"");
        (&client).write_all(&[twice.clone(), twice].concat()).unwrap();
        assert!(taking.join().unwrap().is_err(), "which of the two would an answer be for?");
    }
}
