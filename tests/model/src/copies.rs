//! Who has the data (D0 to D6, D8): the set of whole copies, every interleaving at small bounds, and no clock at all. Any number of
//! nodes may believe that they lead at the same time, for ever: what was acknowledged stays.
//!
//! The register is taken for what the other model shows it to be: the value that a ballot finds is the one that was chosen last, or
//! the one that was proposed last and may still be chosen; in the second case it may have been seen, and if not, it is dead.

use stateright::{Model, Property};

const NODES: u8 = 3;

/// A set of nodes, or of writes.
type Set = u8;

const fn only(node: u8) -> Set {
    1 << node
}

/// Epoch, holder, revision, whole copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    epoch: u8,
    holder: u8,
    rev: u8,
    set: Set,
}

/// What a node that leads, or thinks so, knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leads {
    epoch: u8,
    /// What was chosen last, as far as it knows; what may have been since; what it wants.
    known: Set,
    maybe: Set,
    wanted: Set,
    /// What each other copy has, as it was told.
    has: [Set; NODES as usize],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    chosen: Value,
    /// Proposed and neither chosen nor dead; by whom, if that one still listens.
    open: Option<(u8, Value)>,
    leads: [Option<Leads>; NODES as usize],
    /// Chosen, and its proposer has still to hear of it.
    told: [Option<Value>; NODES as usize],
    /// On disk: the writes, and the epoch below which nothing is taken in (D6).
    log: [Set; NODES as usize],
    fence: [u8; NODES as usize],
    acked: Set,
    writes: u8,
    ballots: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A ballot finds what was chosen, or what is open; then it proposes.
    Ballot(u8, bool),
    Choose,
    Learn(u8),
    Want(u8, Set),
    Write(u8),
    Copy(u8, u8),
    Acknowledge(u8),
    Crash(u8),
}

/// The rules, and what may be left out of them.
#[derive(Clone, Debug)]
pub struct Copies {
    pub ballots: u8,
    pub writes: u8,
    /// D1: what may be chosen counts.
    pub maybe: bool,
    /// D3: a copy that goes is waited for until it is out of the set.
    pub waits: bool,
    /// D4: a copy that comes has everything first, and is waited for from the question on.
    pub copied: bool,
    /// D5: only a whole copy leads.
    pub whole: bool,
    /// D6: old epochs are refused.
    pub fenced: bool,
}

impl Copies {
    pub const RIGHT: Copies =
        Copies { ballots: 3, writes: 2, maybe: true, waits: true, copied: true, whole: true, fenced: true };

    fn ack_set(&self, leads: &Leads) -> Set {
        let maybe = if self.maybe { leads.maybe } else { 0 };
        let known = if self.waits { leads.known } else { 0 };
        let wanted = if self.copied || !self.waits { leads.wanted } else { 0 };
        known | maybe | wanted
    }

    fn ballot(&self, state: &mut State, me: u8, sees: bool) -> Option<()> {
        if state.ballots == self.ballots {
            return None;
        }
        state.ballots += 1;
        let open = state.open.take();
        let base = if sees { open?.1 } else { state.chosen };
        let value = match &mut state.leads[usize::from(me)] {
            Some(leads) if (base.epoch, base.holder) == (leads.epoch, me) => {
                let changed = leads.wanted != base.set;
                leads.maybe |= leads.wanted | base.set;
                Value { rev: base.rev + u8::from(changed), set: leads.wanted, ..base }
            }
            Some(_) => return None, // it hears of a later epoch, and leads no more
            None if base.set & only(me) == 0 && self.whole => return None,
            None => Value { epoch: base.epoch + 1, holder: me, rev: 0, set: base.set },
        };
        state.told[usize::from(me)] = None; // answers to earlier ballots do not count any more
        state.open = Some((me, value));
        Some(())
    }

    fn learn(state: &mut State, me: u8) -> Option<()> {
        let value = state.told[usize::from(me)].take()?;
        if state.fence[usize::from(me)] > value.epoch {
            return None; // D6: its own copy has heard of a later epoch
        }
        let own = &mut state.leads[usize::from(me)];
        match own {
            Some(leads) => (leads.known, leads.maybe) = (value.set, value.set),
            None => {
                let has = [0; NODES as usize];
                *own = Some(Leads { epoch: value.epoch, known: value.set, maybe: value.set, wanted: value.set, has });
                state.fence[usize::from(me)] = value.epoch;
            }
        }
        Some(())
    }
}

impl Model for Copies {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let born = only(0);
        let first = Leads { epoch: 1, known: born, maybe: born, wanted: born, has: [0; NODES as usize] };
        vec![State {
            chosen: Value { epoch: 1, holder: 0, rev: 0, set: born },
            open: None,
            leads: [Some(first), None, None],
            told: [None; NODES as usize],
            log: [0; NODES as usize],
            fence: [1, 0, 0],
            acked: 0,
            writes: 0,
            ballots: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.open.is_some() {
            actions.push(Action::Choose);
        }
        for me in 0..NODES {
            actions.extend([Action::Ballot(me, false), Action::Ballot(me, true), Action::Learn(me)]);
            if state.leads[usize::from(me)].is_some() {
                actions.extend((1..1 << NODES).filter(|set| set & only(me) != 0).map(|set| Action::Want(me, set)));
                actions.extend((0..NODES).filter(|other| *other != me).map(|other| Action::Copy(me, other)));
                actions.extend([Action::Write(me), Action::Acknowledge(me), Action::Crash(me)]);
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Ballot(me, sees) => self.ballot(&mut state, me, sees)?,
            Action::Choose => {
                let (proposer, value) = state.open.take()?;
                state.chosen = value;
                if let Some(told) = state.told.get_mut(usize::from(proposer)) {
                    *told = Some(value);
                }
            }
            Action::Learn(me) => Copies::learn(&mut state, me)?,
            Action::Want(me, set) => {
                let log = state.log[usize::from(me)];
                let leads = state.leads[usize::from(me)].as_mut()?;
                let come = (0..NODES).filter(|node| set & !leads.known & only(*node) != 0);
                if self.copied && come.into_iter().any(|node| leads.has[usize::from(node)] != log) {
                    return None;
                }
                leads.wanted = set;
            }
            Action::Write(me) => {
                if state.writes == self.writes {
                    return None;
                }
                state.log[usize::from(me)] |= 1 << state.writes;
                state.writes += 1;
            }
            Action::Copy(me, other) => {
                let log = state.log[usize::from(me)];
                let leads = state.leads[usize::from(me)].as_mut()?;
                if self.fenced && state.fence[usize::from(other)] > leads.epoch {
                    return None;
                }
                leads.has[usize::from(other)] = log;
                state.log[usize::from(other)] = log;
                state.fence[usize::from(other)] = state.fence[usize::from(other)].max(leads.epoch);
            }
            Action::Acknowledge(me) => {
                let leads = state.leads[usize::from(me)].as_ref()?;
                let set = self.ack_set(leads);
                let others = (0..NODES).filter(|node| *node != me && set & only(*node) != 0);
                let everywhere =
                    others.fold(state.log[usize::from(me)], |all, node| all & leads.has[usize::from(node)]);
                state.acked |= everywhere;
            }
            Action::Crash(me) => {
                state.leads[usize::from(me)] = None;
                state.told[usize::from(me)] = None;
                // Who asked is gone: nobody learns from the answers.
                if let Some((proposer, _)) = state.open.as_mut().filter(|(proposer, _)| *proposer == me) {
                    *proposer = NODES;
                }
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn whole(state: &State, node: u8) -> bool {
            state.log[usize::from(node)] & state.acked == state.acked
        }
        vec![
            Property::always("I4 whoever may lead has what was acknowledged", |_, state: &State| {
                (0..NODES).filter(|node| state.chosen.set & only(*node) != 0).all(|node| whole(state, node))
            }),
            Property::always("I5 whoever leads has what was acknowledged before", |_, state: &State| {
                let newest = state.leads.iter().flatten().map(|leads| leads.epoch).max();
                (0..NODES)
                    .filter(|node| state.leads[usize::from(*node)].is_some_and(|leads| Some(leads.epoch) == newest))
                    .all(|node| whole(state, node) || state.chosen.epoch > newest.unwrap_or(0))
            }),
            Property::sometimes("a copy is dropped, and a write acknowledged without it", |_, state: &State| {
                state.chosen.rev == 2 && state.acked == 3
            }),
            Property::sometimes(
                "a copy takes over with a write that its predecessor acknowledged",
                |_, state: &State| {
                    state.chosen.epoch == 2
                        && state.acked != 0
                        && state.leads.iter().flatten().any(|leads| leads.epoch == 2)
                },
            ),
            Property::sometimes("two nodes believe that they lead", |_, state: &State| {
                state.leads.iter().flatten().count() == 2
            }),
        ]
    }
}
