//! The loop around `hotspare_volume::Volume`: everything that happens is news, every command is carried out before the next.
//!
//! ```text
//!  clients   copies   ring              sockets and completions: waited for with one call, taken in here
//!      \       |       /
//!       '------+------'--> Engine::take --> Volume::handle --> disk, copies, lease client, answers; sent at the end of the turn
//!              |
//!  lease client, callers, greetings, odd tasks of the disk      threads of their own, with a post to this loop
//! ```
//! One thread, because a request that passes many is slow wherever it goes: each of them has to be woken (docs/benchmarks.md).
//! Before each step it looks at the lease's page: from 8/12 on nothing is completed, at 9/12 everything fails (R10), with nobody
//! else's help.

mod report;

use crate::buffer::{Buffer, Shared};
use crate::clients::{Clients, Piece};
use crate::disk::{Disk, Job, RING};
use crate::peers::Line;
use crate::progress::Progress;
use crate::role::{self, Ask, Tell};
use crate::sockets::{BELL, Poll};
use crate::story;
use hotspare_config::Config;
use hotspare_control::Ask as Word;
use hotspare_core::{Epoch, NodeId, NodeSet};
use hotspare_daemon::{clock, notify};
use hotspare_page::{Standing, Tenancy};
use hotspare_volume::{Command, Event, Input, Request, Source, Task, ToPrimary, ToReplica, Volume, What};
use hotspare_wire::volume::Message;
use std::collections::{BTreeMap, HashMap};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// Time passes for the volume at least this often.
const TICK: Duration = Duration::from_millis(50);
/// Numbers of sockets begin behind those of the bell and the ring.
const FIRST: u64 = 1 << 8;
/// How long `serve` waits for the voters' word on the copies.
const WORD_PATIENCE: Duration = Duration::from_secs(5);

/// Everything that happens.
pub enum News {
    Client { stream: UnixStream },
    Done { id: u64, ok: bool, bytes: Option<Shared> },
    Digested { id: u64, digest: hotspare_volume::Digest },
    Connected { peer: NodeId, session: u64, line: Box<Line> },
    Copies { epoch: u64, wish: u64, generation: u64, acks: Vec<String>, chosen: Vec<String> },
    Call { caller: u64, ask: Ask, answer: Sender<Tell> },
    HungUp { caller: u64 },
    Terminate,
}

/// What another copy has said.
enum Said {
    ByPrimary(ToReplica, Option<Shared>),
    ByReplica(ToPrimary),
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
    wish: u64,
    generation: u64,
    acks: NodeSet,
    chosen: NodeSet,
}

/// The way to the bus.
pub type Told = tokio::sync::watch::Sender<hotspare_bus::replicate1::Replicate1>;

pub struct Engine {
    pub config: Config,
    pub group: String,
    pub name: String,
    pub backing: String,
    pub me: NodeId,
    pub volume: Volume,
    pub disk: Disk,
    pub words: Sender<Word>,
    /// What the bus is told.
    told: Told,
    /// Bytes that clients are told of.
    size: Arc<AtomicU64>,
    pub extents: usize,
    /// Clients may be greeted.
    serving_flag: Arc<AtomicBool>,
    clients: Clients,
    lines: BTreeMap<(NodeId, u64), (u64, Box<Line>)>,
    /// The next number of a socket, and of a request.
    next: u64,
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
    /// And for the volume to be larger.
    resizers: Vec<Sender<Tell>>,
    progress: Progress,
    next_look: Duration,
    worth: Option<(bool, bool)>,
    /// When a copy that is written to said something last.
    heard: Option<Duration>,
    why: String,
}

impl Engine {
    /// An engine around a copy that is not written to.
    pub fn new(
        (config, group, name): (Config, String, String),
        backing: String,
        me: NodeId,
        (volume, disk): (Volume, Disk),
        (serving_flag, size, words, told): (Arc<AtomicBool>, Arc<AtomicU64>, Sender<Word>, Told),
    ) -> Engine {
        Engine {
            config,
            group,
            name,
            backing,
            me,
            volume,
            disk,
            words,
            told,
            size,
            extents: 0,
            serving_flag,
            clients: Clients::default(),
            lines: BTreeMap::new(),
            next: FIRST,
            pieces: HashMap::new(),
            works: HashMap::new(),
            reads: HashMap::new(),
            asked: HashMap::new(),
            next_bytes: 0,
            serving: None,
            copies: None,
            verifiers: Vec::new(),
            resizers: Vec::new(),
            progress: Progress::default(),
            next_look: Duration::ZERO,
            worth: None,
            heard: None,
            why: "started".into(),
        }
    }

    /// Runs until it is told to end.
    pub fn run(&mut self, poll: &Poll, news: &Receiver<News>) {
        let _ = std::fs::remove_file(role::open_path(&self.name)); // of a former life
        let (mut tick_at, mut ready) = (Duration::ZERO, Vec::new());
        self.tell_worth();
        loop {
            // What there was no room for goes first: nobody says again that it is there.
            let hungry = self.clients.hungry();
            let wait = tick_at.saturating_sub(self.now()).min(self.until_step());
            poll.wait(if hungry.is_empty() { wait } else { Duration::ZERO }, &mut ready);
            for number in hungry.into_iter().chain(ready.drain(..)) {
                match number {
                    BELL | RING => {}
                    number => self.socket_is_ready(number),
                }
            }
            while let Ok(item) = news.try_recv() {
                if let News::Terminate = item {
                    // Nothing is answered any more, neither with yes nor with no: the holder asks whoever comes next.
                    return;
                }
                self.take(item, poll);
            }
            loop {
                let ends = self.disk.ended();
                if ends.is_empty() {
                    break;
                }
                ends.into_iter().for_each(|end| self.take(end, poll));
            }
            if self.now() >= tick_at {
                tick_at = self.now() + TICK;
                self.promote_when_told();
                self.tell_sets();
                self.handle(Input::Tick);
                self.tell_worth();
                self.look_at_progress();
                notify::alive();
            }
            self.watch_lease();
            self.end_of_turn(poll);
        }
    }

    /// What was asked for in this turn goes on its way.
    fn end_of_turn(&mut self, poll: &Poll) {
        self.disk.submit();
        let gone = self.lines.iter_mut().filter_map(|((peer, session), (number, line))| {
            line.flush(poll, *number).err().map(|error| (*peer, *session, error))
        });
        for (peer, session, error) in gone.collect::<Vec<_>>() {
            self.line_ended(peer, session, &error);
        }
        self.clients.flush(poll);
    }

    fn line_ended(&mut self, peer: NodeId, session: u64, error: &std::io::Error) {
        tracing::info!("the connection to a copy ended: {error}");
        self.forget(peer, session);
        self.handle(Input::Disconnected { peer, session });
    }

    fn forget(&mut self, peer: NodeId, session: u64) {
        self.lines.remove(&(peer, session));
        self.works.retain(|_, (of, _)| *of != session); // what has begun has its bytes already
    }

    /// A client or a copy has said something, or there is room again for what is to go to it.
    fn socket_is_ready(&mut self, number: u64) {
        let line = self.lines.iter().find(|(_, (known, _))| *known == number).map(|(key, _)| *key);
        let Some((peer, session)) = line else {
            let mut pieces = Vec::new();
            self.clients.read(number, &mut pieces);
            for piece in pieces {
                self.watch_lease();
                self.next += 1;
                let (tag, request) = (self.next, Request { tag: self.next, op: piece.op, range: piece.range });
                self.pieces.insert(tag, piece);
                self.handle(Input::Request(request));
            }
            return;
        };
        let mut said = Vec::new();
        let (_, line) = self.lines.get_mut(&(peer, session)).expect("it was just found");
        let read = line.read(self.extents, |message| {
            said.push(match message {
                Message::ToReplica(message, bytes) => {
                    let bytes = (!bytes.is_empty()).then(|| Arc::new(Buffer::from(bytes)));
                    Said::ByPrimary(message, bytes)
                }
                Message::ToPrimary(message) => Said::ByReplica(message),
            });
        });
        for said in said {
            self.watch_lease();
            if !self.lines.contains_key(&(peer, session)) {
                return; // hung up on because of what it said before
            }
            match said {
                Said::ByPrimary(message, bytes) => {
                    self.heard = Some(self.now());
                    self.next_bytes += 1;
                    self.works.extend(bytes.map(|bytes| (self.next_bytes, (session, bytes))));
                    self.handle(Input::FromPrimary { peer, session, message, bytes: self.next_bytes });
                }
                Said::ByReplica(message) => self.handle(Input::FromReplica { peer, session, message }),
            }
        }
        if let Err(error) = read
            && self.lines.contains_key(&(peer, session))
        {
            self.line_ended(peer, session, &error);
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(clock::now().boot)
    }

    fn take(&mut self, news: News, poll: &Poll) {
        self.watch_lease();
        match news {
            News::Client { stream } => {
                self.next += 1;
                if let Err(error) = self.clients.add(self.next, stream, poll) {
                    tracing::info!("an NBD connection ended: {error}");
                }
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
                let former = self.lines.keys().find(|(other, _)| *other == peer).copied();
                if let Some((peer, session)) = former {
                    self.forget(peer, session);
                }
                self.next += 1;
                let watched = line.watch(poll, self.next);
                self.lines.insert((peer, session), (self.next, line));
                self.handle(Input::Connected { peer, session });
                if let Err(error) = watched {
                    self.line_ended(peer, session, &error);
                }
            }
            News::Copies { epoch, wish, generation, acks, chosen } => {
                let set = |names: &[String]| NodeSet::of(names.iter().map(|name| NodeId::of(name)));
                let (Some(acks), Some(chosen)) = (set(&acks), set(&chosen)) else { return };
                self.copies = Some(Copies { epoch: Epoch(epoch), wish, generation, acks, chosen });
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
                if let Some((_, line)) = self.lines.get_mut(&(peer, session)) {
                    line.tell_replica(&message, bytes.as_ref());
                }
            }
            Command::ToPrimary { peer, session, message } => {
                if let Some((_, line)) = self.lines.get_mut(&(peer, session)) {
                    line.tell_primary(&message);
                }
            }
            Command::Close { peer, session } => self.forget(peer, session),
            Command::Complete { tag, ok } => {
                if let Some(piece) = self.pieces.remove(&tag) {
                    self.clients.complete(piece, ok);
                }
            }
            Command::Want { epoch, wish, set } => {
                let set = set.iter().map(|node| self.config.node_name(node).to_owned()).collect();
                let (group, volume) = (self.group.clone(), self.name.clone());
                let _ = self.words.send(Word::InSync { group, volume, epoch: epoch.0, wish, set });
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
            Event::Grown { size } => {
                self.size.store(size, Ordering::Release);
                self.next_look = Duration::ZERO; // the holder hears of it at once
                self.answer_all(|engine| &mut engine.resizers, &Tell::Resized { bytes: size });
            }
            Event::NotGrown { .. } => {
                let reason = self.why.clone();
                self.answer_all(|engine| &mut engine.resizers, &Tell::Refused { reason });
            }
            Event::Serving { epoch, .. } => {
                self.size.store(self.volume.status().size, Ordering::Release);
                self.serving_flag.store(true, Ordering::Release);
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
                self.answer_all(|engine| &mut engine.verifiers, &Tell::Verified { compared, differ });
            }
            Event::Sealed { .. } => {
                let gone = Tell::Refused { reason: "the role has gone, and nothing came of it".into() };
                self.answer_all(|engine| &mut engine.verifiers, &gone);
                self.answer_all(|engine| &mut engine.resizers, &gone);
                let reason = "the lease is over, or the disk failed: see the journal".into();
                self.answer(Tell::Refused { reason });
            }
            _ => {}
        }
    }

    /// Tells everybody who waits.
    fn answer_all(&mut self, who: impl Fn(&mut Engine) -> &mut Vec<Sender<Tell>>, tell: &Tell) {
        for answer in std::mem::take(who(self)) {
            let _ = answer.send(tell.clone());
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
            let (group, volume) = (self.group.clone(), self.name.clone());
            let _ = self.words.send(Word::Volume { group, volume, born: worth.0, fit: worth.1 });
        }
    }

    fn tell_sets(&mut self) {
        if let Some(Copies { epoch, wish, acks, chosen, .. }) = &self.copies {
            let (epoch, wish, acks, chosen) = (*epoch, *wish, *acks, *chosen);
            self.handle(Input::AckSet { epoch, wish, acks, chosen });
        }
    }

    fn call(&mut self, caller: u64, ask: &Ask, answer: Sender<Tell>) {
        match ask {
            Ask::Status => drop(answer.send(Tell::Status(Box::new(self.status())))),
            Ask::Verify if self.volume.status().serving => {
                self.verifiers.push(answer);
                self.handle(Input::Verify);
            }
            Ask::Resize if !self.resizers.is_empty() => {
                let _ = answer.send(Tell::Refused { reason: "that is under way already".into() });
            }
            Ask::Resize => {
                self.resizers.push(answer);
                self.handle(Input::Grow);
            }
            Ask::Verify => {
                let reason = "this copy is not the one that is written to: ask there (hotspare status)".into();
                let _ = answer.send(Tell::Refused { reason });
            }
            Ask::Serve if self.serving.is_some() => {
                let reason = "the volume is served on this node already".into();
                let _ = answer.send(Tell::Refused { reason });
            }
            Ask::Serve => match Tenancy::open(&self.group) {
                Ok(tenancy) => {
                    let since = self.now();
                    self.serving = Some(Serving { caller, answer, tenancy, since, held: false, promoted: false });
                    self.promote_when_told();
                }
                Err(why) => drop(answer.send(Tell::Refused { reason: why.to_string() })),
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
        self.serving.as_ref().map_or(TICK, |serving| serving.tenancy.until_step(clock::now(), true).min(TICK))
    }

    /// The stop timetable (systemd.md): hold at 8/12, seal at 9/12, whatever anybody else does.
    fn watch_lease(&mut self) {
        let Some(serving) = &mut self.serving else { return };
        let standing = serving.tenancy.look(clock::now());
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
        self.serving_flag.store(false, Ordering::Release);
        self.clients.hang_up();
        self.handle(Input::Demote);
        self.pieces.clear();
    }
}
