//! The loop around `hotspare_volume::Volume`: everything that happens is news, every command is carried out before the next.
//!
//! ```text
//!  NBD   disk   peers   lease client   callers          threads of their own, each with a way to this loop
//!    \     \      |       /            /
//!     '-----'-----+------'------------'--> Engine::take --> Volume::handle --> disk, peers, lease client, answers
//! ```
//! Before each step it looks at the lease's page: from 8/12 on nothing is completed, at 9/12 everything fails (R10), with nobody
//! else's help.

use crate::buffer::{Buffer, Shared};
use crate::disk::{Disk, Job};
use crate::lease::{Standing, Tenancy};
use crate::nbd::{Piece, Server};
use crate::peers::{Line, Parcel};
use crate::progress::Progress;
use crate::role::{self, Ask, Copy, Status, Tell};
use crate::story;
use hotspare_config::Config;
use hotspare_control::Ask as Word;
use hotspare_core::{Epoch, NodeId, NodeSet};
use hotspare_daemon::{clock, notify};
use hotspare_volume::{Command, Event, Input, Request, Source, Task, ToPrimary, ToReplica, Volume, What};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Time passes for the volume at least this often.
const TICK: Duration = Duration::from_millis(50);
/// How long `serve` waits for the voters' word on the copies.
const WORD_PATIENCE: Duration = Duration::from_secs(5);

/// Everything that happens.
pub enum News {
    Request { tag: u64, piece: Piece },
    Done { id: u64, ok: bool, bytes: Option<Shared> },
    Digested { id: u64, digest: hotspare_volume::Digest },
    Connected { peer: NodeId, session: u64, line: Line },
    Disconnected { peer: NodeId, session: u64 },
    FromPrimary { peer: NodeId, session: u64, message: ToReplica, bytes: Vec<u8> },
    FromReplica { peer: NodeId, session: u64, message: ToPrimary },
    Copies { epoch: u64, generation: u64, acks: Vec<String>, chosen: Vec<String> },
    Call { caller: u64, ask: Ask, answer: Sender<Tell> },
    HungUp { caller: u64 },
    Terminate,
}

/// The role, while it is here or on its way.
struct Serving {
    caller: u64,
    answer: Sender<Tell>,
    tenancy: Tenancy,
    since: Duration,
    held: bool,
    promoted: bool,
}

/// What the voters said last.
struct Copies {
    epoch: Epoch,
    generation: u64,
    acks: NodeSet,
    chosen: NodeSet,
}

pub struct Engine {
    pub config: Config,
    pub group: String,
    pub name: String,
    pub backing: String,
    pub me: NodeId,
    pub volume: Volume,
    pub disk: Disk,
    pub server: Arc<Server>,
    pub words: Sender<Word>,
    lines: BTreeMap<(NodeId, u64), Line>,
    pieces: HashMap<u64, Piece>,
    /// What came to be written here, and in which session.
    works: HashMap<u64, (u64, Shared)>,
    reads: HashMap<u64, Shared>,
    /// Reads of requests under way: disk task to tag.
    asked: HashMap<u64, u64>,
    next_bytes: u64,
    serving: Option<Serving>,
    copies: Option<Copies>,
    /// Who waits for the end of a look at all copies.
    verifiers: Vec<Sender<Tell>>,
    progress: Progress,
    next_look: Duration,
    worth: Option<(bool, bool)>,
    why: String,
}

impl Engine {
    /// An engine around a copy that is not written to.
    pub fn new(
        (config, group, name): (Config, String, String),
        backing: String,
        me: NodeId,
        (volume, disk): (Volume, Disk),
        (server, words): (Arc<Server>, Sender<Word>),
    ) -> Engine {
        Engine {
            config,
            group,
            name,
            backing,
            me,
            volume,
            disk,
            server,
            words,
            lines: BTreeMap::new(),
            pieces: HashMap::new(),
            works: HashMap::new(),
            reads: HashMap::new(),
            asked: HashMap::new(),
            next_bytes: 0,
            serving: None,
            copies: None,
            verifiers: Vec::new(),
            progress: Progress::default(),
            next_look: Duration::ZERO,
            worth: None,
            why: "started".into(),
        }
    }

    /// Runs until it is told to end.
    pub fn run(&mut self, news: &Receiver<News>) {
        let _ = std::fs::remove_file(role::open_path(&self.name)); // of a former life
        let mut tick_at = Duration::ZERO;
        self.tell_worth();
        loop {
            let now = self.now();
            let wait = tick_at.saturating_sub(now).min(self.until_step());
            match news.recv_timeout(wait) {
                // Nothing is answered any more, neither with yes nor with no: the holder asks whoever comes next.
                Ok(News::Terminate) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(item) => self.take(item),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.watch_lease();
            if self.now() >= tick_at {
                tick_at = self.now() + TICK;
                self.promote_when_told();
                self.tell_sets();
                self.handle(Input::Tick);
                self.tell_worth();
                self.look_at_progress();
                notify::alive();
            }
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(clock::now().boot)
    }

    fn take(&mut self, news: News) {
        self.watch_lease();
        match news {
            News::Request { tag, piece } => {
                let request = Request { tag, op: piece.op, range: piece.range };
                self.pieces.insert(tag, piece);
                self.handle(Input::Request(request));
            }
            News::Done { id, ok, bytes } => {
                let piece = self.asked.remove(&id).and_then(|tag| self.pieces.get_mut(&tag));
                match (piece, bytes) {
                    // Its completion may be held back until the lease is renewed.
                    (Some(piece), bytes) => piece.bytes = bytes,
                    (None, Some(bytes)) => drop(self.reads.insert(id, bytes)),
                    (None, None) => {}
                }
                self.handle(Input::Done { id, ok });
                self.reads.remove(&id);
            }
            News::Digested { id, digest } => self.handle(Input::Digested { id, digest }),
            News::Connected { peer, session, line } => {
                self.lines.retain(|(other, _), _| *other != peer);
                self.lines.insert((peer, session), line);
                self.handle(Input::Connected { peer, session });
            }
            News::Disconnected { peer, session } => {
                self.lines.remove(&(peer, session));
                self.works.retain(|_, (of, _)| *of != session); // what has begun has its bytes already
                self.handle(Input::Disconnected { peer, session });
            }
            News::FromPrimary { peer, session, message, bytes } => {
                self.next_bytes += 1;
                if !bytes.is_empty() {
                    self.works.insert(self.next_bytes, (session, Arc::new(Buffer::from(bytes.as_slice()))));
                }
                self.handle(Input::FromPrimary { peer, session, message, bytes: self.next_bytes });
            }
            News::FromReplica { peer, session, message } => self.handle(Input::FromReplica { peer, session, message }),
            News::Copies { epoch, generation, acks, chosen } => {
                let set = |names: &[String]| NodeSet::of(names.iter().map(|name| NodeId::of(name)));
                let (Some(acks), Some(chosen)) = (set(&acks), set(&chosen)) else { return };
                self.copies = Some(Copies { epoch: Epoch(epoch), generation, acks, chosen });
                self.promote_when_told();
                self.tell_sets();
            }
            News::Call { caller, ask, answer } => self.call(caller, &ask, answer),
            News::HungUp { caller } => {
                if self.serving.as_ref().is_some_and(|serving| serving.caller == caller) {
                    self.end_role("its unit was stopped");
                }
            }
            News::Terminate => {}
        }
    }

    /// Gives the volume something, and does what it asks for.
    fn handle(&mut self, input: Input) {
        let now = self.now();
        for command in self.volume.handle(now, input) {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Disk { id, task } => self.disk_task(id, task),
            Command::Meta { id, at, bytes } => self.disk.ask(id, Job::Meta { at, bytes }),
            Command::ToReplica { peer, session, message, bytes } => {
                let data = !matches!(message, ToReplica::Write { what: What::Discard | What::Zeroes, .. });
                let bytes = bytes.filter(|_| data).and_then(|source| self.bytes_of(source));
                if let Some(line) = self.lines.get(&(peer, session)) {
                    line.send(Parcel::to_replica(&message, bytes));
                }
            }
            Command::ToPrimary { peer, session, message } => {
                if let Some(line) = self.lines.get(&(peer, session)) {
                    line.send(Parcel::to_primary(&message));
                }
            }
            Command::Close { peer, session } => drop(self.lines.remove(&(peer, session))),
            Command::Complete { tag, ok } => {
                if let Some(piece) = self.pieces.remove(&tag) {
                    piece.end(ok);
                }
            }
            Command::Want { epoch, set } => {
                let set = set.iter().map(|node| self.config.node_name(node).to_owned()).collect();
                let _ = self.words.send(Word::InSync { group: self.group.clone(), epoch: epoch.0, set });
            }
            Command::Journal(event) => self.journal(event),
        }
    }

    fn disk_task(&mut self, id: u64, task: Task) {
        let job = match task {
            Task::Read { range, tag } => {
                self.asked.extend(tag.map(|tag| (id, tag)));
                Job::Read(range)
            }
            Task::Write { what, range, durable, source } => {
                let bytes = self.bytes_of(source);
                if let Source::Work(work) = source {
                    self.works.remove(&work);
                }
                Job::Write { what, range, durable, bytes }
            }
            Task::Flush => Job::Flush,
            Task::Digest { range } => Job::Digest(range),
        };
        self.disk.ask(id, job);
    }

    fn bytes_of(&self, source: Source) -> Option<Shared> {
        match source {
            Source::Request(tag) => self.pieces.get(&tag).and_then(|piece| piece.bytes.clone()),
            Source::Read(id) => self.reads.get(&id).cloned(),
            Source::Work(work) => self.works.get(&work).map(|(_, bytes)| bytes.clone()),
        }
    }

    fn journal(&mut self, event: Event) {
        self.why = story::tell(&self.config, (&self.group, &self.name), event);
        notify::status_soon(self.why.clone());
        match event {
            Event::Serving { epoch, .. } => {
                self.server.serving.store(true, Ordering::Release);
                if let Err(error) = std::fs::write(role::open_path(&self.name), "") {
                    tracing::error!(
                        "{}: {error}: no unit of the role can start",
                        role::open_path(&self.name).display()
                    );
                }
                self.answer(Tell::Serving { epoch: epoch.0 });
            }
            Event::PromotionRefused { .. } => {
                let reason = self.why.clone();
                self.answer(Tell::Refused { reason });
                self.serving = None;
            }
            Event::Verified { compared, differ } => {
                for answer in self.verifiers.drain(..) {
                    let _ = answer.send(Tell::Verified { compared, differ });
                }
            }
            Event::Sealed { .. } => {
                self.nothing_is_verified();
                let reason = "the lease is over, or the disk failed: see the journal".into();
                self.answer(Tell::Refused { reason });
            }
            _ => {}
        }
    }

    fn nothing_is_verified(&mut self) {
        for answer in self.verifiers.drain(..) {
            let _ =
                answer.send(Tell::Refused { reason: "the role has gone: what was looked at does not count".into() });
        }
    }

    fn answer(&self, tell: Tell) {
        if let Some(serving) = &self.serving {
            let _ = serving.answer.send(tell);
        }
    }

    /// What the lease client has to know before anybody leads here (H0): only when it changes.
    fn tell_worth(&mut self) {
        let worth = self.volume.worth();
        if self.worth != Some(worth) {
            self.worth = Some(worth);
            let _ = self.words.send(Word::Volume { group: self.group.clone(), born: worth.0, fit: worth.1 });
        }
    }

    fn tell_sets(&mut self) {
        if let Some(Copies { epoch, acks, chosen, .. }) = &self.copies {
            let (epoch, acks, chosen) = (*epoch, *acks, *chosen);
            self.handle(Input::AckSet { epoch, acks, chosen });
        }
    }

    fn call(&mut self, caller: u64, ask: &Ask, answer: Sender<Tell>) {
        match ask {
            Ask::Status => drop(answer.send(Tell::Status(Box::new(self.status())))),
            Ask::Verify if self.volume.status().serving => {
                self.verifiers.push(answer);
                self.handle(Input::Verify);
            }
            Ask::Verify => {
                let reason = "this copy is not the one that is written to: ask there (hotspare status)".into();
                let _ = answer.send(Tell::Refused { reason });
            }
            Ask::Serve if self.serving.is_some() => {
                let reason = "the volume is served on this node already".into();
                let _ = answer.send(Tell::Refused { reason });
            }
            Ask::Serve => match Tenancy::open(&self.group, self.me) {
                Ok(tenancy) => {
                    let since = self.now();
                    self.serving = Some(Serving { caller, answer, tenancy, since, held: false, promoted: false });
                    self.promote_when_told();
                }
                Err(reason) => drop(answer.send(Tell::Refused { reason })),
            },
        }
    }

    /// The tenure begins when the voters' word for it has come.
    fn promote_when_told(&mut self) {
        let now = self.now();
        let Some(serving) = self.serving.as_mut().filter(|serving| !serving.promoted) else { return };
        let epoch = serving.tenancy.epoch();
        if let Some(copies) = self.copies.as_ref().filter(|copies| copies.epoch == epoch) {
            serving.promoted = true;
            let (generation, alone) = (copies.generation, copies.chosen == NodeSet::only(self.me));
            self.handle(Input::Promote { epoch, generation, alone });
        } else if now > serving.since + WORD_PATIENCE {
            let reason =
                "the lease client has not said which copies count: is hotspare-leased up, with the same file?".into();
            self.answer(Tell::Refused { reason });
            self.serving = None;
        }
    }

    /// How long until the lease may have to be acted on.
    fn until_step(&self) -> Duration {
        self.serving.as_ref().map_or(TICK, |serving| serving.tenancy.until_step(true).min(TICK))
    }

    /// The stop timetable (systemd.md): hold at 8/12, seal at 9/12, whatever anybody else does.
    fn watch_lease(&mut self) {
        let Some(serving) = &mut self.serving else { return };
        let standing = serving.tenancy.look();
        if standing == Standing::Over {
            let _ = serving.answer.send(Tell::Refused { reason: "the lease is over".into() });
            return self.end_role("the lease is over");
        }
        let hold = standing == Standing::Hold;
        if hold != std::mem::replace(&mut serving.held, hold) {
            tracing::warn!(
                "{}: {}",
                self.name,
                if hold { "not renewed for 8/12 of the lease: nothing is completed" } else { "renewed in time" }
            );
            self.handle(Input::Hold(hold));
        }
    }

    /// The role is not here any more: everything under way fails, then others may be heard.
    fn end_role(&mut self, why: &str) {
        if self.serving.is_none() {
            return;
        }
        tracing::info!("{}: the role ends: {why}", self.name);
        let _ = std::fs::remove_file(role::open_path(&self.name));
        self.handle(Input::Seal);
        self.serving = None;
        self.server.hang_up();
        self.handle(Input::Demote);
        self.pieces.clear();
    }

    fn look_at_progress(&mut self) {
        let now = self.now();
        if now >= self.next_look {
            self.next_look = now + Duration::from_secs(1);
            self.progress.look(now, &self.volume.to_copy());
        }
    }

    fn status(&self) -> Status {
        let (status, to_copy) = (self.volume.status(), self.volume.to_copy());
        let chosen =
            self.copies.as_ref().filter(|copies| Some(copies.epoch) == status.primary).map(|copies| copies.chosen);
        let copies = status.peers.iter().map(|(node, joined, differs)| Copy {
            node: self.config.node_name(*node).to_owned(),
            connected: self.lines.keys().any(|(peer, _)| peer == node),
            joined: *joined,
            counts: chosen.map(|chosen| chosen.contains(*node)),
            differs: *differs,
            resync: to_copy.iter().find(|(other, _)| other == node).map(|(node, left)| self.progress.of(*node, *left)),
        });
        Status {
            volume: self.name.clone(),
            group: self.group.clone(),
            backing: self.backing.clone(),
            bytes: self.server.size,
            role: if status.primary.is_some() { "primary" } else { "replica" }.into(),
            state: self.why.clone(),
            epoch: status.primary.unwrap_or(status.min_epoch).0,
            whole: status.whole,
            generation: format!("{:x}", status.generation),
            requests: status.requests,
            verifying: self.volume.verifying(),
            after_a_crash: status.after_a_crash,
            copies: copies.collect(),
        }
    }
}
