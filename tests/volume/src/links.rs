//! What connects the copies: messages that arrive in order, connections that break.

use crate::disk::Cell;
use crate::invariants;
use crate::world::{Happening, MS, Message, World, id, pair};
use hotspare_volume::Input;
use hotspare_volume::message::ToReplica;

impl World {
    pub(crate) fn send(&mut self, (from, to): (usize, usize), session: u64, message: Message, data: Vec<Cell>) {
        if self.sessions.get(&pair(from, to)) != Some(&session) {
            return;
        }
        let boots = (self.nodes[from].boot, self.nodes[to].boot);
        let arrival = (self.now + self.delay()).max(self.last_arrival.get(&(from, to)).map_or(0, |last| last + 1));
        self.last_arrival.insert((from, to), arrival);
        self.at(arrival, Happening::Message { from, to, boots, session, message, data });
    }

    pub(crate) fn arrive(&mut self, (from, to): (usize, usize), session: u64, message: Message, data: Vec<Cell>) {
        let current = self.sessions.get(&pair(from, to)) == Some(&session);
        if !current && self.rng.one_in(2) {
            return; // what a closed connection had in its buffers may be heard, or not
        }
        let peer = id(from);
        if current && matches!(message, Message::Replica(ToReplica::Copy { .. })) {
            invariants::half_is_marked(self, from, to);
        }
        match message {
            Message::Replica(message) => {
                self.nodes[to].next_bytes += 1;
                let bytes = self.nodes[to].next_bytes;
                if !data.is_empty() {
                    self.nodes[to].works.insert(bytes, data);
                }
                self.handle(to, Input::FromPrimary { peer, session, message, bytes });
            }
            Message::Primary(message) => self.handle(to, Input::FromReplica { peer, session, message }),
        }
    }

    pub fn connect(&mut self, one: usize, other: usize) {
        let key = pair(one, other);
        let up = [one, other].iter().all(|node| self.nodes[*node].volume.is_some());
        if !up || self.down.contains_key(&key) || self.sessions.contains_key(&key) {
            return;
        }
        self.session += 1;
        self.sessions.insert(key, self.session);
        self.last_arrival.remove(&(one, other));
        self.last_arrival.remove(&(other, one));
        let session = self.session;
        self.handle(one, Input::Connected { peer: id(other), session });
        self.handle(other, Input::Connected { peer: id(one), session });
    }

    pub(crate) fn hang_up(&mut self, node: usize, other: usize, session: u64) {
        if self.sessions.get(&pair(node, other)) == Some(&session) {
            self.cut(node, other, 0);
        }
    }

    /// The connection breaks, each end notices, and after `span` a new one is made.
    pub fn cut(&mut self, one: usize, other: usize, span: u64) {
        let key = pair(one, other);
        let until = self.now + span.max(MS);
        let longest = self.down.get(&key).copied().unwrap_or(0).max(until);
        self.down.insert(key, longest);
        self.at(longest, Happening::LinkUp { one, other });
        if let Some(session) = self.sessions.remove(&key) {
            self.handle(one, Input::Disconnected { peer: id(other), session });
            self.handle(other, Input::Disconnected { peer: id(one), session });
        }
    }
}
