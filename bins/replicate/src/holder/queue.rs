//! The requests of a ublk device: the kernel tells of each by a completion, with its data in a buffer of ours, and hears of its end by
//! the next submission. They are asked of the engine in NBD's words.
//!
//! ```text
//!  fetch ---> [the kernel's] --- completion ---> [ours: asked of the engine] --- commit, and fetch again ---> [the kernel's] ...
//! ```

use super::request::{ANSWER, Asked, Client, Given, Kept, READ, WRITE, handle};
use super::ublk::number;
use crate::buffer::{Buffer, Shared};
use crate::nbd::{HEAD, REQUEST, bad};
use crate::sockets::Poll;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Requests at a time.
pub const DEPTH: u16 = 128;
/// The longest request with data, in bytes: the kernel cuts longer ones.
pub const BUFFER: u32 = 128 << 10;
const FETCH: u32 = number(3, 0x20, 16);
const COMMIT_AND_FETCH: u32 = number(3, 0x21, 16);
/// The device ends.
const GONE: i32 = -nix::libc::ENODEV;
const FUA: u32 = 1 << 13;
/// In NBD's words.
const FLUSH: u16 = 3;

/// `struct ublksrv_io_desc`: what the kernel wants.
#[derive(Clone, Copy)]
#[repr(C)]
struct Wanted {
    what: u32,
    sectors: u32,
    at: u64,
    place: u64,
}

impl Wanted {
    /// In NBD's words; `None`: nothing that is known here.
    fn head(self, tag: u16) -> Option<[u8; HEAD]> {
        let kind: u16 = match self.what & 0xff {
            0 => READ,
            1 => WRITE,
            2 => FLUSH,
            3 => 4, // discard
            5 => 6, // write zeroes
            _ => return None,
        };
        // A flush is of everything, and what the kernel says of its place means nothing.
        let (at, sectors) = if kind == FLUSH { (0, 0) } else { (self.at, self.sectors) };
        let flags = u16::from(self.what & FUA != 0);
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&REQUEST.to_be_bytes());
        head[4..6].copy_from_slice(&flags.to_be_bytes());
        head[6..8].copy_from_slice(&kind.to_be_bytes());
        head[8..16].copy_from_slice(&u64::from(tag).to_be_bytes());
        head[16..24].copy_from_slice(&at.checked_mul(512)?.to_be_bytes());
        head[24..].copy_from_slice(&sectors.checked_mul(512)?.to_be_bytes());
        Some(head)
    }
}

/// Where the kernel says what it wants: one for each tag.
struct Told(*mut std::ffi::c_void);

impl Told {
    const LENGTH: usize = (DEPTH as usize * size_of::<Wanted>()).next_multiple_of(4096);

    #[allow(unsafe_code)]
    fn new(device: &File) -> io::Result<Told> {
        // SAFETY: a new mapping, that nobody else knows of.
        let place = unsafe { mmap(ptr::null_mut(), Told::LENGTH, ProtFlags::READ, MapFlags::SHARED, device, 0) }?;
        Ok(Told(place))
    }

    #[allow(unsafe_code)]
    fn read(&self, tag: u16) -> Wanted {
        assert!(tag < DEPTH, "the kernel has no such tag");
        // SAFETY: within the mapping; the kernel wrote it before it told of the request, and writes again after the answer.
        unsafe { self.0.cast::<Wanted>().add(usize::from(tag)).read_volatile() }
    }
}

impl Drop for Told {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`, with no reference into it.
        let _ = unsafe { munmap(self.0, Told::LENGTH) };
    }
}

// SAFETY: a mapping belongs to the process and not to a thread.
#[allow(unsafe_code)]
unsafe impl Send for Told {}

/// The one queue of a device. It has to be used by one thread, from [`Client::flush`] on: the kernel knows it by that.
pub struct Queue {
    ring: IoUring,
    device: File,
    told: Told,
    /// Of each tag: the kernel writes to it while the tag is its own, and it is read and written here while it is ours.
    buffers: Vec<Buffer>,
    /// How long the answer of a tag is.
    lengths: Vec<u32>,
    asked: VecDeque<u16>,
    gone: bool,
}

impl Queue {
    /// For the device behind the character device `device`.
    ///
    /// # Errors
    /// If the kernel gives no ring, or does not say what it wants.
    pub fn new(device: File) -> io::Result<Queue> {
        let ring = IoUring::builder().setup_coop_taskrun().build(u32::from(DEPTH))?;
        let told = Told::new(&device)?;
        let buffers = (0..DEPTH).map(|_| Buffer::new(BUFFER as usize)).collect();
        let lengths = vec![0; usize::from(DEPTH)];
        let mut queue = Queue { ring, device, told, buffers, lengths, asked: VecDeque::new(), gone: false };
        (0..DEPTH).for_each(|tag| queue.give(FETCH, tag, -1));
        Ok(queue)
    }

    /// Gives a tag to the kernel, with what became of its last request. Each is given once and comes back once: there is always room.
    #[allow(unsafe_code)]
    fn give(&mut self, how: u32, tag: u16, result: i32) {
        let place = self.buffers[usize::from(tag)].bytes_mut().as_mut_ptr().expose_provenance() as u64;
        let mut said = [0; 16]; // struct ublksrv_io_cmd
        said[2..4].copy_from_slice(&tag.to_ne_bytes());
        said[4..8].copy_from_slice(&result.to_ne_bytes());
        said[8..].copy_from_slice(&place.to_ne_bytes());
        let entry = opcode::UringCmd16::new(Fd(self.device.as_raw_fd()), how).cmd(said).build();
        // SAFETY: the buffer is on the heap, and given back to nobody (see Drop) before the kernel has given up the tag.
        unsafe { self.ring.submission().push(&entry.user_data(u64::from(tag))) }.expect("a place for each tag");
    }

    /// What the kernel asks with `tag`.
    fn kept(&mut self, tag: u16) -> Option<Kept> {
        let head = self.told.read(tag).head(tag)?;
        let (kind, length) = (Kept::kind(&head), Kept::length(&head));
        let moved = if kind == READ || kind == WRITE { length } else { 0 };
        if moved > BUFFER {
            return None;
        }
        self.lengths[usize::from(tag)] = moved;
        // The buffer is the kernel's again when this is answered; what is kept may be sent once more before.
        let data = &self.buffers[usize::from(tag)].bytes()[..moved as usize];
        let data = (kind == WRITE).then(|| Shared::new(Buffer::from(data)));
        Some(Kept { head, data })
    }
}

impl Client for Queue {
    #[allow(unsafe_code)]
    fn join(&mut self, poll: &Poll, number: u64) -> io::Result<()> {
        // SAFETY: the ring's own descriptor, for the time of this call.
        poll.add(unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }, number)
    }

    fn next(&mut self) -> io::Result<Asked> {
        loop {
            while let Some(tag) = self.asked.pop_front() {
                match self.kept(tag) {
                    Some(kept) => return Ok(Asked::This(kept)),
                    None => self.give(COMMIT_AND_FETCH, tag, -nix::libc::EOPNOTSUPP),
                }
            }
            for done in self.ring.completion() {
                match (done.result(), u16::try_from(done.user_data())) {
                    (0, Ok(tag)) => self.asked.push_back(tag),
                    (GONE, _) => self.gone = true,
                    (result, _) => return Err(bad(format!("the ublk driver says {result}"))),
                }
            }
            if self.asked.is_empty() {
                return Ok(if self.gone { Asked::Goodbye } else { Asked::Nothing });
            }
        }
    }

    fn is_amid(&self) -> bool {
        false
    }

    fn answer(&mut self, head: &[u8; ANSWER], data: Given<'_>) {
        let tag = u16::try_from(handle(head)).expect("a tag");
        let length = self.lengths[usize::from(tag)];
        let read = match &data {
            Given::Nothing => &[],
            Given::Bytes(bytes) => *bytes,
            Given::Whole(buffer) => buffer.bytes(),
        };
        self.buffers[usize::from(tag)].bytes_mut()[..read.len()].copy_from_slice(read);
        let error = i32::from_be_bytes(*head[4..].first_chunk().expect("four bytes"));
        let result = if error == 0 { length.cast_signed() } else { -nix::libc::EIO };
        self.give(COMMIT_AND_FETCH, tag, result);
    }

    /// The kernel takes all of them at once.
    fn waiting(&self) -> usize {
        0
    }

    fn flush(&mut self, _: &Poll, _: bool) -> io::Result<()> {
        while !self.ring.submission().is_empty() {
            match self.ring.submit() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        std::mem::forget(std::mem::take(&mut self.buffers)); // the ring is closed later: until then the kernel may write there
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nbd::asked;
    use hotspare_volume::{Op, Range, What};

    #[test]
    fn what_the_kernel_wants_is_said_in_nbd_words() {
        let wanted = |what, sectors, at| Wanted { what, sectors, at, place: 0 };
        let said = |wanted: Wanted| asked(&wanted.head(7).unwrap()).unwrap().unwrap();
        let range = |at, len| Range { at, len };
        let write = |what, durable| Some(Op::Write { what, durable });
        let cases = [
            (wanted(0, 8, 1), Some(Op::Read), range(512, 4096)),
            (wanted(1 | 1 << 8, 1, 2), write(What::Data, false), range(1024, 512)),
            (wanted(1 | FUA, 1, 2), write(What::Data, true), range(1024, 512)),
            (wanted(2, 0, u64::MAX), Some(Op::Flush), range(0, 0)), // so it comes from Linux
            (wanted(3, 1 << 21, 0), write(What::Discard, false), range(0, 1 << 30)),
            (wanted(5 | FUA | 1 << 15, 8, 0), write(What::Zeroes, true), range(0, 4096)),
        ];
        for (wanted, op, range) in cases {
            let asked = said(wanted);
            assert_eq!((asked.handle, asked.op, asked.range), (7, op, range));
        }
        assert!(wanted(4, 8, 0).head(7).is_none(), "nothing that is asked of a volume");
        assert!(wanted(3, 1 << 23, 0).head(7).is_none(), "more than NBD can say");
        assert!(wanted(0, 8, u64::MAX).head(7).is_none());
    }
}
