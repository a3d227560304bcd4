//! Who asks: a client that speaks NBD's transmission phase over a socket.

use super::request::{ANSWER, Asked, Client, DISCONNECT, Filling, Given, Kept, WRITE};
use crate::buffer::Shared;
use crate::nbd::{DATA_MAX, HEAD, REQUEST, bad};
use crate::sockets::{Inbox, Outbox, Poll};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// The one at the other end of a socket: QEMU, libnbd, fio; or the kernel.
pub struct Stream {
    stream: UnixStream,
    inbox: Inbox,
    filling: Option<Filling<HEAD>>,
    out: Outbox,
    interest: (bool, bool),
    /// What it is waited for with.
    number: u64,
    /// There may be more in the socket than what was read.
    more: bool,
}

impl Stream {
    /// # Errors
    /// If the socket cannot be used without waiting for it.
    pub fn new(stream: UnixStream) -> io::Result<Stream> {
        stream.set_nonblocking(true)?;
        let (inbox, out) = (Inbox::new(), Outbox::default());
        Ok(Stream { stream, inbox, filling: None, out, interest: (true, false), number: 0, more: true })
    }
}

impl Client for Stream {
    fn join(&mut self, poll: &Poll, number: u64) -> io::Result<()> {
        self.number = number;
        poll.add(&self.stream, number)
    }

    fn next(&mut self) -> io::Result<Asked> {
        loop {
            if let Some(filling) = &mut self.filling {
                if !filling.fill(&mut self.inbox, &mut self.stream)? {
                    return Ok(Asked::Nothing);
                }
                let Some(filling) = self.filling.take() else { continue };
                return Ok(Asked::This(Kept { head: filling.head, data: Some(Arc::new(filling.buffer)) }));
            }
            if let Some(head) = self.inbox.rest().first_chunk::<HEAD>().copied() {
                self.inbox.skip(HEAD);
                if u32::from_be_bytes(*head.first_chunk().expect("four bytes of it")) != REQUEST {
                    return Err(bad("an NBD request has no magic"));
                }
                match (Kept::kind(&head), Kept::length(&head)) {
                    (DISCONNECT, _) => return Ok(Asked::Goodbye),
                    (WRITE, length) if length > DATA_MAX => return Err(bad("an NBD request is too long")),
                    (WRITE, length) => self.filling = Some(Filling::new(head, length)),
                    _ => return Ok(Asked::This(Kept { head, data: None })),
                }
                continue;
            }
            if !std::mem::replace(&mut self.more, true) {
                return Ok(Asked::Nothing);
            }
            self.more = match self.inbox.fill(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Asked::Goodbye),
                other => other?,
            };
        }
    }

    fn is_amid(&self) -> bool {
        self.filling.is_some()
    }

    fn answer(&mut self, head: &[u8; ANSWER], data: Given<'_>) {
        self.out.end().extend(head);
        match data {
            Given::Nothing => {}
            Given::Bytes(bytes) => self.out.end().extend(bytes),
            Given::Whole(buffer) => self.out.share(Shared::new(buffer)),
        }
    }

    fn waiting(&self) -> usize {
        self.out.waiting()
    }

    fn flush(&mut self, poll: &Poll, reads: bool) -> io::Result<()> {
        self.out.flush(&mut self.stream)?;
        let wants = (reads, !self.out.is_empty());
        if std::mem::replace(&mut self.interest, wants) != wants {
            poll.change(&self.stream, self.number, wants)?;
        }
        Ok(())
    }
}
