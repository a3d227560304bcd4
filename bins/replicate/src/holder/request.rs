//! What is asked of a volume, and by whom.

use crate::buffer::{Buffer, Shared};
use crate::nbd::HEAD;
use crate::sockets::{Inbox, Poll, read_some};
use std::io;
use std::os::unix::net::UnixStream;

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISCONNECT: u16 = 2;
/// Bytes of the head of an answer.
pub const ANSWER: usize = 16;

/// A request, as it came.
pub struct Kept {
    pub head: [u8; HEAD],
    pub data: Option<Shared>,
}

/// The number that a request or an answer is known by, from its head.
pub fn handle<const N: usize>(head: &[u8; N]) -> u64 {
    u64::from_be_bytes(*head[8..].first_chunk().expect("eight bytes of it"))
}

/// Has it known by another one: both heads have it in the same place.
pub fn rename<const N: usize>(head: &mut [u8; N], handle: u64) {
    head[8..16].copy_from_slice(&handle.to_be_bytes());
}

impl Kept {
    pub fn kind(head: &[u8; HEAD]) -> u16 {
        u16::from_be_bytes([head[6], head[7]])
    }

    pub fn length(head: &[u8; HEAD]) -> u32 {
        u32::from_be_bytes(*head[24..].first_chunk().expect("four bytes of it"))
    }

    /// Bytes of memory that it takes until its answer is taken: what is written, or what is read.
    pub fn weight(&self) -> usize {
        let reads = Kept::kind(&self.head) == READ;
        let read = if reads { Kept::length(&self.head) as usize } else { 0 };
        self.data.as_ref().map_or(read, |data| data.bytes().len())
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
    /// Is waited for from now on, as `number`.
    ///
    /// # Errors
    /// Those of the kernel.
    fn join(&mut self, poll: &Poll, number: u64) -> io::Result<()>;

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
