//! In which order a copy that nobody waits for takes in what it hears (decision 0027).
//!
//! A user that writes, flushes and writes again relies on the first being on the disk whenever the second is. Elsewhere that needs no
//! thought: the second write does not begin before every copy that counts has answered for the flush. Nobody waits for an
//! asynchronous copy, so both may reach it at the same moment. Hence here a flush is a mark: everything that was heard before it is on
//! disk before anything that was heard after it begins. A durable write (FUA) holds up what comes after it in the same way.
//! Between two marks writes may land in any order, as on any disk.

use crate::fault::{VolumeFault, taken_out};
use crate::message::Task;
use crate::replica::Work;
use crate::volume::{Doing, Role, Volume};
use std::collections::VecDeque;

/// What is heard.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Work(Box<Work>),
    Flush(u64),
    /// So many bytes are shown from now on.
    Grow(u64),
}

/// What must be over before the next thing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Work(u64),
    /// Its session and number.
    Flush(u64, u64),
}

/// What was heard and has not begun. The other side bounds how much that is (`VolumeConfig::lag`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    waiting: VecDeque<Item>,
    mark: Option<Mark>,
    /// A size that was taken, and the superblock that has it.
    pub grows: Option<(u64, u64)>,
}

impl Order {
    pub(crate) fn landed(&mut self, work: u64) {
        self.mark = self.mark.filter(|mark| *mark != Mark::Work(work));
    }

    pub(crate) fn flushed(&mut self, (session, flush): (u64, u64)) {
        self.mark = self.mark.filter(|mark| *mark != Mark::Flush(session, flush));
    }
}

impl Volume {
    /// Takes in what the copy that is written to says: at once, or in its turn.
    pub(crate) fn hear(&mut self, item: Item) {
        let Role::Replica(replica) = &mut self.role else { return };
        let Some(link) = &replica.link else { return };
        if link.ordered {
            return replica.order.waiting.push_back(item);
        }
        match item {
            Item::Work(work) => drop(self.begin_work(*work)),
            Item::Flush(flush) => {
                let session = link.session;
                self.start(Doing::ApplyFlush { session, flush }, Task::Flush);
            }
            Item::Grow(size) => self.take_size(size),
        }
    }

    /// Begins whatever may begin.
    pub(crate) fn go_on_in_order(&mut self) {
        loop {
            let Role::Replica(replica) = &mut self.role else { return };
            let Some(session) = replica.link.as_ref().map(|link| link.session) else { return };
            let busy = !replica.works.is_empty() && !taken_out(VolumeFault::FlushIsNoMark);
            let held_up = match replica.order.waiting.front() {
                None => true,
                Some(Item::Work(_) | Item::Grow(_)) => replica.order.mark.is_some(),
                Some(Item::Flush(_)) => replica.order.mark.is_some() || busy,
            };
            if held_up {
                return;
            }
            match replica.order.waiting.pop_front() {
                Some(Item::Work(work)) => {
                    let marks = work.durable && !taken_out(VolumeFault::DurableIsNoMark);
                    let id = self.begin_work(*work);
                    if let (true, Role::Replica(replica)) = (marks, &mut self.role) {
                        replica.order.mark = Some(Mark::Work(id));
                    }
                }
                Some(Item::Flush(flush)) => {
                    if !taken_out(VolumeFault::FlushIsNoMark) {
                        replica.order.mark = Some(Mark::Flush(session, flush));
                    }
                    self.start(Doing::ApplyFlush { session, flush }, Task::Flush);
                }
                Some(Item::Grow(size)) => self.take_size(size),
                None => return,
            }
        }
    }
}
