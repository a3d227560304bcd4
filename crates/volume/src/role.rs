//! Promotion, the set of copies that count, the end of a tenure (R2, R3, R7).

use crate::event::{Event, Unfit};
use crate::fault::{VolumeFault, taken_out};
use crate::message::{Command, Terms};
use crate::primary::{Peer, Primary, Step};
use crate::replica::{Promotion, Replica};
use crate::volume::{Doing, Role, Volume};
use hotspare_core::{Epoch, NodeId, NodeSet};
use std::time::Duration;

/// What was asked of the voters is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Volume {
    /// R3: the lease is held, and with it the voters' word that this copy counts. What this copy knows of itself is a second check:
    /// where the two disagree, nothing is promoted.
    pub(crate) fn on_promote(&mut self, epoch: Epoch, generation: u64, alone: bool) {
        if matches!(&self.role, Role::Primary(primary) if primary.epoch < epoch) {
            self.on_demote(); // a tenure that nobody ended
        }
        let unfit = self.unfit(epoch, generation, alone);
        let Role::Replica(replica) = &mut self.role else { return };
        if let Some(why) = unfit {
            return self.journal(Event::PromotionRefused { epoch, why });
        }
        if replica.promotion.is_some_and(|promotion| promotion.epoch >= epoch) {
            return;
        }
        // From now on nobody of an earlier epoch writes here, and nobody of this one: it is ours.
        replica.link = None;
        self.block.min_epoch = epoch;
        self.block.generation = generation;
        let saved = self.save();
        let Role::Replica(replica) = &mut self.role else { return };
        replica.promotion = Some(Promotion { epoch, saved });
        self.drop_work();
    }

    fn unfit(&self, epoch: Epoch, generation: u64, alone: bool) -> Option<Unfit> {
        // Created here, and never promoted yet. Where others count as well, it took the place of a copy that had the data.
        let born = self.block.generation == 0 && self.block.whole && alone;
        let other = self.block.generation != generation && !born;
        if self.block.min_epoch > epoch {
            Some(Unfit::LaterEpoch(self.block.min_epoch))
        } else if other {
            Some(Unfit::OtherGeneration(self.block.generation))
        } else if !self.block.whole {
            Some(Unfit::NotWhole)
        } else {
            None
        }
    }

    /// When the epoch is on disk and the last write from elsewhere has landed, the tenure begins.
    pub(crate) fn step_promotion(&mut self) {
        let Role::Replica(Replica { promotion: Some(Promotion { epoch, saved }), .. }) = &self.role else { return };
        let (epoch, saved) = (*epoch, *saved);
        if !self.saved(saved) || (self.writes_are_under_way() && !taken_out(VolumeFault::NoDrain)) {
            return;
        }
        self.bits.begin_session(Some(0));
        let peers = self.block.peers.into_iter().take(self.block.peer_count());
        self.shown = self.block.size;
        let peers = peers.map(|peer| (peer, self.config.asynchronous.contains(&peer)));
        let mut asking = std::mem::take(&mut self.asking);
        asking.begin(epoch);
        self.role = Role::Primary(Box::new(Primary::new(asking, self.now, peers)));
        self.journal(Event::Promoted { epoch });
        for (peer, session) in self.links.clone() {
            self.greet(peer, session);
        }
        self.flush(None); // what was here before is on disk before anything is concluded from it
    }

    pub(crate) fn on_ack_set(&mut self, epoch: Epoch, wish: u64, (acks, chosen): (NodeSet, NodeSet)) {
        let Role::Primary(primary) = &mut self.role else { return };
        if primary.epoch != epoch {
            return;
        }
        let before = primary.sets.map(|(_, chosen)| chosen);
        primary.sets = Some((acks, chosen));
        primary.asking.open.retain(|_, number| *number > wish);
        let out = before.iter().flat_map(NodeSet::iter).filter(|node| !chosen.contains(*node));
        out.collect::<Vec<_>>().into_iter().for_each(|peer| self.journal(Event::Dropped { peer }));
    }

    /// A copy that was told that it counts, and does not any more, is about to get parts of what it will have missed: it must hear
    /// otherwise first (R5). So must an asynchronous one that counted until now: from here on it takes things in order.
    pub(crate) fn close_outsiders(&mut self) {
        let Role::Primary(primary) = &self.role else { return };
        let Some(members) = primary.members() else { return };
        let outside = |(node, peer): (&NodeId, &Peer)| {
            let under_way = !matches!(peer.step, Step::Away | Step::Refused | Step::Joined);
            let ordered = peer.asynchronous && peer.step == Step::Joined;
            let told = peer.terms == Terms::Member && (under_way || ordered);
            (told && !members.contains(*node)).then_some((*node, peer.session))
        };
        for (peer, session) in primary.peers.iter().filter_map(outside).collect::<Vec<_>>() {
            self.close(peer, session);
        }
    }

    /// Asks the voters for the set that should count: every copy that is equal, and those that are given time (R2, D3, D4).
    pub(crate) fn consider_set(&mut self) {
        let (me, now) = (self.block.node, self.now);
        let Role::Primary(primary) = &mut self.role else { return };
        let Some((_, chosen)) = primary.sets.filter(|_| !primary.sealed) else { return };
        let (asked, since) = primary.wanted.unwrap_or((chosen, primary.began));
        let patience = |node: &NodeId| {
            let Some(peer) = primary.peers.get(node).filter(|peer| !peer.asynchronous) else { return false };
            let grace = if peer.fresh && !peer.hears() { self.config.takeover_grace } else { self.config.grace };
            // Who was asked to go comes back as everybody does: equal, and flushed.
            let waited_for = peer.step == Step::Joined || now.saturating_sub(peer.away_since) < grace;
            peer.may_count() || (asked.contains(*node) && waited_for)
        };
        let members = primary.peers.keys().copied().filter(patience).chain([me]);
        let set = NodeSet::of(members).expect("as many as the superblock names");
        let unheard = set != chosen || !primary.asking.open.is_empty();
        if set != asked || (unheard && now.saturating_sub(since) >= ASK_AGAIN) {
            primary.wanted = Some((set, now));
            let wish = primary.asking.ask(set);
            self.out.push(Command::Want { epoch: primary.epoch, wish, set });
        }
    }

    /// A later epoch was heard of (H6): nothing more is acknowledged in this one.
    pub(crate) fn depose(&mut self, by: Epoch) {
        let Role::Primary(primary) = &self.role else { return };
        if by > primary.epoch && !primary.sealed {
            self.journal(Event::Deposed { by });
            self.seal();
        }
    }

    pub(crate) fn on_demote(&mut self) {
        self.seal();
        let Role::Primary(primary) = &mut self.role else { return };
        let epoch = primary.epoch;
        self.asking = std::mem::take(&mut primary.asking);
        // Its numbers begin anew in the next tenure; what may still be written to the disk is waited for then.
        self.doing.retain(|_, doing| {
            use Doing::{CopyDigest, CopyRead, DigestOwn, Flush, Read};
            !matches!(doing, Read(_) | Flush { .. } | CopyRead { .. } | CopyDigest { .. } | DigestOwn(_))
        });
        self.role = Role::Replica(Replica::default());
        self.bits.begin_session(None);
        self.bits.cool_all();
        self.journal(Event::Demoted { epoch });
    }

    /// Everything at the primary that is not the direct answer to an input.
    pub(crate) fn step_primary(&mut self) {
        self.watch_disk();
        self.greet_again();
        self.close_the_slow();
        self.consider_set();
        self.close_outsiders();
        self.serve();
        self.begin_queued();
        self.copy_blocks();
        self.verify_blocks();
        self.issue_writes();
        self.settle();
        self.go_on_growing();
        self.note_frozen();
        self.flush_of_our_own();
        self.tell_durable();
    }

    fn serve(&mut self) {
        let me = self.block.node;
        let Role::Primary(primary) = &mut self.role else { return };
        if !primary.serving && !primary.is_frozen(me) {
            primary.serving = true;
            let (epoch, after) = (primary.epoch, self.now.saturating_sub(primary.began));
            self.journal(Event::Serving { epoch, after });
        }
    }
}
