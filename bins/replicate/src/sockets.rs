//! Sockets that never block: what came and was not taken yet, what is to go and has not gone; and the one place where everything is
//! waited for.

use crate::buffer::Shared;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Room for more than the longest record of a sealed stream, in bytes.
const INBOX: usize = 256 << 10;
/// What is left of it must hold the longest record.
const RECORD: usize = (64 << 10) + 2;
/// Pieces that go with one call.
const SLICES: usize = 64;
/// Small pieces are put together up to this length.
const OWN_MAX: usize = 256 << 10;

/// What came and was not taken yet.
pub struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub fn new() -> Inbox {
        Inbox { bytes: vec![0; INBOX], start: 0, end: 0 }
    }

    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub fn skip(&mut self, length: usize) {
        self.start += length;
        assert!(self.start <= self.end, "only what is there can be taken");
    }

    /// Reads once. False: there is no more than that at the moment.
    ///
    /// # Errors
    /// Those of the socket, and [`io::ErrorKind::UnexpectedEof`] when the other side hung up.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<bool> {
        if self.start == self.end || self.bytes.len() - self.end < RECORD {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let Some(length) = read_some(from, &mut self.bytes[self.end..])? else { return Ok(false) };
        self.end += length;
        Ok(self.end == self.bytes.len()) // a read that was not filled has found the end
    }
}

/// Reads once, into `place` (`None`: nothing at the moment).
///
/// # Errors
/// As [`Inbox::fill`].
pub fn read_some(from: &mut impl Read, place: &mut [u8]) -> io::Result<Option<usize>> {
    if place.is_empty() {
        return Ok(None);
    }
    match from.read(place) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

enum Chunk {
    Own(Vec<u8>),
    Shared(Shared),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Own(bytes) => bytes,
            Chunk::Shared(buffer) => buffer.bytes(),
        }
    }
}

/// What is to go and has not gone.
#[derive(Default)]
pub struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first that have gone.
    gone: usize,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes that have not gone.
    pub fn waiting(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes().len()).sum::<usize>() - self.gone
    }

    /// Where more bytes can be appended.
    pub fn end(&mut self) -> &mut Vec<u8> {
        let fits = matches!(self.chunks.back(), Some(Chunk::Own(bytes)) if bytes.len() < OWN_MAX);
        if !fits {
            self.chunks.push_back(Chunk::Own(Vec::new()));
        }
        match self.chunks.back_mut() {
            Some(Chunk::Own(bytes)) => bytes,
            _ => unreachable!("it was just put there"),
        }
    }

    /// Lets a buffer go as it is.
    pub fn share(&mut self, buffer: Shared) {
        self.chunks.push_back(Chunk::Shared(buffer));
    }

    /// Lets go what goes.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn flush(&mut self, to: &mut impl Write) -> io::Result<()> {
        while !self.chunks.is_empty() {
            let mut slices: Vec<IoSlice<'_>> =
                self.chunks.iter().take(SLICES).map(|chunk| IoSlice::new(chunk.bytes())).collect();
            let mut slices = slices.as_mut_slice();
            IoSlice::advance_slices(&mut slices, self.gone);
            match to.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => self.forget(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn forget(&mut self, length: usize) {
        self.gone += length;
        while let Some(first) = self.chunks.front().map(|chunk| chunk.bytes().len()).filter(|first| *first <= self.gone)
        {
            self.gone -= first;
            self.chunks.pop_front();
        }
    }
}

/// A way for other threads to tell the loop something.
pub struct Post<T> {
    news: Sender<T>,
    bell: Arc<EventFd>,
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Post<T> {
        Post { news: self.news.clone(), bell: self.bell.clone() }
    }
}

impl<T> Post<T> {
    /// # Errors
    /// If the loop has ended.
    pub fn send(&self, news: T) -> io::Result<()> {
        self.news.send(news).map_err(|_| io::Error::other("nobody hears it any more"))?;
        self.bell.write(1).map_err(io::Error::from)?;
        Ok(())
    }
}

/// What everything is waited for with.
pub struct Poll {
    epoll: Epoll,
    bell: Arc<EventFd>,
}

/// The number of the bell in [`Poll::wait`].
pub const BELL: u64 = 0;

impl Poll {
    /// It, the way to it for other threads, and what came that way.
    ///
    /// # Errors
    /// If the kernel has no descriptor left.
    pub fn new<T>() -> io::Result<(Poll, Post<T>, Receiver<T>)> {
        let bell = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let poll = Poll { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, bell: bell.clone() };
        poll.add(&*bell, BELL)?;
        let (sender, news) = channel();
        Ok((poll, Post { news: sender, bell }, news))
    }

    /// Waits for something to come from `what`, which is called `number` from now on.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn add(&self, what: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.epoll.add(what, EpollEvent::new(EpollFlags::EPOLLIN, number))?)
    }

    /// Waits for what comes, if `reads`, and for room for what is to go, if `writes`.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn change(&self, what: impl AsFd, number: u64, (reads, writes): (bool, bool)) -> io::Result<()> {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, reads);
        flags.set(EpollFlags::EPOLLOUT, writes);
        Ok(self.epoll.modify(what, &mut EpollEvent::new(flags, number))?)
    }

    /// The numbers of what is ready, in `ready`.
    pub fn wait(&self, most: Duration, ready: &mut Vec<u64>) {
        ready.clear();
        let least = Duration::from_millis(u64::from(!most.is_zero()));
        let most = EpollTimeout::try_from(most.max(least)).unwrap_or(EpollTimeout::ZERO);
        let mut events = [EpollEvent::empty(); 32];
        let count = self.epoll.wait(&mut events, most).unwrap_or(0); // interrupted: the turn goes on
        ready.extend(events[..count].iter().map(EpollEvent::data));
        if ready.contains(&BELL) {
            let _ = self.bell.read();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_goes_out_in_pieces_comes_in_whole_however_little_fits_at_a_time() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        [&ours, &theirs].iter().for_each(|end| end.set_nonblocking(true).unwrap());
        let (mut out, mut inbox) = (Outbox::default(), Inbox::new());
        let mut sent: Vec<u8> = Vec::new();
        for n in 0..200_u32 {
            let bytes = vec![n.to_le_bytes()[0]; 1 + n as usize * 37];
            sent.extend(&bytes);
            if n % 3 == 0 {
                out.share(Arc::new(Buffer::from(bytes.as_slice())));
            } else {
                out.end().extend(&bytes);
            }
        }
        let mut came: Vec<u8> = Vec::new();
        while came.len() < sent.len() {
            out.flush(&mut ours).unwrap();
            inbox.fill(&mut theirs).unwrap();
            let take = inbox.rest().len().min(100_000);
            came.extend(&inbox.rest()[..take]);
            inbox.skip(take);
        }
        assert!(out.is_empty() && came == sent);
        drop(ours);
        assert_eq!(inbox.fill(&mut theirs).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_bell_wakes_the_loop_and_rings_once() {
        let (poll, post, news) = Poll::new().unwrap();
        let other = std::thread::spawn(move || post.send(7));
        let mut ready = Vec::new();
        while ready.is_empty() {
            poll.wait(Duration::from_secs(1), &mut ready);
        }
        assert_eq!(ready, [BELL]);
        assert_eq!(news.try_recv(), Ok(7));
        other.join().unwrap().unwrap();
        poll.wait(Duration::from_millis(1), &mut ready);
        assert!(ready.is_empty());
    }
}
