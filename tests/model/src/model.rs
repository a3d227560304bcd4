//! Register, lease, parking, hand-over and the replacement of a voter (V8, H10) with three voters and two proposers, every interleaving at small bounds.
//!
//! What was asked once may arrive at any voter at any later time, again and again, in any order, or never, also when whoever
//! asked is long about something else. An answer is noted at once; *acting* on answers is a step of its own that may come
//! at any later time and may ignore any of them, which is the same as answers that are late or lost. Time is not a number but what it forces (verification.md): *a voter's promise for round R may end only after every belief that
//! rests on a round up to R has ended*, and a round that has ended anywhere gives nobody a belief any more. That is what
//! clocks within rho guarantee (`hotspare_core::timetable`), and nothing else about time is used.

use stateright::{Model, Property};
use std::collections::{BTreeMap, BTreeSet};

pub const VOTERS: usize = 3;
pub const PROPOSERS: usize = 2;
const MAJORITY: usize = 2;
/// The voter whose disk may be lost once: voters are alike, so one of them will do.
const REPLACED: usize = 0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot(pub u8, pub u8);

/// Epoch, holder, life of the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u8, pub u8, pub u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    Prepare(Ballot, bool),
    Accept(Ballot, Value),
    Renew(Value, u8),
    Release(Value),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Voter {
    promised: Ballot,
    accepted: Option<(Ballot, Value)>,
    /// The lease it owes, and the round it was granted for.
    lease: Option<(Value, u8)>,
    released: Option<Value>,
    parked: Option<Ballot>,
    /// Its register was lost, and it does not vote yet.
    joining: Option<Joining>,
}

/// What a voter without a register has found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Joining {
    /// The lease that it owed, if only it knew.
    owed: Option<(Value, u8)>,
    /// Nothing that it said in its former life counts any more.
    waited: bool,
    told: BTreeMap<u8, (Ballot, Option<(Ballot, Value)>)>,
}

type Promises = BTreeMap<u8, Option<(Ballot, Value)>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Idle,
    Bidding {
        ballot: Ballot,
        promises: Promises,
    },
    Proposing {
        ballot: Ballot,
        value: Value,
        acks: BTreeSet<u8>,
    },
    Confirming {
        value: Value,
        acks: BTreeSet<u8>,
    },
    /// Acts: `sure` is the last round that a majority granted; `refresh` brings lost voters back.
    Held {
        value: Value,
        sure: u8,
        round: u8,
        acks: BTreeSet<u8>,
        refused: bool,
        refresh: Option<(Ballot, Promises)>,
    },
    /// Acts no more; asks the voters to name the other.
    Handing {
        ballot: Ballot,
        value: Value,
        promises: Promises,
    },
    Naming {
        ballot: Ballot,
        value: Value,
        acks: BTreeSet<u8>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposer {
    phase: Phase,
    life: u8,
    /// A predecessor told it that it is named.
    named: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    voters: Vec<Voter>,
    proposers: Vec<Proposer>,
    asked: BTreeSet<Request>,
    /// The rounds of each tenure that have ended at some voter: nobody may begin to believe in them.
    ended: BTreeMap<Value, u8>,
    /// Who accepted what, ever.
    accepted_by: BTreeMap<(Ballot, Value), BTreeSet<u8>>,
    /// The voter [`REPLACED`] has lost its disk.
    wiped: bool,
}

impl State {
    fn chosen(&self) -> impl Iterator<Item = Value> + '_ {
        self.accepted_by.iter().filter(|(_, by)| by.len() >= MAJORITY).map(|((_, value), _)| *value)
    }

    fn ended(&self, value: Value, round: u8) -> bool {
        self.ended.get(&value).is_some_and(|end| round <= *end)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Deliver(u8, Request),
    Bid(u8),
    /// Acts on the answers of these two voters.
    Act(u8, u8, u8),
    Confirm(u8),
    Renew(u8),
    Refresh(u8),
    HandOver(u8),
    /// The holder stops, proves it, and gives the lease back.
    LetGo(u8),
    /// A daemon is restarted: it forgets what it was about.
    Restart(u8),
    Expire(u8),
    /// The disk of [`REPLACED`] is lost.
    Wipe,
    /// It has waited for longer than any lease.
    Wait,
    /// A fellow tells it what it knows.
    Tell(u8),
    /// It knows enough, and votes.
    Join,
}

/// What is checked, and what may be left out to see that it is missed.
#[derive(Clone, Debug)]
pub struct Register {
    pub ballots: u8,
    pub rounds: u8,
    pub lives: u8,
    /// V4's second half: no renewal after a higher promise to somebody else.
    pub v4: bool,
    /// A successor renews before it believes.
    pub confirm: bool,
    /// The value under the highest ballot is built on.
    pub newest: bool,
    /// A voter may be replaced; how.
    pub replace: Option<Replace>,
}

/// How a voter joins again (V8), and what may be left out of that.
#[derive(Clone, Copy, Debug)]
pub struct Replace {
    /// It waits until its former leases are over.
    pub waits: bool,
    /// So many fellows must have told it what they know: n - m + 1.
    pub words: usize,
    /// It takes over the newest value, and not just the highest promise.
    pub takes_value: bool,
    /// Promises count for one lease (H10): what it has promised is over when it has waited.
    pub promises_end: bool,
}

impl Replace {
    pub const RIGHT: Replace = Replace { waits: true, words: 2, takes_value: true, promises_end: true };
}

fn held(value: Value, sure: u8) -> Phase {
    Phase::Held { value, sure, round: sure, acks: BTreeSet::new(), refused: false, refresh: None }
}

impl Register {
    fn deliver(&self, state: &mut State, id: u8, request: Request) -> Option<()> {
        let own = &mut state.voters[usize::from(id)];
        if own.joining.is_some() {
            return None; // it says nothing
        }
        match request {
            Request::Prepare(ballot, park) => {
                if ballot < own.promised {
                    return None;
                }
                if own.lease.is_some_and(|(value, _)| value.1 != ballot.1) {
                    own.parked = Some(ballot).filter(|_| park).or(own.parked);
                    return Some(());
                }
                promise(state, id, ballot);
            }
            Request::Accept(ballot, value) => {
                if ballot < own.promised {
                    return None;
                }
                own.promised = ballot;
                own.accepted = Some((ballot, value));
                if own.released != Some(value) {
                    let round = own.lease.filter(|(old, _)| *old == value).map_or(0, |(_, round)| round);
                    own.lease = Some((value, round));
                }
                state.accepted_by.entry((ballot, value)).or_default().insert(id);
                match &mut state.proposers[usize::from(ballot.1)].phase {
                    Phase::Proposing { ballot: own, acks, .. } | Phase::Naming { ballot: own, acks, .. }
                        if *own == ballot =>
                    {
                        acks.insert(id);
                    }
                    _ => {}
                }
            }
            Request::Renew(value, round) => {
                let (ballot, recorded) = own.accepted?;
                let ours = own.promised == ballot || own.promised.1 == value.1 || !self.v4;
                let granted = recorded == value && own.released != Some(value) && ours;
                if granted {
                    let known = own.lease.filter(|(old, _)| *old == value).map_or(0, |(_, known)| known);
                    own.lease = Some((value, known.max(round)));
                    // One that took the value over when it joined has accepted it from here on.
                    state.accepted_by.entry((ballot, value)).or_default().insert(id);
                }
                match &mut state.proposers[usize::from(value.1)].phase {
                    Phase::Confirming { value: own, acks } if *own == value && granted => {
                        acks.insert(id);
                    }
                    Phase::Held { value: own, round: current, acks, .. }
                        if *own == value && *current == round && granted =>
                    {
                        acks.insert(id);
                    }
                    Phase::Held { value: own, round: current, refused, .. } if *own == value && *current == round => {
                        *refused = true
                    }
                    _ => {}
                }
            }
            Request::Release(value) => {
                own.accepted.filter(|(_, recorded)| *recorded == value)?;
                own.lease = None;
                own.released = Some(value);
                answer_parked(state, id);
            }
        }
        Some(())
    }

    /// The value to build on, by the answers of two voters.
    fn build_on(&self, promises: &Promises, one: u8, other: u8) -> Option<Option<Value>> {
        let both = [*promises.get(&one)?, *promises.get(&other)?];
        let all = both.into_iter().flatten();
        let found =
            if self.newest { all.max_by_key(|(ballot, _)| *ballot) } else { all.min_by_key(|(ballot, _)| *ballot) };
        Some(found.map(|(_, value)| value))
    }

    fn act(&self, state: &mut State, me: u8, one: u8, other: u8) -> Option<()> {
        let mut own = state.proposers[usize::from(me)].clone();
        let both = |acks: &BTreeSet<u8>| acks.contains(&one) && acks.contains(&other);
        match own.phase.clone() {
            Phase::Bidding { ballot, promises } => {
                let epoch = self.build_on(&promises, one, other)?.map_or(0, |value| value.0) + 1;
                let value = Value(epoch, me, own.life);
                state.asked.insert(Request::Accept(ballot, value));
                own.phase = Phase::Proposing { ballot, value, acks: BTreeSet::new() };
            }
            Phase::Proposing { value, acks, .. } if both(&acks) => {
                own.phase = if state.ended(value, 0) { Phase::Idle } else { held(value, 0) };
            }
            Phase::Confirming { value, acks } if both(&acks) => {
                own.phase = if state.ended(value, 1) { Phase::Idle } else { held(value, 1) };
            }
            Phase::Held { value, round, acks, refused, refresh, sure } => match refresh {
                Some((ballot, promises)) if self.build_on(&promises, one, other).is_some() => {
                    if self.build_on(&promises, one, other)? != Some(value) {
                        own.phase = Phase::Idle; // deposed
                    } else {
                        state.asked.insert(Request::Accept(ballot, value));
                        own.phase = Phase::Held { value, round, acks, refused: false, refresh: None, sure };
                    }
                }
                refresh if both(&acks) && round > sure && !state.ended(value, round) => {
                    own.phase = Phase::Held { value, round, acks, refused, refresh, sure: round };
                }
                _ => return None,
            },
            Phase::Handing { ballot, value, promises } => {
                if self.build_on(&promises, one, other)? != Some(value) {
                    own.phase = Phase::Idle;
                } else {
                    let next = Value(value.0 + 1, 1 - me, state.proposers[usize::from(1 - me)].life);
                    state.asked.insert(Request::Accept(ballot, next));
                    own.phase = Phase::Naming { ballot, value: next, acks: BTreeSet::new() };
                }
            }
            Phase::Naming { value, acks, .. } if both(&acks) => {
                state.proposers[usize::from(1 - me)].named = Some(value);
                own.phase = Phase::Idle;
                own.life += 1;
            }
            _ => return None,
        }
        state.proposers[usize::from(me)] = own;
        Some(())
    }

    /// The steps of a voter that lost its disk, as in `hotspare_core::joining`.
    fn replace(&self, state: &mut State, step: &Action) -> Option<()> {
        let rules = self.replace?;
        if *step == Action::Wipe {
            if std::mem::replace(&mut state.wiped, true) {
                return None;
            }
            let owed = state.voters[REPLACED].lease;
            let joining = Joining { owed, waited: !rules.waits, told: BTreeMap::new() };
            state.voters[REPLACED] = Voter { joining: Some(joining), ..Voter::default() };
            return Some(());
        }
        let mut joining = state.voters[REPLACED].joining.clone()?;
        match step {
            Action::Wait if joining.waited => return None,
            Action::Wait => {
                if let Some(lease) = joining.owed.take() {
                    end(state, lease)?;
                }
                state.proposers.iter_mut().for_each(|own| forget(&mut own.phase, rules.promises_end));
                // What only it and others later have accepted is not chosen: nobody can count it together any more.
                let replaced = REPLACED as u8;
                state.accepted_by.values_mut().filter(|by| by.len() < MAJORITY).for_each(|by| {
                    by.remove(&replaced);
                });
                joining.waited = true;
            }
            Action::Tell(fellow) if joining.waited => {
                let fellow_knows = &state.voters[usize::from(*fellow)];
                joining.told.insert(*fellow, (fellow_knows.promised, fellow_knows.accepted));
            }
            Action::Join if joining.told.len() >= rules.words => {
                let promised = joining.told.values().map(|(promised, _)| *promised).max().unwrap_or_default();
                let accepted = joining.told.values().filter_map(|(_, accepted)| *accepted).max();
                let accepted = accepted.filter(|_| rules.takes_value);
                state.voters[REPLACED] = Voter { promised, accepted, ..Voter::default() };
                return Some(());
            }
            _ => return None,
        }
        state.voters[REPLACED].joining = Some(joining);
        Some(())
    }

    fn ballot(&self, state: &State, me: u8) -> Option<Ballot> {
        let seen = state.asked.iter().map(|asked| match asked {
            Request::Prepare(ballot, _) | Request::Accept(ballot, _) => ballot.0,
            Request::Renew(..) | Request::Release(_) => 0,
        });
        let next = seen.max().unwrap_or(0) + 1;
        (next <= self.ballots).then_some(Ballot(next, me))
    }
}

/// A voter's promise of a lease ends: only when no belief rests on it any more, and nobody begins to believe in it later.
fn end(state: &mut State, (value, round): (Value, u8)) -> Option<()> {
    let believes = matches!(&state.proposers[usize::from(value.1)].phase,
        Phase::Held { value: own, sure, .. } if *own == value && *sure <= round);
    if believes {
        return None; // its clocks say that it is over before ours do
    }
    let ended = state.ended.entry(value).or_insert(round);
    *ended = (*ended).max(round);
    Some(())
}

/// So much later no answer of the voter's former life counts any more: grants by the rules of the lease, promises by H10.
fn forget(phase: &mut Phase, promises_end: bool) {
    let replaced = REPLACED as u8;
    match phase {
        Phase::Bidding { promises, .. } | Phase::Handing { promises, .. } if promises_end => {
            promises.remove(&replaced);
        }
        Phase::Proposing { acks, .. } | Phase::Naming { acks, .. } | Phase::Confirming { acks, .. } => {
            acks.remove(&replaced);
        }
        Phase::Held { acks, refresh, .. } => {
            acks.remove(&replaced);
            if let (Some((_, promises)), true) = (refresh, promises_end) {
                promises.remove(&replaced);
            }
        }
        Phase::Idle | Phase::Bidding { .. } | Phase::Handing { .. } => {}
    }
}

fn promise(state: &mut State, id: u8, ballot: Ballot) {
    let own = &mut state.voters[usize::from(id)];
    own.promised = own.promised.max(ballot);
    let accepted = own.accepted;
    match &mut state.proposers[usize::from(ballot.1)].phase {
        Phase::Bidding { ballot: own, promises } | Phase::Handing { ballot: own, promises, .. } if *own == ballot => {
            promises.insert(id, accepted);
        }
        Phase::Held { refresh: Some((own, promises)), .. } if *own == ballot => {
            promises.insert(id, accepted);
        }
        _ => {}
    }
}

fn answer_parked(state: &mut State, id: u8) {
    let own = &mut state.voters[usize::from(id)];
    if let Some(ballot) = own.parked.take().filter(|ballot| *ballot >= own.promised) {
        promise(state, id, ballot);
    }
}

impl Model for Register {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let proposer = Proposer { phase: Phase::Idle, life: 0, named: None };
        vec![State {
            voters: vec![Voter::default(); VOTERS],
            proposers: vec![proposer; PROPOSERS],
            asked: BTreeSet::new(),
            ended: BTreeMap::new(),
            accepted_by: BTreeMap::new(),
            wiped: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for voter in 0..3 {
            actions.extend(state.asked.iter().map(|asked| Action::Deliver(voter, *asked)));
            if state.voters[usize::from(voter)].lease.is_some() {
                actions.push(Action::Expire(voter));
            }
        }
        if self.replace.is_some() {
            actions.extend([Action::Wipe, Action::Wait, Action::Tell(1), Action::Tell(2), Action::Join]);
        }
        for (me, own) in (0_u8..).zip(&state.proposers) {
            for (one, other) in [(0, 1), (0, 2), (1, 2)] {
                actions.push(Action::Act(me, one, other));
            }
            match &own.phase {
                Phase::Idle => {
                    actions.push(Action::Bid(me));
                    actions.push(Action::Confirm(me));
                }
                Phase::Held { refused, refresh, .. } => {
                    actions.push(Action::Renew(me));
                    if *refused && refresh.is_none() {
                        actions.push(Action::Refresh(me));
                    }
                    actions.push(Action::HandOver(me));
                    actions.push(Action::LetGo(me));
                }
                _ => actions.push(Action::Restart(me)),
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Deliver(voter, request) => self.deliver(&mut state, voter, request)?,
            Action::Act(me, one, other) => self.act(&mut state, me, one, other)?,
            Action::Bid(me) => {
                let ballot = self.ballot(&state, me)?;
                state.asked.insert(Request::Prepare(ballot, true));
                state.proposers[usize::from(me)].phase = Phase::Bidding { ballot, promises: BTreeMap::new() };
            }
            Action::Confirm(me) => {
                let own = &mut state.proposers[usize::from(me)];
                let value = own.named.take().filter(|value| value.2 == own.life)?;
                own.phase =
                    if self.confirm { Phase::Confirming { value, acks: BTreeSet::new() } } else { held(value, 1) };
                if self.confirm {
                    state.asked.insert(Request::Renew(value, 1));
                }
            }
            Action::Renew(me) => {
                let Phase::Held { value, round, acks, .. } = &mut state.proposers[usize::from(me)].phase else {
                    return None;
                };
                if *round >= self.rounds {
                    return None;
                }
                *round += 1;
                acks.clear();
                let request = Request::Renew(*value, *round);
                state.asked.insert(request);
            }
            Action::Refresh(me) => {
                let ballot = self.ballot(&state, me)?;
                let Phase::Held { refresh, .. } = &mut state.proposers[usize::from(me)].phase else { return None };
                *refresh = Some((ballot, BTreeMap::new()));
                state.asked.insert(Request::Prepare(ballot, false));
            }
            Action::HandOver(me) => {
                let ballot = self.ballot(&state, me)?;
                let own = &mut state.proposers[usize::from(me)];
                let Phase::Held { value, .. } = own.phase else { return None };
                own.phase = Phase::Handing { ballot, value, promises: BTreeMap::new() };
                state.asked.insert(Request::Prepare(ballot, false));
            }
            Action::LetGo(me) => {
                let own = &mut state.proposers[usize::from(me)];
                let Phase::Held { value, .. } = own.phase else { return None };
                own.phase = Phase::Idle;
                own.life += 1;
                state.asked.insert(Request::Release(value));
            }
            Action::Restart(me) => {
                let own = &mut state.proposers[usize::from(me)];
                own.phase = Phase::Idle;
                own.named = None;
                own.life += 1;
            }
            Action::Expire(voter) => {
                let lease = state.voters[usize::from(voter)].lease?;
                end(&mut state, lease)?;
                state.voters[usize::from(voter)].lease = None;
                answer_parked(&mut state, voter);
            }
            Action::Wipe | Action::Wait | Action::Tell(_) | Action::Join => self.replace(&mut state, &action)?,
        }
        (state != *before).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.proposers.iter().all(|own| own.life <= self.lives)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds(state: &State, of: impl Fn(&Phase) -> bool) -> bool {
            state.proposers.iter().any(|own| of(&own.phase))
        }
        vec![
            Property::always("I3 one holder", |_, state: &State| {
                state.proposers.iter().filter(|own| matches!(own.phase, Phase::Held { .. })).count() <= 1
            }),
            Property::always("I1 one value for an epoch, in order", |_, state: &State| {
                let chosen: Vec<Value> = state.chosen().collect();
                chosen.windows(2).all(|pair| pair[0] == pair[1] || pair[1].0 > pair[0].0)
            }),
            Property::always("I1 what is held was chosen", |_, state: &State| {
                !holds(
                    state,
                    |phase| matches!(phase, Phase::Held { value, .. } if !state.chosen().any(|chosen| chosen == *value)),
                )
            }),
            Property::sometimes("the lease moves by expiry", |_, state: &State| {
                !state.ended.is_empty()
                    && holds(state, |phase| matches!(phase, Phase::Held { value: Value(2, ..), sure: 0, .. }))
            }),
            Property::sometimes("the lease is handed over", |_, state: &State| {
                holds(state, |phase| matches!(phase, Phase::Held { value: Value(2, ..), sure: 1, round: 1, .. }))
                    && state.ended.is_empty()
            }),
            Property::sometimes("a replaced voter makes a majority", |_, state: &State| {
                let voter = &state.voters[REPLACED];
                let renewed = voter.accepted.filter(|(_, value)| voter.lease.is_some_and(|(owed, _)| owed == *value));
                state.wiped && voter.joining.is_none() && renewed.is_some()
            }),
            Property::sometimes("a parked bid waits behind a lease", |_, state: &State| {
                state.voters.iter().any(|voter| voter.parked.is_some() && voter.lease.is_some())
            }),
            Property::sometimes("a voter is brought back in line (H8)", |_, state: &State| {
                state
                    .accepted_by
                    .iter()
                    .any(|((one, value), _)| state.accepted_by.keys().any(|(other, same)| same == value && other > one))
            }),
        ]
    }
}
