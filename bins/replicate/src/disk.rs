//! A few threads that do what the disk is asked for; each task ends with a word to the engine.

use crate::backing::Backing;
use crate::buffer::Shared;
use crate::engine::News;
use blake2::{Blake2s256, Digest};
use hotspare_volume::{Range, What};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Tasks that the disk does at a time.
const THREADS: usize = 8;

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

/// The way to the threads.
#[derive(Clone)]
pub struct Disk(Sender<(u64, Job)>);

impl Disk {
    /// Starts the threads.
    ///
    /// # Errors
    /// If there are none to be had.
    pub fn start(backing: Backing, news: &Sender<News>) -> io::Result<Disk> {
        let (sender, jobs) = channel();
        let (jobs, backing) = (Arc::new(Mutex::new(jobs)), Arc::new(backing));
        for n in 0..THREADS {
            let (jobs, backing, news) = (jobs.clone(), backing.clone(), news.clone());
            std::thread::Builder::new().name(format!("disk-{n}")).spawn(move || work(&jobs, &backing, &news))?;
        }
        Ok(Disk(sender))
    }

    pub fn ask(&self, id: u64, job: Job) {
        self.0.send((id, job)).expect("the disk's threads live as long as this program");
    }
}

fn work(jobs: &Mutex<Receiver<(u64, Job)>>, backing: &Backing, news: &Sender<News>) {
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
        if news.send(end).is_err() {
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
