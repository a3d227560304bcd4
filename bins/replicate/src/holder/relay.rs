//! Requests of all clients, kept until they are answered: an engine that dies is replaced, and what it had not answered is asked of
//! the next one. The engine speaks the transmission phase of NBD, and so do most clients: then bytes pass as they are.
//!
//! ```text
//!  kernel ---.
//!  client ---+---> taken in ----> [kept, under a number] ----> engine
//!  client ---'<--- answered once <----------------------------'  (the next engine gets what is kept, in order)
//! ```
//! Asking twice is harmless: the same bytes go to the same place, and who asks has not been told anything yet. All ask over one
//! connection, so that there is one order for all of them, also when they ask again: whoever has seen one of two writes to a place and then
//! the other does not see the first again (decision 0037). One thread, which waits for all sides at once: what has come together goes on
//! together.

use super::guests::Guest;
use super::request::{ANSWER, Client, Filling, Given, Kept, READ, handle, rename};
use crate::nbd::{self, REPLY, answer, bad};
use crate::sockets::{BELL, Inbox, Outbox, Poll, Post};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// The numbers of the sides in [`Poll::wait`]: clients come after the engine.
const ENGINE: u64 = 1;
/// Nothing has to be looked at without being told.
const LONG: Duration = Duration::from_secs(60);

/// A request that is not answered.
struct Waiting {
    client: u64,
    /// What its client calls it.
    handle: u64,
    kept: Kept,
}

/// The engine.
struct End {
    stream: UnixStream,
    inbox: Inbox,
    filling: Option<Filling<ANSWER>>,
    out: Outbox,
    writes: bool,
}

impl End {
    fn new(stream: UnixStream, poll: &Poll) -> io::Result<End> {
        stream.set_nonblocking(true)?;
        poll.add(&stream, ENGINE)?;
        Ok(End { stream, inbox: Inbox::new(), filling: None, out: Outbox::default(), writes: false })
    }

    fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        self.out.flush(&mut self.stream)?;
        let writes = !self.out.is_empty();
        if std::mem::replace(&mut self.writes, writes) != writes {
            poll.change(&self.stream, ENGINE, (true, writes))?;
        }
        Ok(())
    }
}

/// What a relay is told.
pub enum Order {
    /// Somebody asks; `device`: the kernel, without which the tenure cannot go on.
    Client { client: Box<dyn Client + Send>, device: bool },
    /// Ask this engine from now on, first what is kept.
    Engine(UnixStream),
    /// Everything under way fails, and so does what comes later (R10): an error is no acknowledgement. Answered with how much it was.
    Seal(Sender<usize>),
}

/// The relay, in a thread of its own.
pub struct Relay {
    poll: Poll,
    orders: Receiver<Order>,
    guests: BTreeMap<u64, Guest>,
    /// How many there are, also of those that are gone and wait for answers: nobody can make them more by hanging up.
    open: Arc<AtomicUsize>,
    engine: Option<End>,
    /// Told when there is no engine any more.
    lost: Sender<()>,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    sealed: bool,
    /// The kernel's device is gone.
    over: bool,
}

impl Relay {
    /// It, and the way to it; `lost` is told when there is no engine any more, and `open` says how many clients there are.
    ///
    /// # Errors
    /// If the kernel has no descriptor left.
    pub fn new(lost: Sender<()>, open: Arc<AtomicUsize>) -> io::Result<(Relay, Post<Order>)> {
        let (poll, post, orders) = Poll::new()?;
        let (guests, waiting) = (BTreeMap::new(), BTreeMap::new());
        let (engine, sealed, over) = (None, false, false);
        Ok((Relay { poll, orders, guests, open, engine, lost, waiting, next: ENGINE, sealed, over }, post))
    }

    /// Runs until the kernel's device is gone.
    ///
    /// # Errors
    /// If what the engine says makes no sense.
    pub fn run(&mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        loop {
            self.poll.wait(LONG, &mut ready);
            for number in ready.drain(..) {
                match number {
                    ENGINE => self.pass_on()?,
                    BELL => {
                        while let Ok(order) = self.orders.try_recv() {
                            self.obey(order);
                        }
                    }
                    client => self.take_in(client),
                }
            }
            self.flush();
            while let Some(client) = self.welcome_again() {
                self.take_in(client);
                self.flush();
            }
            if self.over {
                return Ok(());
            }
        }
    }

    fn welcome_again(&self) -> Option<u64> {
        self.guests.iter().find(|(_, guest)| guest.is_welcome_again()).map(|(number, _)| *number)
    }

    fn flush(&mut self) {
        let flushed = |(number, guest): (&u64, &mut Guest)| guest.flush(&self.poll).err().map(|error| (*number, error));
        let lost: Vec<(u64, io::Error)> = self.guests.iter_mut().filter_map(flushed).collect();
        lost.into_iter().for_each(|(client, error)| self.leave(client, &error));
        if self.engine.as_mut().is_some_and(|engine| engine.flush(&self.poll).is_err()) {
            self.engine_is_lost();
        }
    }

    /// A client is gone.
    fn leave(&mut self, client: u64, why: &io::Error) {
        if why.kind() != io::ErrorKind::UnexpectedEof {
            tracing::info!("an NBD client: {why}");
        }
        let Some(guest) = self.guests.get_mut(&client) else { return };
        guest.leave();
        self.over |= guest.device;
        self.see_off(client);
    }

    /// Forgets a client that is gone, when nothing of it is under way.
    fn see_off(&mut self, client: u64) {
        if self.guests.get(&client).is_some_and(Guest::is_over) {
            self.guests.remove(&client);
            self.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn engine_is_lost(&mut self) {
        if self.engine.take().is_some() {
            let _ = self.lost.send(()); // nobody looks for another one after the end
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Client { client, device } => {
                self.next += 1;
                match Guest::new(client, device, &self.poll, self.next) {
                    Ok(guest) => {
                        self.guests.insert(self.next, guest);
                        self.take_in(self.next);
                    }
                    Err(error) => {
                        tracing::warn!("an NBD client cannot be waited for: {error}");
                        self.open.fetch_sub(1, Ordering::AcqRel);
                        self.over |= device;
                    }
                }
            }
            Order::Engine(_) if self.sealed => {}
            Order::Engine(stream) => {
                let Ok(mut engine) = End::new(stream, &self.poll) else {
                    let _ = self.lost.send(());
                    return;
                };
                self.waiting.values().for_each(|waiting| send(&mut engine.out, &waiting.kept));
                self.engine = Some(engine);
            }
            Order::Seal(count) => {
                let failed = self.fail_all();
                let _ = count.send(failed);
            }
        }
    }

    /// Answers everything with an error, from now on; how much was under way.
    pub fn fail_all(&mut self) -> usize {
        self.sealed = true;
        self.engine = None; // an answer that comes late is not passed on
        let failed = std::mem::take(&mut self.waiting);
        for (number, waiting) in &failed {
            self.answer(waiting, answer(*number, true), Given::Nothing);
        }
        self.flush();
        failed.len()
    }

    fn answer(&mut self, waiting: &Waiting, head: [u8; ANSWER], data: Given<'_>) {
        if let Some(guest) = self.guests.get_mut(&waiting.client) {
            guest.answer(&waiting.kept, waiting.handle, head, data);
        }
        self.see_off(waiting.client);
    }

    /// Takes in what a client asks.
    fn take_in(&mut self, client: u64) {
        while let Some(guest) = self.guests.get_mut(&client) {
            let taken = match guest.next() {
                Ok(None) => return,
                Ok(Some(kept)) => self.ask(client, kept),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                return self.leave(client, &error);
            }
        }
    }

    /// What makes no sense never reaches the engine, which would hang up on everybody.
    fn ask(&mut self, client: u64, mut kept: Kept) -> io::Result<()> {
        let asked = nbd::asked(&kept.head)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let Some(guest) = self.guests.get_mut(&client) else { return Ok(()) };
        if self.sealed {
            guest.refuse(asked.handle);
            return Ok(());
        }
        guest.count_in(&kept);
        self.next += 1;
        rename(&mut kept.head, self.next);
        if let Some(engine) = &mut self.engine {
            send(&mut engine.out, &kept);
        }
        self.waiting.insert(self.next, Waiting { client, handle: asked.handle, kept });
        Ok(())
    }

    /// Passes the engine's answers on. Half an answer is none: the next engine is asked for all of it.
    fn pass_on(&mut self) -> io::Result<()> {
        let Some(mut engine) = self.engine.take() else { return Ok(()) };
        let passed = self.answers(&mut engine);
        self.engine = Some(engine);
        match passed {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error),
            Err(_) => {
                self.engine_is_lost();
                Ok(())
            }
        }
    }

    fn answers(&mut self, engine: &mut End) -> io::Result<()> {
        let mut more = true;
        loop {
            if let Some(filling) = &mut engine.filling {
                if !filling.fill(&mut engine.inbox, &mut engine.stream)? {
                    return Ok(());
                }
                let Some(filling) = engine.filling.take() else { continue };
                self.pass(filling.head, Given::Whole(filling.buffer));
            }
            while let Some(head) = engine.inbox.rest().first_chunk::<ANSWER>().copied() {
                let word = |at: usize| u32::from_be_bytes(*head[at..].first_chunk().expect("four bytes of it"));
                if word(0) != REPLY {
                    return Err(bad("the engine's answer has no magic"));
                }
                let reads = self.waiting.get(&handle(&head)).filter(|waiting| Kept::kind(&waiting.kept.head) == READ);
                let length = reads.filter(|_| word(4) == 0).map_or(0, |waiting| Kept::length(&waiting.kept.head));
                let whole = ANSWER + length as usize;
                if engine.inbox.rest().len() >= whole {
                    self.pass(head, Given::Bytes(&engine.inbox.rest()[ANSWER..whole]));
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
    fn pass(&mut self, head: [u8; ANSWER], data: Given<'_>) {
        if let Some(waiting) = self.waiting.remove(&handle(&head)) {
            self.answer(&waiting, head, data);
        }
    }
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
