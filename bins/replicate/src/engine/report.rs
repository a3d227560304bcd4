//! What the engine says of itself: to the bus, to whoever asks, to the holder.

use super::Engine;
use crate::role::{Behind, Copy, Status, Tell};
use hotspare_core::NodeId;
use std::time::Duration;

impl Engine {
    pub(super) fn look_at_progress(&mut self) {
        let now = self.now();
        if now >= self.next_look {
            self.next_look = now + Duration::from_secs(1);
            self.progress.look(now, &self.volume.to_copy());
            let status = self.status();
            let new = crate::bus::of(&status);
            self.answer(Tell::Status(Box::new(status)));
            self.told.send_if_modified(|old| {
                *old != new && {
                    *old = new;
                    true
                }
            });
        }
    }

    pub(super) fn status(&self) -> Status {
        let (status, to_copy, lags) = (self.volume.status(), self.volume.to_copy(), self.volume.lags());
        let most = self.config.volume(&self.name).map(|(_, volume)| &volume.asynchronous);
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let behind = |node: &NodeId| {
            let (_, lag) = lags.iter().find(|(other, _)| other == node)?;
            let (bytes_most, milliseconds_most) = most.map(|most| (most.lag_bytes, millis(most.lag)))?;
            Some(Behind { bytes: lag.bytes, milliseconds: millis(lag.span), bytes_most, milliseconds_most })
        };
        let chosen =
            self.copies.as_ref().filter(|copies| Some(copies.epoch) == status.primary).map(|copies| copies.chosen);
        let copies = status.peers.iter().map(|(node, joined, differs)| Copy {
            node: self.config.node_name(*node).to_owned(),
            connected: self.lines.keys().any(|(peer, _)| peer == node),
            joined: *joined,
            counts: chosen.map(|chosen| chosen.contains(*node)),
            differs: *differs,
            behind: behind(node),
            resync: to_copy.iter().find(|(other, _)| other == node).map(|(node, left)| self.progress.of(*node, *left)),
        });
        Status {
            volume: self.name.clone(),
            group: self.group.clone(),
            backing: self.backing.clone(),
            bytes: status.size,
            room: self.volume.room(),
            role: if status.primary.is_some() { "primary" } else { "replica" }.into(),
            state: self.why.clone(),
            epoch: status.primary.unwrap_or(status.min_epoch).0,
            whole: status.whole,
            generation: format!("{:x}", status.generation),
            requests: status.requests,
            verifying: self.volume.verifying(),
            heard_seconds: self.heard.map(|heard| self.now().saturating_sub(heard).as_secs()),
            after_a_crash: status.after_a_crash,
            copies: copies.collect(),
        }
    }
}
