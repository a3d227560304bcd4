//! Who asks, and what each of them waits for.

use super::request::{ANSWER, Asked, Client, Given, Kept, rename};
use crate::nbd::answer;
use crate::sockets::Poll;
use std::io;

/// Bytes that are kept for one client, and of answers that it has not taken; it is heard again when there are less.
pub const KEPT_MAX: usize = 64 << 20;
/// Requests that are kept for one client.
const KEPT_COUNT: usize = 4096;

/// One client.
pub struct Guest {
    /// `None`: it is gone, but not all that it asked for is answered.
    client: Option<Box<dyn Client + Send>>,
    /// The kernel's device: the tenure cannot go on without it.
    pub device: bool,
    /// Of its requests that are kept.
    count: usize,
    weight: usize,
    /// More may have come than there was room for.
    stalled: bool,
}

impl Guest {
    /// Is waited for from now on, as `number`.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn new(mut client: Box<dyn Client + Send>, device: bool, poll: &Poll, number: u64) -> io::Result<Guest> {
        client.join(poll, number)?;
        Ok(Guest { client: Some(client), device, count: 0, weight: 0, stalled: false })
    }

    /// It is gone, and nothing of it is under way.
    pub fn is_over(&self) -> bool {
        self.client.is_none() && self.count == 0
    }

    /// It takes its answers: nothing is asked for it that could not be kept until it does, so that all others get theirs meanwhile.
    fn has_room(&self) -> bool {
        let waiting = self.client.as_ref().map_or(0, |client| client.waiting());
        self.weight + waiting < KEPT_MAX && self.count < KEPT_COUNT
    }

    /// What it asks next; `None`: nothing more at the moment, or there is no room for it.
    ///
    /// # Errors
    /// If it makes no sense, or the client is lost: [`io::ErrorKind::UnexpectedEof`], where it said goodbye.
    pub fn next(&mut self) -> io::Result<Option<Kept>> {
        let room = self.has_room();
        let Some(client) = &mut self.client else { return Ok(None) };
        self.stalled = !client.is_amid() && !room;
        if self.stalled {
            return Ok(None);
        }
        match client.next()? {
            Asked::This(kept) => Ok(Some(kept)),
            Asked::Nothing => Ok(None),
            Asked::Goodbye => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// There is room for what was left behind: nobody says again that it is there.
    pub fn is_welcome_again(&self) -> bool {
        self.stalled && self.client.is_some() && self.has_room()
    }

    pub fn count_in(&mut self, kept: &Kept) {
        (self.count, self.weight) = (self.count + 1, self.weight + kept.weight());
    }

    /// Answers `kept`, which was counted in and is kept no more.
    pub fn answer(&mut self, kept: &Kept, handle: u64, mut head: [u8; ANSWER], data: Given<'_>) {
        (self.count, self.weight) = (self.count - 1, self.weight - kept.weight());
        rename(&mut head, handle);
        if let Some(client) = &mut self.client {
            client.answer(&head, data);
        }
    }

    /// Answers with an error what was not counted in.
    pub fn refuse(&mut self, handle: u64) {
        if let Some(client) = &mut self.client {
            client.answer(&answer(handle, true), Given::Nothing);
        }
    }

    /// Lets answers go.
    ///
    /// # Errors
    /// If the client is lost.
    pub fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        let room = self.has_room();
        let Some(client) = &mut self.client else { return Ok(()) };
        client.flush(poll, client.is_amid() || room)
    }

    /// Hangs up.
    pub fn leave(&mut self) {
        self.client = None;
        self.stalled = false;
    }
}
