//! What the disk is asked for: by a ring where the kernel has one, and by a few threads what it is not for, or where it has none. Each
//! task ends with a word to the engine.

use crate::backing::Backing;
use crate::buffer::Shared;
use crate::engine::News;
use crate::ring::{End, Ring};
use crate::sockets::{Poll, Post};
use blake2::{Blake2s256, Digest};
use hotspare_volume::{Range, What};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Tasks that the threads do at a time, without a ring and beside one.
const THREADS: usize = 8;
const THREADS_BESIDE: usize = 3;
/// The number of the ring in [`Poll::wait`].
pub const RING: u64 = 1;

/// What is to be done, and the number under which its end is told.
pub enum Job {
    Read(Range),
    /// What the bytes come to.
    Digest(Range),
    Write {
        what: What,
        range: Range,
        durable: bool,
        bytes: Option<Shared>,
    },
    Flush,
    Meta {
        at: u64,
        bytes: Vec<u8>,
    },
}

/// The way to it.
pub struct Disk {
    backing: Arc<Backing>,
    jobs: Sender<(u64, Job)>,
    ring: Option<Ring>,
    ends: Vec<(u64, End)>,
}

impl Disk {
    /// Makes the ring and starts the threads.
    ///
    /// # Errors
    /// If there are none to be had.
    pub fn start(backing: Backing, post: &Post<News>, poll: &Poll) -> io::Result<Disk> {
        let backing = Arc::new(backing);
        let ring = Ring::new(backing.clone());
        if let Err(error) = &ring {
            tracing::info!("no io_uring ({error}): the disk is asked by threads");
        }
        let ring = ring.ok();
        if let Some(ring) = &ring {
            poll.add(ring, RING)?;
        }
        let (sender, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for n in 0..if ring.is_some() { THREADS_BESIDE } else { THREADS } {
            let (jobs, backing, post) = (jobs.clone(), backing.clone(), post.clone());
            std::thread::Builder::new().name(format!("disk-{n}")).spawn(move || work(&jobs, &backing, &post))?;
        }
        Ok(Disk { backing, jobs: sender, ring, ends: Vec::new() })
    }

    pub fn ask(&mut self, id: u64, job: Job) {
        // The memory of this machine is not waited for.
        if self.backing.in_memory && matches!(job, Job::Read(_) | Job::Write { what: What::Data, .. } | Job::Flush) {
            return self.ends.push((id, End::Done(act(&self.backing, job))));
        }
        let left = match &mut self.ring {
            Some(ring) => ring.take(id, job),
            None => Some(job),
        };
        if let Some(job) = left {
            self.jobs.send((id, job)).expect("the disk's threads live as long as this program");
        }
    }

    /// What was asked for in this turn goes to the disk.
    pub fn submit(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.submit();
        }
    }

    /// What was done without a word.
    pub fn ended(&mut self) -> Vec<News> {
        if let Some(ring) = &mut self.ring {
            ring.ended(&mut self.ends);
        }
        let mut news = Vec::new();
        for (id, end) in self.ends.drain(..) {
            match end {
                End::Done(Ok(bytes)) => news.push(News::Done { id, ok: true, bytes }),
                End::Done(Err(error)) => {
                    tracing::error!("{}: {error}", self.backing.path().display());
                    news.push(News::Done { id, ok: false, bytes: None });
                }
                End::Again(job) => {
                    self.jobs.send((id, job)).expect("the disk's threads live as long as this program");
                }
            }
        }
        news
    }
}

fn work(jobs: &Mutex<Receiver<(u64, Job)>>, backing: &Backing, post: &Post<News>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((id, job)) = next else { return };
        let digests = matches!(job, Job::Digest(_));
        let done = act(backing, job);
        if let Err(error) = &done {
            tracing::error!("{}: {error}", backing.path().display());
        }
        let (ok, bytes) = (done.is_ok(), done.ok().flatten());
        let kept = bytes.clone().filter(|_| !digests);
        let end = match bytes.filter(|_| digests) {
            Some(bytes) => News::Digested { id, digest: Blake2s256::digest(bytes.bytes()).into() },
            None => News::Done { id, ok, bytes: kept },
        };
        if post.send(end).is_err() {
            return;
        }
    }
}

fn act(backing: &Backing, job: Job) -> io::Result<Option<Shared>> {
    match job {
        Job::Read(range) | Job::Digest(range) => return Ok(Some(Arc::new(backing.read(range)?))),
        Job::Write { what: What::Data, range, durable, bytes } => {
            let bytes = bytes.ok_or_else(|| io::Error::other("a write came without its data"))?;
            backing.write(range, bytes.bytes(), durable)?;
        }
        Job::Write { what, range, durable, .. } => backing.zero(range, what == What::Discard, durable)?,
        Job::Flush => backing.flush()?,
        Job::Meta { at, bytes } => backing.write_meta(at, &bytes)?,
    }
    Ok(None)
}
