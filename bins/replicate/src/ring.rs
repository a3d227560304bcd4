//! The disk by io_uring: the reads, writes and flushes of a whole turn with one call, and no thread in between.

use crate::backing::Backing;
use crate::buffer::{Buffer, Shared};
use crate::disk::Job;
use hotspare_volume::What;
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode, squeue::Entry};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

/// Tasks that are handed over at a time; the kernel may have more of them under way.
const ENTRIES: u32 = 256;

/// A task under way, and what it reads into.
struct Flying {
    job: Job,
    buffer: Option<Buffer>,
}

impl Flying {
    fn length(&self) -> usize {
        match (&self.job, &self.buffer) {
            (_, Some(buffer)) => buffer.bytes().len(),
            (Job::Write { bytes: Some(bytes), .. }, None) => bytes.bytes().len(),
            _ => 0,
        }
    }
}

/// What became of a task.
pub enum End {
    Done(io::Result<Option<Shared>>),
    /// In part: the whole of it again, some other way.
    Again(Job),
}

pub struct Ring {
    ring: IoUring,
    backing: Arc<Backing>,
    flying: HashMap<u64, Flying>,
}

impl Ring {
    /// # Errors
    /// If the kernel has none, or does not give it to this program.
    pub fn new(backing: Arc<Backing>) -> io::Result<Ring> {
        Ok(Ring { ring: IoUring::new(ENTRIES)?, backing, flying: HashMap::new() })
    }

    /// Takes a task in, or gives it back if it is of a kind that is not for here, or nothing more fits.
    pub fn take(&mut self, id: u64, job: Job) -> Option<Job> {
        let mut buffer = None;
        let entry = match &job {
            Job::Read(range) => {
                let length = u32::try_from(range.len).expect("a piece");
                let place = buffer.insert(Buffer::new(length as usize)).bytes_mut().as_mut_ptr();
                let file = Fd(self.backing.file(*range).as_raw_fd());
                opcode::Read::new(file, place, length).offset(range.at).build()
            }
            Job::Write { what: What::Data, range, durable, bytes: Some(bytes) } => {
                let (place, length) = (bytes.bytes().as_ptr(), u32::try_from(bytes.bytes().len()).expect("a piece"));
                let file = Fd(self.backing.file(*range).as_raw_fd());
                let flags = if *durable { nix::libc::RWF_DSYNC } else { 0 };
                opcode::Write::new(file, place, length).offset(range.at).rw_flags(flags).build()
            }
            Job::Flush => {
                let file = Fd(self.backing.data().as_raw_fd());
                opcode::Fsync::new(file).flags(FsyncFlags::DATASYNC).build()
            }
            _ => return Some(job),
        };
        if !self.push(&entry.user_data(id)) {
            return Some(job);
        }
        self.flying.insert(id, Flying { job, buffer });
        None
    }

    /// What `entry` points to is on the heap and stays where it is, whoever owns it moves: it is kept until the kernel says that the
    /// task has ended. Bytes that are written are shared and never changed (R9), those that are read into have no other owner.
    #[allow(unsafe_code)]
    fn push(&mut self, entry: &Entry) -> bool {
        if self.ring.submission().is_full() {
            self.submit();
        }
        // SAFETY: the memory lives as long as the task, as said above; the descriptors are those of the backing, which is kept as long.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    /// Hands over what was taken in since the last time. What the kernel has no room for goes with the next turn.
    pub fn submit(&mut self) {
        if self.ring.submission().is_empty() {
            return;
        }
        if let Err(error) = self.ring.submit() {
            let later = [nix::libc::EINTR, nix::libc::EAGAIN, nix::libc::EBUSY];
            let later = error.raw_os_error().is_some_and(|code| later.contains(&code));
            assert!(later, "the kernel takes no tasks for the disk any more: {error}");
        }
    }

    /// What has ended.
    pub fn ended(&mut self, ends: &mut Vec<(u64, End)>) {
        for done in self.ring.completion() {
            let Some(flying) = self.flying.remove(&done.user_data()) else { continue };
            let end = match usize::try_from(done.result()) {
                // Not the disk's word: the kernel could not do it this way at this moment.
                Err(_) if [nix::libc::EAGAIN, nix::libc::EINTR].contains(&-done.result()) => End::Again(flying.job),
                Err(_) => End::Done(Err(io::Error::from_raw_os_error(-done.result()))),
                Ok(length) if length < flying.length() => End::Again(flying.job),
                Ok(_) => End::Done(Ok(flying.buffer.map(Arc::new))),
            };
            ends.push((done.user_data(), end));
        }
    }
}

impl AsFd for Ring {
    #[allow(unsafe_code)]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring's own descriptor, for no longer than the ring.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel may still read from it and write to it: that memory is never given back.
        std::mem::forget(std::mem::take(&mut self.flying));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::in_one;
    use hotspare_volume::Range;

    fn ends(ring: &mut Ring, count: usize) -> Vec<(u64, End)> {
        let mut ends = Vec::new();
        ring.submit();
        while ends.len() < count {
            ring.ring.submit_and_wait(1).unwrap();
            ring.ended(&mut ends);
        }
        ends
    }

    #[test]
    fn what_is_written_is_read_in_pieces_of_every_kind() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let mut ring = Ring::new(Arc::new(Backing::open(&in_one(file.path())).unwrap())).unwrap();
        let ranges = [(0, 8192, false), (8192, 4096, true), (12_800, 1024, true), (16_384, 512, false)];
        for (id, (at, len, durable)) in (1..).zip(ranges) {
            let bytes = Buffer::from(vec![u8::try_from(id).unwrap(); usize::try_from(len).unwrap()].as_slice());
            let (range, bytes) = (Range { at, len }, Some(Arc::new(bytes)));
            assert!(ring.take(id, Job::Write { what: What::Data, range, durable, bytes }).is_none());
            assert!(matches!(ends(&mut ring, 1)[0], (done, End::Done(Ok(None))) if done == id));
        }
        assert!(ring.take(9, Job::Flush).is_none());
        assert!(matches!(ends(&mut ring, 1)[..], [(9, End::Done(Ok(None)))]));
        for (id, (at, len, _)) in (1..).zip(ranges) {
            ring.take(id, Job::Read(Range { at, len }));
        }
        for (id, end) in ends(&mut ring, 4) {
            let End::Done(Ok(Some(buffer))) = end else { panic!("{id} was not read") };
            assert!(buffer.bytes().iter().all(|byte| u64::from(*byte) == id));
        }
    }

    #[test]
    fn what_is_not_for_here_is_given_back_and_what_ends_too_soon_is_done_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let mut ring = Ring::new(Arc::new(Backing::open(&in_one(file.path())).unwrap())).unwrap();
        assert!(ring.take(1, Job::Meta { at: 0, bytes: vec![0; 4096] }).is_some());
        assert!(ring.take(2, Job::Digest(Range { at: 0, len: 4096 })).is_some());
        file.as_file().set_len(2048).unwrap();
        ring.take(3, Job::Read(Range { at: 0, len: 4096 }));
        assert!(matches!(ends(&mut ring, 1)[..], [(3, End::Again(Job::Read(Range { at: 0, len: 4096 })))]));
        file.as_file().set_len(4 << 20).unwrap();
        for id in 10..10 + 3 * u64::from(ENTRIES) {
            assert!(ring.take(id, Job::Read(Range { at: 0, len: 512 })).is_none(), "a full queue is handed over");
        }
        assert_eq!(ends(&mut ring, 3 * ENTRIES as usize).len(), 3 * ENTRIES as usize);
    }
}
