//! Requests of one client, kept until they are answered: an engine that dies is replaced, and what it had not answered is asked of
//! the next one. The engine speaks the transmission phase of NBD, and so do most clients: then bytes pass as they are.
//!
//! ```text
//!  kernel or client ----> taken in ----> [kept] ----> engine
//!                  <----- answered once <------------'  (the next engine gets what is kept, in order)
//! ```
//! Asking twice is harmless: the same bytes go to the same place, and who asks has not been told anything yet. One thread for each
//! client, which waits for both sides at once: what has come together goes on together.

use crate::buffer::{Buffer, Shared};
use crate::nbd::{HEAD, REPLY, answer, bad};
use crate::sockets::{BELL, Inbox, Outbox, Poll, Post, read_some};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// Bytes that are kept for one client; more are read when some of these are answered.
const KEPT_MAX: usize = 64 << 20;
/// Requests that are kept for one client.
const KEPT_COUNT: usize = 4096;
pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISCONNECT: u16 = 2;
/// Bytes of the head of an answer.
pub const ANSWER: usize = 16;
/// The numbers of the two sides in [`Poll::wait`].
pub const CLIENT: u64 = 1;
const ENGINE: u64 = 2;
/// Nothing has to be looked at without being told.
const LONG: Duration = Duration::from_secs(60);

/// A request, as it came.
#[derive(Clone)]
pub struct Kept {
    pub head: [u8; HEAD],
    pub data: Option<Shared>,
}

impl Kept {
    pub fn kind(head: &[u8; HEAD]) -> u16 {
        u16::from_be_bytes([head[6], head[7]])
    }

    pub fn handle(head: &[u8; HEAD]) -> u64 {
        u64::from_be_bytes(*head[8..].first_chunk().expect("eight bytes of it"))
    }

    pub fn length(head: &[u8; HEAD]) -> u32 {
        u32::from_be_bytes(*head[24..].first_chunk().expect("four bytes of it"))
    }

    fn bytes(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.bytes().len())
    }
}

#[derive(Default)]
struct Table {
    next: u64,
    order: BTreeMap<u64, Kept>,
    places: HashMap<u64, u64>,
    bytes: usize,
}

impl Table {
    fn keep(&mut self, kept: Kept) -> io::Result<()> {
        self.next += 1;
        if self.places.insert(Kept::handle(&kept.head), self.next).is_some() {
            return Err(bad("an NBD client uses a handle twice"));
        }
        self.bytes += kept.bytes();
        self.order.insert(self.next, kept);
        Ok(())
    }

    fn get(&self, handle: u64) -> Option<&Kept> {
        self.order.get(self.places.get(&handle)?)
    }

    fn remove(&mut self, handle: u64) -> Option<Kept> {
        let kept = self.order.remove(&self.places.remove(&handle)?)?;
        self.bytes -= kept.bytes();
        Some(kept)
    }
}

/// A request or an answer of which not all data has come.
pub struct Filling<const N: usize> {
    pub head: [u8; N],
    pub buffer: Buffer,
    filled: usize,
}

impl<const N: usize> Filling<N> {
    pub fn new(head: [u8; N], length: u32) -> Filling<N> {
        Filling { head, buffer: Buffer::new(length as usize), filled: 0 }
    }

    /// Goes on; false: there is nothing more at the moment.
    pub fn fill(&mut self, inbox: &mut Inbox, stream: &mut UnixStream) -> io::Result<bool> {
        while self.filled < self.buffer.bytes().len() {
            let place = &mut self.buffer.bytes_mut()[self.filled..];
            let length = place.len().min(inbox.rest().len());
            place[..length].copy_from_slice(&inbox.rest()[..length]);
            inbox.skip(length);
            // What is missing goes where it belongs without another copy.
            let read = if length == 0 { read_some(stream, place)? } else { Some(length) };
            let Some(read) = read else { return Ok(false) };
            self.filled += read;
        }
        Ok(true)
    }
}

/// What a client says next.
pub enum Asked {
    This(Kept),
    /// Nothing more at the moment.
    Nothing,
    Goodbye,
}

/// What was read.
pub enum Given<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Whole(Buffer),
}

/// Who asks.
pub trait Client {
    /// Is waited for from now on, as [`CLIENT`].
    ///
    /// # Errors
    /// Those of the kernel.
    fn join(&self, poll: &Poll) -> io::Result<()>;

    /// What it asks next.
    ///
    /// # Errors
    /// If it makes no sense, or the client is lost.
    fn next(&mut self) -> io::Result<Asked>;

    /// Half of a request has come: there was room for it.
    fn is_amid(&self) -> bool;

    /// Answers a request, with NBD's head of an answer.
    fn answer(&mut self, head: &[u8; ANSWER], data: Given<'_>);

    /// Bytes of answers that it has not taken.
    fn waiting(&self) -> usize;

    /// Lets answers go; `reads`: more requests are welcome.
    ///
    /// # Errors
    /// If the client is lost.
    fn flush(&mut self, poll: &Poll, reads: bool) -> io::Result<()>;
}

/// The engine.
struct End {
    stream: UnixStream,
    inbox: Inbox,
    filling: Option<Filling<ANSWER>>,
    out: Outbox,
    interest: (bool, bool),
}

impl End {
    fn new(stream: UnixStream, poll: &Poll) -> io::Result<End> {
        stream.set_nonblocking(true)?;
        poll.add(&stream, ENGINE)?;
        Ok(End { stream, inbox: Inbox::new(), filling: None, out: Outbox::default(), interest: (true, false) })
    }

    fn flush(&mut self, poll: &Poll, reads: bool) -> io::Result<()> {
        self.out.flush(&mut self.stream)?;
        let wants = (reads, !self.out.is_empty());
        if std::mem::replace(&mut self.interest, wants) != wants {
            poll.change(&self.stream, ENGINE, wants)?;
        }
        Ok(())
    }
}

/// What a relay is told.
pub enum Order {
    /// Ask this engine from now on, first what is kept.
    Engine(UnixStream),
    /// Everything under way fails, and so does what comes later (R10): an error is no acknowledgement. Answered with how much it was.
    Seal(Sender<usize>),
}

/// The relay of one client, in a thread of its own.
pub struct Relay<C> {
    poll: Poll,
    orders: Receiver<Order>,
    client: C,
    engine: Option<End>,
    /// Told when there is no engine any more.
    lost: Sender<()>,
    table: Table,
    sealed: bool,
    /// More may have come than there was room for.
    stalled: bool,
}

impl<C: Client> Relay<C> {
    /// For `client`.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn new(client: C, lost: Sender<()>) -> io::Result<(Relay<C>, Post<Order>)> {
        let (poll, post, orders) = Poll::new()?;
        client.join(&poll)?;
        let (table, engine) = (Table::default(), None);
        Ok((Relay { poll, orders, client, engine, lost, table, sealed: false, stalled: false }, post))
    }

    /// Runs until the client says goodbye or is gone.
    ///
    /// # Errors
    /// If what it says makes no sense, or the connection breaks.
    pub fn run(&mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        self.flush()?;
        loop {
            self.poll.wait(LONG, &mut ready);
            for number in ready.drain(..) {
                match number {
                    CLIENT if !self.take_in()? => return Ok(()),
                    ENGINE => self.pass_on()?,
                    CLIENT | BELL => {}
                    _ => unreachable!("there are two sides"),
                }
            }
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order);
            }
            self.flush()?;
            // Room for what was left behind: nobody says again that it is there.
            while self.stalled && self.has_room() {
                if !self.take_in()? {
                    return Ok(());
                }
                self.flush()?;
            }
        }
    }

    fn has_room(&self) -> bool {
        self.table.bytes < KEPT_MAX && self.table.order.len() < KEPT_COUNT && self.is_heard()
    }

    /// The client takes its answers. While it does not, nothing is asked for it and no answer is fetched: memory stays bounded.
    fn is_heard(&self) -> bool {
        self.client.waiting() < KEPT_MAX
    }

    fn flush(&mut self) -> io::Result<()> {
        let reads = self.client.is_amid() || self.has_room();
        self.client.flush(&self.poll, reads)?;
        let heard = self.is_heard();
        if self.engine.as_mut().is_some_and(|engine| engine.flush(&self.poll, heard).is_err()) {
            self.engine_is_lost();
        }
        Ok(())
    }

    fn engine_is_lost(&mut self) {
        if self.engine.take().is_some() {
            let _ = self.lost.send(()); // nobody looks for another one after the end
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Engine(_) if self.sealed => {}
            Order::Engine(stream) => {
                let Ok(mut engine) = End::new(stream, &self.poll) else {
                    let _ = self.lost.send(());
                    return;
                };
                self.table.order.values().for_each(|kept| send(&mut engine.out, kept));
                self.engine = Some(engine);
            }
            Order::Seal(count) => {
                self.sealed = true;
                self.engine = None; // an answer that comes late is not passed on
                let kept = std::mem::take(&mut self.table).order;
                for kept in kept.values() {
                    self.client.answer(&answer(Kept::handle(&kept.head), true), Given::Nothing);
                }
                let _ = self.client.flush(&self.poll, true);
                let _ = count.send(kept.len());
            }
        }
    }

    /// Takes in what the client asks; false: it says goodbye.
    fn take_in(&mut self) -> io::Result<bool> {
        loop {
            self.stalled = !self.client.is_amid() && !self.has_room();
            if self.stalled {
                return Ok(true);
            }
            match self.client.next()? {
                Asked::This(kept) => self.ask(kept)?,
                Asked::Nothing => return Ok(true),
                Asked::Goodbye => return Ok(false),
            }
        }
    }

    fn ask(&mut self, kept: Kept) -> io::Result<()> {
        if self.sealed {
            self.client.answer(&answer(Kept::handle(&kept.head), true), Given::Nothing);
            return Ok(());
        }
        if let Some(engine) = &mut self.engine {
            send(&mut engine.out, &kept);
        }
        self.table.keep(kept)
    }

    /// Passes the engine's answers on. Half an answer is none: the next engine is asked for all of it.
    fn pass_on(&mut self) -> io::Result<()> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        match answers(engine, &mut self.table, &mut self.client) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error),
            Err(_) => {
                self.engine_is_lost();
                Ok(())
            }
        }
    }
}

fn answers(engine: &mut End, table: &mut Table, client: &mut impl Client) -> io::Result<()> {
    let mut more = true;
    loop {
        if let Some(filling) = &mut engine.filling {
            if !filling.fill(&mut engine.inbox, &mut engine.stream)? {
                return Ok(());
            }
            let Some(filling) = engine.filling.take() else { continue };
            pass(&filling.head, table, client, Given::Whole(filling.buffer));
        }
        while let Some(head) = engine.inbox.rest().first_chunk::<ANSWER>().copied() {
            let word = |at: usize| u32::from_be_bytes(*head[at..].first_chunk().expect("four bytes of it"));
            if word(0) != REPLY {
                return Err(bad("the engine's answer has no magic"));
            }
            let reads = table.get(handle_of(&head)).filter(|kept| Kept::kind(&kept.head) == READ);
            let length = reads.filter(|_| word(4) == 0).map_or(0, |kept| Kept::length(&kept.head));
            let whole = ANSWER + length as usize;
            if engine.inbox.rest().len() >= whole {
                pass(&head, table, client, Given::Bytes(&engine.inbox.rest()[ANSWER..whole]));
                engine.inbox.skip(whole);
                continue;
            }
            engine.inbox.skip(ANSWER);
            engine.filling = Some(Filling::new(head, length));
            break;
        }
        if engine.filling.is_some() {
            continue;
        }
        if !more {
            return Ok(());
        }
        more = engine.inbox.fill(&mut engine.stream)?;
    }
}

/// First out of the table: the client may use the handle again as soon as it is answered.
fn pass(head: &[u8; ANSWER], table: &mut Table, client: &mut impl Client, data: Given<'_>) {
    if table.remove(handle_of(head)).is_some() {
        client.answer(head, data);
    }
}

fn handle_of(head: &[u8; ANSWER]) -> u64 {
    u64::from_be_bytes(*head[8..].first_chunk().expect("eight bytes of it"))
}

fn send(out: &mut Outbox, kept: &Kept) {
    out.end().extend(kept.head);
    if let Some(data) = &kept.data {
        out.share(data.clone());
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
