//! Looking whether copies are what they should be, while they are written to (replicate.md 1.5, 6).
//!
//! A block at a time: nobody writes to it while this copy makes its digest, and the question goes out before the next write to it does.
//! The other copy takes it in its turn among the writes. So both look at the same moment in the block's history, and a difference is
//! one. This copy is the one that users read: it is the agreed side. What differs is marked, and the session begun anew: the
//! block is copied as after any other absence.

use crate::event::Event;
use crate::fault::{VolumeFault, taken_out};
use crate::geometry::Range;
use crate::message::{Command, Task, ToReplica};
use crate::primary::{Key, Step};
use crate::volume::{Doing, Role, Volume};
use hotspare_core::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Blocks that are looked at at a time: users come first.
const AT_A_TIME: usize = 2;
/// So many differences are enough to know.
const DIFFERENCES_MAX: usize = 1024;

/// What a block's bytes come to.
pub type Digest = [u8; 32];

/// A look at all blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verify {
    /// The next block.
    next: u64,
    /// Blocks under way, and whose answers are awaited once they were asked.
    checks: BTreeMap<u64, (Range, Option<BTreeSet<NodeId>>)>,
    /// Blocks that some other copy has answered for.
    compared: u64,
    differ: Vec<(NodeId, Range)>,
}

impl Volume {
    /// Looks at all blocks of all copies that are equal, unless that is under way already.
    pub(crate) fn on_verify(&mut self) {
        let Role::Primary(primary) = &mut self.role else { return };
        if primary.serving && !primary.sealed && primary.verify.is_none() {
            primary.verify = Some(Verify::default());
            self.journal(Event::VerifyBegins);
        }
    }

    /// How many blocks were looked at, of how many.
    #[must_use]
    pub fn verifying(&self) -> Option<(u64, u64)> {
        let Role::Primary(primary) = &self.role else { return None };
        primary.verify.as_ref().map(|verify| (verify.next, self.shown().blocks()))
    }

    pub(crate) fn verify_blocks(&mut self) {
        loop {
            let shown = self.shown();
            let blocks = shown.blocks();
            let Role::Primary(primary) = &mut self.role else { return };
            let Some(verify) = primary.verify.as_mut().filter(|_| !primary.sealed) else { return };
            let enough = verify.differ.len() >= DIFFERENCES_MAX;
            if verify.next == blocks || enough {
                if verify.checks.is_empty() {
                    self.verified();
                }
                return;
            }
            if verify.checks.len() >= AT_A_TIME {
                return;
            }
            let range = shown.block_at(verify.next);
            verify.next += 1;
            primary.next += 1;
            let check = primary.next;
            verify.checks.insert(check, (range, None));
            if primary.locks.take(Key::Check(check), range) || taken_out(VolumeFault::VerifyWithoutLock) {
                self.digest_own(check);
            }
        }
    }

    /// Nobody writes to the block now.
    pub(crate) fn digest_own(&mut self, check: u64) {
        let Role::Primary(primary) = &self.role else { return };
        let Some((range, _)) = primary.verify.as_ref().and_then(|verify| verify.checks.get(&check)) else { return };
        let range = *range;
        self.start(Doing::DigestOwn(check), Task::Digest { range });
    }

    /// `digest`: none if the block cannot be read.
    pub(crate) fn on_own_digest(&mut self, check: u64, digest: Option<Digest>) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(verify) = primary.verify.as_mut() else { return };
        let Some((range, asked)) = verify.checks.get_mut(&check) else { return };
        let joined = primary.peers.iter().filter(|(_, peer)| peer.step == Step::Joined && digest.is_some());
        let joined: Vec<(NodeId, u64)> = joined.map(|(node, peer)| (*node, peer.session)).collect();
        *asked = Some(joined.iter().map(|(node, _)| *node).collect());
        for (peer, session) in &joined {
            let message =
                ToReplica::Check { check, range: *range, digest: digest.expect("whoever is asked is asked that") };
            self.out.push(Command::ToReplica { peer: *peer, session: *session, message, bytes: None });
        }
        if joined.is_empty() {
            verify.checks.remove(&check); // nobody to compare with
        }
        let granted = primary.locks.release(Key::Check(check));
        self.granted(granted);
        if digest.is_none() {
            self.journal(Event::DiskFailed);
        }
    }

    pub(crate) fn on_checked(&mut self, node: NodeId, check: u64, same: bool) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(verify) = primary.verify.as_mut() else { return };
        let Some((range, Some(asked))) = verify.checks.get_mut(&check) else { return };
        if !asked.remove(&node) {
            return;
        }
        let (range, over) = (*range, asked.is_empty());
        verify.compared += u64::from(over);
        if over {
            verify.checks.remove(&check);
        }
        if !same {
            verify.differ.push((node, range));
            self.journal(Event::Differs { peer: node, at: range.at, len: range.len });
        }
    }

    /// `node` answers nothing more in this session.
    pub(crate) fn verify_without(&mut self, node: NodeId) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(verify) = primary.verify.as_mut() else { return };
        verify.checks.retain(|_, (_, asked)| match asked {
            None => true,
            Some(asked) => {
                asked.remove(&node);
                !asked.is_empty()
            }
        });
    }

    /// All were looked at: what differs is copied again.
    fn verified(&mut self) {
        let Role::Primary(primary) = &mut self.role else { return };
        let Some(verify) = primary.verify.take() else { return };
        let number = primary.number;
        let joined = |node: &NodeId| primary.peers.get(node).filter(|peer| peer.step == Step::Joined);
        let mut again: BTreeMap<NodeId, u64> = BTreeMap::new();
        let mut marks = Vec::new();
        for (node, range) in &verify.differ {
            // Whoever was away meanwhile may have got it already; marking it once more does no harm.
            again.extend(joined(node).map(|peer| (*node, peer.session)));
            marks.push((*node, *range));
        }
        for (node, range) in marks {
            if let Some(slot) = self.slot(node) {
                self.bits.mark_one(slot, range, number);
            }
        }
        self.journal(Event::Verified { compared: verify.compared, differ: verify.differ.len() as u64 });
        for (peer, session) in again {
            self.close(peer, session);
        }
    }
}
