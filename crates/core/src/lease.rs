//! The lease client of one node and one group: reads, bids, renews, hands over, lets go.
//!
//! ```text
//!            parked bid / free lease               Accept chosen
//!  Watching -------------------------> Bidding -----------------------> Held
//!     ^  |                                                             | |  |
//!     |  '--named as successor--> Confirming --renewed by a majority-->' |  | 9/12 L without a majority
//!     |                                                                  |  v
//!     |<---release---- (proof: nothing runs) ----------------------------'  Lost
//!     |<---chosen----- HandingOver <-- proof, a ready successor ---- Held    |
//!     '<---release---- (proof) ----------------------------------------------'
//! ```
//!
//! The rules H0-H9 of lease.md 4.5 are in: [`bid`] (H0, H1, H7), [`hold`] (H2, H3, H8), [`handover`] (H5, H9),
//! [`request`] (an operator's wish). No tenure ends without [`Input::Emptied`], except one that no gate ever claimed.

mod bid;
mod copies;
mod event;
mod expect;
mod fencing;
mod handover;
mod hold;
mod proposal;
mod request;
mod status;
mod uplink;
mod view;

pub use event::{Ended, Event, Why};
pub use fencing::FenceConfig;
pub use request::{Request, Verdict};
pub use status::{DataStatus, PeerStatus, PhaseName, Status, VoterStatus};

use crate::ballot::{Ballot, Value};
use crate::copies::{Copies, NodeSet};
use crate::fault::{Fault, taken_out};
use crate::id::{Epoch, Incarnation, NodeId};
use crate::message::{Fenced, FromVoter, Pause, PeerMessage, ToVoter};
use crate::rng::Rng;
use crate::time::Stamp;
use crate::timetable::Timetable;
use bid::{Bid, Confirm};
use expect::Expected;
use fencing::Fencing;
use handover::Handing;
use hold::Held;
use request::Wish;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use view::{PeerView, VoterView};

/// A gate that does not claim a granted tenure within this time is taken for one that cannot start.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(15);
/// While the role is being stopped, this is asked for again and again: a job of somebody else's can undo the stop.
pub const YIELD_AGAIN: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);
/// The first abstention after a service failed for good; doubles up to [`ABSTAIN_MAX`].
pub const ABSTAIN_MIN: Duration = Duration::from_secs(60);
/// The longest abstention.
pub const ABSTAIN_MAX: Duration = Duration::from_secs(3600);

/// What the configuration says of a group, as far as the lease cares.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    pub me: NodeId,
    /// In order of preference.
    pub candidates: Vec<NodeId>,
    pub voters: Vec<NodeId>,
    pub timetable: Timetable,
    /// How long a lesser candidate waits, after its own start, for a preferred one that it has not seen ready.
    pub boot_grace: Duration,
    /// How long a node stays away after it was told to let go; also the age a tenure needs before it fails back.
    pub hold_down: Duration,
    /// Hand over to a preferred candidate once that one has been ready for `hold_down`.
    pub failback: bool,
    /// Bid without being asked. False for a group that is a pure lock (`hotspare-lease hold`).
    pub automatic: bool,
    /// A gate may wait here before the lease comes. False where something runs as long as the node stands by: a copy that
    /// a user's own programs keep up to date has to see the last write.
    pub prepares: bool,
    /// Epochs are above this one (`hotspare force`).
    pub epoch_floor: Epoch,
    /// How often within an hour this node takes the role without being asked; 0: as often as it comes.
    pub moves_per_hour: usize,
    /// The group has data, of which not every candidate need have all.
    pub data: Option<DataConfig>,
    /// The group's data of this generation was given up by an operator; true: in favour of the copy on this node.
    pub abandoned: Option<(u64, bool)>,
    /// This node may shoot a holder that is gone.
    pub fence: Option<FenceConfig>,
}

/// What the configuration says of a group's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataConfig {
    /// It was created on this node: the first to lead is the one that has it (D0).
    pub born_here: bool,
    /// The copy on this node could be promoted, as far as it knows itself (H0, R3): its program runs, it is whole.
    pub fit: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    Tick,
    Voter {
        from: NodeId,
        message: FromVoter,
    },
    Peer {
        from: NodeId,
        message: PeerMessage,
    },
    /// Whether this node stands by: its standby target is active.
    Standby(bool),
    /// Whether a gate (or `hotspare-lease hold`) waits for the lease.
    GateWaiting(bool),
    /// A gate took charge of the tenure: from now on it ends only with a proof.
    Claimed(Incarnation),
    /// Everything of the role is up.
    RoleUp(Incarnation),
    /// The proof: nothing of that tenure runs here, its addresses are gone.
    Emptied {
        incarnation: Incarnation,
        how: Ended,
    },
    /// The gate is gone and has left no proof: stop renewing, and wait for one.
    Abandoned,
    /// A service of the role failed for good.
    GiveUp,
    Request(Request),
    /// Stop all moves that nobody asked for, or allow them again.
    Pause(bool),
    /// What the volume says of the copy on this node.
    Data(DataConfig),
    /// The volume wants these nodes to have every write before it is acknowledged, and no others (D3, D4).
    InSync(NodeSet),
    /// Whether this node reaches what its clients come from.
    Uplink(bool),
    /// Somebody begins to switch this node off: the shell that was told [`Command::Fence`], or an operator. What a proof will be
    /// for, [`Lease::fence_target`] says.
    FenceBegins {
        node: NodeId,
    },
    /// What became of it: proven, or not.
    FenceEnded {
        target: Fenced,
        proven: bool,
    },
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    ToVoter {
        to: NodeId,
        message: ToVoter,
    },
    ToPeer {
        to: NodeId,
        message: PeerMessage,
    },
    /// Put this on the page that the gate reads, before anything else is done.
    Publish(Tenure),
    /// Queue the start of the primary role: the lease is held.
    TakeRole,
    /// Queue the start of the primary role: the lease is about to be handed to this node, or nearly over, and a gate should wait for it.
    PrepareRole,
    /// That start is not wanted any more.
    ForgetRole,
    /// Queue the start of the standby role: it is time to let go.
    YieldRole,
    Answer {
        request: u64,
        verdict: Verdict,
    },
    /// Look whether a unit of the role has failed and stays so, and say [`Input::GiveUp`] if one has.
    LookForFailures,
    /// Keep this across restarts and reboots.
    Keep(Pause),
    /// These copies are whole, the voters agree; [`Lease::ack_set`] may be smaller now.
    Copies(Copies),
    /// Shoot this life of that node, and say [`Input::FenceEnded`].
    Fence(Fenced),
    Journal(Event),
}

/// What the gate needs to know, and what a restarted daemon re-adopts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    pub value: Value,
    /// When the last round that a majority granted was sent: zero of the stop timetable.
    pub sent: Stamp,
    /// The lease that this majority granted.
    pub lease: Duration,
    /// False from the moment that this node no longer acts in this tenure.
    pub held: bool,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each group, and never moved about")]
enum Phase {
    Watching,
    Bidding(Bid),
    Confirming(Confirm),
    Held(Held),
    HandingOver(Handing),
    /// Over, and something of it may still run here.
    Lost(Value),
}

/// The lease client of one group.
#[derive(Clone, Debug)]
pub struct Lease {
    config: LeaseConfig,
    rng: Rng,
    now: Stamp,
    started: Stamp,
    boot: u64,
    /// Random per start of the daemon: part of every ballot.
    nonce: u64,
    /// The highest ballot counter seen anywhere.
    counter: u64,
    /// The life that the next tenure will have, if a predecessor names this node.
    life: Incarnation,
    phase: Phase,
    standby: bool,
    gate_waiting: bool,
    /// This node reaches what its clients come from, as far as anybody has said.
    uplink: bool,
    pause: Pause,
    /// When this node took the role without being asked, within the last hour.
    moves: VecDeque<Stamp>,
    abstain_until: Option<Stamp>,
    failures: u32,
    wish: Option<Wish>,
    expected: Option<Expected>,
    /// The last epoch for whose end a gate was started here.
    prepared: Epoch,
    /// Not because it was announced, but because its holder does not renew.
    prepared_for_the_end: bool,
    voters: BTreeMap<NodeId, VoterView>,
    peers: BTreeMap<NodeId, PeerView>,
    /// Somebody has held this group since this daemon started: the cold start is over.
    seen_holder: bool,
    free_since: Option<Stamp>,
    bid_not_before: Stamp,
    fencing: Fencing,
    next_read: Stamp,
    next_hello: Stamp,
    /// Messages worth a second copy: a lost release or hand-over costs a whole lease.
    echoes: Vec<(Stamp, Command)>,
    out: Vec<Command>,
}

impl Lease {
    /// A client that starts at `now` in the boot whose digest is `boot`; `seed` makes its back-off and nonces.
    #[must_use]
    pub fn new(config: LeaseConfig, now: Stamp, boot: u64, seed: u64) -> Lease {
        assert!(config.candidates.contains(&config.me), "only candidates run a lease client");
        let mut rng = Rng::new(seed);
        let (nonce, life) = (rng.bits(), Incarnation { boot, nonce: rng.bits() });
        let voters = config.voters.iter().map(|voter| (*voter, VoterView::default())).collect();
        Lease {
            config,
            rng,
            now,
            started: now,
            boot,
            nonce,
            counter: 0,
            life,
            phase: Phase::Watching,
            standby: false,
            gate_waiting: false,
            uplink: true,
            pause: Pause::default(),
            moves: VecDeque::new(),
            abstain_until: None,
            failures: 0,
            wish: None,
            expected: None,
            prepared: Epoch(0),
            prepared_for_the_end: false,
            voters,
            peers: BTreeMap::new(),
            seen_holder: false,
            free_since: None,
            bid_not_before: now,
            fencing: Fencing::default(),
            next_read: now,
            next_hello: now,
            echoes: Vec::new(),
            out: Vec::new(),
        }
    }

    /// What was kept of [`Command::Keep`].
    #[must_use]
    pub fn with_pause(mut self, pause: Pause) -> Lease {
        self.pause = pause;
        self
    }

    /// Takes up the tenure that a former life of this daemon published in this boot. `emptied`: its gate has left a
    /// proof that nothing runs any more.
    #[must_use]
    pub fn readopt(mut self, tenure: Tenure, emptied: bool) -> Lease {
        assert_eq!(tenure.value.incarnation.boot, self.boot, "a lease belongs to one boot");
        self.seen_holder = true;
        let timetable = Timetable::new(tenure.lease);
        let late = self.now.any_past(tenure.sent.plus(timetable.kill())) && !taken_out(Fault::ReadoptTooLate);
        let in_time = !late;
        let emptied = emptied && !taken_out(Fault::ReadoptAfterTeardown);
        if emptied || !in_time {
            // First of all the page must stop saying that this node holds: a new gate would believe it.
            self.out.push(Command::Publish(Tenure { held: false, ..tenure }));
        }
        if emptied {
            self.release(tenure.value);
        } else if tenure.held && in_time {
            self.phase = Phase::Held(Held::readopted(tenure));
            self.journal(Event::Readopted { epoch: tenure.value.epoch });
            self.out.push(Command::LookForFailures); // nobody was there to be told
        } else {
            self.phase = Phase::Lost(tenure.value);
        }
        self
    }

    /// Moves time to `now`, takes `input` in, and returns what must be done, in order.
    pub fn handle(&mut self, now: Stamp, input: Input) -> Vec<Command> {
        assert!(now.boot >= self.now.boot && now.raw >= self.now.raw, "a clock went backwards");
        self.now = now;
        self.expire(); // before anything else: a process that slept must not act on an old belief (H3)
        match input {
            Input::Tick => {}
            Input::Voter { from, message } => self.on_voter(from, message),
            Input::Peer { from, message } => self.on_peer(from, message),
            Input::Standby(standby) => {
                if standby != self.standby {
                    self.standby = standby;
                    self.next_hello = now;
                    self.on_standby();
                }
            }
            Input::GateWaiting(waiting) => self.gate_waiting = waiting,
            Input::Claimed(incarnation) => self.on_claimed(incarnation),
            Input::RoleUp(incarnation) => self.on_role_up(incarnation),
            Input::Emptied { incarnation, how } => self.on_emptied(incarnation, how),
            Input::Abandoned if taken_out(Fault::AbandonedIsRenewed) => {}
            Input::Abandoned => self.lose(Why::GateDied),
            Input::GiveUp => self.on_give_up(),
            Input::Request(request) => self.on_request(request),
            Input::Pause(paused) => self.on_pause(paused),
            Input::Data(data) => self.on_data(data),
            Input::InSync(set) => self.on_in_sync(set),
            Input::Uplink(there) => self.on_uplink(there),
            Input::FenceBegins { node } => self.on_fence_begins(node),
            Input::FenceEnded { target, proven } => self.on_fence_ended(target, proven),
        }
        self.step();
        std::mem::take(&mut self.out)
    }

    /// Everything that time alone brings about.
    fn step(&mut self) {
        self.watch_voters();
        self.read_voters();
        self.step_wish();
        self.step_expected();
        self.consider_fence();
        match &self.phase {
            Phase::Watching => self.consider_bid(),
            Phase::Bidding(_) => self.step_bid(),
            Phase::Confirming(_) => self.step_confirm(),
            Phase::Held(_) => self.step_held(),
            Phase::HandingOver(_) => self.step_handing(),
            Phase::Lost(_) => {}
        }
        self.say_hello();
        let (due, later) = self.echoes.drain(..).partition(|(at, _)| self.now.boot >= at.boot);
        self.echoes = later;
        self.out.extend(Vec::into_iter(due).map(|(_, command)| command));
    }

    fn on_voter(&mut self, from: NodeId, message: FromVoter) {
        if !self.note_voter(from, &message) {
            return; // not a voter of this group
        }
        match message {
            FromVoter::State { .. } => self.notice_succession(),
            FromVoter::Promise { ballot, accepted, credit } => self.on_promise(from, ballot, (accepted, credit)),
            FromVoter::Refused { ballot, why, .. } => self.on_refused(from, ballot, why),
            FromVoter::Accepted { ballot, lease, credit } => self.on_accepted(from, ballot, (lease, credit)),
            FromVoter::Renewed { round, lease, granted, credit, .. } => {
                self.on_renewed(from, (round, credit), granted.then_some(lease));
            }
        }
    }

    fn on_peer(&mut self, from: NodeId, message: PeerMessage) {
        if from == self.config.me || !self.config.candidates.contains(&from) {
            return;
        }
        match message {
            PeerMessage::Hello { ready, holding, yielding, pause, sent } => {
                if pause.version > self.pause.version {
                    self.set_pause(pause);
                }
                if self.note_peer(from, ready, holding, sent)
                    && let Some(epoch) = holding
                {
                    self.note_yielding(from, epoch, yielding);
                }
            }
            PeerMessage::Ask { request, to } => self.on_ask(from, request, to),
            PeerMessage::Answer { request, verdict } => self.on_answer(request, verdict),
            PeerMessage::Handed { epoch, incarnation } => {
                self.on_named(Value::tenure(epoch, self.config.me, incarnation))
            }
        }
    }

    fn on_pause(&mut self, paused: bool) {
        if paused != self.pause.on {
            self.set_pause(Pause { version: self.pause.version + 1, on: paused });
            self.next_hello = self.now;
        }
    }

    fn set_pause(&mut self, pause: Pause) {
        let changed = pause.on != self.pause.on;
        self.pause = pause;
        self.out.push(Command::Keep(pause));
        if !changed {
            return;
        }
        self.journal(if pause.on { Event::Paused } else { Event::Resumed });
        if pause.on && !self.wished_here() {
            self.drop_bid();
        }
        if !pause.on {
            self.out.push(Command::LookForFailures); // what failed meanwhile may have been mended by hand
        }
    }

    /// Whether this node could start the role: it stands by, or a gate already waits or is on its way.
    fn able(&self) -> bool {
        let idle = matches!(self.phase, Phase::Watching | Phase::Bidding(_) | Phase::Confirming(_));
        idle && (self.standby || self.gate_waiting || self.awaits_gate() || taken_out(Fault::IneligibleBids))
    }

    /// Somebody wants this node to lead.
    fn wished_here(&self) -> bool {
        self.wish.as_ref().is_some_and(|wish| wish.to == self.config.me && !wish.expected)
    }

    fn abstains(&self) -> bool {
        self.abstain_until.is_some_and(|until| !self.now.any_past(until)) && !taken_out(Fault::NoAbstention)
    }

    /// Whether this node wants the role: able, with a whole copy of the data (D5), and asked to or free to want it by itself (H0).
    fn willing(&self) -> bool {
        let paused = self.pause.on && !taken_out(Fault::PauseIgnored);
        let free = self.config.automatic && !paused && !self.abstains() && !self.moved_too_often();
        self.able() && self.is_whole() && (self.wished_here() || free)
    }

    /// Roles that bounce help nobody: after so many moves within an hour this node waits to be asked.
    fn moved_too_often(&self) -> bool {
        let recent = self.moves.iter().filter(|at| !self.now.any_past(at.plus(HOUR))).count();
        self.config.moves_per_hour > 0 && recent >= self.config.moves_per_hour
    }

    /// Notes that this node takes the role; `asked`: somebody wanted it to.
    fn note_move(&mut self, asked: bool) {
        if asked {
            self.moves.clear(); // somebody is looking after it
            return;
        }
        self.moves.push_back(self.now);
        if self.moves.len() > self.config.moves_per_hour {
            self.moves.pop_front();
        }
        if self.moved_too_often() {
            self.journal(Event::TooManyMoves { moves: self.moves.len() });
        }
    }

    fn majority(&self) -> usize {
        crate::id::majority(self.config.voters.len()) - usize::from(taken_out(Fault::HalfIsEnough))
    }

    fn tell_voters(&mut self, message: ToVoter) {
        for voter in &self.config.voters {
            self.out.push(Command::ToVoter { to: *voter, message });
        }
    }

    fn journal(&mut self, event: Event) {
        self.out.push(Command::Journal(event));
    }

    /// Sends `command` again one and two steps from now.
    fn echo(&mut self, command: &Command) {
        for n in 1..=2 {
            self.echoes.push((self.now.plus(self.config.timetable.step() * n), command.clone()));
        }
    }

    /// Tells the voters that `value`'s tenure is over, and prepares for another. The proof is in.
    fn release(&mut self, value: Value) {
        let message = ToVoter::Release { epoch: value.epoch, incarnation: value.incarnation };
        self.tell_voters(message);
        for voter in self.config.voters.clone() {
            self.echo(&Command::ToVoter { to: voter, message });
        }
        self.forget_tenure();
    }

    fn forget_tenure(&mut self) {
        self.life = Incarnation { boot: self.boot, nonce: self.rng.bits() };
        self.phase = Phase::Watching;
        self.free_since = None;
        self.next_read = self.now;
        self.next_hello = self.now;
    }

    fn new_ballot(&mut self) -> Ballot {
        if !taken_out(Fault::CounterNotRaised) || self.counter == 0 {
            self.counter = self.counter.checked_add(1).expect("ballots do not run out");
        }
        Ballot { counter: self.counter, node: self.config.me, nonce: self.nonce }
    }

    /// Boot-clock time at which [`Input::Tick`] is due, at the latest.
    #[must_use]
    pub fn wake_at(&self) -> u64 {
        let mut wake = if self.reads() { self.next_read.boot.min(self.next_hello.boot) } else { self.next_hello.boot };
        wake = self.echoes.iter().map(|(at, _)| at.boot).fold(wake, u64::min);
        let phase = match &self.phase {
            Phase::Watching => self.bid_wake(),
            Phase::Bidding(bid) => bid.wake_at().min(self.expect_wake()),
            Phase::Confirming(confirm) => confirm.wake_at(),
            Phase::Held(held) => held.wake_at(self.now, self.config.data.is_some()),
            Phase::HandingOver(handing) => handing.wake_at(),
            Phase::Lost(_) => u64::MAX,
        };
        // A timer that is already due is served at once, yet never without time passing at all.
        wake.min(phase).max(self.now.boot + 1_000)
    }

    fn epoch_of_phase(&self) -> Option<Epoch> {
        match &self.phase {
            Phase::Held(held) => Some(held.tenure.value.epoch),
            Phase::HandingOver(handing) => Some(handing.value.epoch),
            Phase::Lost(value) => Some(value.epoch),
            Phase::Watching | Phase::Bidding(_) | Phase::Confirming(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
